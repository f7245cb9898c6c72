// Command lcbq measures language models on LiveCodeBench over a sweep of sampling
// temperatures. All it does is in package cli; this file is signals and an exit
// status.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/lcbq/lcbq/cmd/internal/cli"
	"github.com/lcbq/lcbq/worker"
	"github.com/lcbq/lcbq/worker/engine/vllm"
	"github.com/lcbq/lcbq/worker/sandbox"
)

func main() {
	if status, ok := vllm.Guardian(); ok { // a child of ours that stands guard over an engine
		os.Exit(status)
	}
	sandbox.Main() // does not return in a child of ours that sets up a sandbox
	os.Exit(mainCode())
}

// mainCode runs the command line and returns its exit status. The first signal
// asks for a drain, the second one hurries it: the order stays. Where nothing is
// drained the second one kills.
func mainCode() int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	hurry := worker.NewHurry()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	defer close(done)
	go func() {
		hear := func() os.Signal {
			select {
			case s := <-signals:
				return s
			case <-done:
				return nil
			}
		}
		if hear() == nil {
			return
		}
		cancel()
		if hear() == nil || hurry.Call() {
			return
		}
		signal.Reset(syscall.SIGTERM)
		_ = syscall.Kill(os.Getpid(), syscall.SIGTERM) // nothing that this process does survives it
	}()
	return cli.Main(hurry.With(ctx), os.Args[1:], os.Stdout, os.Stderr)
}
