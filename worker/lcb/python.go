package lcb

import (
	"regexp"
	"strings"
)

// The lines that Python programs are made of, and English is not. A line that
// none matches is prose, unless it continues a bracket or a string.
var (
	pythonLine = regexp.MustCompile(`^\s*(` + strings.Join([]string{
		`(import\s+[\w.]+(\s+as\s+\w+)?(\s*,\s*[\w.]+(\s+as\s+\w+)?)*|from\s+[\w.]+\s+import\b.*)\s*(#.*|;.*)?$`,
		`(async\s+)?(def|class)\s+\w+.*`,
		`(if|elif|for|while|with|async|except|match|case)\b.*:(\s*#.*|\s*\S.*)?$`,
		`(else|try|finally|except)\s*:.*$`,
		`(return|raise|yield|assert|del|global|nonlocal|await)(\s+[^.]*[\w)\]}"']|\b.*[()\[\]=+*/%"'-].*)?\s*(#.*)?$`,
		`(pass|break|continue)\s*(#.*)?$`,
		`@\w[\w.]*(\(.*)?$`,
		`#.*`,
		`[\w.\[\]()"', *:+/%-]+\s*([-+*/%&|^@]|//|\*\*|<<|>>)?=[^=].*`, // assignment, annotated or not
		`[\w.]+\s*=$`,
		`[A-Za-z_][\w.]*(\[[^\]]*\])?\(.*`,     // a call
		`[A-Za-z_]\w*(\.\w+)+\(.*`,             // a method's call
		`[)\]}]+.*`,                            // the end of a bracket
		`[rbfuRBFU]{0,2}("""|''').*`,           // a doc string
		`[\w.]+\[.*\](\.\w+\(.*\))?\s*(#.*)?$`, // an expression
		`(if|while)\s+__name__.*`,
	}, "|") + `)`)
	// statement is a line that a program has and data have not.
	statement = regexp.MustCompile(`(?m)^\s*(import\s+\w|from\s+[\w.]+\s+import\b|(async\s+)?def\s+\w+\s*\(|class\s+\w+|(if|for|while|with)\b.*:|print\s*\(|[A-Za-z_][\w.\[\], ]*\s*([-+*/%]|//)?=[^=]|[A-Za-z_][\w.]*\()`)
	// command is a line of a shell or of a program's input and output.
	command = regexp.MustCompile(`(?i)^\s*(\$|>>>|%|python3?\s+[\w./-]+|pip3?\s+install|cd\s|echo\s|cat\s|input\s*:|output\s*:|sample\s|example\s|explanation\s*:|note\s*:)`)
)

// readsLikePython reports whether the lines of code are Python's, nearly all, and
// at least one is a statement. Where the answer says that it is Python, half of them
// will do. It parses nothing: a program with a syntax error is a program.
func readsLikePython(code string, said bool) bool {
	if !statement.MatchString(code) {
		return false
	}
	good, bad := 0, 0
	depth, text, goesOn := 0, "", false
	for line := range strings.SplitSeq(code, "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "":
			continue
		case depth > 0 || text != "" || goesOn || isPython(line):
			good++
		default:
			bad++
		}
		depth, text = after(line, depth, text)
		goesOn = strings.HasSuffix(trimmed, "\\")
	}
	if said {
		return bad <= good
	}
	return good > 0 && bad*5 <= good // an expression over two lines, an odd corner of the language
}

func isPython(line string) bool {
	return pythonLine.MatchString(line) && !command.MatchString(line)
}

// withoutProse returns the lines from the first that reads like Python to the
// last that does.
func withoutProse(lines []string) []string {
	first, last := -1, -1
	depth, text := 0, ""
	for i, line := range lines {
		if strings.TrimSpace(line) == "" {
			continue
		}
		inside := depth > 0 || text != ""
		if first < 0 && (!isPython(line) || strings.HasPrefix(strings.TrimSpace(line), "#")) {
			continue // a line with a # alone may be a heading
		}
		if isPython(line) || inside {
			if first < 0 {
				first = i
			}
			if inside || !strings.HasPrefix(line, "#") {
				last = i
			}
		}
		depth, text = after(line, depth, text)
	}
	if first < 0 {
		return nil
	}
	for first > 0 && strings.HasPrefix(lines[first-1], "# ") && strings.TrimSpace(lines[first-1]) != "" {
		first--
	}
	return lines[first : last+1]
}

// after returns how many brackets are open behind a line, and the quotes of the
// long string that is, "" for none.
func after(line string, depth int, text string) (int, string) {
	for i := 0; i < len(line); i++ {
		if text != "" {
			if strings.HasPrefix(line[i:], text) {
				i += 2
				text = ""
			} else if line[i] == '\\' {
				i++
			}
			continue
		}
		switch c := line[i]; c {
		case '#':
			return depth, text
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			depth = max(0, depth-1)
		case '"', '\'':
			if long := strings.Repeat(string(c), 3); strings.HasPrefix(line[i:], long) {
				text = long
				i += 2
				continue
			}
			for i++; i < len(line) && line[i] != c; i++ {
				if line[i] == '\\' {
					i++
				}
			}
		}
	}
	return depth, text
}

// bracketDepth returns how many brackets are open at the end of code.
func bracketDepth(code string, depth int) int {
	text := ""
	for line := range strings.SplitSeq(code, "\n") {
		depth, text = after(line, depth, text)
	}
	if text != "" {
		depth++
	}
	return depth
}
