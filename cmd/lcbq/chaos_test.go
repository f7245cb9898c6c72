package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest/patience"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// The defaults are a short version of the harness; `just chaos` is the long one.
var (
	chaosSeed    = flag.Uint64("chaos.seed", 0, "replay TestChaos with this seed; 0 draws one")
	chaosFaults  = flag.Int("chaos.faults", 40, "faults of TestChaos")
	chaosUnits   = flag.Int("chaos.units", 800, "units of TestChaos, at least; a multiple of 32 is made of it")
	chaosKinds   = flag.String("chaos.kinds", "", "kinds of faults of TestChaos, comma-separated; all by default")
	chaosCluster = flag.Bool("chaos.cluster", false, "let three servers serve TestChaos, as a cluster, and disturb each of them")
	chaosKeep    = flag.String("chaos.dir", "", "folder for the logs of TestChaos's processes; by default they go with the test")
)

const (
	// chaosAckWait is the shortest that the server takes well: a worker that is
	// stopped for longer loses its units to another.
	chaosAckWait = 2 * time.Second
	chaosCells   = 2 * 16
	// chaosPace makes the two generators the slowest part, so that no stage runs dry
	// before the last fault: about 25 units of two samples a second.
	chaosPace = 5000
	// chaosPatience is how long nothing may come out of the pipeline. Every fault
	// that lasts is over long before.
	chaosPatience = 3 * time.Minute
)

// TestChaos runs a sweep with a process a worker while processes are killed,
// stopped and restarted, connections cut, held and slowed down, disks filled up and
// clocks shifted, and wants what an undisturbed run leaves.
func TestChaos(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	seed := *chaosSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano()) //nolint:gosec // a seed has no sign
	}
	perCell := max(1, *chaosUnits/chaosCells)
	units := perCell * chaosCells
	t.Logf("seed %d: %d faults over %d units; replay with -chaos.seed", seed, *chaosFaults, units)
	dir := t.TempDir()
	storeDisk, resultsDisk, possible := possibleFaults(t, dir, 64<<20+units*(16<<10), 64<<20+units*(8<<10))
	whole, broken := filepath.Join(dir, "whole"), filepath.Join(dir, "results", "broken")

	sweep := []string{
		"--end", "2", "--n", strconv.Itoa(2 * perCell), "--unit-size", "2", "--temperatures", "0.1:1.6:0.1", "--time-limit", "1",
	}
	undisturbed := append([]string{"run", "-o", whole, "--listen", "127.0.0.1:0", "--evaluators", "2"}, sweep...)
	if out, err := command(t, undisturbed...).CombinedOutput(); err != nil {
		t.Fatalf("undisturbed run: %v\n%s", err, out)
	}

	f := newFleet(t, *chaosKeep)
	ackWait := []string{"--ack-wait", fmt.Sprint(chaosAckWait.Seconds())}
	stores := []string{filepath.Join(dir, "store", "jetstream"), filepath.Join(dir, "store1"), filepath.Join(dir, "store2")}
	if *chaosCluster {
		f.serveCluster(stores, ackWait...)
	} else {
		f.serve(append(ackWait, "--store-dir", stores[0])...)
	}
	run := submitRun(t, f, append([]string{"-o", broken}, sweep...))
	for i := range 2 {
		f.work(fmt.Sprint("generator", i), "generate", "--sim-tps", strconv.Itoa(chaosPace))
		f.work(fmt.Sprint("evaluator", i), "evaluate", "--evaluators", "1")
	}
	f.work("combiner", "combine")
	c := newChaos(f, storeDisk, resultsDisk)
	look := newLook(t, f, run)
	began := time.Now()
	faults := schedule(seed, *chaosFaults, units, len(f.servers), len(f.members()), chaosAckWait, possible)
	if !c.disturb(t, look, faults) {
		return
	}
	t.Logf("%d faults and %d units in %v; %d deliveries of units that were handed out before, %d duplicates refused, %d late ones dropped\n%s",
		len(faults), units, time.Since(began).Round(time.Second), f.heard("unit was handed out before"), f.heard("duplicate refused, the first output stays"),
		f.heard("late duplicate dropped"), c.table())
	for _, m := range f.members() {
		m.mu.Lock()
		t.Logf("%s: %d lives, ended %v", m.name, m.lives, m.ended)
		m.mu.Unlock()
	}
	for _, life := range f.byThemselves() {
		t.Errorf("ended by itself: %s", life)
	}
	f.end()
	compareFolders(t, whole, broken)
	out, err := command(t, "verify", broken).CombinedOutput()
	if err != nil {
		t.Errorf("verify: %v\n%s", err, out)
	}
	proof, err := result.Verify(t.Context(), broken, result.Expectation{N: 2 * perCell})
	if err != nil || !proof.OK() || proof.Samples != 2*units || proof.Cells != chaosCells {
		t.Errorf("the folder holds %+v, %v, want %d samples in %d cells", proof, err, 2*units, chaosCells)
	}
}

