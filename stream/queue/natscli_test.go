package queue_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/streamtest"
)

// natscli returns the stock `nats` command: from PATH, or where `just tools` puts
// it.
func natscli(t *testing.T) string {
	t.Helper()
	if path, err := exec.LookPath("nats"); err == nil {
		return path
	}
	path := filepath.Join("..", "..", ".bin", "nats")
	if _, err := os.Stat(path); err != nil {
		t.Skip("the nats command is neither in PATH nor in .bin: run `just tools`")
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

// TestNatscliShowsTheLag looks at the streams as an operator does.
func TestNatscliShowsTheLag(t *testing.T) {
	t.Parallel()
	nats := natscli(t)
	env := streamtest.New(t)
	for i := range 5 {
		if _, err := env.Queue.Publish(t.Context(), stream.Evaluate, unit(0, i), stream.Batch{}); err != nil {
			t.Fatal(err)
		}
	}
	env.Serve(t, "r1")
	if _, err := env.Consumer(t, stream.Evaluate, "r1").Next(); err != nil { // one in flight
		t.Fatal(err)
	}
	env.WaitLag(t, stream.Evaluate, 4, 1)
	lag, err := env.Queue.Lag(t.Context(), stream.Evaluate)
	if err != nil || lag.Waiting != 4 || lag.InFlight != 1 || lag.Stored != 5 {
		t.Errorf("Lag = %+v, %v, want 4 waiting, 1 in flight, 5 stored", lag, err)
	}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"stream", "info", "EVALUATE"}, `Messages:\s+5\b`},
		{[]string{"consumer", "info", "EVALUATE", "evaluators-r1"}, `(?s)Outstanding Acks:\s+1\b.*Unprocessed Messages:\s+4\b`},
		{[]string{"consumer", "report", "EVALUATE"}, `evaluators-r1[^\n]*\b1\b[^\n]*\b4\b`},
		{[]string{"stream", "subjects", "EVALUATE"}, `evaluate\.r1\.q0\.t0_7\.u0004`},
		{[]string{"stream", "ls"}, `EVALUATE[^\n]*completions to judge`},
	} {
		cmd := exec.CommandContext(t.Context(), nats, append([]string{"--server", env.Server.URL()}, tt.args...)...)
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "XDG_CONFIG_HOME="+t.TempDir())
		out, err := cmd.CombinedOutput()
		if err != nil || !regexp.MustCompile(tt.want).Match(out) {
			t.Errorf("nats %v: %v, want %s in\n%s", tt.args, err, tt.want, out)
		}
	}
}

// TestNatscliShowsTheLagOfEachRun: the stock tool shows what waits of each run, and Lag
// is the sum.
func TestNatscliShowsTheLagOfEachRun(t *testing.T) {
	t.Parallel()
	nats := natscli(t)
	env := streamtest.New(t)
	serveRuns(t, env, queue.Run{ID: "a"}, queue.Run{ID: "b", Paused: true})
	publishUnits(t, env, "a", 3)
	publishUnits(t, env, "b", 4)
	if _, err := env.Consumer(t, stream.Generate, "a").Next(); err != nil { // one of a's in flight
		t.Fatal(err)
	}
	env.WaitLag(t, stream.Generate, 6, 1)
	var waiting uint64
	inFlight := 0
	for name, paused := range map[string]bool{"generators-a": false, "generators-b": true} {
		cmd := exec.CommandContext(t.Context(), nats, "--server", env.Server.URL(), "consumer", "info", "GENERATE", name, "--json")
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "XDG_CONFIG_HOME="+t.TempDir())
		out, err := cmd.Output()
		var info struct {
			NumPending    uint64 `json:"num_pending"`
			NumAckPending int    `json:"num_ack_pending"`
			Paused        bool   `json:"paused"`
		}
		if err == nil {
			err = json.Unmarshal(out, &info)
		}
		if err != nil || info.Paused != paused {
			t.Errorf("nats consumer info %s: paused %v, %v, want %v\n%s", name, info.Paused, err, paused, out)
		}
		waiting += info.NumPending
		inFlight += info.NumAckPending
	}
	lag, err := env.Queue.Lag(t.Context(), stream.Generate)
	if err != nil || lag.Waiting != waiting || lag.InFlight != inFlight || waiting != 6 || inFlight != 1 {
		t.Errorf("Lag = %+v, %v; the tool shows %d waiting and %d in flight, want 6 and 1", lag, err, waiting, inFlight)
	}
}
