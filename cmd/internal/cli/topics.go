package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/lcbq/lcbq/cmd/internal/docs"
)

// printTopic writes the text that 'lcbq help TOPIC' asks for. It reports false for a command
// line that asks for something else, which the parser reads.
func printTopic(w io.Writer, args []string) (bool, error) {
	const words = 2
	if len(args) != words || args[0] != "help" {
		return false, nil
	}
	for _, t := range docs.Topics() {
		if t.Name == args[1] {
			_, err := io.WriteString(w, t.Text)
			return true, err
		}
	}
	return false, nil
}

// unknownTopic explains a word after help that is neither a command nor a topic.
func unknownTopic(word string, commands []string) error {
	known := slices.Clone(commands)
	var topics []string
	for _, t := range docs.Topics() {
		topics = append(topics, t.Name)
	}
	return fmt.Errorf("no command or topic %q%s\nthe topics are %s", word, didYouMean("", word, append(known, topics...)), strings.Join(topics, ", "))
}

// printHelp writes a command's help, and after that of lcbq itself the topics.
func printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	if err := kong.DefaultHelpPrinter(options, ctx); err != nil {
		return err
	}
	if ctx.Selected() == nil {
		fmt.Fprintln(ctx.Stdout, "\nTopics, shown by \"lcbq help TOPIC\":")
		for _, t := range docs.Topics() {
			fmt.Fprintf(ctx.Stdout, "  %-18s %s\n", t.Name, t.Title())
		}
	}
	return nil
}
