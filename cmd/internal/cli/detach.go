package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream/embed"
	"github.com/lcbq/lcbq/worker/lcb/result"
	"github.com/lcbq/lcbq/worker/process"
)

// detachedName is the file of a results folder's logs in which a detached run's words are.
const detachedName = "detached.log"

// detach starts the same command in a session of its own, which no terminal's end reaches, and returns
// when its server runs. All that can be wrong has been looked at.
func detach(a *app, cfg config.Config) error {
	args := slices.DeleteFunc(slices.Clone(a.args), func(arg string) bool {
		name, _, _ := strings.Cut(arg, "=")
		return name == "--detach"
	})
	logs := filepath.Join(cfg.OutputDir, result.LogsName)
	if err := os.MkdirAll(logs, 0o755); err != nil {
		return fmt.Errorf("make folder of logs: %w\nchoose an --output-dir that you may write to", err)
	}
	path := filepath.Join(logs, detachedName)
	log, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open log of detached run: %w", err)
	}
	defer func() { _ = log.Close() }() // the child has its own
	before, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("read log of detached run: %w", err)
	}
	cmd := exec.Command("/proc/self/exe", args...) //nolint:noctx // it outlives this process, which is the point
	cmd.Args[0] = os.Args[0]
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start detached run: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // its status tells
	}()
	store := storeDir(cfg.Store, cfg.OutputDir)
	tick := time.NewTicker(lookEvery / 10)
	defer tick.Stop()
	for !runsOn(store, cmd.Process.Pid) {
		select {
		case <-tick.C:
		case <-ended:
			return fmt.Errorf("start detached run: it ended with status %d: %s\nall that it said is in %s", cmd.ProcessState.ExitCode(), lastWords(path, before), path)
		case <-a.ctx.Done():
			return fmt.Errorf("%w: process %d goes on starting; 'lcbq stop -o %s' ends it", errInterrupted, cmd.Process.Pid, cfg.OutputDir)
		}
	}
	if a.json {
		return a.printJSON(map[string]any{"pid": cmd.Process.Pid, "results": cfg.OutputDir, "log": path})
	}
	fmt.Fprintf(a.out, "started as process %d, which goes on when this terminal is closed\nwatch it:  lcbq status -o %s --watch\nstop it:   lcbq stop -o %s; the same command goes on with it\nits log:   %s\n",
		cmd.Process.Pid, cfg.OutputDir, cfg.OutputDir, path)
	return nil
}

// lastWords returns what a detached run said last in its log, after what was there before: the reason why
// it ended, with the remedy, or else the end of what it printed.
func lastWords(path string, before int64) string {
	text, err := os.ReadFile(path)
	if err != nil || int64(len(text)) <= before {
		return "it said nothing"
	}
	words := strings.TrimSpace(string(text[before:]))
	var said struct{ Err, Why, Remedy string }
	if json.Unmarshal([]byte(words[strings.LastIndexByte(words, '\n')+1:]), &said) == nil {
		if reason := cmp.Or(said.Err, said.Why); reason != "" {
			return strings.TrimSuffix(reason+"\n"+said.Remedy, "\n")
		}
	}
	const most = 5 // lines of what is no error of lcbq's
	if _, reason, found := strings.Cut("\n"+words, "\nlcbq: "); found {
		return reason
	}
	lines := strings.Split(words, "\n")
	return strings.Join(lines[max(0, len(lines)-most):], "\n")
}

// runsOn reports whether a process is the one that runs the server on a store directory, and whether the server is
// ready.
func runsOn(store string, pid int) bool {
	o, err := embed.OwnerOf(store)
	if err != nil {
		return false
	}
	id, err := process.Parse(o.Process)
	if err != nil || id.PID != pid {
		return false
	}
	_, err = embed.ReadAccess(store)
	return err == nil
}
