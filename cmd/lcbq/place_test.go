package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/embed"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest"
	"github.com/lcbq/lcbq/worker/process"
)

// in runs lcbq in a folder and returns what it says and its exit status.
func in(t *testing.T, dir string, args ...string) (string, int) {
	t.Helper()
	cmd := command(t, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// TestFoundByFolder wants a run found by its folder alone, by every verb, whether its server runs or
// not, and no server of somebody else's taken for it.
func TestFoundByFolder(t *testing.T) {
	t.Parallel()
	here, empty := t.TempDir(), t.TempDir()
	for _, verb := range []string{"status", "stop", "runs", "pause", "evaluate", "combine"} {
		out, code := in(t, empty, verb)
		if code != 1 || !strings.Contains(out, "no server is here: neither results nor .lcbq") || !strings.Contains(out, "name the run's results folder with -o, or the server with --nats") {
			t.Errorf("lcbq %s where nothing is = %d, want it refused with the remedy:\n%s", verb, code, out)
		}
	}
	for _, args := range [][]string{{"status", "-o", empty}, {"stop", empty}, {"runs", "-o", filepath.Join(empty, "none")}} {
		if out, code := in(t, here, args...); code != 1 || !strings.Contains(out, "is no results folder") {
			t.Errorf("lcbq %v = %d, want it refused:\n%s", args, code, out)
		}
	}
	server := command(t, "server", "--listen", "127.0.0.1:0")
	server.Dir = here
	log := new(said)
	server.Stderr = log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	log.await(t, `"serving"`)
	submit := append([]string{"submit", "-o", "one"}, "--end", "1", "--n", "20", "--unit-size", "10", "--temperatures", "0.2", "--run", "one")
	if out, code := in(t, here, submit...); code != 0 {
		t.Fatalf("submit beside its server = %d:\n%s", code, out)
	}
	other := []string{"submit", "-o", filepath.Join(here, "two"), "--store-dir", filepath.Join(here, ".lcbq"), "--end", "1", "--n", "20", "--unit-size", "10", "--temperatures", "0.2", "--run", "two"}
	if out, code := in(t, empty, other...); code != 0 {
		t.Fatalf("submit by --store-dir = %d:\n%s", code, out)
	}
	// Two runs are unfinished: each folder tells which is meant, from anywhere.
	for _, run := range []string{"one", "two"} {
		for _, args := range [][]string{{"status", "-o"}, {"status"}, {"pause", "-o"}, {"resume", "-o"}, {"dead", "list", "-o"}} {
			out, code := in(t, empty, append(args, filepath.Join(here, run))...)
			if code != 0 || args[0] == "status" && !strings.Contains(out, "run "+run+" ") {
				t.Errorf("lcbq %v of %s = %d:\n%s", args, run, code, out)
			}
		}
	}
	if out, code := in(t, empty, "status", filepath.Join(here, "one"), "-o", filepath.Join(here, "two")); code != 2 {
		t.Errorf("two folders = %d, want 2:\n%s", code, out)
	}
	workers := make([]*exec.Cmd, 0, 3)
	for _, verb := range []string{"generate", "evaluate", "combine"} {
		w := command(t, verb)
		w.Dir = here
		if err := w.Start(); err != nil {
			t.Fatal(err)
		}
		workers = append(workers, w)
	}
	waitUntil(t, "both runs are finished", func() bool {
		one, _ := in(t, empty, "status", "-o", filepath.Join(here, "one"))
		two, _ := in(t, empty, "status", "-o", filepath.Join(here, "two"))
		return strings.Contains(one, "finished") && strings.Contains(two, "finished")
	})
	if out, code := in(t, empty, "stop", "-o", filepath.Join(here, "one")); code != 0 || !strings.Contains(out, "processes stopped: 4") {
		t.Errorf("stop by folder = %d:\n%s", code, out)
	}
	for _, p := range append(workers, server) {
		if err := p.Wait(); err != nil {
			t.Errorf("%v: %v", p.Args[1:], err)
		}
	}
	if out, code := in(t, empty, "status", filepath.Join(here, "one")); code != 0 || !strings.Contains(out, "run one  finished") {
		t.Errorf("status of a run that nobody serves = %d:\n%s", code, out)
	}
	if out, code := in(t, empty, "stop", filepath.Join(here, "one")); code != 1 || !strings.Contains(out, "no server runs") {
		t.Errorf("stop of a run that nobody serves = %d:\n%s", code, out)
	}
}

// TestStrangersAreKeptOut wants a run's own server closed to whoever cannot read its folder: natscli by
// the folder's file and lcbq by its address get in, a client without the key does not.
func TestStrangersAreKeptOut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server, url := startServer(t, filepath.Join(dir, "store"))
	defer interrupt(t, server)
	if nc, err := nats.Connect(url); err == nil {
		nc.Close()
		t.Error("a client without the key is connected")
	}
	if out, code := in(t, dir, "runs", "--nats", url); code != 0 {
		t.Errorf("runs --nats of the server's own user = %d:\n%s", code, out)
	}
	cmd := command(t, "runs", "--nats", url)
	cmd.Env = append(cmd.Env, "HOME="+dir, "XDG_CACHE_HOME="+dir) // who knows the address alone
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "Authorization Violation") || !strings.Contains(string(out), "-o or --store-dir") {
		t.Errorf("runs --nats without the key: %v, want it refused with the remedy\n%s", err, out)
	}
	if out, code := in(t, dir, "runs", "--nats", url, "--store-dir", filepath.Join(dir, "store")); code != 0 {
		t.Errorf("runs with the key's folder = %d:\n%s", code, out)
	}
	if out, code := in(t, dir, "server", "--listen", "0.0.0.0:0", "--store-dir", filepath.Join(dir, "store")); code != 1 || !strings.Contains(out, "store directory in use") {
		t.Errorf("a second server on the store = %d:\n%s", code, out)
	}
}

