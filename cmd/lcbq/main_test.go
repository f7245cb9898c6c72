package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/lcbq/lcbq/stream/streamtest"
	"github.com/lcbq/lcbq/stream/streamtest/patience"
	"github.com/lcbq/lcbq/worker/engine/supervise"
	"github.com/lcbq/lcbq/worker/sandbox"
)

// slow is given by .ci/run. Without it the suite is one that a person waits for.
var slow = flag.Bool("slow", false, "run the tests that take ten seconds and more too")

// otherLcbq has processes of another version started, to see what was wrong with it: the absolute path of a binary.
var otherLcbq = flag.String("lcbq", "", "lcbq that the tests start; empty is the one of this source")

// takesMinutes leaves a test out that takes ten seconds or more on two cores, unless the slow ones are wanted.
func takesMinutes(t *testing.T) {
	t.Helper()
	if !*slow {
		t.Skip("takes long; -slow runs it")
	}
}

func TestMain(m *testing.M) {
	if status, ok := supervise.Guardian(); ok {
		os.Exit(status)
	}
	sandbox.Main()
	// The tests wait for processes half of the time: four run at once, however few the processors.
	patience.AtOnce(4)
	testscript.Main(suite{m}, map[string]func(){
		"lcbq":         func() { os.Exit(mainCode()) },
		"vllm":         fakeVLLM,
		"llama-server": fakeVLLM,
		"nvidia-smi":   fakeSMI,
		"wallclock":    wallclock,
		"liar":         func() { os.Exit(stranger(lie)) },
		"usurper":      func() { os.Exit(stranger(usurp)) },
		"forger":       func() { os.Exit(stranger(falsify)) },
		"flooder":      func() { os.Exit(stranger(flood)) },
		"sleeper":      func() { os.Exit(stranger(sleep)) },
	})
}

// stranger runs a program that is none of lcbq's, and returns its exit status.
func stranger(f func(args []string, out io.Writer) error) int {
	if err := f(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// A suite is the tests, run as a shell's foreground job would be.
type suite struct{ *testing.M }

// Run has the processes that the tests start end by the signals that a terminal sends. nohup, or a
// shell that starts the tests with &, had them ignored, and a process inherits that.
func (s suite) Run() int {
	for _, sig := range []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT} {
		if signal.Ignored(sig) {
			signal.Notify(make(chan os.Signal, 1), sig) // as good as ignored here, and the default in a process started by this one
		}
	}
	// The slow tests write what a disk should hold, and the matrix of hosts hides /dev/shm.
	if dir, ok := streamtest.Memory(); ok && !*slow && flag.Lookup("hosts.starts") == nil {
		if err := os.Setenv("TMPDIR", dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	var err error
	if fixtures, err = os.MkdirTemp("", "lcbq-fixtures"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(fixtures) }()
	return s.M.Run()
}

// fixtures is a folder for what several tests look at and none changes.
var fixtures string

func TestScripts(t *testing.T) {
	t.Parallel()
	runScripts(t, "testdata/script")
}

// TestSlowScripts runs the scripts with many sweeps in them.
func TestSlowScripts(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	runScripts(t, "testdata/slow")
}

func runScripts(t *testing.T, dir string) {
	t.Helper()
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		Condition: func(cond string) (bool, error) {
			if cond != "real-driver" {
				return false, fmt.Errorf("unknown condition %q", cond)
			}
			return realDriver(t.Context()), nil
		},
		Setup: func(env *testscript.Env) error {
			// A version manager finds its interpreter through HOME; the scripts get
			// one of their own.
			env.Vars = append(env.Vars, "LCBQ_PYTHON="+python(), "LCBQ_TIME_LIMIT=1", "LCBQ_EVALUATORS=1")
			return nil
		},
	})
}

// ofMachine are flags of `lcbq run` that say something of the machine, and not of the run.
var ofMachine = []string{"--vllm", "--gpus", "--max-num-seqs", "--llama", "--llama-parallel", "--llama-threads", "--evaluators", "--listen"}

// submission returns those of a run's flags that `lcbq submit` takes.
func submission(flags []string) []string {
	var out []string
	for i := 0; i < len(flags); i++ {
		if slices.Contains(ofMachine, flags[i]) {
			i++ // its value
			continue
		}
		out = append(out, flags[i])
	}
	return out
}

// python returns the interpreter that the tests judge with.
func python() string {
	if p, ok := os.LookupEnv("LCBQ_PYTHON"); ok {
		return p
	}
	for _, p := range []string{"/usr/bin/python3", "/usr/local/bin/python3"} {
		if _, err := os.Stat(p); err == nil {
			return p
		}
	}
	return "python3"
}
