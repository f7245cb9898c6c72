package supervise

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream/streamtest/patience"
	"github.com/lcbq/lcbq/worker/engine"
	"github.com/lcbq/lcbq/worker/engine/openai"
	"github.com/lcbq/lcbq/worker/engine/supervise/supervisetest"
)

var anyRequest = engine.Request{QuestionID: "q", N: 3, Messages: []engine.Message{{Role: "user", Content: "x"}}, Sampling: engine.Sampling{Temperature: 1, MaxTokens: 9}}

// TestRounds supervises engines of random behaviour, disturbs them at random
// moments and wants nothing left each time. The forked children ignore SIGTERM,
// and one of them leaves the group and the session.
func TestRounds(t *testing.T) {
	t.Parallel()
	for round := range *rounds {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			t.Parallel()
			n := newNest(t)
			var is []string
			for _, b := range []string{supervisetest.Forks, supervisetest.Stubborn, supervisetest.Hangs, supervisetest.Dies, supervisetest.Breaks, supervisetest.HoldsPort, supervisetest.Sickly} {
				if rand.N(3) == 0 {
					is = append(is, b)
				}
			}
			cfg := n.config(is...)
			cfg.Restarts, cfg.Ready = 1+rand.N(2), time.Second
			if rand.N(2) == 0 {
				cfg.Socket = nil // a port in its place
			}
			e, stop := start(t, cfg)
			moment := time.NewTimer(rand.N(900 * time.Millisecond))
			<-moment.C
			event := rand.N(5)
			if p := e.process(); p != nil {
				switch event {
				case 1:
					_ = syscall.Kill(p.session(), syscall.SIGKILL) // the guardian
				case 2, 3:
					word := map[int]string{2: " serve ", 3: " child "}[event]
					for pid := range n.processes(t, word) {
						_ = syscall.Kill(pid, syscall.SIGKILL)
					}
				}
			}
			if event == 4 {
				moment.Reset(rand.N(900 * time.Millisecond)) // let it fail and restart
				<-moment.C
			}
			if err := stop(); errors.Is(err, errStuck) || errors.Is(err, errFinal) {
				t.Errorf("engine that %v, event %d: Run = %v", is, event, err)
			}
			if left := n.processes(t, ""); len(left) > 0 {
				t.Errorf("engine that %v, event %d: left are %v", is, event, left)
			}
		})
	}
}

func (e *Engine) process() *process {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.running
}

func TestServes(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"socket", "port"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNest(t)
			cfg := n.config(supervisetest.Forks, supervisetest.Stubborn)
			if name == "port" {
				cfg.Socket = nil
			}
			var freed int
			cfg.Free = func(context.Context) error { freed++; return nil }
			e, stop := start(t, cfg)
			got, err := e.Generate(t.Context(), anyRequest)
			if err != nil || len(got) != 3 {
				t.Fatalf("Generate = %v, %v, want three samples", got, err)
			}
			pid := n.one(t, " serve ")
			if want := fmt.Sprintf("from %d, ", pid); !strings.HasPrefix(got[0].Text, want) || e.Info() != (engine.Info{Name: "fake", Model: "m", Version: "0.99"}) {
				t.Errorf("sample %q, Info %+v, want %q and version 0.99", got[0].Text, e.Info(), want)
			}
			if !e.Owns(pid) || !e.Owns(n.one(t, "child loner")) || e.Owns(os.Getpid()) {
				t.Error("Owns does not tell the engine's processes from ours")
			}
			ours, err := readProc(os.Getpid())
			theirs, err2 := readProc(pid)
			if err := errors.Join(err, err2); err != nil || ours.session == theirs.session {
				t.Errorf("engine in session %d, %v, want another than ours: Ctrl-C is not for it", theirs.session, err)
			}
			if l, err := e.Load(t.Context()); err != nil || l.Generated != float64(got[0].Tokens+got[1].Tokens+got[2].Tokens+1) {
				t.Errorf("Load = %+v, %v, want the tokens of three samples and of the first one", l, err)
			}
			if e.Phase() != Serving {
				t.Errorf("Phase = %v, want serving", e.Phase())
			}
			if err := stop(); err != nil {
				t.Errorf("Run = %v, want nil", err)
			}
			if left := n.processes(t, ""); len(left) > 0 {
				t.Errorf("left are %v", left)
			}
			if _, err := e.Generate(t.Context(), anyRequest); err == nil {
				t.Error("Generate after the end = nil, want an error")
			}
			if freed != 2 || e.Phase() != Ended {
				t.Errorf("memory awaited %d times, phase %v, want twice and ended", freed, e.Phase())
			}
			if _, err := os.Stat(cfg.State); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("state file after the end: %v, want none", err)
			}
			if log, err := os.ReadFile(cfg.LogFile); err != nil || !strings.Contains(string(log), "INFO serving") {
				t.Errorf("log = %q, %v, want the engine's words", log, err)
			}
		})
	}
}