// TestForgedWorkers lets whoever can write on a server's heartbeats name processes of this user's that
// are no lcbq: 'lcbq stop' must signal none of them, and stop the real worker beside them.
func TestForgedWorkers(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t) // asks for no key, as a server of the user's own might
	victim := exec.CommandContext(t.Context(), "sleep", "1000")
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	id, err := process.Of(victim.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	forged := store.Worker{Stage: stream.Generate, Name: "gpu9\x1b[2J", Host: "h", PID: id.PID, Process: id.String(), Slots: 1, Started: 1}
	put := func(w store.Worker) {
		b, err := json.Marshal(w)
		if err != nil {
			t.Fatal(err)
		}
		kv, err := env.JS.KeyValue(t.Context(), "lcbq_workers")
		if err == nil {
			_, err = kv.Put(t.Context(), "generate.gpu9", b)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	put(forged)
	out, code := in(t, t.TempDir(), "stop", "--nats", env.Server.URL())
	if code != 1 || !strings.Contains(out, fmt.Sprintf("not stopped: process %d: no process of this program and user", id.PID)) || strings.Contains(out, "\x1b") {
		t.Errorf("stop with a forged entry alone = %d:\n%s", code, out)
	}
	worker := start(t, "combine", "--nats", env.Server.URL())
	waitForWorker(t, env.Server.URL(), stream.Combine)
	put(forged)
	out, code = in(t, t.TempDir(), "stop", "--nats", env.Server.URL())
	if code != 0 || !strings.Contains(out, "processes stopped: 1") {
		t.Errorf("stop of a worker beside a forged entry = %d:\n%s", code, out)
	}
	if err := worker.Wait(); err != nil {
		t.Errorf("the worker: %v", err)
	}
	if err := victim.Process.Signal(syscall.Signal(0)); err != nil || !id.Alive() {
		t.Errorf("the process of the forged entry: %v, alive %t", err, id.Alive())
	}
	if err := victim.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = victim.Wait() // killed
}

// TestKeyFollowsTheServer wants a worker found by folder to come back to a server that was killed, has a
// new key and another port.
func TestKeyFollowsTheServer(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	dir := t.TempDir()
	st := filepath.Join(dir, "store")
	first, url := startServer(t, st)
	worker, lines := logged(t, "combine", "--store-dir", st)
	waitForLine(t, lines, `"combining"`)
	before, err := embed.ReadAccess(st)
	if err != nil {
		t.Fatal(err)
	}
	kill9(t, first)
	second, again := startServer(t, st)
	waitForLine(t, lines, "connected to the server again")
	go drain(lines)
	after, err := embed.ReadAccess(st)
	if err != nil || after.Token == before.Token || again == url {
		t.Errorf("the second server: %v, key changed %t, address %s after %s", err, after.Token != before.Token, again, url)
	}
	nc, err := keyedBy(again, st)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute)); err != nil {
		t.Error(err)
	}
	interrupt(t, worker)
	interrupt(t, second)
	if _, err := os.Stat(filepath.Join(st, embed.AccessName)); !os.IsNotExist(err) {
		t.Errorf("the key outlives its server: %v", err)
	}
}
