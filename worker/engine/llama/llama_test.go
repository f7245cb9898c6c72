package llama

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lcbq/lcbq/stream/streamtest/patience"
	"github.com/lcbq/lcbq/worker/engine"
	"github.com/lcbq/lcbq/worker/engine/supervise"
	"github.com/lcbq/lcbq/worker/engine/supervise/supervisetest"
)

// TestMain is also llama.cpp's server and the guardian: this program under other arguments.
func TestMain(m *testing.M) {
	if status, ok := supervise.Guardian(); ok {
		os.Exit(status) //nolint:forbidigo // this process is not the test
	}
	if status, ok := supervisetest.Main(os.Args[1:]); ok {
		os.Exit(status) //nolint:forbidigo // this process is not the test
	}
	goleak.VerifyTestMain(m)
}

// gguf writes a file that begins like a model.
func gguf(t *testing.T, name, rest string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte("GGUF"+rest), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// config returns the configuration of a fake server with the given behaviours, and the variable by
// which its processes are known.
func config(t *testing.T, behaviours ...string) (Config, string) {
	t.Helper()
	mark := fmt.Sprintf("FAKE_LLAMA=%s-%d", t.Name(), time.Now().UnixNano())
	t.Cleanup(func() {
		if left := processes(t, mark, ""); len(left) > 0 {
			t.Errorf("processes left: %v", left)
			for pid := range left {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	})
	return Config{
		Program: os.Args[0], File: gguf(t, "tiny.gguf", ""), Parallel: 3,
		Environ: append(os.Environ(), "GORACE=atexit_sleep_ms=0", mark, "LLAMA_ARG_TEMP=9", "LLAMA_API_KEY=other", supervisetest.Behaviours+"="+strings.Join(behaviours, ",")),
		Life: supervise.Life{
			Title: "llama.cpp's server", LogFile: filepath.Join(t.TempDir(), "llama0.log"), State: filepath.Join(t.TempDir(), "state"),
			Pause: time.Millisecond, Grace: 200 * time.Millisecond, Health: 20 * time.Millisecond,
		},
	}, mark
}

// processes returns the processes that carry the mark and whose arguments hold the word.
func processes(t *testing.T, mark, word string) map[int]string {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	found := map[int]string{}
	for _, path := range all {
		env, err := os.ReadFile(path)
		if err != nil || !slices.Contains(strings.Split(string(env), "\x00"), mark) {
			continue
		}
		line, err := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
		if err != nil || len(line) == 0 { // it has ended
			continue
		}
		var pid int
		if _, err := fmt.Sscanf(path, "/proc/%d/", &pid); err == nil && strings.Contains(string(line), word) {
			found[pid] = strings.ReplaceAll(string(line), "\x00", " ")
		}
	}
	return found
}

var anyRequest = engine.Request{QuestionID: "q", N: 7, Messages: []engine.Message{{Role: "user", Content: "x"}}, Sampling: engine.Sampling{Temperature: 1, MaxTokens: 9}}

// run starts an engine and returns it with what stops it.
func run(t *testing.T, cfg Config) (*supervise.Engine, func() error) {
	t.Helper()
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- e.Run(ctx) }()
	stopped := false
	stop := func() error {
		cancel()
		if stopped {
			return nil
		}
		stopped = true
		return <-ran
	}
	t.Cleanup(func() {
		_ = stop() // where the test has failed before
		e.Close()
	})
	return e, stop
}

// TestServes wants more samples than the server has slots, from a socket that nobody else can open.
func TestServes(t *testing.T) {
	t.Parallel()
	cfg, mark := config(t)
	e, stop := run(t, cfg)
	got, err := e.Generate(t.Context(), anyRequest)
	if err != nil || len(got) != anyRequest.N || e.Info() != (engine.Info{Name: "llama", Model: "tiny.gguf"}) {
		t.Errorf("Generate = %d samples, %v, Info %+v, want %d of tiny.gguf", len(got), err, e.Info(), anyRequest.N)
	}
	if l, err := e.Load(t.Context()); err != nil || l.Generated == 0 {
		t.Errorf("Load = %+v, %v, want what was generated", l, err)
	}
	for _, line := range processes(t, mark, "--model") {
		_, at, _ := strings.Cut(line, "--host ")
		at, _, _ = strings.Cut(at, " ")
		if info, err := os.Stat(filepath.Dir(at)); err != nil || info.Mode().Perm() != 0o700 || !strings.HasSuffix(at, ".sock") {
			t.Errorf("the server listens at %q in a folder of mode %v, %v, want a socket in one of ours alone", at, info.Mode(), err)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(cfg.State); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("state file after the end: %v, want none", err)
	}
}

// TestKilledAtEveryPhase kills the server and its guardian while it loads, while it serves and
// while it is being stopped, and wants samples again, and at last nothing left.
func TestKilledAtEveryPhase(t *testing.T) {
	t.Parallel()
	for _, victim := range []string{"--model", "engine-guardian"} {
		for _, phase := range []supervise.Phase{supervise.Loading, supervise.Serving, supervise.Stopping} {
			t.Run(victim+" "+phase.String(), func(t *testing.T) {
				t.Parallel()
				cfg, mark := config(t, supervisetest.Forks, supervisetest.Stubborn)
				e, stop := run(t, cfg)
				ended := make(chan error, 1)
				if phase == supervise.Stopping {
					await(t, e, supervise.Serving)
					go func() { ended <- stop() }()
				}
				await(t, e, phase)
				for pid := range processes(t, mark, victim) {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
				if phase == supervise.Stopping {
					if err := <-ended; err != nil {
						t.Errorf("Run = %v, want nil", err)
					}
					return
				}
				if got, err := e.Generate(t.Context(), anyRequest); err != nil || len(got) != anyRequest.N {
					t.Errorf("Generate = %d samples, %v, want %d of the next server", len(got), err, anyRequest.N)
				}
				if err := stop(); err != nil {
					t.Errorf("Run = %v, want nil", err)
				}
			})
		}
	}
}

// await waits until the engine is in the phase, or past it.
func await(t *testing.T, e *supervise.Engine, want supervise.Phase) {
	t.Helper()
	late := make(chan struct{})
	defer patience.After(20*time.Second, func() { close(late) })()
	for {
		phase, changed := e.Changes()
		if phase >= want {
			return
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("the engine is %v, want %v", phase, want)
		}
	}
}

// TestStartFailures wants the cause of a failed start with its remedy, after two starts at most.
func TestStartFailures(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, log, cause, remedy string }{
		{"kind", "0.00.147.118 E llama_model_load: error loading model: unknown model architecture: 'newkind'\n0.00.174.299 E srv    load_model: failed to load model", "llama_model_load: error loading model: unknown model architecture", "does not know this kind"},
		{"damaged", "0.00.218.812 E gguf_init_from_reader: invalid magic characters: 'nons', expected 'GGUF'\n0.00.219.037 E srv    load_model: failed to load model", "gguf_init_from_reader: invalid magic", "fetch it again"},
		{"memory", "0.01.000.000 E alloc_tensor_range: failed to allocate CPU buffer of size 99999\n0.02.000.000 E llama_init_from_model: failed to initialize the context", "alloc_tensor_range: failed to allocate", "--llama-parallel"},
		{"argument", "error: invalid argument: --no-kv-unified", "error: invalid argument", "too old"},
		{"unknown", "0.00.100.000 I srv: fine\n0.00.100.001 E first: this one\n0.00.100.002 E second: not this one", "first: this one", "the first error of its log"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			said := filepath.Join(t.TempDir(), "said")
			if err := os.WriteFile(said, []byte(tt.log+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			cfg, _ := config(t, supervisetest.Says)
			cfg.Environ = append(cfg.Environ, supervisetest.Said+"="+said)
			e, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			got := fmt.Sprint(e.Run(t.Context()))
			if !strings.Contains(got, "\n  "+tt.cause) || !strings.Contains(got, tt.remedy) {
				t.Errorf("Run = %s\nwant the cause %q and the remedy %q", got, tt.cause, tt.remedy)
			}
			log, err := os.ReadFile(cfg.LogFile)
			if starts := strings.Count(string(log), "--- engine started"); err != nil || starts < 1 || starts > 2 {
				t.Errorf("%d starts, %v, want 1 or 2", starts, err)
			}
		})
	}
}

func TestArguments(t *testing.T) {
	t.Parallel()
	got := strings.Join(Config{File: "/m/a.gguf", Parallel: 2, Context: 100, Threads: 5, NoGPU: true}.filled().arguments(), " ")
	const want = "--model /m/a.gguf --alias a.gguf --parallel 2 --ctx-size 200 --no-kv-unified --metrics --no-webui --no-slots --offline --threads 5 --device none"
	if got != want {
		t.Errorf("arguments = %s\nwant %s", got, want)
	}
	env := Config{Environ: []string{"A=1", "LLAMA_ARG_TEMP=2", "LLAMA_API_KEY=k"}}.environ()
	if !slices.Equal(env, []string{"A=1"}) {
		t.Errorf("environ = %v, want no variable that stands for an argument", env)
	}
	if err := (Config{Parallel: -1, Threads: -1, Context: -1}).Validate(); err == nil || strings.Count(err.Error(), "want") != 5 {
		t.Errorf("Validate = %v, want five faults", err)
	}
}

func TestDigest(t *testing.T) {
	t.Parallel()
	one, err := Digest(gguf(t, "a.gguf", "one"))
	two, err2 := Digest(gguf(t, "a.gguf", "two"))
	if err := errors.Join(err, err2); err != nil || one == two || !strings.HasPrefix(one, "7-") {
		t.Errorf("digests %s and %s, %v, want two that begin with the size", one, two, err)
	}
	text := filepath.Join(t.TempDir(), "x.gguf")
	if err := os.WriteFile(text, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"/nowhere/x.gguf": "no such file", text: "is not in GGUF", t.TempDir(): "it is no file"} {
		if _, err := Digest(file); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "\ngive a model's file in GGUF with --model") {
			t.Errorf("Digest of %s = %v, want %q and the remedy", file, err, want)
		}
	}
	if _, err := Find("no-such-llama"); err == nil || !strings.Contains(err.Error(), "--llama") {
		t.Errorf("Find = %v, want the remedy", err)
	}
}
