package lcb

import (
	"regexp"
	"slices"
	"strings"
)

// robust finds the program that a person would copy out of an answer:
//
//  1. What is not the answer is left out: thoughts up to their last end, and what
//     follows an end token, with the token. Where the answer then holds no program,
//     the thoughts are searched, as the official rule searches them.
//
//  2. The answer is taken apart as Markdown, leniently: fences of three or more
//     backticks or tildes, indented, quoted, behind text, of one line; a block that
//     is not closed goes to the next opening fence or to the end.
//
//  3. Of the blocks that read like Python the best is taken: one that is a whole
//     program (it reads stdin, or has class Solution) before one that only defines,
//     and that before a fragment such as a call that shows its use; one whose tag
//     is not another language's before one whose is; one that does not end in the
//     middle before one that does; of equals the last. A template without a body,
//     and lines of the program that are shown again, are no more than fragments.
//
//  4. Where no block does, the text outside of blocks is the program if it reads
//     like Python but for prose before and behind it.
//
//  5. Failing that, a JSON text is searched that holds the program, and code
//     within a line of text that reads and prints.
//
// What indents or quotes the whole program is taken off its lines, and so are the
// prompts of a session; entities of HTML outside of strings are characters again.
func robust(output string) (string, bool) {
	answer, thoughts := withoutThoughts(output)
	if code, ok := bestOf(withoutTokens(answer)); ok {
		return code, true
	}
	if code, ok := bestOf(withoutTokens(thoughts)); ok {
		return code, true
	}
	return withinText(withoutTokens(answer))
}

// thoughtEnds end a model's thoughts; what follows the last one is the answer.
var thoughtEnds = []string{"</think>", "</thinking>", "</thought>", "</reasoning>", "[/THINK]", "<|channel|>final<|message|>", "<|end_of_thought|>", "◁/think▷"}

// thoughtStarts without an end are thoughts that the token limit cut off.
var thoughtStarts = []string{"<think>", "<thinking>", "<thought>", "<reasoning>", "[THINK]", "◁think▷"}

func withoutThoughts(s string) (answer, thoughts string) {
	at := -1
	for _, end := range thoughtEnds {
		if i := strings.LastIndex(s, end); i >= 0 {
			at = max(at, i+len(end))
		}
	}
	if at >= 0 {
		return s[at:], s[:at]
	}
	for _, start := range thoughtStarts {
		if answer, thoughts, ok := strings.Cut(s, start); ok {
			return answer, thoughts
		}
	}
	return s, ""
}

// endToken is how models write that their turn is over, where it stands at the
// end of a line: a program may well hold the same text within a line.
var endToken = regexp.MustCompile(`(?m)(<\|(im_end|endoftext|end|eot_id|eom_id|end_of_text|return|eos|user|end_of_turn)\|>|<｜end▁of▁sentence｜>|</s>|<eos>|<end_of_turn>|<EOS>|\[/?INST\])[ \t\r]*$`)

// startToken is how a turn begins, where a server leaves it in the text.
var startToken = regexp.MustCompile(`^\s*(<\|im_start\|>\s*assistant|<\|python_tag\|>|<\|start_header_id\|>assistant<\|end_header_id\|>|<start_of_turn>model|<｜Assistant｜>|<s>|\[/INST\])`)

func withoutTokens(s string) string {
	s = s[len(startToken.FindString(s)):]
	if at := endToken.FindStringIndex(s); at != nil && strings.TrimSpace(s[:at[0]]) != "" {
		return s[:at[0]]
	}
	return s
}

// A block is a piece of an answer that may be the program.
type block struct {
	lang   string // of the opening fence, in lower case
	lines  []string
	closed bool
}

var (
	// opening matches a fence at the end of a line, with what may stand before it.
	opening = regexp.MustCompile("^(.*?)(`{3,}|~{3,})[ \t]*\\{?\\.?([\\w+#.-]*)\\}?([^`~]*)$")
	oneLine = regexp.MustCompile("^\\s*`{3,}\\s*(?:(?i)(python3?|py)\\s+)?([^`]+?)\\s*`{3,}\\s*$")
	// firstLine is code behind an opening fence, no attribute such as title="main.py".
	firstLine = regexp.MustCompile(`\w\(|\s=\s|^(import|from|def|class)\s`)
	margin    = regexp.MustCompile(`^[ \t>]*`)
)

