package lcb

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// maxExample is how many lines an example in a doc string may have behind a fence. A
// model that repeats itself writes thousands of fences.
const maxExample = 200

// stringEnds reports whether a long string that is open goes on behind a fence: its
// quotes come before another block begins, and the block's end after them.
func stringEnds(lines []string, quotes, fence string) bool {
	for i, line := range lines[:min(maxExample, len(lines))] {
		inner := strings.TrimLeft(line, " \t>")
		if strings.Contains(line, quotes) {
			return slices.ContainsFunc(lines[i+1:], func(line string) bool {
				return strings.TrimSpace(strings.TrimLeft(line, " \t>")) == fence
			})
		}
		if run := leading(inner); len(run) >= len("```") && isTag(inner[len(run):]) {
			return false
		}
	}
	return false
}

// prose is a line, behind an empty one, with which a text goes on behind a program:
// a heading, an item of a list, a sentence.
var prose = regexp.MustCompile(`^(#{2,6}\s+\w|[-*+]\s+\S|\d+\.\s+\S|\*\*|\p{Lu}[\p{L}\d']*,?(\s+[\p{L}\d'` + "`" + `,()-]+){2,}|\p{Lo})`)

// withoutEnd returns the lines of a block that was never closed up to the fence, or
// the text, that ends it nevertheless.
func withoutEnd(lines []string) []string {
	for n := len(lines); n > 0; n-- {
		line := strings.TrimSpace(lines[n-1])
		if line == "" {
			continue
		}
		if run := leading(line); len(run) >= len("```") && run == line {
			return lines[:n-1]
		}
		break
	}
	depth, text := 0, ""
	for i, line := range lines {
		heading := strings.HasPrefix(line, "##")
		if i > 0 && depth == 0 && text == "" && strings.TrimSpace(lines[i-1]) == "" && prose.MatchString(line) && (heading || !isPython(line)) {
			rest := withoutProse(lines[i+1:])
			if !heading || len(rest) == 0 || !statement.MatchString(rest[0]) {
				return lines[:i]
			}
		}
		depth, text = after(line, depth, text)
	}
	return lines
}

// withoutPrompts takes the prompts of Python off, where each line has one.
func withoutPrompts(lines []string) []string {
	out := make([]string, len(lines))
	for i, line := range lines {
		switch trimmed := strings.TrimSpace(line); {
		case trimmed == "":
		case strings.HasPrefix(trimmed, ">>> "), strings.HasPrefix(trimmed, "... "):
			out[i] = trimmed[len(">>> "):]
		case trimmed == ">>>", trimmed == "...":
		default:
			return lines
		}
	}
	return out
}

var (
	entity   = regexp.MustCompile(`&(lt|gt|amp|quot|#39|#x27|apos);`)
	entities = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&quot;", `"`, "&#39;", "'", "&#x27;", "'", "&apos;", "'", "&amp;", "&")
	// quoted is a string, or a comment, of one line.
	quoted = regexp.MustCompile(`"([^"\\\n]|\\.)*"|'([^'\\\n]|\\.)*'|#.*`)
)

// withoutEntities undoes that a program was written as HTML: outside of a string an
// entity is none of Python's.
func withoutEntities(code string) string {
	if entity.MatchString(code) && entity.MatchString(quoted.ReplaceAllString(code, "")) {
		return entities.Replace(code)
	}
	return code
}

// bodiless is a line of a template: what it defines does nothing yet.
var bodiless = regexp.MustCompile(`^(class\b.*|(async\s+)?def\b.*|pass|\.\.\.|#.*|@.*|import\b.*|from\b.*)$`)

// isTemplate reports whether code defines something and does nothing.
func isTemplate(code string) bool {
	for line := range strings.SplitSeq(code, "\n") {
		if trimmed := strings.TrimSpace(line); trimmed != "" && !bodiless.MatchString(trimmed) {
			return false
		}
	}
	return defines.MatchString(code)
}

var prints = regexp.MustCompile(`\bprint\s*\(|\bstdout\b|(?m)^class\s+Solution\b`)

// repeats reports whether code is some lines of a program, and no program by itself.
func repeats(code, program string) bool {
	if readsStdin.MatchString(code) && prints.MatchString(code) {
		return false
	}
	return strings.Contains(trimmedLines(program), trimmedLines(code))
}

func trimmedLines(code string) string {
	var b strings.Builder
	b.WriteByte('\n')
	for line := range strings.SplitSeq(code, "\n") {
		b.WriteString(strings.TrimSpace(line) + "\n")
	}
	return b.String()
}

var (
	inline     = regexp.MustCompile("`([^`\n]+)`")
	programKey = []string{"code", "solution", "program", "python", "answer"}
)

// withinText finds a program where the answer has no block of it: as the text of a
// JSON object, the whole answer or a block, or within a line.
func withinText(answer string) (string, bool) {
	all, _ := blocks(answer)
	texts := []string{answer}
	for _, b := range all {
		texts = append(texts, strings.Join(b.lines, "\n"))
	}
	for _, text := range texts {
		var object map[string]any
		if json.Unmarshal([]byte(text), &object) != nil {
			continue
		}
		for _, key := range programKey {
			if inner, ok := object[key].(string); ok {
				if code, ok := bestOf(inner); ok {
					return code, true
				}
			}
		}
	}
	for _, m := range slices.Backward(inline.FindAllStringSubmatch(answer, -1)) {
		if readsStdin.MatchString(m[1]) && prints.MatchString(m[1]) && readsLikePython(m[1], false) {
			return m[1], true
		}
	}
	return "", false
}
