// Command lcbq measures language models on LiveCodeBench over a sweep of sampling
// temperatures. All it does is in package cli; this file is signals and an exit
// status.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/lcbq/lcbq/cmd/internal/cli"
	"github.com/lcbq/lcbq/cmd/internal/terminal"
	"github.com/lcbq/lcbq/worker"
	"github.com/lcbq/lcbq/worker/engine/supervise"
	"github.com/lcbq/lcbq/worker/sandbox"
)

func main() {
	if status, ok := supervise.Guardian(); ok { // a child of ours that stands guard over an engine
		os.Exit(status)
	}
	sandbox.Main() // does not return in a child of ours that sets up a sandbox
	os.Exit(mainCode())
}

// lastWords is how long the end waits for a terminal that is slow to show the last lines.
const lastWords = 2 * time.Second

// mainCode runs the command line and returns its exit status. A terminal that is closed, or
// never reads, neither ends nor holds up the command.
func mainCode() int {
	// Caught, and never looked at: a write to a closed pipe is an error then, and kills nobody.
	// Ignoring it would go to the programs that we start too.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	hurry := worker.NewHurry()
	done := make(chan struct{})
	defer close(done)
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // as nohup has it
		signal.Notify(signals, syscall.SIGHUP)
	}
	go obey(signals, done, cancel, hurry)
	stderr := terminal.New(os.Stderr)
	defer stderr.Close(lastWords)
	cli.HideArguments()
	return cli.Main(ctx, hurry, os.Args[1:], stderr.After(os.Stdout), stderr)
}

// sameOrder is the time within which a SIGTERM after another, or after a SIGHUP, is the same
// order: supervisors signal the process and its group as well, or send both signals.
const sameOrder = time.Second

// obey turns signals into a drain, and a second one into a hurried drain: the order stays. Where
// nothing is drained the second one kills. A closed terminal tells its processes so several times,
// and none of that is a person in a hurry.
func obey(signals <-chan os.Signal, done <-chan struct{}, drain context.CancelCauseFunc, hurry *worker.Hurry) {
	var first os.Signal
	var at time.Time
	for {
		var s os.Signal
		select {
		case s = <-signals:
		case <-done:
			return
		}
		switch {
		case first == nil:
			first, at = s, time.Now()
			drain(cli.ToldError{Signal: s})
		case s == syscall.SIGHUP:
		case s == syscall.SIGTERM && first != os.Interrupt && time.Since(at) < sameOrder:
		case hurry.Awaited():
			hurry.Call()
		default:
			signal.Reset(syscall.SIGTERM)
			_ = syscall.Kill(os.Getpid(), syscall.SIGTERM) // nothing that this process does survives it
		}
	}
}
