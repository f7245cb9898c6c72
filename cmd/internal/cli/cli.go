// Package cli is lcbq's command line: one file a verb. It reads settings, builds
// the workers that a verb needs, and turns errors into exit statuses. What the
// workers do is theirs.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/lcbq/lcbq/config"
)

// Exit statuses are interface: scripts decide by them.
const (
	exitOK          = 0
	exitError       = 1
	exitUsage       = 2
	exitUnscored    = 3   // finished, but some samples could not be scored
	exitInterrupted = 130 // drained; the same command resumes
)

const exitHelp = `Exit status: 0 done; 1 error; 2 usage; 3 finished, but some samples could not be scored; 130 interrupted and drained (resumable).`

// Errors that choose an exit status.
var (
	errUnscored    = errors.New("some samples could not be scored")
	errInterrupted = errors.New("interrupted")
)

// A usageError is the caller's mistake: nothing was done.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// verbs is the grammar.
type verbs struct {
	Config  kong.ConfigFlag `placeholder:"FILE" help:"TOML file of settings, whose keys are the flags' names; run.toml is one"`
	JSON    bool            `help:"machine-readable output on stdout"`
	NoColor bool            `env:"LCBQ_NO_COLOR,NO_COLOR" help:"no colours"`
	Verbose bool            `short:"v" help:"log routine events too"`

	Run      runCmd      `cmd:"" help:"everything on this machine: server, generators, evaluators, combiner; resumes by itself"`
	Server   serverCmd   `cmd:"" help:"the embedded server alone; workers join with --nats"`
	Submit   submitCmd   `cmd:"" help:"publish a run's units"`
	Generate generateCmd `cmd:"" help:"a generator: units to completions"`
	Evaluate evaluateCmd `cmd:"" help:"an evaluator: completions to verdicts; joins at any time, from any host"`
	Combine  combineCmd  `cmd:"" help:"the combiner: verdicts to result files"`
	Status   statusCmd   `cmd:"" help:"how far a run is"`
	Stop     stopCmd     `cmd:"" help:"the safe stop, in the safe order"`
	Runs     runsCmd     `cmd:"" help:"list the runs of a server"`
	Pause    pauseCmd    `cmd:"" help:"hand out no more units of a run, on any host"`
	Resume   resumeCmd   `cmd:"" help:"go on with a paused run"`
	Cancel   cancelCmd   `cmd:"" help:"end a run: remove its units, keep its finished cells"`
	Grade    gradeCmd    `cmd:"" help:"judge a file of completions, without a server"`
	Report   reportCmd   `cmd:"" help:"a results folder as one HTML page, or as charts and tables"`
	Compare  compareCmd  `cmd:"" help:"two results folders, question by question: two models, two judges, two sample counts"`
	Export   exportCmd   `cmd:"" help:"results in the formats of other tools"`
	Import   importCmd   `cmd:"" help:"a results folder from LiveCodeBench's own result files"`
	Schema   schemaCmd   `cmd:"" help:"the JSON schemas of the files in a results folder"`
	Verify   verifyCmd   `cmd:"" help:"prove the counts of a results folder"`
	Dead     deadCmd     `cmd:"" help:"list, show and requeue units that were given up"`
	Dataset  datasetCmd  `cmd:"" help:"fetch, inspect and check a problem set"`
	Doctor   doctorCmd   `cmd:"" help:"what this machine can do, each gap with its remedy"`
	Bench    benchCmd    `cmd:"" help:"measure the queue with simulated GPUs and null judging"`
	Version  versionCmd  `cmd:"" help:"print the version"`
}

// An app is what every verb is given.
type app struct {
	ctx     context.Context //nolint:containedctx // kong binds values, not arguments; a verb's Run takes it from here at once
	out     io.Writer       // data
	err     io.Writer       // everything else
	json    bool
	color   bool
	verbose bool
	log     *slog.Logger
}

// Main runs one command line and returns the exit status. It never exits.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := run(ctx, args, stdout, stderr)
	code := status(ctx, err)
	if err != nil && !errors.Is(err, errHelp) {
		fmt.Fprintf(stderr, "lcbq: %s\n", err)
		if code == exitUsage {
			fmt.Fprintln(stderr, "run 'lcbq help' for the commands and 'lcbq COMMAND --help' for their flags")
		}
	}
	return code
}

func status(ctx context.Context, err error) int {
	var usage usageError
	var parse *kong.ParseError
	switch {
	case err == nil, errors.Is(err, errHelp):
		return exitOK
	case errors.As(err, &usage), errors.As(err, &parse):
		return exitUsage
	case errors.Is(err, errInterrupted), errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return exitInterrupted
	case errors.Is(err, errUnscored):
		return exitUnscored
	default:
		return exitError
	}
}

// errHelp: help was printed, and nothing else is to be done.
var errHelp = errors.New("help printed")

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var v verbs
	helped := false
	parser, err := kong.New(&v,
		kong.Name("lcbq"),
		kong.Description("Measures language models on LiveCodeBench over a sweep of temperatures, on a queue that counts every sample once.\n\n"+exitHelp),
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { helped = true }),
		kong.DefaultEnvars("LCBQ"),
		kong.Vars{"export_formats": exportHelp()},
		kong.Configuration(tomlResolver),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}),
	)
	if err != nil {
		return fmt.Errorf("build command line: %w", err)
	}
	parsed, err := parser.Parse(spelling(args))
	if helped {
		return errHelp
	}
	if err != nil {
		return usageError{unknownCommand(args, err)}
	}
	a := &app{ctx: ctx, out: stdout, err: stderr, json: v.JSON, verbose: v.Verbose, color: !v.NoColor && isTerminal(stderr)}
	a.log = newLog(a.err, a.color, a.verbose)
	return parsed.Run(a)
}

// spelling maps the spellings that lcbq understands to those it documents:
// --output_dir to --output-dir, help to --help, and no command to help.
func spelling(args []string) []string {
	out := make([]string, 0, len(args)+1)
	for i, arg := range args {
		if arg == "--" {
			return append(out, args[i:]...)
		}
		if name, value, hasValue := strings.Cut(arg, "="); strings.HasPrefix(name, "--") {
			arg = strings.ReplaceAll(name, "_", "-")
			if hasValue {
				arg += "=" + value
			}
		}
		out = append(out, arg)
	}
	switch {
	case len(out) == 0:
		return []string{"--help"}
	case out[0] == "help":
		return append(out[1:], "--help")
	}
	return out
}

// unknownCommand rewords kong's error for a word that is no command.
func unknownCommand(args []string, err error) error {
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") && !isVerb(args[0]) {
		return fmt.Errorf("unknown command %q", args[0])
	}
	return err
}

func isVerb(word string) bool {
	for f := range reflect.TypeFor[verbs]().Fields() {
		if _, ok := f.Tag.Lookup("cmd"); ok && strings.EqualFold(f.Name, word) {
			return true
		}
	}
	return false
}

// tomlResolver reads --config. Flags and variables come before it.
func tomlResolver(r io.Reader) (kong.Resolver, error) {
	named, ok := r.(interface{ Name() string })
	if !ok {
		return nil, errors.New("read config: not a file")
	}
	values, err := config.ReadFile(named.Name())
	if err != nil {
		return nil, usageError{err}
	}
	return kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		v, ok := values[flag.Name]
		if !ok || v == "" || config.Set(flag.Envs) { // an empty text is a setting left out: a path would become the current folder
			return nil, nil //nolint:nilnil // kong's way to say that it has no value
		}
		return v, nil
	}), nil
}
