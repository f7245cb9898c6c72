package main

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/cmd/internal/locate"
	"github.com/lcbq/lcbq/stream/access"
	"github.com/lcbq/lcbq/stream/embed"
	"github.com/lcbq/lcbq/stream/streamtest"
	"github.com/lcbq/lcbq/stream/streamtest/patience"
)

// refused runs lcbq and wants exit status 1 with all of the texts on stderr.
func refused(t *testing.T, args []string, want ...string) {
	t.Helper()
	cmd := command(t, args...)
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("lcbq %v = %v, want exit status 1\n%s", args, err, out)
	}
	for _, text := range want {
		if !strings.Contains(string(out), text) {
			t.Errorf("lcbq %v does not say %q:\n%s", args, text, out)
		}
	}
}

// TestServersThatAreNone: what does not answer, does not speak NATS or has no
// JetStream is refused with a remedy, by every verb that connects.
func TestServersThatAreNone(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	bare := streamtest.NewBare(t)
	results := filepath.Join(t.TempDir(), "results")
	for _, verb := range [][]string{{"status"}, {"runs"}, {"pause"}, {"cancel"}, {"dead", "list"}, {"combine"}, {"submit", "-o", results}} {
		refused(t, append(verb, "--nats", "nats://127.0.0.1:9"), "connect to nats://127.0.0.1:9", "lcbq server", "--wait")
		refused(t, append(verb, "--nats", bare), "no JetStream", "start it with JetStream enabled")
	}
	refused(t, []string{"status", "--nats", strings.Replace(web.URL, "http", "nats", 1)}, "connect to", "name another with --nats")
	if _, err := os.Stat(results); !os.IsNotExist(err) {
		t.Errorf("a refused submit made its results folder: %v", err)
	}
}

// TestNewerStore: a store that a newer lcbq made is refused, and nothing in it is
// touched.
func TestNewerStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store := filepath.Join(dir, "store")
	withStore(t, store, func(js jetstream.JetStream) {
		kv, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "lcbq_runs"})
		if err == nil {
			_, err = kv.Put(t.Context(), "r1", []byte(`{"id":"r1","format":99,"lcbq":"v9.0.0","created_ms":1}`))
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	results := filepath.Join(dir, "results")
	want := []string{"made by a newer lcbq", "format 99", "v9.0.0 or later"}
	refused(t, []string{"server", "--store-dir", store, "--listen", "127.0.0.1:0"}, want...)
	refused(t, []string{"run", "--store-dir", store, "--listen", "127.0.0.1:0", "-o", results, "--end", "1", "--n", "1", "--temperatures", "0.5"}, want...)
	refused(t, []string{"runs", "--store-dir", store}, want...)
	withStore(t, store, func(js jetstream.JetStream) {
		names := js.StreamNames(t.Context())
		for name := range names.Name() {
			if name != "KV_lcbq_runs" {
				t.Errorf("the refused store holds a new stream %s", name)
			}
		}
	})
	if _, err := os.Stat(results); !os.IsNotExist(err) {
		t.Errorf("a refused run made its results folder: %v", err)
	}
}

// withStore serves a store as long as f takes.
func withStore(t *testing.T, dir string, f func(js jetstream.JetStream)) {
	t.Helper()
	srv, err := embed.Start(embed.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	}()
	nc, err := srv.Connect(nats.Timeout(time.Minute))
	js, end := sessionOver(t, nc, err)
	defer end()
	f(js)
}

// waitForLine waits until a line of the process's log holds all of the texts.
func waitForLine(t *testing.T, lines *bufio.Scanner, texts ...string) {
	t.Helper()
	var all []string
	for lines.Scan() {
		all = append(all, lines.Text())
		missing := false
		for _, text := range texts {
			missing = missing || !strings.Contains(lines.Text(), text)
		}
		if !missing {
			return
		}
	}
	t.Fatalf("no line with %q in\n%s", texts, strings.Join(all, "\n"))
}

