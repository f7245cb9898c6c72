package lcb

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// An Extraction is a rule by which the program is found in a model's answer.
// Its text is its name on the command line and in results.
type Extraction string

// The rules. A fence line is any line with three backticks anywhere in it.
const (
	// ExtractLCB is the official rule: what stands between the last two fence
	// lines. The language tag is ignored, and so is whether the two belong
	// together.
	ExtractLCB Extraction = "lcb"
	// ExtractFirst is what stands between the first two fence lines.
	ExtractFirst Extraction = "first"
	// ExtractLastClosed pairs fences as Markdown does and takes the last block
	// that is closed, so that a block cut off at the token limit does not count.
	ExtractLastClosed Extraction = "last-closed"
	// ExtractAfterThink applies the official rule to what follows the last
	// </think>. Where a <think> is not closed there is no answer.
	ExtractAfterThink Extraction = "after-think"
	// ExtractRobust takes the program that a person would copy: see robust for the
	// principle. It is not comparable with published results.
	ExtractRobust Extraction = "robust"
	// ExtractWhole is the whole text without the white space around it, as the
	// official runner takes it from base models.
	ExtractWhole Extraction = "whole"
)

// Extractions returns the rules, the official one first.
func Extractions() []Extraction {
	return []Extraction{ExtractLCB, ExtractFirst, ExtractLastClosed, ExtractAfterThink, ExtractWhole, ExtractRobust}
}

// Check returns an error unless the rule is one of Extractions: one that a newer
// lcbq knows must not become another here.
func (e Extraction) Check() error {
	if !slices.Contains(Extractions(), e) {
		return fmt.Errorf("unknown extraction rule %q, want one of %v", string(e), Extractions())
	}
	return nil
}

// Extract returns the program in a model's answer, "" where there is none. The
// error is for an unknown rule.
func Extract(output string, how Extraction) (string, error) {
	if err := how.Check(); err != nil {
		return "", err
	}
	code, _ := find(output, how)
	return code, nil
}

const fence = "```"

func find(output string, how Extraction) (string, bool) {
	switch how {
	case ExtractFirst:
		return firstBlock(output)
	case ExtractLastClosed:
		return lastClosedBlock(output)
	case ExtractAfterThink:
		if at := strings.LastIndex(output, "</think>"); at >= 0 {
			return lastFences(output[at+len("</think>"):])
		}
		if strings.Contains(output, "<think>") {
			return "", false
		}
		return lastFences(output)
	case ExtractWhole:
		code := strings.TrimFunc(output, isPythonSpace)
		return code, code != ""
	case ExtractRobust:
		return robust(output)
	default: // ExtractLCB: Extract has checked the rule
		return lastFences(output)
	}
}

// lastFences returns the lines between the last two fence lines.
func lastFences(s string) (string, bool) {
	closing := strings.LastIndex(s, fence)
	if closing < 0 {
		return "", false
	}
	end := strings.LastIndexByte(s[:closing], '\n') // the newline before the last fence line
	if end < 0 {
		return "", false
	}
	opening := strings.LastIndex(s[:end], fence)
	if opening < 0 {
		return "", false
	}
	return between(s, opening, end), true
}

// firstBlock returns the lines between the first two fence lines.
func firstBlock(s string) (string, bool) {
	opening := strings.Index(s, fence)
	if opening < 0 {
		return "", false
	}
	line := strings.IndexByte(s[opening:], '\n')
	if line < 0 {
		return "", false
	}
	closing := strings.Index(s[opening+line:], fence)
	if closing < 0 {
		return "", false
	}
	end := strings.LastIndexByte(s[:opening+line+closing], '\n')
	return between(s, opening, end), true
}

// between returns the lines after the one that holds s[opening], up to the
// newline s[end].
func between(s string, opening, end int) string {
	start := opening + strings.IndexByte(s[opening:], '\n') + 1
	if start > end {
		return "" // the two fence lines follow each other
	}
	return s[start:end]
}

// lastClosedBlock returns the last block of CommonMark fences that is closed.
func lastClosedBlock(s string) (code string, found bool) {
	var (
		open  = 0 // backticks of the open fence; 0 outside a block
		start int
	)
	for at := 0; at < len(s); {
		line, next := s[at:], len(s)
		if n := strings.IndexByte(line, '\n'); n >= 0 {
			line, next = line[:n], at+n+1
		}
		ticks, info := fenceLine(line)
		switch {
		case open == 0 && ticks >= len(fence) && !strings.Contains(info, "`"):
			open, start = ticks, next
		case open > 0 && ticks >= open && info == "":
			code, found, open = strings.TrimSuffix(s[start:at], "\n"), true, 0
		}
		at = next
	}
	return code, found
}

// fenceLine returns how many backticks the line starts with, and what follows.
// Models indent fences inside lists, so any indentation is accepted.
func fenceLine(line string) (ticks int, info string) {
	line = strings.TrimSpace(line)
	info = strings.TrimLeft(line, "`")
	return len(line) - len(info), strings.TrimSpace(info)
}

// isPythonSpace reports whether Python's str.strip removes r: Unicode's white
// space and four separators of ASCII.
func isPythonSpace(r rune) bool {
	return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f
}