// blocks takes an answer apart into its blocks and the text outside of them.
func blocks(s string) (all []block, outside []string) {
	var open *block
	var fence, indent string
	depth, text := 0, "" // what is open at the end of the block's last line
	add := func(line string) {
		open.lines = append(open.lines, line)
		depth, text = after(line, depth, text)
	}
	end := func(closed bool) {
		if open != nil {
			open.closed = closed
			all = append(all, *open)
			open, depth, text = nil, 0, ""
		}
	}
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		bare := strings.TrimRight(line, " \t\r")
		inner := strings.TrimLeft(bare, " \t>")
		if open != nil {
			switch run := leading(inner); {
			case run != "" && text != "" && stringEnds(lines[i+1:], text, fence):
				add(unindent(line, indent)) // a fence in a string of the program
				continue
			case len(run) >= len(fence) && run[0] == fence[0] && (run == inner || inner[len(run)] == ' ' && !isTag(inner[len(run):])):
				end(true)
				outside = append(outside, strings.TrimLeft(inner, run[:1]))
				continue
			case len(run) >= 3 && run[0] == fence[0] && opening.MatchString(bare) && isTag(inner[len(run):]):
				end(false) // a new block begins: the one before was never closed
			case strings.HasSuffix(bare, fence) && !strings.Contains(strings.TrimSuffix(bare, fence), fence):
				add(unindent(strings.TrimSuffix(bare, fence), indent))
				end(true)
				continue
			default:
				add(unindent(line, indent))
				continue
			}
		}
		if m := oneLine.FindStringSubmatch(bare); m != nil {
			all = append(all, block{lang: "python", lines: []string{m[2]}, closed: true})
			continue
		}
		if m := opening.FindStringSubmatch(bare); m != nil && (m[4] == "" || strings.Trim(m[1], " \t>") == "") {
			open, fence, indent = &block{lang: strings.ToLower(m[3])}, m[2], margin.FindString(m[1])
			if before := strings.TrimRight(m[1], " \t>"); before != "" {
				outside = append(outside, before)
			}
			if first := strings.TrimSpace(m[4]); firstLine.MatchString(first) && isPython(first) {
				add(first)
			}
			continue
		}
		outside = append(outside, line)
	}
	end(false)
	if n := len(all); n > 0 && !all[n-1].closed {
		all[n-1].lines = withoutEnd(all[n-1].lines)
	}
	return all, outside
}

// leading returns the run of equal fence characters that s begins with.
func leading(s string) string {
	if s == "" || s[0] != '`' && s[0] != '~' {
		return ""
	}
	return s[:len(s)-len(strings.TrimLeft(s, s[:1]))]
}

// isTag reports whether what follows a fence is a language's name.
func isTag(s string) bool {
	s = strings.TrimSpace(s)
	return s != "" && !strings.ContainsAny(s, " \t`~()=")
}

// unindent takes the margin of a block off one of its lines, as much as is there.
func unindent(line, indent string) string {
	for i := range len(indent) {
		switch {
		case line == "":
			return line
		case line[0] == indent[i], line[0] == ' ' && indent[i] == '\t', line[0] == '\t' && indent[i] == ' ':
			line = line[1:]
		default:
			return line
		}
	}
	return line
}

// bestOf returns the best program of an answer without thoughts and tokens.
func bestOf(s string) (string, bool) {
	all, outside := blocks(s)
	best, most := "", 0
	for _, b := range all {
		if b.lang == "markdown" || b.lang == "md" {
			if inner, _ := blocks(strings.Join(b.lines, "\n")); len(inner) > 0 {
				all = slices.Concat(all, inner)
			}
		}
	}
	for _, b := range all {
		code := withoutEntities(dedent(withoutPrompts(b.lines)))
		if rank := rankOf(b, code); rank > 0 && rank >= most && !repeats(code, best) {
			best, most = code, rank
		}
	}
	if most > 0 {
		return best, true
	}
	code := withoutEntities(dedent(withoutProse(outside)))
	return code, code != "" && readsLikePython(code, false)
}

// dedent takes the white space off that all lines begin with, and blank lines
// before and behind the code.
func dedent(lines []string) string {
	for len(lines) > 0 && strings.TrimSpace(lines[0]) == "" {
		lines = lines[1:]
	}
	for len(lines) > 0 && strings.TrimSpace(lines[len(lines)-1]) == "" {
		lines = lines[:len(lines)-1]
	}
	common, some := "", false
	for _, line := range lines {
		if strings.TrimSpace(line) == "" {
			continue
		}
		lead := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
		if !some {
			common, some = lead, true
		}
		for !strings.HasPrefix(lead, common) {
			common = common[:len(common)-1]
		}
	}
	out := make([]string, len(lines))
	for i, line := range lines {
		out[i] = strings.TrimPrefix(line, common)
	}
	return strings.Join(out, "\n")
}

var (
	pythonTags = []string{"", "python", "python3", "py", "py3", "pypy", "pypy3", "python2", "ipython", "sage", "code", "solution"}
	readsStdin = regexp.MustCompile(`\binput\s*\(|\bstdin\b|\bopen\s*\(\s*(0\b|['"]/dev/stdin)|\bfileinput\b|(?m)^class\s+Solution\b`)
	defines    = regexp.MustCompile(`(?m)^(async\s+def|def|class)\s+\w+`)
)

// rankOf orders blocks; 0 is no program.
func rankOf(b block, code string) int {
	if !readsLikePython(code, b.lang != "" && slices.Contains(pythonTags, b.lang)) {
		return 0
	}
	rank := 1
	if slices.Contains(pythonTags, b.lang) {
		rank += 100
	}
	if isTemplate(code) {
		return rank
	}
	if defines.MatchString(code) {
		rank += 10
	}
	if readsStdin.MatchString(code) {
		rank += 20
	}
	if !endsInside(code) {
		rank += 5
	}
	return rank
}

// endsInside reports whether code was cut off: within brackets, or where a line
// wants another.
func endsInside(code string) bool {
	depth := bracketDepth(code, 0)
	last := strings.TrimSpace(code[strings.LastIndexByte(code, '\n')+1:])
	return depth > 0 || strings.HasSuffix(last, ":") || strings.HasSuffix(last, "=") || strings.HasSuffix(last, "\\") || strings.HasSuffix(last, ",")
}
