// Package cli is lcbq's command line: one file a verb. It reads settings, builds
// the workers that a verb needs, and turns errors into exit statuses. What the
// workers do is theirs.
package cli

import (
	"context"
	"errors"
	"io"
	"log/slog"

	"github.com/alecthomas/kong"

	"github.com/lcbq/lcbq/worker"
)

// Exit statuses are interface: scripts decide by them.
const (
	exitOK          = 0
	exitError       = 1
	exitUsage       = 2
	exitUnscored    = 3   // finished, but some samples could not be scored
	exitInterrupted = 130 // drained; the same command resumes
)

const exitHelp = `Exit status: 0 done; 1 error; 2 usage; 3 finished, but some samples could not be scored; 130 interrupted and drained (resumable); a worker or server that SIGTERM or SIGHUP ends: 0.`

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
	Build   versionFlag     `name:"version" env:"-" help:"print the version and what it was built from"`

	Run      runCmd      `cmd:"" help:"everything on this machine: server, generators, evaluators, combiner; resumes by itself"`
	Server   serverCmd   `cmd:"" help:"the embedded server alone; workers join with --nats"`
	Token    tokenCmd    `cmd:"" help:"credentials of a role for workers and viewers of other users and hosts, made without a restart; or revoke some"`
	Submit   submitCmd   `cmd:"" help:"publish a run's units"`
	Generate generateCmd `cmd:"" help:"a generator: units to completions"`
	Evaluate evaluateCmd `cmd:"" help:"an evaluator: completions to verdicts; joins at any time, from any host"`
	Combine  combineCmd  `cmd:"" help:"the combiner: verdicts to result files"`
	Status   statusCmd   `cmd:"" help:"how far a run is, what is wrong and what to type"`
	Top      topCmd      `cmd:"" help:"the same live, with keys: sort, pause, resume, requeue dead units, change and drain workers"`
	Set      setCmd      `cmd:"" help:"change living workers: how many programs evaluators judge at once"`
	Stop     stopCmd     `cmd:"" help:"the safe stop, in the safe order"`
	Runs     runsCmd     `cmd:"" help:"list the runs of a server"`
	Pause    pauseCmd    `cmd:"" help:"hand out no more units of a run, on any host"`
	Resume   resumeCmd   `cmd:"" help:"go on with a paused run"`
	Cancel   cancelCmd   `cmd:"" help:"end a run: remove its units, keep its finished cells"`
	Grade    gradeCmd    `cmd:"" help:"judge a file of completions, without a server"`
	Report   reportCmd   `cmd:"" help:"a results folder as one HTML page, or as charts and tables"`
	Compare  compareCmd  `cmd:"" help:"two results folders, question by question: two models, two judges, two sample counts"`
	Plan     planCmd     `cmd:"" help:"how many samples and questions a wanted certainty needs, and what they cost"`
	Export   exportCmd   `cmd:"" help:"results in the formats of other tools"`
	Import   importCmd   `cmd:"" help:"a results folder from LiveCodeBench's own result files"`
	Schema   schemaCmd   `cmd:"" help:"the JSON schemas of the files in a results folder"`
	Verify   verifyCmd   `cmd:"" help:"prove the counts of a results folder"`
	Dead     deadCmd     `cmd:"" help:"list, show and requeue units that were given up"`
	Dataset  datasetCmd  `cmd:"" help:"fetch, inspect and check a problem set"`
	Doctor   doctorCmd   `cmd:"" help:"what this machine can do, each gap with its remedy"`
	Bench    benchCmd    `cmd:"" help:"measure the queue with simulated GPUs and null judging, or judging by kind of program; or work out what judging a sweep costs"`
	Version  versionCmd  `cmd:"" help:"print the version"`

	Settings   configCmd     `cmd:"" name:"config" help:"write, show and check a file of settings for --config"`
	Completion completionCmd `cmd:"" help:"complete lcbq's command lines in bash, zsh or fish"`
}

// An app is what every verb is given.
type app struct {
	ctx     context.Context //nolint:containedctx // kong binds values, not arguments; a verb's Run takes it from here at once
	hurry   *worker.Hurry   // a second signal
	args    []string        // the command line, for a better one to be proposed
	out     io.Writer       // data
	err     io.Writer       // everything else
	json    bool
	color   bool
	verbose bool
	log     *slog.Logger
	hide    *secrets // that no log file repeats
}

// Main runs one command line and returns the exit status. It never exits. The end of ctx asks
// for a drain, hurry shortens it; why ctx ends may be a ToldError.
func Main(ctx context.Context, hurry *worker.Hurry, args []string, stdout, stderr io.Writer) int {
	hide := secretsGiven(args)
	told := hide.writer(stderr)
	err := run(ctx, hurry, args, hide, stdout, told)
	code := status(ctx, err)
	if err != nil && !errors.Is(err, errHelp) {
		help := ""
		if code == exitUsage {
			help = "run 'lcbq help' for the commands and 'lcbq COMMAND --help' for their flags"
		}
		told.fail(err, help, code == exitInterrupted)
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
	case errors.Is(err, errUnscored), errors.Is(err, errUnhealthy):
		return exitUnscored
	default:
		return exitError
	}
}

func run(ctx context.Context, hurry *worker.Hurry, args []string, hide *secrets, stdout, stderr io.Writer) error {
	if printed, err := printTopic(stdout, args); printed || err != nil {
		return err
	}
	var v verbs
	parser, err := newParser(&v, stdout, stderr)
	if err != nil {
		return err
	}
	parsed, err := parse(parser, args)
	if err != nil {
		return err
	}
	a := &app{ctx: ctx, hurry: hurry, args: args, hide: hide, out: stdout, err: stderr, json: v.JSON, verbose: v.Verbose, color: !v.NoColor && isTerminal(stderr)}
	a.log = newLog(a.err, a.color, a.verbose)
	return parsed.Run(a)
}
