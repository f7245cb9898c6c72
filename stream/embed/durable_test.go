package embed_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/embed"
	"github.com/lcbq/lcbq/stream/queue"
)

// The child of these tests is a server in a process of its own: childDir names its
// store, childMode whether it syncs, and childTraced, if set, that it has a tracer.
const (
	childDir    = "LCBQ_TEST_STORE"
	childMode   = "LCBQ_TEST_MODE"
	childTraced = "LCBQ_TEST_TRACED"
)

// serveChild runs a server until standard input ends, if this process is a child,
// and reports whether it was one.
func serveChild() bool {
	dir, ok := os.LookupEnv(childDir)
	if !ok {
		return false
	}
	if _, ok := os.LookupEnv(childTraced); ok {
		if err := filterCalls(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return true
		}
	}
	begin := embed.Start
	if mode, _ := os.LookupEnv(childMode); mode == "unsynced" {
		begin = embed.StartUnsynced
	}
	srv, err := begin(embed.Config{Dir: dir, Open: true})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return true
	}
	fmt.Fprintln(os.Stdout, srv.URL())
	_, _ = io.Copy(io.Discard, os.Stdin) // the end of it is what is waited for
	return true
}

// child prepares a server process on dir. Its first line of output is its URL.
func child(t *testing.T, dir, mode string) (cmd *exec.Cmd, out io.Reader) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), childDir+"="+dir, childMode+"="+mode)
	cmd.Stderr = os.Stderr
	if _, err = cmd.StdinPipe(); err != nil { // closed when the test ends
		t.Fatal(err)
	}
	if out, err = cmd.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	return cmd, out
}

func firstLine(t *testing.T, r io.Reader) string {
	t.Helper()
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatalf("the server did not say where it is: %v", err)
	}
	return strings.TrimSpace(line)
}

// A publisher keeps what the server has acknowledged.
type publisher struct {
	mu    sync.Mutex
	next  int
	acked map[stream.Unit]stream.Stage
}

// publish publishes units to all stages from several connections until ctx is done
// or the server is gone.
func (p *publisher) publish(ctx context.Context, t *testing.T, url string) {
	t.Helper()
	var flight sync.WaitGroup
	for range 4 {
		nc, err := nats.Connect(url, nats.Timeout(time.Minute), nats.NoReconnect())
		if err != nil {
			break // killed, as the test wants
		}
		js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
		if err != nil {
			t.Error(err)
			return
		}
		q := queue.New(js)
		flight.Go(func() {
			defer nc.Close()
			for {
				p.mu.Lock()
				p.next++
				n := p.next
				p.mu.Unlock()
				u := stream.Unit{Cell: stream.Cell{Run: "r", Question: n % 7, Temperature: 700}, Index: n}
				stage := stream.Stages[n%3]
				if _, err := q.Publish(ctx, stage, u, body(u)); err != nil {
					return // killed, as the test wants
				}
				p.mu.Lock()
				p.acked[u] = stage
				p.mu.Unlock()
			}
		})
	}
	flight.Wait()
}

// sofar returns a copy of what is acknowledged.
func (p *publisher) sofar() map[stream.Unit]stream.Stage {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.acked)
}

// body is what a unit carries. It can be told from every other and does not
// compress: a few hundred fill more than one of the server's files.
func body(u stream.Unit) stream.Batch {
	noise := make([]byte, 64<<10)
	rng := rand.NewChaCha8([32]byte{byte(u.Index), byte(u.Index >> 8)})
	_, _ = rng.Read(noise) // never fails
	return stream.Batch{Unit: u, Samples: []stream.Sample{{Index: u.Index, Completion: base64.StdEncoding.EncodeToString(noise)}}}
}

// declare makes the streams on a server.
func declare(t *testing.T, url string, within time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	return connect(t, url).Declare(ctx, 1)
}

func connect(t *testing.T, url string) *queue.Queue {
	t.Helper()
	nc, err := nats.Connect(url, nats.Timeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return queue.New(js)
}

// missing returns how many of the acknowledged units a server does not hold as they
// were published.
func missing(t *testing.T, url string, acked map[stream.Unit]stream.Stage) int {
	t.Helper()
	q := connect(t, url)
	lost := 0
	for u, stage := range acked {
		var got stream.Batch
		if err := q.Get(t.Context(), stage, u, &got); err != nil || got.Samples[0].Completion != body(u).Samples[0].Completion {
			lost++
		}
	}
	return lost
}

// TestAcknowledgedOutlivesKill kills a server ten times in the middle of publishing.
func TestAcknowledgedOutlivesKill(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano()) //nolint:gosec // a seed has no sign
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	p := &publisher{acked: make(map[stream.Unit]stream.Stage)}
	for life := range 10 {
		cmd, out := child(t, dir, "synced")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		url := firstLine(t, out)
		if err := declare(t, url, time.Minute); err != nil {
			t.Fatal(err)
		}
		before := len(p.sofar())
		timer := time.AfterFunc(time.Duration(rng.Int64N(int64(300*time.Millisecond))), func() { _ = cmd.Process.Kill() })
		p.publish(t.Context(), t, url)
		timer.Stop()
		_ = cmd.Wait() // killed, as the test wants
		t.Logf("life %d: %d acknowledged", life, len(p.sofar())-before)
	}
	srv := start(t, embed.Config{Dir: dir, Open: true})
	defer stop(t, srv)
	acked := p.sofar()
	if lost := missing(t, srv.URL(), acked); lost > 0 || len(acked) == 0 {
		t.Errorf("%d of %d acknowledged units are lost", lost, len(acked))
	}
}
