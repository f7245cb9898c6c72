package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// hosts are network namespaces on one switch, each with an address of its own and no way out.
type hosts struct {
	t      *testing.T
	prefix string
	names  []string
}

var hostsMade atomic.Int64 // sets of hosts that this process made

// newHosts makes them; they go with the test.
func newHosts(t *testing.T, names ...string) *hosts {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make network namespaces")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs ip, of iproute2")
	}
	// Names of namespaces are the machine's: two tests at once must not meet in them.
	h := &hosts{t, fmt.Sprintf("lcbq%d-%d-", os.Getpid(), hostsMade.Add(1)), names}
	t.Cleanup(func() {
		for _, n := range append(names, "switch") {
			_ = exec.Command("ip", "netns", "del", h.prefix+n).Run() //nolint:noctx // the test's context is over; what was not made is not there
		}
	})
	h.ip("netns", "add", h.prefix+"switch")
	h.ip("-n", h.prefix+"switch", "link", "add", "bridge0", "type", "bridge")
	h.ip("-n", h.prefix+"switch", "link", "set", "bridge0", "up")
	for i, n := range names {
		ns := h.prefix + n
		h.ip("netns", "add", ns)
		h.ip("-n", h.prefix+"switch", "link", "add", n, "type", "veth", "peer", "name", "eth0", "netns", ns)
		h.ip("-n", h.prefix+"switch", "link", "set", n, "master", "bridge0", "up")
		h.ip("-n", ns, "address", "add", h.address(i)+"/24", "dev", "eth0")
		h.ip("-n", ns, "link", "set", "eth0", "up")
		h.ip("-n", ns, "link", "set", "lo", "up")
	}
	return h
}

func (h *hosts) ip(args ...string) {
	h.t.Helper()
	if out, err := exec.CommandContext(h.t.Context(), "ip", args...).CombinedOutput(); err != nil {
		h.t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func (h *hosts) address(i int) string { return fmt.Sprint("10.77.0.", i+1) }

// cable plugs a host's cable in, or pulls it out: what is on its way then is lost, and no end is told.
func (h *hosts) cable(name string, in bool) {
	h.t.Helper()
	h.ip("-n", h.prefix+"switch", "link", "set", name, map[bool]string{true: "up", false: "down"}[in])
}

// on is lcbq on a host.
func (h *hosts) on(name string, args ...string) *exec.Cmd {
	h.t.Helper()
	lcbq := command(h.t, args...)
	cmd := exec.CommandContext(h.t.Context(), "ip", append([]string{"netns", "exec", h.prefix + name, lcbq.Path}, args...)...)
	cmd.Env = lcbq.Env
	return cmd
}

// begin starts lcbq on a host. Its log goes on where a former life's ends.
func (h *hosts) begin(name string, log *said, args ...string) *exec.Cmd {
	h.t.Helper()
	cmd := h.on(name, append([]string{"--verbose"}, args...)...)
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = cmd.Process.Kill() }) // it has ended where the test did not fail
	return cmd
}

