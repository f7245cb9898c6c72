package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/worker/engine/supervise/supervisetest"
	"github.com/lcbq/lcbq/worker/process/processtest"
)

// TestStopWhileStarting stops a generator whose vllm has not said its flags yet and an evaluator whose
// interpreter has not answered, and wants both found, ended and forgotten.
func TestStopWhileStarting(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	server := f.lcbq(t, nil, "server", "--listen", "127.0.0.1:0", "--store-dir", filepath.Join(f.dir, "store"))
	log := f.start(t, server)
	log.await(t, `"msg":"serving"`)
	url := urlOf(log)
	submit := append([]string{"submit", "--nats", url}, submission(f.sweep(filepath.Join(f.dir, "results"), 10)[3:])...)
	if out, err := f.lcbq(t, nil, submit...).CombinedOutput(); err != nil {
		t.Fatalf("submit: %v\n%s", err, out)
	}
	python := filepath.Join(f.dir, "slow-python")
	processtest.Write(t, python, []byte("#!/bin/sh\nexec sleep 1000\n"))
	generate := []string{"generate", "--nats", url, "--vllm", f.args[6], "--gpus", "none", "--logs", filepath.Join(f.dir, "logs")}
	// A start that fails is forgotten.
	if out, err := f.lcbq(t, nil, append(generate, "--vllm", filepath.Join(f.dir, "none"))...).CombinedOutput(); err == nil {
		t.Errorf("generate without vllm:\n%s", out)
	}
	shown, err := f.lcbq(t, nil, "--json", "status", "--nats", url).Output()
	if err != nil || strings.Contains(string(shown), "starting_") {
		t.Errorf("status: %v, want nobody in\n%s", err, shown)
	}
	workers := []*exec.Cmd{
		f.lcbq(t, []string{supervisetest.OldHelp + "=" + supervisetest.SlowHelp}, generate...),
		f.lcbq(t, nil, "evaluate", "--nats", url, "--python", python, "--evaluators", "1"),
	}
	said := make([]*said, len(workers))
	for i, w := range workers {
		said[i] = f.start(t, w)
	}
	until(t, "both wait for another program", func() bool {
		all := fmt.Sprint(f.processes(t))
		return strings.Contains(all, "child importer") && strings.Contains(all, "sleep 1000")
	}, log)
	shown, err = f.lcbq(t, nil, "--json", "status", "--nats", url).Output()
	if err != nil || strings.Count(string(shown), `"name": "starting_`) != 2 {
		t.Errorf("status: %v, want two that start in\n%s", err, shown)
	}
	out, err := f.lcbq(t, nil, "stop", "--nats", url, "--store-dir", filepath.Join(f.dir, "elsewhere")).CombinedOutput()
	if err != nil {
		t.Errorf("stop: %v", err)
	}
	inOrder(t, string(out), "stopping generate starting_", "stopping evaluate starting_", "stopping the lcbq that runs on", "processes stopped: 3")
	for i, w := range workers {
		if status := wait(t, w); status != 0 { // of SIGTERM, with nothing in hand
			t.Errorf("%v ended with %d, want 0:\n%s", w.Args[1:], status, said[i])
		}
	}
	if status := wait(t, server); status != 0 {
		t.Errorf("server ended with %d, want 0:\n%s", status, log)
	}
}
