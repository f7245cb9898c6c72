// Package supervisetest is a fake `vllm serve`, and a fake of llama.cpp's server, for tests:
// processes, sockets, metrics and answers like the real ones', and no model. It computes nothing: sequences take the
// time that its pace says. It is for tests only.
package supervisetest

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// The fake's behaviours, named in the variable FAKE with commas between.
const (
	Forks     = "forks"      // has a child that ignores SIGTERM, and that one a child in a session of its own
	Stubborn  = "stubborn"   // ignores SIGTERM
	Hangs     = "hangs"      // never listens
	Breaks    = "breaks"     // ends while loading
	NoModel   = "no-model"   // ends while loading, each time
	Dies      = "dies"       // ends after a moment of serving
	Sickly    = "sickly"     // says that it is unhealthy, after having been healthy once
	Says      = "says"       // prints the text of the file that FAKE_SAID names, and ends while loading
	Lingers   = "lingers"    // loads for a while
	HoldsPort = "holds-port" // its child listens in its place, and goes on when the leader is killed
)

// Variables of the fake's environment.
const (
	Behaviours = "FAKE"      // the behaviours; FAKE_<device> has those of one device alone
	OldHelp    = "FAKE_HELP" // old: help as of a version that knows no --help=all and no sockets; SlowHelp
	Said       = "FAKE_SAID" // file with what a fake that Says prints
	Pace       = "FAKE_PACE" // milliseconds that one token of a sequence takes; default 0
)

// lingerFor is how long a fake that Lingers loads.
const lingerFor = 300 * time.Millisecond

// SlowHelp is the OldHelp of a vllm that imports for ever: its help has a child and never comes.
const SlowHelp = "slow"

const helpText = `usage: vllm serve [model_tag] [options]
  --dtype {auto,half} --max-model-len N --gpu-memory-utilization F --max-num-seqs N
  --max-num-batched-tokens N --generation-config G --enable-prefix-caching, --no-enable-prefix-caching
  --trust-remote-code --seed SEED --tensor-parallel-size N --host H --port P`

// Main plays the program vllm, or llama-server, if the arguments are that program's, or one of the
// processes that they fork. It then returns true and the status to exit with.
func Main(args []string) (status int, ok bool) {
	if len(args) == 0 {
		return 0, false
	}
	switch args[0] {
	case "serve":
		return serve(args[1:]), true
	case "--model": // llama.cpp's server has no word for serving
		return serve(args), true
	case "child":
		return child(args[1:]), true
	}
	return 0, false
}

// serve plays `vllm serve`.
func serve(args []string) int {
	help, _ := os.LookupEnv(OldHelp)
	if slices.Contains(args, "--help=all") && help == "old" {
		_, _ = fmt.Fprintln(os.Stderr, "error: argument -h/--help: ignored explicit argument 'all'")
		return 2
	}
	if slices.ContainsFunc(args, func(s string) bool { return strings.HasPrefix(s, "--help") }) {
		if help == SlowHelp {
			spawn(false, "child", "importer")
			forever()
		}
		_, _ = fmt.Fprintln(os.Stdout, helpText)
		if help == "" {
			_, _ = fmt.Fprintln(os.Stdout, "  --uds UDS --shutdown_timeout S")
		}
		return 0
	}
	behaviours, _ := os.LookupEnv(Behaviours)
	device, _ := os.LookupEnv("CUDA_VISIBLE_DEVICES")
	if own, ok := os.LookupEnv(Behaviours + "_" + device); ok {
		behaviours = own
	}
	is := func(name string) bool { return slices.Contains(strings.Split(behaviours, ","), name) }
	_, _ = fmt.Fprintln(os.Stderr, "INFO loading", args)
	if is(Stubborn) {
		signal.Ignore(syscall.SIGTERM)
	}
	if is(Forks) {
		spawn(false, "child", "parent")
	}
	switch {
	case is(NoModel):
		_, _ = fmt.Fprintln(os.Stderr, "OSError: m is not a local folder and is not a valid model identifier listed on 'https://huggingface.co/models'")
		return 1
	case is(Breaks):
		_, _ = fmt.Fprintln(os.Stderr, "ValueError: Free memory on device (3.1/79.1 GiB) on startup is less than desired GPU memory utilization (0.95, 75.1 GiB).")
		return 1
	case is(Says):
		path, _ := os.LookupEnv(Said)
		text, err := os.ReadFile(path) //nolint:gosec // the test names it
		_, _ = os.Stderr.Write(text)
		if err != nil {
			panic(err)
		}
		return 1
	case is(Hangs):
		forever()
	}
	if is(Lingers) {
		time.Sleep(lingerFor) //nolint:forbidigo // this process loads
	}
	if is(HoldsPort) {
		spawn(false, append([]string{"child", "listen"}, args...)...)
		forever()
	}
	return listenAndServe(args, is(Dies), is(Sickly))
}

// forever waits for a signal that kills. It is no select{}: with nothing else to do
// the runtime would call that a deadlock.
func forever() {
	for {
		time.Sleep(time.Hour) //nolint:forbidigo // this process waits to be killed
	}
}

// spawn starts this program again and waits until it says that it is there.
func spawn(own bool, args ...string) {
	cmd := exec.CommandContext(context.Background(), "/proc/self/exe", args...) //nolint:gosec // it is this test
	cmd.Args[0] = os.Args[0]
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: own}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		panic(err)
	}
	_, _ = io.ReadFull(out, make([]byte, 1))
}

// child plays what an engine forks: a process that nobody's SIGTERM ends.
func child(args []string) int {
	signal.Ignore(syscall.SIGTERM)
	switch args[0] {
	case "parent":
		spawn(true, "child", "loner")
	case "listen":
		_, _ = os.Stdout.WriteString("!")
		return listenAndServe(args[1:], false, false)
	}
	_, _ = os.Stdout.WriteString("!")
	forever()
	return 0
}
