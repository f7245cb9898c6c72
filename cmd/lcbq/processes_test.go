package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream/streamtest/patience"
)

// TestProcessesShareARun does what `lcbq run` does with a process a worker, one
// evaluator joining while the backlog falls, and wants the same files.
func TestProcessesShareARun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	whole, _ := undisturbed(t)
	shared := filepath.Join(dir, "shared")
	server, url := startServer(t, filepath.Join(dir, "store"))
	submit := append([]string{"--json", "submit", "--nats", url, "-o", shared}, submission(sweep()[1:])...)
	for range 2 { // the second submission is a no-op
		if out, err := command(t, submit...).CombinedOutput(); err != nil {
			t.Fatalf("submit: %v\n%s", err, out)
		}
	}
	workers := []*exec.Cmd{
		start(t, "generate", "--nats", url), start(t, "combine", "--nats", url), start(t, "evaluate", "--nats", url, "--evaluators", "1"),
	}
	waitForFile(t, filepath.Join(shared, "q0", "t0_2_combined.json"))
	workers = append(workers, start(t, "evaluate", "--nats", url, "--evaluators", "1"))
	if out, err := command(t, "status", "--nats", url, "--watch", "--every", "50ms").CombinedOutput(); err != nil {
		t.Fatalf("status --watch: %v\n%s", err, out)
	}
	checkStatus(t, url)
	for _, w := range append(workers, server) {
		interrupt(t, w)
	}
	compareFolders(t, whole, shared)
}

// checkStatus reads the state of the finished run as a program does. An evaluator that has just started may be shown
// twice for a moment: as one that starts, and as itself.
func checkStatus(t *testing.T, url string) {
	t.Helper()
	waitUntil(t, "status says that the run is whole and two evaluators are here", func() bool {
		out, err := command(t, "--json", "status", "--nats", url).Output()
		if err != nil {
			t.Fatalf("status: %v", err)
		}
		var p struct {
			Run struct {
				Samples, Cells struct{ Done int }
			}
			Workers []struct {
				Stage string `json:"stage"`
			} `json:"workers"`
		}
		if err := json.Unmarshal(out, &p); err != nil {
			t.Fatal(err)
		}
		evaluators := 0
		for _, w := range p.Workers {
			if w.Stage == "evaluate" {
				evaluators++
			}
		}
		if want := 16 * sweepSamples(); p.Run.Samples.Done != want || p.Run.Cells.Done != 16 {
			t.Fatalf("status says %d samples, %d cells; want %d, 16", p.Run.Samples.Done, p.Run.Cells.Done, want)
		}
		return evaluators == 2
	})
}

// startServer starts `lcbq server` on a free port and returns its address.
func startServer(t *testing.T, store string) (*exec.Cmd, string) {
	t.Helper()
	cmd := command(t, "server", "--listen", "127.0.0.1:0", "--store-dir", store)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		var line struct{ Msg, URL string }
		if err := json.Unmarshal(lines.Bytes(), &line); err == nil && line.Msg == "serving" {
			go func() { // keep reading, so that the server never blocks on its log
				for lines.Scan() {
				}
			}()
			return cmd, line.URL
		}
	}
	t.Fatalf("server ended before it served: %v", cmd.Wait())
	return nil, ""
}

func start(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := command(t, args...)
	cmd.Stderr = new(bytes.Buffer)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// interrupt stops a process with the signal of Ctrl-C and wants a good end: 0 of
// the server, 130 of a worker.
func interrupt(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Errorf("interrupt %v: %v", cmd.Args[1:], err)
	}
	defer patience.After(time.Minute, func() { _ = cmd.Process.Kill() })() // a hang is a failure, not a time-out of the suite
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 130) {
		t.Errorf("%v = %v\n%v", cmd.Args[1:], err, cmd.Stderr)
	}
}
