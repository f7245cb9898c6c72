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
// asks for a drain; once it has been heard the second one kills.
func mainCode() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return cli.Main(ctx, os.Args[1:], os.Stdout, os.Stderr)
}
