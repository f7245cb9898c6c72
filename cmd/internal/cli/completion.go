package cli

import (
	"fmt"
	"io"

	"github.com/lcbq/lcbq/cmd/internal/completion"
	"github.com/lcbq/lcbq/cmd/internal/docs"
)

// completionCmd prints what a shell reads to complete command lines.
type completionCmd struct {
	Bash   completionBashCmd   `cmd:"" help:"the script for bash: source <(lcbq completion bash)"`
	Zsh    completionZshCmd    `cmd:"" help:"the script for zsh: source <(lcbq completion zsh)"`
	Fish   completionFishCmd   `cmd:"" help:"the script for fish: lcbq completion fish | source"`
	Answer completionAnswerCmd `cmd:"" hidden:"" help:"what the scripts ask: the words that may stand where a command line ends"`
}

type (
	completionBashCmd struct{}
	completionZshCmd  struct{}
	completionFishCmd struct{}
)

// Run prints bash's script.
func (*completionBashCmd) Run(a *app) error { return printScript(a, "bash") }

// Run prints zsh's script.
func (*completionZshCmd) Run(a *app) error { return printScript(a, "zsh") }

// Run prints fish's script.
func (*completionFishCmd) Run(a *app) error { return printScript(a, "fish") }

func printScript(a *app, shell string) error {
	script, err := completion.Script(shell)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(a.out, script); err != nil {
		return fmt.Errorf("write script: %w", err)
	}
	return nil
}

type completionAnswerCmd struct {
	Words []string `arg:"" optional:"" name:"word" help:"words after lcbq, the last one as far as it is typed"`
}

// Run answers a shell.
func (c *completionAnswerCmd) Run(a *app) error {
	var v verbs
	parser, err := newParser(&v, io.Discard, io.Discard)
	if err != nil {
		return err
	}
	var topics completion.Topics
	for _, t := range docs.Topics() {
		topics = append(topics, completion.Word{Text: t.Name, Help: t.Title()})
	}
	answer := completion.Of(parser.Model, topics, c.Words)
	return answer.Write(a.out)
}
