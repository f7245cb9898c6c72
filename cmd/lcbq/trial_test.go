package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"

	"github.com/lcbq/lcbq/stream/streamtest"
)

// TestTrial repeats what an operator's trial found wrong, as it was typed there. -lcbq has another version try it.
func TestTrial(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	for name, repeat := range map[string]func(*testing.T){
		"D2, workers wait for work": trialWaits, "D4, a progress line stays one line": trialLine, "D6, no password in a file or an error": trialPasswords,
		"D7, a folder below a link to nowhere": trialLink, "D8, a key that cannot be read": trialKey, "D9, units that are in no queue": trialLost,
		"D10, status of a run": trialStatus, "D11, a submission that failed": trialSubmission, "D12, exit status and remedies": trialRemedies,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repeat(t)
		})
	}
}

// A pool is workers that stand by a server.
type pool struct {
	t     *testing.T
	ended chan string // what each said that has ended by itself
	all   []*exec.Cmd
	over  []chan error
}

func (p *pool) start(args ...string) {
	p.t.Helper()
	cmd := command(p.t, args...)
	log := new(bytes.Buffer)
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	over := make(chan error, 1)
	p.all, p.over = append(p.all, cmd), append(p.over, over)
	go func() {
		err := cmd.Wait()
		over <- err
		p.ended <- strings.Join(cmd.Args[1:], " ") + ": " + log.String()
	}()
}

// until waits for a condition as long as all workers stand.
func (p *pool) until(what string, ok func() bool) {
	p.t.Helper()
	waitUntil(p.t, what, func() bool {
		select {
		case said := <-p.ended:
			p.t.Fatalf("a worker ended before %s: %s", what, said)
		default:
		}
		return ok()
	})
}

// stop ends the pool with a signal, and wants each worker to end with the status.
func (p *pool) stop(s syscall.Signal, want int) {
	p.t.Helper()
	for i, cmd := range p.all {
		send(p.t, cmd, s)
		_ = streamtest.Receive(p.t, "a worker to end", p.over[i])
		if got := cmd.ProcessState.ExitCode(); got != want {
			p.t.Errorf("%v ended by %v with %d, want %d", cmd.Args[1:], s, got, want)
		}
	}
}

func newPool(t *testing.T) *pool {
	t.Helper()
	p := &pool{t: t, ended: make(chan string, 16)}
	t.Cleanup(func() {
		for _, cmd := range p.all {
			_ = cmd.Process.Kill() // where the test has failed before
		}
	})
	return p
}

// small are the flags of a run of two units.
func small(more ...string) []string {
	return append([]string{"--end", "1", "--n", "20", "--unit-size", "10", "--temperatures", "0.2", "--time-limit", "1"}, more...)
}

// trialServer starts a server that is killed with the test.
func trialServer(t *testing.T) (url string) {
	t.Helper()
	server, url := startServer(t, filepath.Join(t.TempDir(), "store"))
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait() // killed
	})
	return url
}

func finished(t *testing.T, url, run string) func() bool {
	t.Helper()
	return func() bool {
		out, _ := command(t, "status", "--nats", url, "--run", run).CombinedOutput()
		return strings.Contains(string(out), "run "+run+"  finished")
	}
}

// trialWaits: evaluators before the first run, and one beside two unfinished runs of which one is paused.
func trialWaits(t *testing.T) {
	t.Helper()
	dir, url, p := t.TempDir(), trialServer(t), newPool(t)
	evaluate := []string{"evaluate", "--nats", url, "--evaluators", "1"}
	p.start(evaluate...)
	onServer(t, url, func(js jetstream.JetStream) error {
		kv, err := js.KeyValue(t.Context(), "lcbq_workers")
		if err != nil {
			return err
		}
		p.until("it stands by", func() bool {
			keys, err := kv.Keys(t.Context())
			return err == nil && len(keys) > 0
		})
		return nil
	})
	for _, run := range []string{"rests", "goes"} {
		ok(t, append([]string{"submit", "--nats", url, "--run", run, "-o", filepath.Join(dir, run)}, small()...)...)
		if run == "rests" {
			ok(t, "pause", "--nats", url, "--run", run)
		}
	}
	p.start(evaluate...)
	p.start("generate", "--nats", url)
	p.start("combine", "--nats", url)
	p.until("the run is finished", finished(t, url, "goes"))
	p.stop(syscall.SIGTERM, 0)
}

