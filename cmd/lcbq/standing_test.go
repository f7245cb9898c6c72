package main

import (
	"bytes"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream/streamtest/patience"
)

// TestWorkersThatEndByThemselves starts evaluators as a rented box does, and wants each to end by itself, in good
// order, for the reason that was named.
func TestWorkersThatEndByThemselves(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	dir := t.TempDir()
	server, url := startServer(t, filepath.Join(dir, "store"))
	ok(t, submitArgs(url, "one", filepath.Join(dir, "one"))...)
	for _, c := range []struct {
		flags string
		says  string
	}{
		{"--for 1s", "the time of --for is over"},
		{"--until-idle 1s", "there was nothing to do for 1s"}, // the run is there, and nothing in it to judge
		{"--idle-exit 1s", "there was nothing to do for 1s"},
		{"--for 1s --until-idle 1h", "the time of --for is over"},
	} {
		p := start(t, append([]string{"evaluate", "--nats", url, "--evaluators", "1"}, strings.Fields(c.flags)...)...)
		stop := patience.After(2*time.Minute, func() { _ = p.Process.Kill() })
		err := p.Wait()
		stop()
		said, isBuffer := p.Stderr.(*bytes.Buffer)
		if err != nil || !isBuffer || !strings.Contains(said.String(), c.says) {
			t.Errorf("evaluate %s = %v, want exit status 0 and %q\n%v", c.flags, err, c.says, p.Stderr)
		}
	}
	ok(t, "cancel", "--nats", url)
	p := start(t, "evaluate", "--nats", url, "--evaluators", "1", "--until-idle", "1s") // there is no run to wait at
	defer patience.After(2*time.Minute, func() { _ = p.Process.Kill() })()
	if err := p.Wait(); err != nil {
		t.Errorf("evaluate without a run = %v\n%v", err, p.Stderr)
	}
	interrupt(t, server)
}

// TestSystemdIsTold listens where systemd would, and wants a server and a worker to say when they are ready,
// that they live, and when they stop.
func TestSystemdIsTold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server, url := startServer(t, filepath.Join(dir, "store"))
	for _, args := range [][]string{
		{"server", "--listen", "127.0.0.1:0", "--http", "none", "--store-dir", filepath.Join(dir, "other")},
		{"evaluate", "--nats", url, "--evaluators", "1"},
	} {
		path := filepath.Join(t.TempDir(), "notify")
		socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		p := command(t, args...)
		p.Env = append(p.Env, "NOTIFY_SOCKET="+path, "WATCHDOG_USEC=400000")
		p.Stderr = new(bytes.Buffer)
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		hear := func() string {
			buf := make([]byte, 4096)
			if err := socket.SetReadDeadline(time.Now().Add(patience.Longest(patience.Base))); err != nil {
				t.Fatal(err)
			}
			n, err := socket.Read(buf)
			if err != nil {
				t.Fatalf("%s: nothing is said: %v\n%v", args[0], err, p.Stderr)
			}
			return string(buf[:n])
		}
		if got := hear(); got != "READY=1" {
			t.Errorf("%s first says %q, want READY=1", args[0], got)
		}
		for range 2 {
			if got := hear(); got != "WATCHDOG=1" {
				t.Errorf("%s says %q, want WATCHDOG=1", args[0], got)
			}
		}
		interrupt(t, p)
		last := ""
		for last != "STOPPING=1" {
			if last = hear(); last != "STOPPING=1" && last != "WATCHDOG=1" {
				t.Fatalf("%s says %q", args[0], last)
			}
		}
		if err := socket.Close(); err != nil {
			t.Error(err)
		}
	}
	interrupt(t, server)
}