// TestRestarts kills each of an engine's processes and wants samples again.
func TestRestarts(t *testing.T) {
	t.Parallel()
	for _, victim := range []string{" serve ", guardianName} {
		t.Run(strings.TrimSpace(victim), func(t *testing.T) {
			t.Parallel()
			n := newNest(t)
			cfg := n.config(supervisetest.Forks)
			cfg.Grace = time.Hour // which nobody waits for once the leader has ended
			e, stop := start(t, cfg)
			for range 2 {
				if _, err := e.Generate(t.Context(), anyRequest); err != nil {
					t.Fatal(err)
				}
				guardian := e.process().session()
				if err := syscall.Kill(n.one(t, victim), syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				until(t, "another engine runs", func() bool {
					p := e.process()
					return p != nil && p.session() != guardian
				})
			}
			got, err := e.Generate(t.Context(), anyRequest)
			if err != nil || !strings.HasPrefix(got[0].Text, fmt.Sprintf("from %d, ", n.one(t, " serve "))) {
				t.Errorf("Generate = %+v, %v, want samples of the new engine", got, err)
			}
			if n := len(n.processes(t, "child loner")); n != 1 {
				t.Errorf("%d grandchildren, want only the new engine's", n)
			}
			if err := stop(); err != nil {
				t.Errorf("Run = %v, want nil", err)
			}
		})
	}
}

// unfit is an engine that does as it should, for requests that it has no room for.
const unfit = "unfit"

// TestFailures wants an end after so many restarts, with the reason in words.
func TestFailures(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		is     string
		starts int
		want   []string
	}{
		{unfit, 1, []string{"no restart helps", "--max-tokens 90 does not fit: the model's context holds 100 tokens for prompt and answer, and the longest prompt, of question q, has 26\npass --max-tokens 74 or less"}},
		{supervisetest.Breaks, 2, []string{"engine of GPU 0: failed twice in the same way before it served once: ended while loading: exit status 1", "Free memory on device (3.1/79.1 GiB)", "see who holds it"}},
		{supervisetest.NoModel, 1, []string{"no restart helps", "m is not a local folder", "the model is not there"}},
		{supervisetest.Hangs, 2, []string{"failed twice in the same way before it served once: not ready within", "INFO loading"}},
		{supervisetest.Dies, 3, []string{"failed 3 times in a row: ended", "exit status 3"}},
		{supervisetest.Sickly, 3, []string{"failed 3 times in a row: does not answer: status 503"}},
	} {
		t.Run(tt.is, func(t *testing.T) {
			t.Parallel()
			n := newNest(t)
			cfg := n.config(tt.is, supervisetest.Forks)
			cfg.Restarts = 2
			switch tt.is {
			case supervisetest.Hangs:
				cfg.Ready = patience.Now(500 * time.Millisecond) // enough to say that it loads
			case unfit:
				cfg.Args = append(cfg.Args, "--max-model-len", "100")
				cfg.Client.Asks = openai.Asks{MaxTokens: 90, Prompts: []engine.Request{{QuestionID: "q", Messages: []engine.Message{{Role: "user", Content: strings.Repeat("x", 100)}}}}}
			}
			e, err := New(cfg.Server, cfg.Life)
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			got := fmt.Sprint(e.Run(t.Context()))
			for _, w := range tt.want {
				if !strings.Contains(got, w) {
					t.Errorf("Run = %q, want %q in it", got, w)
				}
			}
			log, err := os.ReadFile(cfg.LogFile)
			if starts := strings.Count(string(log), "--- engine started"); err != nil || starts != tt.starts {
				t.Errorf("%d starts, %v, want %d", starts, err, tt.starts)
			}
			if err := e.Await(t.Context()); err == nil || !strings.Contains(err.Error(), "engine has ended: engine of GPU 0") {
				t.Errorf("Await = %v, want the reason of the end", err)
			}
		})
	}
}

// TestUptimeResets wants more restarts than allowed in a row where each engine
// served long enough.
func TestUptimeResets(t *testing.T) {
	t.Parallel()
	n := newNest(t)
	cfg := n.config(supervisetest.Dies)
	cfg.Restarts, cfg.Uptime = 1, time.Nanosecond
	e, stop := start(t, cfg)
	until(t, "it was started five times", func() bool {
		if e.Phase() == Ended {
			t.Fatal(e.end())
		}
		log, err := os.ReadFile(cfg.LogFile)
		return err == nil && strings.Count(string(log), "--- engine started") >= 5
	})
	if err := stop(); err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
}

// TestHurry wants the grace cut short.
func TestHurry(t *testing.T) {
	t.Parallel()
	n := newNest(t)
	cfg := n.config(supervisetest.Stubborn)
	hurry := make(chan struct{})
	cfg.Grace, cfg.Hurry = time.Hour, hurry
	e, stop := start(t, cfg)
	if err := e.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	close(hurry)
	if err := stop(); err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
}

func TestMemoryHeld(t *testing.T) {
	t.Parallel()
	n := newNest(t)
	cfg := n.config()
	held := errors.New("held")
	cfg.Free = func(context.Context) error { return held }
	cfg.Restarts = 1
	e, err := New(cfg.Server, cfg.Life)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if err := e.Run(t.Context()); !errors.Is(err, held) {
		t.Errorf("Run = %v, want held", err)
	}
	if _, err := os.Stat(cfg.LogFile); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("log: %v, want no engine started on held memory", err)
	}
}

// TestStoppedWhileMemoryIsAwaited wants no engine started once the end has come.
func TestStoppedWhileMemoryIsAwaited(t *testing.T) {
	t.Parallel()
	n := newNest(t)
	cfg := n.config()
	ctx, cancel := context.WithCancel(t.Context())
	cfg.Free = func(context.Context) error { cancel(); return nil }
	e, err := New(cfg.Server, cfg.Life)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if err := e.Run(ctx); err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
	if _, err := os.Stat(cfg.LogFile); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("log: %v, want no engine started", err)
	}
}