// trialLine: at 80 columns the line was one of 140, and each second began another.
func trialLine(t *testing.T) {
	t.Helper()
	cmd := command(t, append([]string{"run", "--listen", "127.0.0.1:0", "--evaluators", "1", "-o", filepath.Join(t.TempDir(), "out"), "--sim-tps=3000"}, small("--n", "80")...)...)
	_, terminal, shown := terminalOf(t, cmd)
	if err := unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
		t.Fatal(err)
	}
	err := errors.Join(cmd.Start(), terminal.Close(), cmd.Wait())
	said := streamtest.Receive(t, "the terminal to be left", shown)
	if err != nil {
		t.Fatalf("run: %v\n%s", err, said)
	}
	drawn := 0
	for line := range strings.FieldsFuncSeq(said, func(r rune) bool { return r == '\r' || r == '\n' }) {
		line = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`).ReplaceAllString(line, "")
		if !strings.Contains(line, "/80 ") || !strings.Contains(line, "/s") {
			continue // not of the progress
		}
		drawn++
		if n := utf8.RuneCountInString(line); n > 80 {
			t.Fatalf("a progress line of %d columns on a terminal of 80: %q", n, line)
		}
	}
	if drawn == 0 {
		t.Errorf("no progress is shown:\n%q", said)
	}
}

// trialPasswords: in run.toml, which others could read, and in what fails.
func trialPasswords(t *testing.T) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out")
	var asked atomic.Value
	srv := chatServer(t, &asked)
	at := streamtest.NewGuarded(t, t.TempDir(), "u", "plantedPW1")
	ok(t, append([]string{"submit", "--nats", "nats://u:plantedPW1@" + at, "--engine", "openai", "--model", "tiny", "--endpoint", "http://u:plantedPW2@" + strings.TrimPrefix(srv.URL, "http://") + "/v1?key=plantedK3", "-o", out}, small()...)...)
	config := filepath.Join(out, "run.toml")
	text, err := os.ReadFile(config)
	if err != nil || strings.Contains(string(text), "planted") {
		t.Errorf("run.toml, %v, holds a password:\n%s", err, text)
	}
	if info, err := os.Stat(config); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("run.toml: %v, %v, want mode 0600", info.Mode(), err)
	}
	for _, host := range []string{at, "127.0.0.1:9"} {
		if said, code := in(t, t.TempDir(), "runs", "--nats", "nats://lcbq:plantedBAD@"+host); code == 0 || strings.Contains(said, "planted") {
			t.Errorf("runs with a wrong password = %d:\n%s", code, said)
		}
	}
}

// trialLink: mkdir says that the parent is missing, and its name is there.
func trialLink(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Symlink("nowhere", filepath.Join(dir, "d")); err != nil {
		t.Fatal(err)
	}
	said, code := in(t, dir, append([]string{"submit", "--nats", trialServer(t), "-o", "d/x"}, small()...)...)
	if code != 1 || !strings.Contains(said, "d/x") || strings.Contains(said, "goroutine ") {
		t.Errorf("submit below a link to nowhere = %d, want it refused:\n%.1000s", code, said)
	}
}

// onServer lets f do what natscli did.
func onServer(t *testing.T, url string, f func(js jetstream.JetStream) error) {
	t.Helper()
	js, end := session(t, url)
	defer end()
	if err := f(js); err != nil {
		t.Fatal(err)
	}
}

// trialKey: nats kv put lcbq_runs junk garbage, with a run that goes on.
func trialKey(t *testing.T) {
	t.Helper()
	dir, url, p := t.TempDir(), trialServer(t), newPool(t)
	submit := append([]string{"submit", "--nats", url, "--run", "r1", "-o", filepath.Join(dir, "r1")}, small()...)
	ok(t, submit...)
	onServer(t, url, func(js jetstream.JetStream) error {
		kv, err := js.KeyValue(t.Context(), "lcbq_runs")
		if err == nil {
			_, err = kv.Put(t.Context(), "junk", []byte("garbage"))
		}
		return err
	})
	for _, verb := range []string{"generate", "combine", "evaluate"} {
		p.start(verb, "--nats", url)
	}
	if said, code := in(t, dir, "runs", "--nats", url); code != 0 || !strings.Contains(said, "r1") || !strings.Contains(said, "junk") {
		t.Errorf("runs beside a key that cannot be read = %d, want the run, and the key named:\n%s", code, said)
	}
	ok(t, submit...)
	p.until("the run is finished", finished(t, url, "r1"))
	p.stop(syscall.SIGTERM, 0)
}

// trialLost: nats stream rm EVALUATE, with all units of a run in it.
func trialLost(t *testing.T) {
	t.Helper()
	dir, url, p := t.TempDir(), trialServer(t), newPool(t)
	submit := append([]string{"submit", "--nats", url, "--run", "r1", "-o", filepath.Join(dir, "r1")}, small()...)
	ok(t, submit...)
	p.start("generate", "--nats", url, "--run", "r1")
	onServer(t, url, func(js jetstream.JetStream) error {
		p.until("all units are in EVALUATE", func() bool {
			s, err := js.Stream(t.Context(), "EVALUATE")
			return err == nil && s.CachedInfo().State.Msgs == 2
		})
		err := js.DeleteStream(t.Context(), "EVALUATE")
		if errors.Is(err, nats.ErrTimeout) {
			return nil // it is told twice
		}
		return err
	})
	for _, verb := range []string{"combine", "evaluate"} {
		p.start(verb, "--nats", url)
	}
	said, _ := in(t, dir, "status", "--nats", url, "--run", "r1")
	if !strings.Contains(said, "gone from every queue") {
		t.Errorf("status does not say that units are lost:\n%s", said)
	}
	if said := ok(t, submit...); strings.Contains(said, "0 units published") {
		t.Fatalf("the same submit says %q, want the lost units published", said)
	}
	p.until("the run is finished", finished(t, url, "r1"))
	ok(t, "verify", "--recorded", "--nats", url, filepath.Join(dir, "r1"))
}

// trialStatus: the run's own queues, and that nobody works.
func trialStatus(t *testing.T) {
	t.Helper()
	dir, url := t.TempDir(), trialServer(t)
	for _, run := range []string{"one", "two"} {
		ok(t, append([]string{"submit", "--nats", url, "--run", run, "-o", filepath.Join(dir, run)}, small()...)...)
	}
	ok(t, "cancel", "--nats", url, "--run", "one")
	said := ok(t, "status", "--nats", url, "--run", "one")
	for line := range strings.Lines(said) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "GENERATE" && f[1] != "0" {
			t.Errorf("status of a cancelled run shows the queue of another: %s", line)
		}
	}
	if said := ok(t, "status", "--nats", url, "--run", "two"); !strings.Contains(said, "nobody generates") {
		t.Errorf("status does not say that nobody works:\n%s", said)
	}
}

// trialSubmission: its folder cannot be made, here by anybody, and the run was there all the same.
func trialSubmission(t *testing.T) {
	t.Helper()
	dir, url := t.TempDir(), trialServer(t)
	if said, code := in(t, dir, append([]string{"submit", "--nats", url, "--run", "r1", "-o", "/sys/y"}, small()...)...); code != 1 {
		t.Errorf("submit into /sys = %d, want 1:\n%s", code, said)
	}
	if said := ok(t, "runs", "--nats", url); strings.Contains(said, "r1") {
		t.Errorf("a submission that failed left a run:\n%s", said)
	}
}

// trialRemedies: what was low, and is an answer or a remedy that was wrong.
func trialRemedies(t *testing.T) {
	t.Helper()
	dir, url := t.TempDir(), trialServer(t)
	refuses := func(want string, code int, args ...string) {
		t.Helper()
		if said, got := in(t, dir, args...); got != code || !strings.Contains(said, want) {
			t.Errorf("lcbq %v = %d, want %d and %q:\n%s", args, got, code, want, said)
		}
	}
	refuses("submit", 2, "submt")
	refuses("no file of credentials", 1, "runs", "--nats", url, "--creds", dir)
	submit := append([]string{"submit", "--nats", url, "--run", "r1", "-o", filepath.Join(dir, "r1")}, small()...)
	refuses("12", 2, append(submit, "--end", "300")...)
	ok(t, submit...)
	refuses("time", 1, append(submit, "--time-limit", "2")...)
	// A limit that is not the run's was ignored.
	judge, log, ended := command(t, "evaluate", "--nats", url, "--time-limit", "3"), new(said), make(chan struct{})
	judge.Stderr = log
	if err := judge.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(ended)
		_ = judge.Wait() // its status is what counts
	}()
	waitUntil(t, "the evaluator refuses, or judges", func() bool {
		if strings.Contains(log.String(), `"judging"`) {
			_ = judge.Process.Kill()
		}
		select {
		case <-ended:
			return true
		default:
			return false
		}
	})
	if got := judge.ProcessState.ExitCode(); got != 2 || !strings.Contains(log.String(), "time-limit") {
		t.Errorf("evaluate with another time limit = %d, want it refused:\n%s", got, log)
	}
}
