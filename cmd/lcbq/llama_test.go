package main

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream/streamtest/patience"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// llamaPackages returns llama.cpp's server and a small real model, as variables name them. .ci/run
// sets them to what it installs.
func llamaPackages(t *testing.T) (program, model string) {
	t.Helper()
	program, ok := os.LookupEnv("LCBQ_LLAMA_SERVER")
	model, ok2 := os.LookupEnv("LCBQ_LLAMA_MODEL")
	if !ok || !ok2 {
		t.Skip("LCBQ_LLAMA_SERVER and LCBQ_LLAMA_MODEL name no llama-server and no model in GGUF: .ci/run installs both")
	}
	return program, model
}

// llamaServer starts llama.cpp's server with a small real model and returns its address.
func llamaServer(t *testing.T) string {
	t.Helper()
	program, model := llamaPackages(t)
	socket := filepath.Join(t.TempDir(), "s.sock")
	cmd := exec.CommandContext(t.Context(), program, "--model", model, "--host", socket, "--device", "none", "--parallel", "4", "--ctx-size", "8192", "--no-webui", "--threads", "2")
	said := new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		if err := <-ended; err == nil {
			t.Error("llama-server ended by itself")
		}
	})
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}
	late, enough := patience.Context(t.Context(), 2*time.Minute)
	defer enough()
	for tick := time.NewTicker(100 * time.Millisecond); ; {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://llama/health", nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := client.Do(req); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return "unix://" + socket
			}
		}
		select {
		case <-tick.C:
		case err := <-ended:
			ended <- err
			t.Fatalf("llama-server ended: %v\n%s", err, said)
		case <-late.Done():
			t.Fatal("llama-server is not ready after two minutes")
		}
	}
}

// TestRealEngine runs a sweep through a real model, adds to it, and proves its counts.
func TestRealEngine(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	endpoint := llamaServer(t)
	dir := filepath.Join(t.TempDir(), "results")
	const most = 48
	for _, n := range []string{"2", "3"} { // the second adds a sample to each cell
		out, err := command(t, "run", "--engine", "openai", "--endpoint", endpoint, "--end", "2", "--n", n, "--unit-size", "2", "--max-tokens", "48",
			"--temperatures", "0.2,1.2", "-o", dir, "--listen", "127.0.0.1:0").CombinedOutput()
		if err != nil {
			t.Fatalf("run: %v\n%s", err, out)
		}
	}
	if out, err := command(t, "verify", dir).CombinedOutput(); err != nil || !strings.Contains(string(out), "4 cells, 12 samples") {
		t.Errorf("verify: %v, want 4 cells of 12 samples\n%s", err, out)
	}
	for question := range 2 {
		s, err := result.ReadSummary(dir, question)
		if err != nil {
			t.Fatal(err)
		}
		if s.Engine != "openai" || s.Simulated || s.Model == "" {
			t.Errorf("summary = %+v, want a real model's", s)
		}
		for _, r := range s.Results {
			if r.N != 3 || r.Tokens < 3 || r.Tokens > 3*most {
				t.Errorf("question %d at %v: %d samples of %d tokens, want 3 of at most %d each", question, r.Temperature, r.N, r.Tokens, most)
			}
		}
	}
}

// TestRealSupervisedEngine runs a sweep through llama.cpp's server that lcbq itself starts and ends.
func TestRealSupervisedEngine(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	program, model := llamaPackages(t)
	f := newFarm(t)
	dir := filepath.Join(f.dir, "results")
	out, err := f.lcbq(t, nil, "run", "--engine", "llama", "--llama", program, "--model", model, "--gpus", "none", "--llama-parallel", "2", "--llama-threads", "1",
		"--end", "1", "--n", "2", "--unit-size", "2", "--max-tokens", "16", "--temperatures", "0.2,1.2", "-o", dir, "--listen", "127.0.0.1:0").CombinedOutput()
	if err != nil {
		t.Fatalf("run: %v\n%s", err, out)
	}
	if out, err := command(t, "verify", dir).CombinedOutput(); err != nil || !strings.Contains(string(out), "2 cells, 4 samples") {
		t.Errorf("verify: %v, want 2 cells of 4 samples\n%s", err, out)
	}
	s, err := result.ReadSummary(dir, 0)
	if err != nil || s.Engine != "llama" || s.Model != filepath.Base(model) || s.Simulated {
		t.Errorf("summary = %+v, %v, want the real model's", s, err)
	}
	for _, r := range s.Results {
		if n := int64(r.N); r.Tokens < n || r.Tokens > 16*n {
			t.Errorf("at %v: %d samples of %d tokens, want at most 16 each", r.Temperature, r.N, r.Tokens)
		}
	}
}