// logged starts lcbq and returns the lines of its log. A process that says nothing
// more is killed after two minutes of a quiet machine, which ends the lines.
func logged(t *testing.T, args ...string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := command(t, args...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(patience.After(2*time.Minute, func() { _ = cmd.Process.Kill() }))
	return cmd, bufio.NewScanner(stderr)
}

// TestWorkersWaitAndReconnect: a worker that is told to waits for a server that is
// not there yet; it says when the server is lost, and comes back to the next one on
// the same address.
func TestWorkersWaitAndReconnect(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	dir := t.TempDir()
	store := filepath.Join(dir, "store")
	first, url := startServer(t, store)
	interrupt(t, first) // the address is free now, and known
	worker, lines := logged(t, "combine", "--nats", url, "--wait")
	waitForLine(t, lines, "cannot be reached, waiting for it")
	serve := func() *exec.Cmd {
		cmd, log := logged(t, "server", "--listen", strings.TrimPrefix(url, "nats://"), "--store-dir", store)
		waitForLine(t, log, `"serving"`)
		go drain(log)
		return cmd
	}
	second := serve()
	waitForLine(t, lines, `"combining"`)
	if err := second.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = second.Wait() // it was killed
	waitForLine(t, lines, "connection to the server lost, reconnecting")
	third := serve()
	waitForLine(t, lines, "connected to the server again")
	go drain(lines)
	interrupt(t, worker)
	interrupt(t, third)
}

// TestWatchOutlivesTheServer: who looks at a run sees that its server is gone, and sees the run again
// when the next one serves it.
func TestWatchOutlivesTheServer(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	dir := t.TempDir()
	store := filepath.Join(dir, "store")
	first, url := startServer(t, store)
	ok(t, submitArgs(url, "one", filepath.Join(dir, "one"))...)
	watch := command(t, "status", "--nats", url, "--watch", "--every", "100ms")
	shown, complaints := new(said), new(said)
	watch.Stdout, watch.Stderr = shown, complaints
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	shown.await(t, "run one")
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait() // it was killed
	complaints.await(t, "the server does not answer, looking again")
	before := strings.Count(shown.String(), "run one")
	second, log := logged(t, "server", "--listen", strings.TrimPrefix(url, "nats://"), "--store-dir", store)
	waitForLine(t, log, `"serving"`)
	go drain(log)
	waitUntil(t, "the run is shown again", func() bool { return strings.Count(shown.String(), "run one") > before })
	interrupt(t, watch)
	interrupt(t, second)
}

// drain keeps a process from blocking on its log.
func drain(lines *bufio.Scanner) {
	for lines.Scan() {
	}
}

// TestWaitCanBeInterrupted: Ctrl-C ends the waiting, and so does a supervisor, for which that is no failure.
func TestWaitCanBeInterrupted(t *testing.T) {
	t.Parallel()
	for s, want := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 0} {
		cmd, lines := logged(t, "combine", "--nats", "nats://127.0.0.1:9", "--wait")
		waitForLine(t, lines, "cannot be reached, waiting for it")
		go drain(lines)
		send(t, cmd, s)
		if code := wait(t, cmd); code != want {
			t.Errorf("after %v exit status %d, want %d", s, code, want)
		}
	}
}

// waitUntil waits until ok holds, for two minutes of a quiet machine.
func waitUntil(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for wait := patience.Begin(2 * time.Minute); !ok(); <-tick.C {
		if wait.Over() {
			t.Fatal("waited in vain until ", what)
		}
	}
}

// keyed connects to a server of this user's as its own programs do.
func keyed(url string, opts ...nats.Option) (*nats.Conn, error) { return keyedBy(url, "", opts...) }

// keyedBy is keyed with the key of a store directory.
func keyedBy(url, store string, opts ...nats.Option) (*nats.Conn, error) {
	address, key, err := locate.ByAddress(url, store).Reach()
	if err != nil {
		return nil, err
	}
	return nats.Connect(address, append(append(key, nats.Timeout(time.Minute)), opts...)...)
}

// tokened connects by a file of credentials that 'lcbq token' made, and says what that is.
func tokened(url, creds string, opts ...nats.Option) (*nats.Conn, access.Token, error) {
	token, err := access.ReadToken(creds)
	if err != nil {
		return nil, token, err
	}
	ca, err := access.ClientTLS(token.CA)
	if err != nil {
		return nil, token, err
	}
	opts = append(opts, nats.UserCredentials(creds), nats.Secure(ca), nats.Timeout(time.Minute))
	if token.Inbox != "" {
		opts = append(opts, nats.CustomInboxPrefix(token.Inbox))
	}
	nc, err := nats.Connect(url, opts...)
	return nc, token, err
}

// session begins a session with a server of this user's; the function ends it.
func session(tb testing.TB, url string, opts ...nats.Option) (jetstream.JetStream, func()) {
	tb.Helper()
	nc, err := keyed(url, opts...)
	return sessionOver(tb, nc, err)
}

// sessionOver is session over a connection, which it takes over; err says why there is none.
func sessionOver(tb testing.TB, nc *nats.Conn, err error) (jetstream.JetStream, func()) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		nc.Close()
		tb.Fatal(err)
	}
	return js, nc.Close
}

// seedOf returns the key in a file of credentials, which nothing may tell.
func seedOf(tb testing.TB, creds string) string {
	tb.Helper()
	text, err := os.ReadFile(creds)
	if err != nil {
		tb.Fatal(err)
	}
	_, seed, _ := strings.Cut(string(text), "-----BEGIN USER NKEY SEED-----\n")
	seed, _, _ = strings.Cut(seed, "\n")
	if seed == "" {
		tb.Fatalf("%s has no key", creds)
	}
	return seed
}
