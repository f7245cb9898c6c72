package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream/streamtest/patience"
)

// TestEachInterruptIsSaid holds the drain of a run up by a model that never answers. The first
// Ctrl-C is said while the request is still held, the second one ends that work, and the run ends
// with 130.
func TestEachInterruptIsSaid(t *testing.T) {
	t.Parallel()
	var asked atomic.Value
	chat := chatServer(t, &asked)
	var once sync.Once
	inHand := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client is gone
		}
		if r.URL.Path == "/tokenize" { // the check before the run, of its longest prompts
			_, _ = fmt.Fprint(w, `{"count": 5, "max_model_len": 100000}`)
			return
		}
		if !bytes.Contains(body, []byte("### Question:")) {
			r.Body = io.NopCloser(bytes.NewReader(body))
			chat.Config.Handler.ServeHTTP(w, r)
			return
		}
		once.Do(func() { close(inHand) })
		<-r.Context().Done()
	}))
	defer srv.Close()
	cmd := command(t, "run", "--engine", "openai", "--endpoint", srv.URL+"/v1", "--end", "1", "--n", "10",
		"--temperatures", "0.3", "-o", filepath.Join(t.TempDir(), "results"), "--listen", "127.0.0.1:0")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer patience.After(time.Minute, func() { _ = cmd.Process.Kill() })() // a hang is a failure, not a time-out of the suite
	go func() {
		select {
		case <-inHand:
			_ = cmd.Process.Signal(syscall.SIGINT) // one that has ended is seen below
		case <-t.Context().Done():
		}
	}()
	var text strings.Builder
	first, second := false, false
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		line := lines.Text()
		text.WriteString(line + "\n")
		switch {
		case !first && strings.Contains(line, "interrupted, finishing what is in hand"):
			first = true
			send(t, cmd, syscall.SIGINT)
		case first && strings.Contains(line, "interrupted again"):
			second = true
		}
	}
	_ = cmd.Wait() // its status is what counts
	if got := cmd.ProcessState.ExitCode(); got != 130 || !first || !second {
		t.Errorf("run ended with %v, want 130; first Ctrl-C said: %v, second: %v\n%s", cmd.ProcessState, first, second, text.String())
	}
}