// TestHostsWithTokens has a run done by hosts that reach each other by network only: a server, two generators, and
// two evaluators that join in the midst of it by tokens. The token of one expires and is replaced; the other is cut
// off for longer than its connection lives, comes back, and has its token revoked for good. What they leave is what
// an undisturbed run leaves.
func TestHostsWithTokens(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	h := newHosts(t, "server", "generator0", "generator1", "evaluator0", "evaluator1")
	dir := t.TempDir()
	store, whole, broken := filepath.Join(dir, "store"), filepath.Join(dir, "whole"), filepath.Join(dir, "broken")
	const perCell = 100
	sweep := []string{"--run", "hosts", "--end", "3", "--n", strconv.Itoa(perCell), "--unit-size", "2", "--temperatures", "0.2:0.8:0.2", "--time-limit", "1"}
	ok(t, append([]string{"run", "-o", whole, "--listen", "127.0.0.1:0", "--evaluators", "1"}, sweep...)...)

	serverLog := new(said)
	server := h.begin("server", serverLog, "server", "--listen", h.address(0)+":4222", "--http", "none", "--store-dir", store, "--ack-wait", "5")
	awaits(t, serverLog, `"serving","url":"tls://`)
	token := func(role, name, ttl, to string) string {
		path := filepath.Join(dir, to)
		says(t, 0, "token", "--role", role, "--name", name, "--ttl", ttl, "--store-dir", store, "--to", path)
		return path
	}
	at := func(creds string) []string {
		return []string{"--nats", "tls://" + h.address(0) + ":4222", "--creds", creds}
	}
	if out, err := h.on("server", slices.Concat([]string{"submit", "-o", broken}, at(token("operator", "", "1h", "operator.creds")), sweep)...).CombinedOutput(); err != nil {
		t.Fatalf("submit: %v\n%s", err, out)
	}
	combine := h.begin("server", new(said), slices.Concat([]string{"combine", "--run", "hosts"}, at(filepath.Join(dir, "operator.creds")))...)
	// So slow that the run cannot be over before all has happened.
	generator := token("generator", "", "1h", "generator.creds")
	slowly := []*exec.Cmd{
		h.begin("generator0", new(said), append([]string{"generate", "--sim-tps", "300"}, at(generator)...)...),
		h.begin("generator1", new(said), append([]string{"generate", "--sim-tps", "300"}, at(generator)...)...),
	}
	judged := func(evaluator *exec.Cmd) int {
		out, err := h.on("server", append([]string{"--json", "status"}, at(filepath.Join(dir, "operator.creds"))...)...).Output()
		var s struct{ Workers []struct{ PID, Units int } }
		if err != nil || json.Unmarshal(out, &s) != nil {
			return 0
		}
		for _, w := range s.Workers {
			if w.PID == evaluator.Process.Pid {
				return w.Units
			}
		}
		return 0
	}
	judgesOn := func(what string, evaluator *exec.Cmd) {
		t.Helper()
		before := judged(evaluator)
		waitUntil(t, what+" judges", func() bool { return judged(evaluator) > before })
	}
	logs := []*said{new(said), new(said)}
	evaluate := func(i int, creds string) *exec.Cmd {
		return h.begin(fmt.Sprint("evaluator", i), logs[i], append([]string{"evaluate", "--evaluators", "1"}, at(creds)...)...)
	}
	again := func(log *said) func() bool {
		before := strings.Count(log.String(), "connected to the server again")
		return func() bool { return strings.Count(log.String(), "connected to the server again") > before }
	}

	lasting := token("evaluator", "one", "1h", "one.creds")
	one := evaluate(1, lasting)
	judgesOn("the second host", one)
	short := token("evaluator", "zero", "20s", "zero.creds")
	zero := evaluate(0, short)
	judgesOn("the first host", zero)

	began := time.Now()
	back := again(logs[1])
	h.cable("evaluator1", false)
	awaits(t, logs[1], "connection to the server lost")
	awaits(t, logs[0], "have a new one made") // its token is over meanwhile
	if out, err := h.on("evaluator0", append([]string{"evaluate", "--until-idle", "1s"}, at(short)...)...).CombinedOutput(); err == nil || !strings.Contains(string(out), "the token was good until") {
		t.Errorf("a worker that begins with an expired token: %v\n%s", err, out)
	}
	renewed := again(logs[0])
	token("evaluator", "zero", "1h", "zero.creds")
	waitUntil(t, "the first host is back with its new token", renewed)
	judgesOn("the first host, with its new token,", zero)
	h.cable("evaluator1", true)
	waitUntil(t, "the second host is back", back)
	t.Logf("the second host was cut off for %v", time.Since(began).Round(time.Second))
	judgesOn("the second host, back again,", one)

	says(t, 0, "token", "--revoke", lasting, "--store-dir", store)
	awaits(t, logs[1], "it was revoked")
	if out, err := h.on("evaluator1", append([]string{"evaluate", "--until-idle", "1s"}, at(lasting)...)...).CombinedOutput(); err == nil || !strings.Contains(string(out), "it was revoked") {
		t.Errorf("a worker that begins with a revoked token: %v\n%s", err, out)
	}
	judgesOn("the first host, alone,", zero)
	if combine.ProcessState != nil || strings.Contains(serverLog.String(), "panic") {
		t.Errorf("the run was over too soon, or the server is not well:\n%s", serverLog)
	}
	end := func(cmd *exec.Cmd) {
		t.Helper()
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if status := wait(t, cmd); status != 0 {
			t.Errorf("%v ends with %d", cmd.Args, status)
		}
	}
	for i, g := range slowly {
		end(g)
		slowly[i] = h.begin(fmt.Sprint("generator", i), new(said), append([]string{"generate"}, at(generator)...)...)
	}
	if status := wait(t, combine); status != 0 {
		t.Errorf("combine ends with %d", status)
	}
	for _, cmd := range append(slowly, zero, one, server) {
		end(cmd)
	}
	compareFolders(t, whole, broken)
	if text := says(t, 0, "verify", broken); !strings.Contains(text, fmt.Sprintf("12 cells, %d samples", 12*perCell)) {
		t.Errorf("verify:\n%s", text)
	}
	t.Logf("units handed out before: %d", strings.Count(logs[0].String()+logs[1].String(), "unit was handed out before"))
}
