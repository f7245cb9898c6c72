package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/lcbq/lcbq/stream/access"
	"github.com/lcbq/lcbq/stream/streamtest/patience"
)

// forged is what a forger sends: it wants to read units and settings by the API, to store verdicts, to enter a worker
// whose process 'lcbq stop' would signal, to delete a stream and to change settings.
var forged = []string{
	"$JS.API.STREAM.MSG.GET.EVALUATE", "$JS.API.STREAM.MSG.GET.KV_lcbq_runs", "$JS.API.STREAM.MSG.GET.OBJ_lcbq_problems", "combine.r9.q0.t0_2.u0000",
	"$KV.lcbq_workers.evaluate.victim", "$KV.lcbq_workers.generate.victim", "$KV.lcbq_runs.r9", "$JS.API.STREAM.DELETE.EVALUATE", "$JS.API.STREAM.PURGE.COMBINE",
	"claims.UABC.2000.r9.q0.t0_2.u0000", "$KV.lcbq_banned.UABC",
}

// falsify is another user's program. Its arguments are a server and a file of credentials, or - for none. It prints what
// the server takes, or that it is not let in.
func falsify(args []string, out io.Writer) error {
	opts := []nats.Option{nats.Timeout(time.Minute), nats.NoReconnect()}
	var token access.Token
	if file := args[1]; file != "-" {
		text, err := os.ReadFile(file)
		if err == nil {
			token, err = access.ParseToken(text)
		}
		if err != nil {
			return err
		}
		opts = append(opts, nats.UserCredentialBytes(text))
		if token.Inbox != "" {
			opts = append(opts, nats.CustomInboxPrefix(token.Inbox))
		}
	}
	if err := errors.Join(syscall.Setgid(1001), syscall.Setuid(1001)); err != nil {
		return err
	}
	var mu sync.Mutex
	refused := make(map[string]bool)
	opts = append(opts, nats.Secure(&tls.Config{InsecureSkipVerify: true}), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { //nolint:gosec // it is after anything
		if _, subject, ok := strings.Cut(err.Error(), `"`); ok && errors.Is(err, nats.ErrPermissionViolation) {
			mu.Lock()
			defer mu.Unlock()
			refused[strings.TrimSuffix(subject, `"`)] = true
		}
	}))
	nc, err := nats.Connect(args[0], opts...)
	if err != nil {
		fmt.Fprintln(out, "not let in:", err)
		return nil
	}
	defer nc.Close()
	const last = "nobodys.subject"
	for _, s := range append(slices.Clone(forged), last) {
		if err := nc.PublishRequest(s, nc.NewRespInbox(), []byte(`{"last_by_subj":"x"}`)); err != nil {
			return err
		}
	}
	for wait := patience.Begin(time.Minute); ; {
		mu.Lock()
		over := refused[last]
		mu.Unlock()
		if over {
			break
		}
		if wait.Over() {
			return errors.New("the server says nothing")
		}
		<-time.After(10 * time.Millisecond)
	}
	for _, s := range forged {
		if !refused[s] {
			fmt.Fprintln(out, "taken", s)
		}
	}
	return nil
}

// flood sends a server what no client of it sends. Its arguments are the server's address, how many connections it
// opens at once, and a file of credentials. It prints how many of each kind the server ended.
func flood(args []string, out io.Writer) error {
	address := args[0]
	many, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	creds, err := os.ReadFile(args[2])
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		n    int
		do   func(c net.Conn)
	}{
		{"idle", many, func(net.Conn) {}},
		{"plain text", 50, func(c net.Conn) {
			fmt.Fprintf(c, "%s", "CONNECT {\"verbose\":false}\r\nPUB combine.r1.q0.t0_2.u0000 2\r\n{}\r\nPING\r\n")
		}},
		{"random bytes", 200, func(c net.Conn) {
			noise := make([]byte, 64<<10)
			_, _ = rand.Read(noise)
			_, _ = c.Write(noise)
		}},
		{"random bytes in TLS", 50, func(c net.Conn) {
			noise := make([]byte, 64<<10)
			_, _ = rand.Read(noise)
			inTLS(c, func(t *tls.Conn, _ string) { _, _ = t.Write(noise) })
		}},
		{"100 MB before a name", 8, func(c net.Conn) {
			inTLS(c, func(t *tls.Conn, _ string) {
				fmt.Fprintf(t, "%s", "PUB combine.r1.q0.t0_2.u0000 104857600\r\n")
				for block := make([]byte, 1<<20); ; {
					if _, err := t.Write(block); err != nil {
						return
					}
				}
			})
		}},
		{"100 MB with a token", 8, func(c net.Conn) { // the client library refuses to send it
			inTLS(c, func(t *tls.Conn, greeting string) {
				if err := introduce(t, greeting, creds); err != nil {
					return
				}
				fmt.Fprintf(t, "%s", "PUB combine.r1.q0.t0_2.u0000 104857600\r\n")
				for block := make([]byte, 1<<20); ; {
					if _, err := t.Write(block); err != nil {
						return
					}
				}
			})
		}},
		{"a line without end", 8, func(c net.Conn) {
			inTLS(c, func(t *tls.Conn, _ string) {
				for block := []byte(strings.Repeat("CONNECT ", 1<<14)); ; {
					if _, err := t.Write(block); err != nil {
						return
					}
				}
			})
		}},
	} {
		var all sync.WaitGroup
		var opened, ended atomic.Int64
		dialling := make(chan struct{}, 100)
		for range f.n {
			all.Go(func() {
				dialling <- struct{}{}
				c, err := net.DialTimeout("tcp", address, 30*time.Second) //nolint:noctx // it has its own end
				<-dialling
				if err != nil {
					return
				}
				defer func() { _ = c.Close() }()
				opened.Add(1)
				_ = c.SetDeadline(time.Now().Add(patience.Longest(patience.Base)))
				f.do(c)
				buf := make([]byte, 4096)
				for {
					if _, err := c.Read(buf); err != nil {
						if !errors.Is(err, os.ErrDeadlineExceeded) {
							ended.Add(1)
						}
						return
					}
				}
			})
		}
		all.Wait()
		fmt.Fprintf(out, "%s: %d opened, %d ended by the server\n", f.name, opened.Load(), ended.Load())
	}
	return nil
}

