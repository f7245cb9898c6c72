package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/streamtest"
	"github.com/lcbq/lcbq/stream/streamtest/patience"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// freePorts returns free ports of this machine, other ones each.
func freePorts(t *testing.T, n int) []string {
	t.Helper()
	var ports []string
	for range n {
		port, release := freePort(t)
		defer release()
		ports = append(ports, port)
	}
	return ports
}

// clusterFlag names servers on this machine as --cluster does: a, b and c.
func clusterFlag(ports []string) string {
	var members []string
	for i, p := range ports {
		members = append(members, string(rune('a'+i))+"=127.0.0.1:"+p)
	}
	return strings.Join(members, ",")
}

// serveCluster starts a cluster of a server on each store, with the keys of the first, and waits until all serve.
func (f *fleet) serveCluster(stores []string, args ...string) {
	f.t.Helper()
	says(f.t, 0, "server", "init", "--store-dir", stores[0])
	keys, err := os.ReadFile(filepath.Join(stores[0], "keys.json"))
	if err != nil {
		f.t.Fatal(err)
	}
	for _, s := range stores[1:] {
		if err := os.MkdirAll(s, 0o700); err != nil {
			f.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(s, "keys.json"), keys, 0o600); err != nil {
			f.t.Fatal(err)
		}
	}
	f.store, f.creds = stores[0], filepath.Join(f.t.TempDir(), "operator.creds")
	says(f.t, 0, "token", "--role", "operator", "--ttl", "0", "--store-dir", f.store, "--to", f.creds)
	ports := freePorts(f.t, 3*len(stores))
	n := len(stores)
	for i, s := range stores {
		f.addServer(fmt.Sprint("server", i), append([]string{
			"--listen", "127.0.0.1:" + ports[n+i], "--http", "127.0.0.1:" + ports[2*n+i], "--store-dir", s, "--cluster", clusterFlag(ports[:n]), "--member", string(rune('a' + i)),
		}, args...)...)
	}
	f.awaitServers()
}

// leader returns the server that leads a stream.
func (f *fleet) leader(t *testing.T, l *look, name string) *member {
	t.Helper()
	var leads *member
	waitUntil(t, name+" has a leader", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), patience.Now(time.Second))
		defer cancel()
		s, err := l.js.Stream(ctx, name)
		if err != nil || s.CachedInfo().Cluster == nil || s.CachedInfo().Cluster.Leader == "" {
			return false
		}
		leads = f.servers[s.CachedInfo().Cluster.Leader[0]-'a']
		return true
	})
	return leads
}

