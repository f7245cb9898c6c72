// Package completion completes lcbq's command lines in bash, zsh and fish. It reads the grammar that the parser
// uses, so it knows each command and flag; it does not know what a command does, and asks no server.
package completion

import (
	_ "embed" // the shells' scripts
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

var (
	//go:embed bash.sh
	bash string
	//go:embed zsh.sh
	zsh string
	//go:embed fish.sh
	fish string
)

// Shells are those for which there is a script.
var Shells = []string{"bash", "fish", "zsh"}

// Script returns what a shell reads to complete lcbq's command lines.
func Script(shell string) (string, error) {
	switch shell {
	case "bash":
		return bash, nil
	case "zsh":
		return zsh, nil
	case "fish":
		return fish, nil
	default:
		return "", fmt.Errorf("complete for %q: want one of %s", shell, strings.Join(Shells, ", "))
	}
}

// files is the line that asks the shell for names of files. No word begins so.
const files = ":files"

// A Word may stand where the cursor is.
type Word struct{ Text, Help string }

// An Answer is what may stand where the cursor is.
type Answer struct {
	Words []Word
	Files bool // names of files too
}

// Write writes an answer as the scripts read it: a word a line, with its meaning after a tab.
func (a *Answer) Write(w io.Writer) error {
	var b strings.Builder
	for _, word := range a.Words {
		b.WriteString(word.Text)
		if help := oneLine(word.Help); help != "" {
			b.WriteString("\t" + help)
		}
		b.WriteByte('\n')
	}
	if a.Files {
		b.WriteString(files + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// oneLine cuts a help text to what a shell shows beside a word.
func oneLine(text string) string {
	const most = 70
	text, _, _ = strings.Cut(text, "\n")
	text = strings.ReplaceAll(text, "\t", " ")
	if letters := []rune(text); len(letters) > most {
		text = string(letters[:most-1]) + "…"
	}
	return text
}

// Topics are further words after help.
type Topics []Word

// Of completes a command line: words are those after lcbq, the last one as far as it is typed. app is the parser's
// grammar.
func Of(app *kong.Application, topics Topics, words []string) Answer {
	if len(words) == 0 {
		words = []string{""}
	}
	typed, last := words[:len(words)-1], words[len(words)-1]
	node, help, wants, positions := app.Node, false, (*kong.Value)(nil), 0
	plain := false // after --, where no word is a flag
	for i, word := range typed {
		switch {
		case wants != nil:
			wants = nil
		case word == "--" && !plain:
			plain = true
		case strings.HasPrefix(word, "-") && !plain:
			if f := flagOf(node, word); f != nil && !f.IsBool() && !f.IsCounter() && !strings.Contains(word, "=") && !glued(word) {
				wants = f.Value
			}
		case i == 0 && word == "help":
			help = true
		default:
			if child := childOf(node, word); child != nil {
				node = child
			} else {
				positions++
			}
		}
	}
	switch {
	case wants != nil:
		return value(wants, "", last)
	case plain:
	case strings.HasPrefix(last, "--") && strings.Contains(last, "="):
		name, text, _ := strings.Cut(last, "=")
		if f := flagOf(node, name); f != nil {
			return value(f.Value, name+"=", text)
		}
		return Answer{}
	case strings.HasPrefix(last, "-"):
		return flags(node, last)
	}
	var out Answer
	for _, c := range node.Children {
		out.offer(last, c.Name, c.Help, c.Hidden)
	}
	if node == app.Node {
		out.offer(last, "help", "what a command or topic is about", help)
	}
	if help && node == app.Node {
		for _, t := range topics {
			out.offer(last, t.Text, t.Help, false)
		}
	}
	if len(node.Positional) > 0 {
		p := node.Positional[min(positions, len(node.Positional)-1)] // the last one may be repeated
		more := value(p, "", last)
		out.Words, out.Files = append(out.Words, more.Words...), more.Files
	}
	return out
}

// offer adds a word if it begins as what is typed.
func (a *Answer) offer(typed, word, help string, hidden bool) {
	if !hidden && strings.HasPrefix(word, typed) {
		a.Words = append(a.Words, Word{word, help})
	}
}

func childOf(n *kong.Node, word string) *kong.Node {
	i := slices.IndexFunc(n.Children, func(c *kong.Node) bool { return c.Name == word || slices.Contains(c.Aliases, word) })
	if i < 0 {
		return nil
	}
	return n.Children[i]
}

// glued reports whether a short flag has its value in the same word: -oDIR.
func glued(word string) bool { return !strings.HasPrefix(word, "--") && len(word) > len("-o") }

// flagOf returns the flag that a word names, of a command or of those above it.
func flagOf(n *kong.Node, word string) *kong.Flag {
	name, _, _ := strings.Cut(word, "=")
	long, isLong := strings.CutPrefix(name, "--")
	for _, level := range n.AllFlags(false) {
		for _, f := range level {
			if isLong && (f.Name == long || slices.Contains(f.Aliases, long)) || !isLong && f.Short != 0 && strings.HasPrefix(name, "-"+string(f.Short)) {
				return f
			}
		}
	}
	return nil
}

func flags(n *kong.Node, typed string) Answer {
	var out Answer
	for _, level := range n.AllFlags(true) {
		for _, f := range level {
			out.offer(typed, "--"+f.Name, f.Help, false)
		}
	}
	slices.SortFunc(out.Words, func(a, b Word) int { return strings.Compare(a.Text, b.Text) })
	return out
}

// value completes the value of a flag or a positional argument. before is what stands before it in its word.
func value(v *kong.Value, before, typed string) Answer {
	var out Answer
	switch {
	case v.Enum != "":
		for _, e := range v.EnumSlice() {
			out.offer(before+typed, before+e, "", false)
		}
	case v.IsBool():
		for _, e := range []string{"true", "false"} {
			out.offer(before+typed, before+e, "", false)
		}
	default:
		// Placeholders name words besides files: FILE|sample.
		for word := range strings.SplitSeq(v.Tag.Get("placeholder"), "|") {
			if word != "" && word == strings.ToLower(word) && !strings.ContainsAny(word, ". ") {
				out.offer(before+typed, before+word, "", false)
			}
		}
		out.Files = before == "" && (v.Tag.Type == "path" || v.Tag.Type == "existingfile" || strings.Contains(v.Tag.Get("placeholder"), "FILE"))
	}
	return out
}