// submitRun publishes the run and returns its id.
func submitRun(t *testing.T, f *fleet, args []string) string {
	t.Helper()
	out, err := command(t, slices.Concat([]string{"--json", "submit", "--nats", proxies(f.direct).urls()}, f.key(), args)...).Output()
	if err != nil {
		t.Fatalf("submit: %v", err)
	}
	var said struct{ Run string }
	if err := json.Unmarshal(out, &said); err != nil {
		t.Fatal(err)
	}
	return said.Run
}

// disturb inflicts the faults as the units come out, waits for the end of the run,
// and reports whether there was one.
func (c *chaos) disturb(t *testing.T, look *look, faults []fault) bool {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer func() {
		cancel()
		c.lasting.Wait()
	}()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	most, moved := -1, patience.Begin(chaosPatience)
	for next := 0; ; {
		<-tick.C
		judged, finished := look.progress(t)
		if judged > most {
			most, moved = judged, patience.Begin(chaosPatience)
		}
		if finished && next == len(faults) {
			return true
		}
		if next < len(faults) && (faults[next].at <= most || finished) {
			limited, done := context.WithTimeout(ctx, chaosPatience)
			err := c.inflict(limited, faults[next])
			if faults[next].kind == faultKill || faults[next].kind == faultRestart || faults[next].kind == faultCut || faults[next].kind == faultClock {
				done()
			} else {
				c.lasting.Go(func() { <-limited.Done(); done() })
			}
			if err != nil {
				t.Fatalf("fault %d, %+v: %v", next, faults[next], err)
			}
			if next++; next%100 == 0 {
				t.Logf("%d faults, %d units", next, most)
			}
		}
		if moved.Over() && !finished {
			c.lament(t, fmt.Sprintf("nothing has come out for %v after %d units and %d faults", chaosPatience, most, next), look)
			return false
		}
	}
}

// lament says what can be seen of a fleet that stands still.
func (c *chaos) lament(t *testing.T, why string, look *look) {
	t.Helper()
	var b strings.Builder
	for _, stage := range stream.Stages {
		lag, err := look.queue.Lag(t.Context(), stage)
		fmt.Fprintf(&b, "%s: %+v %v\n", stage, lag, err)
	}
	dead, err := look.queue.DeadUnits(t.Context(), look.run)
	fmt.Fprintf(&b, "dead: %d %v\n", len(dead), err)
	for _, m := range c.members() {
		m.mu.Lock()
		fmt.Fprintf(&b, "--- %s, %d lives, ended %v\n%s\n", m.name, m.lives, m.ended, strings.Join(m.last, "\n"))
		m.mu.Unlock()
	}
	t.Errorf("%s\n%s\n%s", why, c.table(), b.String())
	for _, m := range c.members() {
		m.signal(syscall.SIGQUIT) // its goroutines go to its log
	}
}

// A look is the test's own connection to the fleet's server.
type look struct {
	run   string
	queue *queue.Queue
	store *store.Store
	js    jetstream.JetStream
}

func newLook(t *testing.T, f *fleet, run string) *look {
	t.Helper()
	opts := []nats.Option{nats.Timeout(time.Minute), nats.MaxReconnects(-1), nats.ReconnectWait(50 * time.Millisecond), nats.IgnoreDiscoveredServers(), nats.PingInterval(time.Second)}
	var nc *nats.Conn
	var err error
	if f.creds != "" {
		nc, err = nats.Connect(proxies(f.direct).urls(), append(opts, nats.UserCredentials(f.creds))...)
	} else {
		nc, err = keyedBy(f.direct[0].URL(), f.store, opts...)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), js)
	if err != nil {
		t.Fatal(err)
	}
	return &look{run: run, queue: queue.New(js), store: s, js: js}
}

// progress returns how many units were judged, -1 while the server does not say,
// and whether the run is finished.
func (l *look) progress(t *testing.T) (judged int, finished bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience.Now(time.Second))
	defer cancel()
	s, err := l.js.Stream(ctx, stream.Combine.Stream())
	if err != nil {
		return -1, false
	}
	m, _, err := l.store.Run(ctx, l.run)
	if err != nil {
		return -1, false
	}
	return int(s.CachedInfo().State.LastSeq), m.Finished != 0 //nolint:gosec // a count of units
}