// pause waits until so many more units were judged, and returns the longest time in which none was.
func (l *look) pause(t *testing.T, more int) time.Duration {
	t.Helper()
	ctx, cancel := patience.Context(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	first, most := -1, -1
	longest, last := time.Duration(0), time.Now()
	for {
		judged, finished := l.progress(t)
		if judged > most {
			if first < 0 {
				first = judged
			}
			longest, most, last = max(longest, time.Since(last)), judged, time.Now()
		}
		if first >= 0 && (most >= first+more || finished) {
			return longest
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%d units were judged, want %d more than %d", most, more, first)
		}
	}
}

// TestCluster has a run go on while each of three servers is killed in turn, the one that leads is cut off, and the
// disk of one is full. What it leaves is what an undisturbed run leaves. No consumer is made meanwhile to look at
// anything.
func TestCluster(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	dir := t.TempDir()
	stores := []string{filepath.Join(dir, "a"), filepath.Join(dir, "disk", "b"), filepath.Join(dir, "c")}
	disk, err := mountDisk(t, filepath.Join(dir, "disk"), 96<<20)
	if err != nil {
		t.Logf("no full disk: %v", err)
	}
	f := newFleet(t, *chaosKeep)
	f.serveCluster(stores, "--ack-wait", "5")
	whole, broken := filepath.Join(dir, "whole"), filepath.Join(dir, "broken")
	// In full each server is killed, the leader is cut off, and a disk is filled; else one server is killed, the leader.
	perCell, kills := 30, 1
	if *slow {
		perCell, kills = 100, 3
	}
	sweep := []string{"--end", "2", "--n", strconv.Itoa(perCell), "--unit-size", "2", "--temperatures", "0.2:0.8:0.2", "--time-limit", "1"}
	ok(t, append([]string{"run", "-o", whole, "--listen", "127.0.0.1:0", "--evaluators", "1"}, sweep...)...)
	run := submitRun(t, f, append([]string{"-o", broken}, sweep...))
	l := newLook(t, f, run)
	made := consumersMade(t, l)
	f.work("generator0", "generate", "--sim-tps", "3000") // slow enough to be there at the end
	f.work("generator1", "generate", "--sim-tps", "3000")
	f.work("evaluator0", "evaluate", "--evaluators", "1")
	f.work("evaluator1", "evaluate", "--evaluators", "1")
	f.work("combiner", "combine")
	t.Logf("undisturbed: longest pause %v", l.pause(t, 20))
	leads := f.leader(t, l, stream.Evaluate.Stream())
	for i := range kills {
		m := f.servers[(leads.place+i)%len(f.servers)]
		if m.signal(syscall.SIGKILL) == nil {
			t.Fatalf("%s does not live", m.name)
		}
		t.Logf("%s killed: longest pause %v", m.name, l.pause(t, 15))
		f.awaitHealth(t)
	}
	if *slow {
		leads = f.leader(t, l, stream.Evaluate.Stream())
		leads.signal(syscall.SIGSTOP)
		t.Logf("%s, the leader, cut off: longest pause %v", leads.name, l.pause(t, 15))
		leads.signal(syscall.SIGCONT)
		f.awaitHealth(t)
	}
	if disk != nil && *slow {
		if err := disk.fill(); err != nil {
			t.Fatal(err)
		}
		t.Logf("disk of server1 full: longest pause %v", l.pause(t, 15))
		if err := disk.empty(); err != nil {
			t.Fatal(err)
		}
		f.awaitHealth(t)
	}
	l.pause(t, 1<<20) // to the end
	for _, life := range f.byThemselves() {
		t.Errorf("ended by itself: %s", life)
	}
	if others := made(); len(others) > 0 {
		t.Errorf("consumers were made to look at things: %v", others)
	}
	f.end()
	compareFolders(t, whole, broken)
	proof, err := result.Verify(t.Context(), broken, result.Expectation{N: perCell})
	if err != nil || !proof.OK() || proof.Cells != 8 || proof.Samples != 8*perCell {
		t.Errorf("the folder holds %+v, %v, want %d samples in 8 cells", proof, err, 8*perCell)
	}
}

// awaitHealth waits until every server's /healthz says that it is well, with all that it keeps current.
func (f *fleet) awaitHealth(t *testing.T) {
	t.Helper()
	began := time.Now()
	for _, m := range f.servers {
		url := "http://" + m.args[slices.Index(m.args, "--http")+1] + "/healthz"
		waitUntil(t, m.name+" is well", func() bool {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
			if err != nil {
				return false
			}
			client := http.Client{Timeout: patience.Now(2 * time.Second)}
			resp, err := client.Do(req)
			return err == nil && resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
		})
	}
	t.Logf("all servers are well after %v", time.Since(began).Round(100*time.Millisecond))
}

// consumersMade listens for consumers that are made from now on. The function that it returns tells which they were,
// without those that hand out a run's units.
func consumersMade(t *testing.T, l *look) func() []string {
	t.Helper()
	sub, err := l.js.Conn().SubscribeSync("$JS.EVENT.ADVISORY.CONSUMER.CREATED.>")
	if err != nil {
		t.Fatal(err)
	}
	return func() (others []string) {
		for {
			msg, err := sub.NextMsg(100 * time.Millisecond)
			if err != nil {
				return others
			}
			var said struct{ Stream, Consumer string }
			if err := json.Unmarshal(msg.Data, &said); err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(said.Consumer, "generators-") && !strings.HasPrefix(said.Consumer, "evaluators-") {
				others = append(others, said.Stream+"."+said.Consumer)
			}
		}
	}
}

// TestClusterSettings wants a server whose settings do not fit those of the others to say so and end, and one that
// is alone to say for whom it waits.
func TestClusterSettings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ports := freePorts(t, 4)
	store, copied := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	flags := func(store, members, member string, more ...string) []string {
		return append([]string{"server", "--listen", "127.0.0.1:0", "--http", "none", "--store-dir", store, "--cluster", members, "--member", member}, more...)
	}
	all := clusterFlag(ports[:3])
	wants := func(status int, args []string, words ...string) {
		t.Helper()
		out := says(t, status, args...)
		for _, w := range words {
			if !strings.Contains(out, w) {
				t.Errorf("lcbq %v: missing %q in\n%s", args, w, out)
			}
		}
	}
	wants(2, flags(store, clusterFlag(ports[:1]), "a"), "names 1 servers", "three")
	wants(2, flags(store, clusterFlag(ports[:2]), "a"), "names 2 servers")
	wants(2, flags(store, all, "d"), `--member = "d"`)
	wants(2, flags(store, strings.Replace(all, "b=", "a=", 1), "a"), "two servers are named a")
	wants(2, flags(store, "a=h:1,b=h:1,c=h:2", "a"), "two servers are at h:1")
	wants(2, flags(store, "a=h:1,b=h,c=h:2", "a"), "NAME=HOST:PORT")
	wants(2, flags(store, all, "a", "--insecure"), "--insecure with --cluster")
	wants(2, []string{"server", "--store-dir", store, "--member", "a"}, "want --cluster too")
	wants(1, flags(store, all, "a"), "no keys in the store", "lcbq server init", "copy keys.json")

	says(t, 0, "server", "init", "--store-dir", store)
	keys, err := os.ReadFile(filepath.Join(store, "keys.json"))
	if err == nil {
		err = os.MkdirAll(copied, 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(copied, "keys.json"), keys, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	log := new(said)
	alone := command(t, flags(store, all, "a")...)
	alone.Stderr = log
	if err := alone.Start(); err != nil {
		t.Fatal(err)
	}
	awaits(t, log, "waiting for a quorum of the cluster")
	for _, words := range []string{`"needed":2,"of":3`, "b at 127.0.0.1:" + ports[1] + " (connect: connection refused)", "c at 127.0.0.1:" + ports[2]} {
		if !strings.Contains(log.String(), words) {
			t.Errorf("missing %q in\n%s", words, log)
		}
	}
	// Others that do not fit it. It is at the address that they name it by.
	twice := strings.NewReplacer("a=", "b=", "b=", "a=").Replace(all)
	wants(1, flags(copied, twice, "a"), "calls itself a too", "a --member of its own")
	swapped := strings.NewReplacer("a=", "x=").Replace(all)
	wants(2, flags(copied, swapped, "a"), `--member = "a"`)
	wants(1, flags(copied, swapped, "b"), "calls itself a, here it is named x")
	other := filepath.Join(dir, "other")
	says(t, 0, "server", "init", "--store-dir", other)
	wants(1, flags(other, all, "b"), "has other keys", "copy keys.json")
	if err := alone.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := alone.Wait(); err == nil || alone.ProcessState.ExitCode() != 130 {
		t.Errorf("a server that waits for a quorum ends with %v when it is interrupted, want exit status 130\n%s", err, log)
	}
	// A member's store is no other's, and no cluster takes over the store of a server alone.
	wants(1, flags(store, all, "b"), "of a and not of b")
	wants(1, []string{"server", "--listen", "127.0.0.1:0", "--http", "none", "--store-dir", store}, "the store is that of a server of a cluster, of a", "--member")
	single := filepath.Join(dir, "single")
	server, _ := startServer(t, single)
	interrupt(t, server)
	if err := os.WriteFile(filepath.Join(single, "keys.json"), keys, 0o600); err != nil {
		t.Fatal(err)
	}
	wants(1, flags(single, all, "a"), "the store is that of a server alone", "lcbq help cluster")
	taken, err := net.Listen("tcp", "127.0.0.1:"+ports[3]) //nolint:noctx // binds and closes; nothing to cancel
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close() //nolint:errcheck // nothing was sent
	wants(1, flags(other, strings.Replace(all, ports[0], ports[3], 1), "a"), "port in use", "choose another")
}

// TestReplicas has a run go through a NATS cluster of the user's own, which is given the streams with three copies
// and loses a server meanwhile.
func TestReplicas(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	dir := t.TempDir()
	c := streamtest.NewCluster(t)
	at := []string{"--nats", c.URLs()}
	out := filepath.Join(dir, "out")
	if text := says(t, 2, append([]string{"runs", "--replicas", "2"}, at...)...); !strings.Contains(text, "want 1, 3 or 5") {
		t.Errorf("runs --replicas 2:\n%s", text)
	}
	workers := [][]string{
		{"combine"}, {"generate"}, {"evaluate", "--evaluators", "1"},
	}
	says(t, 0, append([]string{"submit", "-o", out, "--end", "1", "--n", "60", "--unit-size", "2", "--temperatures", "0.2,0.4", "--time-limit", "1"}, at...)...)
	for name, copies := range c.Copies(t) {
		if copies != 3 {
			t.Errorf("stream %s has %d copies, want 3", name, copies)
		}
	}
	if text := says(t, 1, append([]string{"runs", "--replicas", "1"}, at...)...); !strings.Contains(text, "the streams of this server have 3") || !strings.Contains(text, "streams do not grow") {
		t.Errorf("runs --replicas 1:\n%s", text)
	}
	for _, w := range workers {
		cmd := start(t, append(w, at...)...)
		defer interrupt(t, cmd)
	}
	c.StopLeader(t, stream.Evaluate.Stream())
	waitUntil(t, "the run is finished", func() bool { return runsOn(t, at...)[0].State == "finished" })
	if text := says(t, 0, "verify", out); !strings.Contains(text, "2 cells, 120 samples") {
		t.Errorf("verify:\n%s", text)
	}
}
