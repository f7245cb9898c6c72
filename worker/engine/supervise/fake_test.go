package supervise

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lcbq/lcbq/stream/streamtest/patience"
	"github.com/lcbq/lcbq/worker/engine/openai"
	"github.com/lcbq/lcbq/worker/engine/supervise/supervisetest"
)

var rounds = flag.Int("rounds", 8, "rounds of the supervision test")

// TestMain is also the engine, its children, the guardian and an lcbq that can
// be killed: this program under other arguments.
func TestMain(m *testing.M) {
	if status, ok := Guardian(); ok {
		os.Exit(status) //nolint:forbidigo // this process is not the test
	}
	if status, ok := supervisetest.Main(os.Args[1:]); ok {
		os.Exit(status) //nolint:forbidigo // this process is not the test
	}
	if len(os.Args) > 1 && os.Args[1] == "supervise" {
		os.Exit(stand(os.Args[2:])) //nolint:forbidigo // this process is not the test
	}
	goleak.VerifyTestMain(m)
}

// stand plays lcbq: it supervises one engine until it is killed.
func stand(args []string) int {
	e, err := New(fake(os.Environ()), Life{State: args[0], LogFile: args[0] + ".log", Grace: 100 * time.Millisecond})
	if err != nil {
		panic(err)
	}
	go func() {
		if e.Await(context.Background()) == nil {
			_, _ = os.Stdout.WriteString("!")
		}
	}()
	_ = e.Run(context.Background())
	return 0
}

// fake returns the server that supervisetest plays.
func fake(environ []string) Server {
	return Server{
		Program: []string{os.Args[0], "serve"}, Args: []string{"m", "--max-num-seqs", "512"}, Environ: environ,
		Socket: func(path string) []string { return []string{"--uds", path} },
		Port:   func(port string) []string { return []string{"--port", port} },
		Titles: []string{"vllm"},
		Failures: []Failure{
			{regexp.MustCompile("is not a valid model identifier"), "the model is not there", true},
			{regexp.MustCompile("Free memory on device"), "see who holds it", false},
		},
		Steps:  []Step{{regexp.MustCompile("INFO loading"), "loads"}},
		Client: openai.Config{Model: "m", Name: "fake", InFlight: 1024, Batch: 512},
	}
}

// A setup is a server and how it is kept running, for tests that change either.
type setup struct {
	Server
	Life
}

// nest is one test's engines: where they write, and how its processes are known.
type nest struct {
	dir  string
	mark string
}

func newNest(t *testing.T) nest {
	t.Helper()
	n := nest{dir: t.TempDir(), mark: fmt.Sprintf("FAKE_NEST=%s-%d", t.Name(), time.Now().UnixNano())}
	t.Cleanup(func() {
		if left := n.processes(t, ""); len(left) > 0 {
			t.Errorf("processes left: %v", left)
			for pid := range left {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	})
	return n
}

// environ returns the environment of a fake with the given behaviours. The race
// detector must not hold each process back for a second at its end.
func (n nest) environ(behaviours ...string) []string {
	return append(os.Environ(), n.mark, supervisetest.Behaviours+"="+strings.Join(behaviours, ","), "GORACE=atexit_sleep_ms=0")
}

// config returns the configuration of a fake with the given behaviours.
func (n nest) config(behaviours ...string) setup {
	return setup{fake(n.environ(behaviours...)), Life{
		Title: "engine of GPU 0", LogFile: filepath.Join(n.dir, "gpu0.log"), State: filepath.Join(n.dir, "gpu0.engine"),
		Grace: 200 * time.Millisecond, Ready: patience.Longest(patience.Base), Pause: time.Millisecond, Health: 20 * time.Millisecond, Uptime: time.Hour,
		Log: slog.New(slog.DiscardHandler),
	}}
}

// processes returns the nest's processes and their arguments, those only whose
// arguments hold the word.
func (n nest) processes(t *testing.T, word string) map[int]string {
	t.Helper()
	all, err := processes()
	if err != nil {
		t.Fatal(err)
	}
	found := map[int]string{}
	for _, p := range all {
		if p.zombie || !carries(p.pid, n.mark) {
			continue
		}
		args, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(p.pid), "cmdline"))
		line := strings.ReplaceAll(string(args), "\x00", " ")
		if err == nil && strings.Contains(line, word) {
			found[p.pid] = line
		}
	}
	return found
}

// one returns the nest's only process with the word in its arguments.
func (n nest) one(t *testing.T, word string) int {
	t.Helper()
	found := n.processes(t, word)
	for pid := range found {
		if len(found) == 1 {
			return pid
		}
	}
	t.Fatalf("processes with %q: %v, want one", word, found)
	return 0
}

// run starts the engine and returns what stops it and awaits its end.
func run(t *testing.T, e *Engine) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- e.Run(ctx) }()
	stop = sync.OnceValue(func() error {
		cancel()
		late, enough := patience.Context(context.WithoutCancel(t.Context()), time.Minute)
		defer enough()
		select {
		case err := <-ran:
			return err
		case <-late.Done():
			return errors.New("Run does not return")
		}
	})
	t.Cleanup(func() {
		_ = stop() // where the test has failed before
		e.Close()
	})
	return stop
}

// start makes an engine and runs it.
func start(t *testing.T, cfg setup) (*Engine, func() error) {
	t.Helper()
	e, err := New(cfg.Server, cfg.Life)
	if err != nil {
		t.Fatal(err)
	}
	return e, run(t, e)
}

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for wait := patience.Begin(30 * time.Second); !ok(); <-tick.C {
		if wait.Over() {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}
