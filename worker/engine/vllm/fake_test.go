package vllm

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

var rounds = flag.Int("rounds", 8, "rounds of the supervision test")

// TestMain is also the engine, its children, the guardian and an lcbq that can
// be killed: this program under other arguments.
func TestMain(m *testing.M) {
	if status, ok := Guardian(); ok {
		os.Exit(status) //nolint:forbidigo // this process is not the test
	}
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "serve":
			os.Exit(serve(os.Args[2:])) //nolint:forbidigo // this process is not the test
		case "child":
			os.Exit(child(os.Args[2:])) //nolint:forbidigo // this process is not the test
		case "supervise":
			os.Exit(stand(os.Args[2:])) //nolint:forbidigo // this process is not the test
		}
	}
	goleak.VerifyTestMain(m)
}

// The fake's behaviours, named in the variable FAKE with commas between.
const (
	forks     = "forks"      // has a child that ignores SIGTERM, and that one a child in a session of its own
	stubborn  = "stubborn"   // ignores SIGTERM
	hangs     = "hangs"      // never listens
	breaks    = "breaks"     // ends while loading
	noModel   = "no-model"   // ends while loading, for good
	dies      = "dies"       // ends after a moment of serving
	sickly    = "sickly"     // says that it is unhealthy, after having been healthy once
	holdsPort = "holds-port" // its child listens in its place, and goes on when the leader is killed
)

const helpText = `usage: vllm serve [model_tag] [options]
  --dtype {auto,half} --max-model-len N --gpu-memory-utilization F --max-num-seqs N
  --max-num-batched-tokens N --generation-config G --enable-prefix-caching, --no-enable-prefix-caching
  --trust-remote-code --seed SEED --tensor-parallel-size N --host H --port P`

// serve plays `vllm serve`.
func serve(args []string) int {
	help, _ := os.LookupEnv("FAKE_HELP")
	if slices.Contains(args, "--help=all") && help == "old" {
		_, _ = fmt.Fprintln(os.Stderr, "error: argument -h/--help: ignored explicit argument 'all'")
		return 2
	}
	if slices.ContainsFunc(args, func(s string) bool { return strings.HasPrefix(s, "--help") }) {
		_, _ = fmt.Fprintln(os.Stdout, helpText)
		if help == "" {
			_, _ = fmt.Fprintln(os.Stdout, "  --uds UDS --shutdown_timeout S")
		}
		return 0
	}
	behaviours, _ := os.LookupEnv("FAKE")
	is := func(name string) bool { return slices.Contains(strings.Split(behaviours, ","), name) }
	_, _ = fmt.Fprintln(os.Stderr, "INFO loading", args)
	if is(stubborn) {
		signal.Ignore(syscall.SIGTERM)
	}
	if is(forks) {
		spawnChild(false, "child", "parent")
	}
	switch {
	case is(noModel):
		_, _ = fmt.Fprintln(os.Stderr, "OSError: m is not a local folder and is not a valid model identifier listed on 'https://huggingface.co/models'")
		return 1
	case is(breaks):
		_, _ = fmt.Fprintln(os.Stderr, "ValueError: Free memory on device (3.1/79.1 GiB) on startup is less than desired GPU memory utilization (0.95, 75.1 GiB).")
		return 1
	case is(hangs):
		select {}
	}
	if is(holdsPort) {
		spawnChild(false, append([]string{"child", "listen"}, args...)...)
		select {}
	}
	return listenAndServe(args, is(dies), is(sickly))
}

// spawnChild starts this program again and waits until it says that it is there.
func spawnChild(own bool, args ...string) {
	cmd := exec.CommandContext(context.Background(), "/proc/self/exe", args...) //nolint:gosec // it is this test
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
		spawnChild(true, "child", "loner")
	case "listen":
		_, _ = os.Stdout.WriteString("!")
		return listenAndServe(args[1:], false, false)
	}
	_, _ = os.Stdout.WriteString("!")
	for { // not select{}: with nothing else to do the runtime would call it a deadlock
		time.Sleep(time.Hour) //nolint:forbidigo // this process waits to be killed
	}
}

// listenAndServe answers like a server of the model m.
func listenAndServe(args []string, dies, sickly bool) int {
	network, at := "tcp", "127.0.0.1:"
	for i, a := range args {
		switch a {
		case "--uds":
			network, at = "unix", args[i+1]
		case "--port":
			at += args[i+1]
		}
	}
	l, err := (&net.ListenConfig{}).Listen(context.Background(), network, at)
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "ERROR", err)
		return 1
	}
	looks := 0
	mux := http.NewServeMux()
	mux.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) {
		if looks++; sickly && looks > 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/v1/models", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"data":[{"id":"m"}]}`) })
	mux.HandleFunc("/version", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"version":"0.99"}`) })
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "vllm:num_requests_running 3\n")
	})
	served := make(chan struct{}, 100)
	mux.HandleFunc("/v1/chat/completions", func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			N int `json:"n"`
		}
		_ = json.NewDecoder(r.Body).Decode(&body)
		one := fmt.Sprintf(`{"message":{"content":"from %d"},"finish_reason":"stop","token_ids":[1]}`, os.Getpid())
		_, _ = io.WriteString(w, `{"choices":[`+strings.TrimSuffix(strings.Repeat(one+",", body.N), ",")+`]}`)
		served <- struct{}{}
	})
	if dies {
		go func() {
			<-served                          // the first token, asked for before anybody waits for samples
			time.Sleep(20 * time.Millisecond) //nolint:forbidigo // a moment of serving
			os.Exit(3)                        //nolint:forbidigo // this process is not the test
		}()
	}
	_, _ = fmt.Fprintln(os.Stderr, "INFO serving at", at)
	_ = (&http.Server{Handler: mux, ReadHeaderTimeout: time.Second}).Serve(l)
	return 1
}

// stand plays lcbq: it supervises one engine until it is killed.
func stand(args []string) int {
	in, err := Probe(context.Background(), os.Environ(), os.Args[0])
	if err != nil {
		panic(err)
	}
	e, err := New(Config{Install: in, Model: "m", Device: "GPU-x", Environ: os.Environ(), State: args[0], LogFile: args[0] + ".log", Grace: 100 * time.Millisecond})
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
	return append(os.Environ(), n.mark, "FAKE="+strings.Join(behaviours, ","), "GORACE=atexit_sleep_ms=0")
}

// config returns the configuration of a fake with the given behaviours.
func (n nest) config(t *testing.T, behaviours ...string) Config {
	t.Helper()
	env := n.environ(behaviours...)
	in, err := Probe(t.Context(), env, os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Install: in, Model: "m", Device: "GPU-x", Environ: env,
		LogFile: filepath.Join(n.dir, "gpu0.log"), State: filepath.Join(n.dir, "gpu0.engine"),
		Grace: 200 * time.Millisecond, Ready: 20 * time.Second, Pause: time.Millisecond, Health: 20 * time.Millisecond, Uptime: time.Hour,
		Log: slog.New(slog.DiscardHandler),
	}
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
		select {
		case err := <-ran:
			return err
		case <-time.After(time.Minute):
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
func start(t *testing.T, cfg Config) (*Engine, func() error) {
	t.Helper()
	e, err := New(cfg)
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
	for deadline := time.Now().Add(30 * time.Second); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}
