package driver

import (
	"strings"
	"unicode/utf8"
)

// A Text is a program's source as the harness would wrap it.
type Text struct {
	// Wrapped holds the top-level imports, one a line, and a function of all
	// the rest. It is empty for a source that the harness must wrap itself.
	Wrapped string
	// Imports are the lines of these imports in the source, from 1.
	Imports []uint32
}

// maxText bounds the sources that are wrapped here: one that does not compile is
// compiled again as it is, and a large one must not take twice its time.
const maxText = 64 << 10

// Wrap does to the lines of a source for standard input what the harness does to
// its syntax tree, where it is sure that the text parses as that tree would: no
// line goes on in the next but within brackets, and only spaces indent. Each
// import leaves a pass behind, which is right wherever an import is. Whether the
// source is a program at all is not known here.
func Wrap(source string) Text {
	if len(source) > maxText || !utf8.ValidString(source) || !plainLines(source) || riskyStrings(source) {
		return Text{}
	}
	var t Text
	var header, body strings.Builder
	others, guarded := false, strings.Contains(source, "__name__")
	lines := strings.Split(source, "\n")
	last := -1
	for i, line := range lines {
		if line != "" && line[0] != ' ' && line[0] != '#' {
			last = i
		}
	}
	for i, line := range lines {
		code := strings.TrimLeft(line, " ")
		switch {
		case code == "" || code[0] == '#':
		case code != line:
			if !others && len(t.Imports) == 0 {
				return Text{} // the first line is indented
			}
		case beginsImport(line):
			if !isImport(line) {
				return Text{}
			}
			t.Imports = append(t.Imports, uint32(i+1))
			header.WriteString(line + "\n")
			line = "pass"
		default:
			others = true
		}
		if guarded && i == last {
			rest, ok := cutGuard(line)
			if !ok || strings.Count(source, "__name__") != 1 {
				return Text{}
			}
			line = "if 1:" + rest
		}
		body.WriteString("\n    " + line)
	}
	if !others {
		return Text{}
	}
	t.Wrapped = header.String() + "def wrapped_function():" + body.String()
	return t
}

// plainLines reports whether each line of the source stands for itself, as far as
// one can see without parsing. A class Solution is the harness's business.
func plainLines(source string) bool {
	for _, odd := range []string{"Solution", "__future__", `"""`, "'''", "\\\n"} {
		if strings.Contains(source, odd) {
			return false
		}
	}
	control := func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f || r == '\ufeff' }
	return !strings.HasSuffix(source, `\`) && strings.IndexFunc(source, control) < 0
}

// riskyStrings reports whether the source may have an f-string that holds another
// string, an escape, or what does not print as it parsed: the harness then prints
// it and parses the print.
func riskyStrings(source string) bool {
	for i := 1; i < len(source); i++ {
		quote := source[i]
		if quote != '"' && quote != '\'' {
			continue
		}
		prefix := i
		for prefix > 0 && strings.IndexByte("fFrR", source[prefix-1]) >= 0 {
			prefix--
		}
		if !strings.ContainsAny(source[prefix:i], "fF") {
			continue
		}
		end := strings.IndexAny(source[i+1:], string(quote)+"\\\n")
		if end < 0 || source[i+1+end] != quote {
			return true
		}
		literal := source[i+1 : i+1+end]
		if strings.IndexFunc(literal, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
			return true
		}
	}
	return false
}

// beginsImport reports whether a line at the left edge begins like an import.
func beginsImport(line string) bool {
	for _, word := range []string{"import", "from"} {
		if rest, ok := strings.CutPrefix(line, word); ok && (rest == "" || !isWord(rest[0])) {
			return true
		}
	}
	return false
}

// isImport reports whether a line is an import and nothing else.
func isImport(line string) bool {
	line, _, _ = strings.Cut(line, "#")
	made := func(s, also string) bool {
		return strings.IndexFunc(s, func(r rune) bool { return r > '~' || !isWord(byte(r)) && !strings.ContainsRune(also, r) }) < 0
	}
	if names, ok := strings.CutPrefix(line, "import "); ok {
		return made(names, "., ")
	}
	module, ok := strings.CutPrefix(line, "from ")
	module, names, found := strings.Cut(module, " import ")
	return ok && found && made(module, ".") && made(names, "*, ")
}

// cutGuard cuts the condition of a main guard from its line.
func cutGuard(line string) (rest string, ok bool) {
	for _, guard := range []string{
		`if __name__ == '__main__':`, `if __name__ == "__main__":`, `if __name__=='__main__':`, `if __name__=="__main__":`,
	} {
		if rest, ok = strings.CutPrefix(line, guard); ok {
			return rest, true
		}
	}
	return "", false
}

func isWord(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