// introduce shows a token, as the server's greeting asks for it, and waits until it is taken.
func introduce(c net.Conn, greeting string, creds []byte) error {
	var info struct{ Nonce string }
	if err := json.Unmarshal([]byte(strings.TrimPrefix(greeting, "INFO ")), &info); err != nil {
		return err
	}
	signed, err := nkeys.ParseDecoratedJWT(creds)
	if err != nil {
		return err
	}
	key, err := nkeys.ParseDecoratedUserNKey(creds)
	if err != nil {
		return err
	}
	signature, err := key.Sign([]byte(info.Nonce))
	if err != nil {
		return err
	}
	fmt.Fprintf(c, "CONNECT {\"verbose\":false,\"jwt\":%q,\"sig\":%q}\r\nPING\r\n", signed, base64.RawURLEncoding.EncodeToString(signature))
	for lines := bufio.NewReaderSize(c, 1); ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			return err
		}
		if strings.HasPrefix(line, "PONG") {
			return nil
		}
	}
}

// inTLS reads the server's greeting, speaks TLS, and calls f.
func inTLS(c net.Conn, f func(t *tls.Conn, greeting string)) {
	greeting, err := bufio.NewReaderSize(c, 1).ReadString('\n')
	if err != nil {
		return
	}
	t := tls.Client(c, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // it is after anything
	if err := t.HandshakeContext(context.Background()); err != nil {
		return
	}
	f(t, greeting)
}

// sleep reads nothing of what it has a server send. Its arguments are a server and a file of credentials.
func sleep(args []string, out io.Writer) error {
	asleep := new(atomic.Bool)
	nc, err := nats.Connect(args[0], nats.UserCredentials(args[1]), nats.Timeout(time.Minute), nats.NoReconnect(),
		nats.Secure(&tls.Config{InsecureSkipVerify: true}), nats.SetCustomDialer(sleepy{asleep})) //nolint:gosec // it is after anything
	if err != nil {
		return err
	}
	defer nc.Close()
	sub, err := nc.SubscribeSync(nats.NewInbox())
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		return err
	}
	asleep.Store(true)
	for range 30_000 {
		if err := nc.PublishRequest("$JS.API.STREAM.LIST", sub.Subject, nil); err != nil {
			break
		}
	}
	fmt.Fprintln(out, "asked")
	<-time.After(20 * time.Second)
	return nil
}

type sleepy struct{ asleep *atomic.Bool }

func (d sleepy) Dial(network, address string) (net.Conn, error) {
	c, err := net.DialTimeout(network, address, time.Minute) //nolint:noctx // as the library asks
	return sleepyConn{c, d.asleep}, err
}

type sleepyConn struct {
	net.Conn

	asleep *atomic.Bool
}

func (c sleepyConn) Read(p []byte) (int, error) {
	for c.asleep.Load() {
		<-time.After(100 * time.Millisecond)
	}
	return c.Conn.Read(p)
}

