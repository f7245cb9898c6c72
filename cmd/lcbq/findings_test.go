package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTypeWhatStatusSays types the command that status names for what is wrong, as it stands there, and wants it to help.
func TestTypeWhatStatusSays(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	dir := t.TempDir()
	server, url := startServer(t, filepath.Join(dir, "store"))
	ok(t, "submit", "--nats", url, "--engine", "sim", "--problems", "sample", "--n", "4", "--end", "1", "--temperatures", "0.2", "--run", "r1", "-o", filepath.Join(dir, "out"))
	ok(t, "pause", "--nats", url, "--run", "r1")

	typed := func(what, verb string) []string {
		t.Helper()
		said := ""
		waitUntil(t, "status says: "+what, func() bool {
			said = ok(t, "status", "--nats", url)
			return strings.Contains(said, what)
		})
		_, after, _ := strings.Cut(said, what)
		_, after, found := strings.Cut(after, "type: lcbq "+verb)
		if !found {
			t.Fatalf("after %q status names no %q:\n%s", what, verb, said)
		}
		line, _, _ := strings.Cut(after, "\n")
		return append([]string{verb}, strings.Fields(line)...)
	}
	gone := func(what string) {
		t.Helper()
		waitUntil(t, "status says no longer: "+what, func() bool { return !strings.Contains(ok(t, "status", "--nats", url), what) })
	}

	ok(t, typed("the run is paused since", "resume")...)
	gone("the run is paused since")
	var workers []*exec.Cmd
	workers = append(workers, start(t, typed("nobody generates: ", "generate")...))
	gone("nobody generates: ")
	workers = append(workers, start(t, typed("nobody judges: ", "evaluate")...))
	gone("nobody judges: ")
	workers = append(workers, start(t, typed("nobody writes results: ", "combine")...))
	waitUntil(t, "the run is finished", func() bool { return strings.Contains(ok(t, "status", "--nats", url), "run r1  finished") })
	for _, w := range append(workers, server) {
		interrupt(t, w)
	}
}
