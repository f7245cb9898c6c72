package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/lcbq/lcbq/stream"
)

// backlog and payload are a day's worth of units that nobody has judged yet.
const (
	backlog = 20_000
	payload = 128 << 10
)

// BenchmarkRecovery kills a server with 2.6 GB in its streams and measures how long
// it takes from the start of the next process until it accepts work, and what memory
// it has used by then. cold reads the store from the disk, warm from memory.
func BenchmarkRecovery(b *testing.B) {
	dir := b.TempDir()
	args := []string{"server", "--listen", "127.0.0.1:0", "--store-dir", dir}
	cmd, url := listening(b, "serving", args...)
	fillUp(b, url)
	kill9(b, cmd)
	seq := 0
	for _, cache := range []string{"warm", "cold"} {
		b.Run(cache, func(b *testing.B) {
			var took time.Duration
			var rss int64
			for b.Loop() {
				if cache == "cold" {
					forgetFiles(b, dir)
				}
				began := time.Now()
				cmd, url := listening(b, "serving", args...)
				seq++
				accept(b, url, seq)
				took += time.Since(began)
				rss = max(rss, peakMemory(b, cmd))
				kill9(b, cmd)
			}
			b.ReportMetric(took.Seconds()/float64(b.N), "s/accept")
			b.ReportMetric(float64(rss)/(1<<20), "MiB-rss")
		})
	}
}

// listening starts lcbq and returns when it has logged the message that it serves.
func listening(tb testing.TB, message string, args ...string) (*exec.Cmd, string) {
	tb.Helper()
	cmd := reexec(tb, "lcbq", args...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	var text strings.Builder
	for lines.Scan() {
		text.WriteString(lines.Text() + "\n")
		var line struct{ Msg, URL string }
		if err := json.Unmarshal(lines.Bytes(), &line); err == nil && line.Msg == message {
			go func() { // keep reading, so that the process never blocks on its log
				for lines.Scan() {
				}
			}()
			return cmd, line.URL
		}
	}
	tb.Fatalf("lcbq %v ended before it said %q: %v\n%s", args, message, cmd.Wait(), text.String())
	return nil, ""
}

func kill9(tb testing.TB, cmd *exec.Cmd) {
	tb.Helper()
	if err := cmd.Process.Kill(); err != nil {
		tb.Fatal(err)
	}
	_ = cmd.Wait() // killed, as it says
}

func connectTo(tb testing.TB, url string) jetstream.JetStream {
	tb.Helper()
	js, end := session(tb, url, nats.MaxReconnects(0))
	tb.Cleanup(end)
	return js
}

// fillUp publishes the backlog, bodies that do not compress.
func fillUp(b *testing.B, url string) {
	b.Helper()
	js := connectTo(b, url)
	group, ctx := errgroup.WithContext(b.Context())
	group.SetLimit(32)
	for i := range backlog {
		group.Go(func() error {
			rng := rand.New(rand.NewPCG(uint64(i), 0)) //nolint:gosec // never negative
			body := make([]byte, payload)
			for j := 0; j < len(body); j += 8 {
				x := rng.Uint64()
				for k := range 8 {
					body[j+k] = byte(x >> (8 * k))
				}
			}
			u := stream.Unit{Cell: stream.Cell{Run: "r", Question: i / 1000, Temperature: 700}, Index: i % 1000}
			_, err := js.Publish(ctx, u.Subject(stream.Evaluate), body)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		b.Fatal(err)
	}
}

// accept publishes one unit and returns when the server has stored it.
func accept(b *testing.B, url string, seq int) {
	b.Helper()
	u := stream.Unit{Cell: stream.Cell{Run: "r", Question: 1000, Temperature: 700}, Index: seq}
	if _, err := connectTo(b, url).Publish(b.Context(), u.Subject(stream.Evaluate), []byte("{}")); err != nil {
		b.Fatal(err)
	}
}

// forgetFiles takes the files of dir out of the kernel's memory.
func forgetFiles(b *testing.B, dir string) {
	b.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close() //nolint:errcheck // only read
		if err := f.Sync(); err != nil {
			return err
		}
		return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	})
	if err != nil {
		b.Fatal(err)
	}
}

// peakMemory returns the most memory that the process has held, in bytes.
func peakMemory(b *testing.B, cmd *exec.Cmd) int64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			return kb << 10
		}
	}
	b.Fatal("the kernel does not say how much memory the process has held")
	return 0
}

// BenchmarkResume kills a run of 280,128 units, once while its units are still being
// published and once after, and measures how long it takes from the start of the same
// command until the next unit is judged.
func BenchmarkResume(b *testing.B) {
	port, release := freePort(b)
	dir := filepath.Join(b.TempDir(), "results")
	args := []string{"run", "-o", dir, "--listen", "127.0.0.1:" + port, "--n", "1459", "--unit-size", "1", "--time-limit", "1"}
	release()
	url := "nats://127.0.0.1:" + port
	const units = 1459 * 12 * 16
	for _, published := range []int{units / 4, units} {
		name := fmt.Sprint("published=", published)
		cmd := reexec(b, "lcbq", args...)
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		awaitSeq(b, url, stream.Generate.Stream(), uint64(published)) //nolint:gosec // never negative
		kill9(b, cmd)
		b.Run(name, func(b *testing.B) {
			var took time.Duration
			for b.Loop() {
				began := time.Now()
				cmd := reexec(b, "lcbq", args...)
				if err := cmd.Start(); err != nil {
					b.Fatal(err)
				}
				awaitSeq(b, url, stream.Combine.Stream(), 0)
				took += time.Since(began)
				kill9(b, cmd)
			}
			b.ReportMetric(took.Seconds()/float64(b.N), "s/flowing")
		})
	}
}

// awaitSeq waits until so many messages were ever stored in the stream, or, if least
// is 0, until one more is than when the server was first asked.
func awaitSeq(b *testing.B, url, name string, least uint64) {
	b.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); time.Since(began) < 20*time.Minute; <-tick.C {
		seq, err := lastSeq(b.Context(), url, name)
		if err != nil {
			continue // the server is not there yet
		}
		if least == 0 {
			least = seq + 1
		}
		if seq >= least {
			return
		}
	}
	b.Fatalf("%s did not reach %d messages", name, least)
}

func lastSeq(ctx context.Context, url, name string) (uint64, error) {
	nc, err := keyed(url, nats.MaxReconnects(0))
	if err != nil {
		return 0, err
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		return 0, err
	}
	s, err := js.Stream(ctx, name)
	if err != nil {
		return 0, err
	}
	return s.CachedInfo().State.LastSeq, nil
}

// freePort returns a port that is held until release is called.
func freePort(tb testing.TB) (port string, release func()) {
	tb.Helper()
	p, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // binds; nothing to cancel
	if err != nil {
		tb.Fatal(err)
	}
	_, port, ok := strings.Cut(p.Addr().String(), ":")
	if !ok {
		tb.Fatalf("listen on %v", p.Addr())
	}
	return port, func() {
		if err := p.Close(); err != nil {
			tb.Fatal(err)
		}
	}
}