// TestSiege has a run go on while another user of the server's host and one of another host forge with every token and
// without one, and while that host floods the port. All of it must be refused, with the reason in the server's log, the
// server's memory stay bounded, and the results be those of an undisturbed run.
func TestSiege(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	honest, _ := undisturbed(t)
	h := newHosts(t, "server", "attacker")
	dir := t.TempDir()
	store, out := filepath.Join(dir, "store"), filepath.Join(dir, "out")
	log := new(said)
	server := h.begin("server", log, "server", "--listen", h.address(0)+":4222", "--http", "none", "--store-dir", store)
	awaits(t, log, `"serving","url":"tls://`)
	url := "tls://" + h.address(0) + ":4222"
	creds := map[string]string{"": "-"}
	for role, args := range map[string][]string{
		"operator": {"--role", "operator"}, "generator": {"--role", "generator"}, "evaluator": {"--role", "evaluator"},
		"guest": {"--role", "evaluator", "--trust", "sample"}, "viewer": {"--role", "viewer"},
	} {
		creds[role] = filepath.Join(dir, role+".creds")
		says(t, 0, append([]string{"token", "--store-dir", store, "--to", creds[role]}, args...)...)
	}
	says(t, 0, "server", "init", "--store-dir", filepath.Join(dir, "other"))
	creds["foreign"] = filepath.Join(dir, "foreign.creds")
	says(t, 0, "token", "--role", "operator", "--store-dir", filepath.Join(dir, "other"), "--to", creds["foreign"])
	at := func(role string) []string { return []string{"--nats", url, "--creds", creds[role]} }
	if out, err := h.on("server", slices.Concat([]string{"submit", "-o", out}, at("operator"), submission(sweep())[1:])...).CombinedOutput(); err != nil {
		t.Fatalf("submit: %v\n%s", err, out)
	}
	workers := []*exec.Cmd{
		h.begin("server", new(said), append([]string{"combine"}, at("operator")...)...),
		h.begin("server", new(said), append([]string{"generate", sweepIn(40 * time.Second)}, at("generator")...)...),
		h.begin("server", new(said), append([]string{"evaluate", "--evaluators", "1"}, at("evaluator")...)...),
	}
	attack := func(host, name string, args ...string) string {
		t.Helper()
		made := reexec(t, name, args...)
		cmd := exec.CommandContext(t.Context(), "ip", append([]string{"netns", "exec", h.prefix + host, made.Path}, args...)...)
		cmd.Env = made.Env
		text, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s %v: %v\n%s", name, args, err, text)
		}
		return string(text)
	}
	worker := []string{"$KV.lcbq_workers.evaluate.victim"}
	for role, takes := range map[string][]string{ // as the table in stream/access/README.md has it
		"evaluator": append([]string{"combine.r9.q0.t0_2.u0000"}, worker...), "guest": worker, "generator": {"$KV.lcbq_workers.generate.victim"}, "viewer": nil,
	} {
		for _, host := range h.names {
			var want strings.Builder
			for _, s := range forged {
				if slices.Contains(takes, s) {
					fmt.Fprintln(&want, "taken", s)
				}
			}
			if got := attack(host, "forger", url, creds[role]); got != want.String() {
				t.Errorf("a forger on host %s with the token of a %s:\n%s\nwant\n%s", host, role, got, &want)
			}
		}
	}
	for _, role := range []string{"", "foreign"} {
		for _, host := range h.names {
			if got := attack(host, "forger", url, creds[role]); !strings.HasPrefix(got, "not let in: ") || !strings.Contains(strings.ToLower(got), "authorization violation") {
				t.Errorf("a forger on host %s with the token %q: %s", host, role, got)
			}
		}
	}
	for _, words := range []string{"authentication error", "Publish Violation", "$JS.API.STREAM.DELETE.EVALUATE", "combine.r9.q0.t0_2.u0000", "$KV.lcbq_runs.r9"} {
		if !strings.Contains(log.String(), words) {
			t.Errorf("the server's log does not say %q", words)
		}
	}
	var sieges sync.WaitGroup
	sieges.Go(func() { t.Log(attack("attacker", "sleeper", url, creds["viewer"])) })
	floods := attack("attacker", "flooder", h.address(0)+":4222", "10000", creds["evaluator"])
	sieges.Wait()
	t.Log(floods)
	for line := range strings.Lines(floods) {
		var opened, ended int
		if _, of, ok := strings.Cut(line, ": "); !ok {
			t.Errorf("the flooder says %q", line)
		} else if _, err := fmt.Sscanf(of, "%d opened, %d ended by the server", &opened, &ended); err != nil || opened == 0 || ended != opened {
			t.Errorf("not every connection was ended: %s", line)
		}
	}
	if n := strings.Count(floods, "\n"); n != 7 {
		t.Errorf("%d floods, want 7", n)
	}
	if n := strings.Count(log.String(), "maximum payload exceeded: 104857600"); n != 8 {
		t.Errorf("the server's log tells of %d messages of 100 MB from who has a token, want 8", n)
	}
	if text, err := h.on("server", append([]string{"status", "--watch", "--every", "1s"}, at("viewer")...)...).CombinedOutput(); err != nil {
		t.Errorf("the run did not end: %v\n%s", err, text)
	}
	const most = 1 << 20 // KiB: 10,000 connections, and 64 MiB for who does not read
	peak := peakKiB(t, server.Process.Pid)
	if peak > most {
		t.Errorf("the server had %d MiB at its worst, want at most %d", peak>>10, most>>10)
	}
	t.Logf("the server had %d MiB at its worst", peak>>10)
	for _, w := range append(workers, server) {
		interrupt(t, w)
	}
	compareFolders(t, honest, out)
}

// peakKiB returns the largest resident size of a process, in KiB.
func peakKiB(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	var n int
	if _, err := fmt.Sscan(rest, &n); err != nil {
		t.Fatal(err)
	}
	return n
}
