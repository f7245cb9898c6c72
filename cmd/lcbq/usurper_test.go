package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/store"
)

// usurp speaks with the token of a plain evaluator. It was handed no unit, and says of each unit of every run that all of it
// passed: once before anybody judged it, and again and again while it is judged. Where it finds the true verdicts of another
// unit it takes their receipt. Its arguments are the server and the file of its token.
func usurp(args []string, out io.Writer) error {
	nc, _, err := tokened(args[0], args[1])
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		return err
	}
	q := queue.New(js)
	s, err := store.Open(context.Background(), js)
	if err != nil {
		return err
	}
	runs, _, err := s.Runs(context.Background())
	if err != nil {
		return err
	}
	receipt, stored := "", 0
	for pass := 1; ; pass++ {
		for _, m := range runs {
			for task := range m.AllTasks() {
				lie := stream.Scored{Batch: stream.Batch{Unit: task.Unit, Generator: "usurper", Receipt: receipt}, Evaluator: "usurper", Fingerprint: "usurper"}
				for i := range task.N {
					lie.Samples = append(lie.Samples, stream.Sample{Index: task.First + i, Code: "print(1)", FinishReason: "stop"})
					lie.Judgements = append(lie.Judgements, stream.Judgement{Verdict: stream.Passed})
				}
				fresh, err := q.Publish(context.Background(), stream.Combine, task.Unit, lie)
				if err != nil {
					return err
				}
				if fresh {
					stored++
					continue
				}
				var honest stream.Scored
				if q.Get(context.Background(), stream.Combine, task.Unit, &honest) == nil && honest.Receipt != "" {
					receipt = honest.Receipt
				}
			}
		}
		fmt.Fprintf(out, "pass %d: %d stored\n", pass, stored)
		<-time.After(5 * time.Second)
	}
}

// TestUsurper has the token of a plain evaluator say of all units of two runs that they passed, before an honest evaluator
// comes and while it judges. The results must be those of an undisturbed run, and status must say that somebody forged.
func TestUsurper(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	honest, _ := undisturbed(t)
	dir := t.TempDir()
	store, out, small := filepath.Join(dir, "store"), filepath.Join(dir, "out"), filepath.Join(dir, "small")
	server, url, log := serveElsewhere(t, store)
	creds := make(map[string]string)
	for name, role := range map[string]string{"operator": "operator", "generator": "generator", "evaluator": "evaluator", "usurper": "evaluator"} {
		creds[name] = filepath.Join(dir, name+".creds")
		says(t, 0, "token", "--role", role, "--store-dir", store, "--to", creds[name])
	}
	at := func(name string) []string { return []string{"--nats", url, "--creds", creds[name]} }
	says(t, 0, slices.Concat([]string{"submit", "-o", out}, at("operator"), submission(sweep())[1:])...)
	says(t, 0, slices.Concat([]string{"submit", "-o", small, "--end", "1", "--n", "40", "--unit-size", "10", "--temperatures", "0.2", "--time-limit", "1"}, at("operator"))...)
	logs := make(map[string]*said)
	begin := func(name string, args ...string) func() {
		cmd := command(t, args...)
		if name == "usurper" {
			cmd = reexec(t, name, args...)
		}
		logs[name] = new(said)
		cmd.Stderr, cmd.Stdout = logs[name], logs[name]
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return func() {
			if name != "usurper" {
				interrupt(t, cmd)
				return
			}
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	defer func() {
		for name, s := range logs {
			if t.Failed() {
				t.Logf("%s:\n%.20000s", name, s)
			}
		}
	}()
	ends := []func(){begin("usurper", url, creds["usurper"])}
	awaits(t, logs["usurper"], fmt.Sprintf("pass 1: %d stored", 16*sweepSamples()/10+4))
	for _, name := range []string{"generator", "evaluator"} {
		verb := map[string]string{"generator": "generate", "evaluator": "evaluate"}[name]
		args := append([]string{verb}, at(name)...)
		if name == "evaluator" {
			args = append(args, "--evaluators", "1")
		}
		ends = append(ends, begin(name, args...))
	}
	ends = append(ends, begin("combine", append([]string{"combine"}, at("operator")...)...))
	waitUntil(t, "both runs are finished", func() bool { return strings.Count(says(t, 0, "runs", "--store-dir", store), "finished") == 2 })
	compareFolders(t, honest, out)
	for _, folder := range []string{out, small} {
		says(t, 0, "verify", folder)
		if judges := judgesIn(t, folder); len(judges) != 1 || judges[0] == "usurper" {
			t.Errorf("%s was judged by %q, want the honest evaluator alone", folder, judges)
		}
	}
	for _, end := range slices.Backward(ends) {
		end()
	}
	text := says(t, 0, "status", "--store-dir", store, "--json")
	var shot struct {
		Findings []struct{ Code, Text string }
		Units    struct{ Dead, Lost int }
	}
	if err := json.Unmarshal([]byte(text), &shot); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if i := slices.IndexFunc(shot.Findings, func(f struct{ Code, Text string }) bool { return f.Code == "forged_units" }); i < 0 || !strings.Contains(shot.Findings[i].Text, "combine.") || shot.Units.Dead+shot.Units.Lost != 0 {
		t.Errorf("status says\n%s", text)
	}
	interrupt(t, server)
	if strings.Contains(log.String(), "Permissions Violation") || strings.Contains(log.String(), "Publish Violation") {
		t.Errorf("the server refused what a role needs, or what the forger did is no longer possible:\n%s", log)
	}
}
