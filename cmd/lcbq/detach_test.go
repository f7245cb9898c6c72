package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/stream/streamtest"
)

// TestDetached starts a run in a terminal that is closed at once, and wants it to go on to its end, to be
// found and stopped by its folder, and its log to be where it was said to be.
func TestDetached(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	detached := func(results, n string) string {
		t.Helper()
		cmd := command(t, "run", "--detach", "--listen", "127.0.0.1:0", "--end", "2", "--temperatures", "0.2", "--unit-size", "10", "--n", n, "--evaluators", "1", "-o", results)
		master, terminal, shown := terminalOf(t, cmd)
		err := cmd.Start()
		_ = terminal.Close()
		if err == nil {
			err = cmd.Wait()
		}
		said := streamtest.Receive(t, "the terminal to be left by the detached run", shown)
		_ = master.Close()
		if err != nil {
			t.Fatalf("run --detach: %v\n%s", err, said)
		}
		return said
	}
	one := filepath.Join(dir, "one")
	said := detached(one, "40")
	log := filepath.Join(one, "logs", "detached.log")
	for _, want := range []string{"lcbq status -o " + one + " --watch", "lcbq stop -o " + one, log} {
		if !strings.Contains(said, want) {
			t.Errorf("run --detach does not say %q:\n%s", want, said)
		}
	}
	waitUntil(t, "the detached run is finished", func() bool {
		text, err := os.ReadFile(log)
		return err == nil && strings.Contains(string(text), "80 samples in")
	})
	// While its process ends there is no server, and its files are not yet all that there is to read.
	waitUntil(t, "status says that the detached run is whole", func() bool {
		out, code := in(t, dir, "status", one)
		return code == 0 && strings.Contains(out, "samples 80 of 80")
	})
	two := filepath.Join(dir, "two")
	detached(two, "10000")
	if out, code := in(t, dir, "run", "--detach", "--listen", "127.0.0.1:0", "--end", "2", "--temperatures", "0.2", "--unit-size", "10", "--n", "10000", "-o", two); code != 1 ||
		!strings.Contains(out, "start detached run: it ended with status 1: start server: lock store directory") || !strings.Contains(out, "another lcbq runs on this folder") {
		t.Errorf("a second detached run on the folder = %d, want the reason and the remedy:\n%s", code, out)
	}
	if out, code := in(t, dir, "stop", "-o", two); code != 0 || !strings.Contains(out, "processes stopped: 1") {
		t.Errorf("stop of the detached run = %d:\n%s", code, out)
	}
	text, err := os.ReadFile(filepath.Join(two, "logs", "detached.log"))
	if err != nil || !strings.Contains(string(text), "the same command resumes") {
		t.Errorf("the log of the stopped run: %v\n%s", err, text)
	}
	if out, code := in(t, dir, "run", "--detach", "--n", "0", "-o", "three"); code != 2 {
		t.Errorf("run --detach --n 0 = %d, want it refused here:\n%s", code, out)
	}
	if _, err := os.Stat(filepath.Join(dir, "three")); !os.IsNotExist(err) {
		t.Errorf("a refused run made its folder: %v", err)
	}
}
