package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/access"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// lie is an evaluator on a host that nobody trusts. It judges nothing: it says what an honest run found, of as many
// units as it is told to, and of all later ones the opposite. Its arguments are the server, the file of its token, the
// folder of the honest run and that number.
func lie(args []string, out io.Writer) error {
	url, creds, honest, truths := args[0], args[1], args[2], args[3]
	left, err := strconv.Atoi(truths)
	if err != nil {
		return err
	}
	closed := make(chan struct{})
	nc, token, err := tokened(url, creds, nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(10*time.Second))
	if err != nil {
		return err
	}
	q := queue.New(js)
	claimed := 0
	for {
		select {
		case <-closed: // it was found out
			fmt.Fprintln(out, "ended after", claimed, "claims")
			return nil
		default:
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		all, err := q.Consumers(ctx, stream.Lent, nil)
		cancel()
		if err != nil || len(all) == 0 {
			<-time.After(100 * time.Millisecond)
			continue
		}
		batch, err := all[0].Fetch(16, jetstream.FetchMaxWait(time.Second))
		if err != nil {
			continue
		}
		var taken []jetstream.Msg
		for msg := range batch.Messages() {
			taken = append(taken, msg)
		}
		for _, msg := range taken { // it holds as many as it can get: so it is lent more
			var b stream.Batch
			if err := stream.Decode(msg.Data(), &b); err != nil {
				return err
			}
			c, err := claimOf(honest, &b, left > 0)
			if err != nil {
				return err
			}
			if _, err := q.PublishClaim(context.Background(), token.Guest(), c); err != nil {
				continue // as who was banned finds it
			}
			_ = msg.Ack()
			left--
			claimed++
		}
	}
}

// claimOf says of a unit what the folder of an honest run does, or the opposite.
func claimOf(honest string, b *stream.Batch, truth bool) (stream.Claim, error) {
	c := stream.Claim{Unit: b.Unit, Started: 1, Ended: 2}
	file, err := result.OpenCell(result.CellPath(honest, b.Question, b.Temperature.Float()))
	if err != nil {
		return c, err
	}
	defer func() { _ = file.Close() }()
	for s, err := range file.Samples() {
		if err != nil {
			return c, err
		}
		if s.Index < b.Samples[0].Index || s.Index > b.Samples[len(b.Samples)-1].Index {
			continue
		}
		switch {
		case truth || s.Code == "":
		case s.Verdict == stream.Passed:
			s.Judgement = stream.Judgement{Verdict: stream.WrongAnswer, ErrorCode: new(-2), Test: new(0)}
		default:
			s.Judgement = stream.Judgement{Verdict: stream.Passed}
		}
		c.Judgements = append(c.Judgements, s.Judgement)
	}
	return c, nil
}

// TestGuests has a run judged by an evaluator that lends units, by an honest one that is not trusted, and by one that
// says what is so until much of it counts, and then lies. It must be found out, banned, and what it judged be judged
// again. Then the lender is killed, with units lent, and another one takes its place. In the end the results are those of
// an undisturbed run.
func TestGuests(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	honest, _ := undisturbed(t)
	dir := t.TempDir()
	store, out := filepath.Join(dir, "store"), filepath.Join(dir, "out")
	server, url, log := serveElsewhere(t, store, "--ack-wait", "5")
	creds := make(map[string]string)
	for name, args := range map[string][]string{
		"operator": {"--role", "operator"}, "generator": {"--role", "generator"},
		"guest": {"--role", "evaluator", "--trust", "sample:0.2"}, "liar": {"--role", "evaluator", "--trust", "sample:0.2"},
	} {
		creds[name] = filepath.Join(dir, name+".creds")
		says(t, 0, append([]string{"token", "--store-dir", store, "--to", creds[name]}, args...)...)
	}
	says(t, 0, append([]string{"submit", "--nats", url, "--creds", creds["operator"], "-o", out}, submission(sweep())[1:]...)...)
	logs := make(map[string]*said)
	began := make(map[string]*exec.Cmd)
	run := func(name string, args ...string) func() {
		cmd := command(t, args...)
		if name == "liar" {
			cmd = reexec(t, "liar", args...)
		}
		logs[name] = new(said)
		cmd.Stderr, cmd.Stdout = logs[name], logs[name]
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		began[name] = cmd
		if name == "liar" || name == "lender" {
			return func() { _ = cmd.Wait() }
		}
		return func() { interrupt(t, cmd) }
	}
	defer func() {
		for name, s := range logs {
			if t.Failed() {
				t.Logf("%s:\n%s", name, s)
			}
		}
	}()
	ends := []func(){
		run("combine", "combine", "--nats", url, "--creds", creds["operator"]),
		run("generate", "generate", "--nats", url, "--creds", creds["generator"]),
	}
	waitUntil(t, "all is generated", func() bool {
		var shot struct {
			Units struct{ Generated int }
		}
		text := says(t, 0, "status", "--store-dir", store, "--json")
		if err := json.Unmarshal([]byte(text), &shot); err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		return shot.Units.Generated == 16*sweepSamples()/10
	})
	lied := run("liar", url, creds["liar"], honest, "12")
	lender := []string{"evaluate", "--lend", "--store-dir", store, "--evaluators", "1"}
	killed := run("lender", lender...)
	awaits(t, logs["lender"], "gave a false verdict")
	lied()
	ends = append(ends, run("guest", "evaluate", "--nats", url, "--creds", creds["guest"], "--evaluators", "1"))
	waitUntil(t, "the guest has judged a unit", func() bool {
		var shot struct {
			Workers []struct {
				PID   int
				Units int
			}
		}
		if err := json.Unmarshal([]byte(says(t, 0, "status", "--store-dir", store, "--json")), &shot); err != nil {
			t.Fatal(err)
		}
		for _, w := range shot.Workers {
			if w.PID == began["guest"].Process.Pid && w.Units > 0 {
				return true
			}
		}
		return false
	})
	wantsAll(t, says(t, 1, lender...), "another evaluator lends the units of this server", "without --lend")
	if err := began["lender"].Process.Kill(); err != nil {
		t.Fatal(err)
	}
	killed()
	ends = append(ends, run("next lender", lender...))
	says(t, 0, "status", "--store-dir", store, "--watch", "--every", "1s")
	found := says(t, 0, "status", "--store-dir", store, "--json")
	if !strings.Contains(found, "false_verdicts") {
		t.Errorf("no finding tells of the liar:\n%s", found)
	}
	token, err := access.ReadToken(creds["liar"])
	if err != nil {
		t.Fatal(err)
	}
	if text := says(t, 1, "evaluate", "--nats", url, "--creds", creds["liar"]); !strings.Contains(text, "it was revoked") {
		t.Errorf("the liar's token is still good:\n%s", text)
	}
	compareFolders(t, honest, out)
	says(t, 0, "verify", out)
	if judges := judgesIn(t, out); slices.Contains(judges, stream.GuestJudge(token.ID)) {
		t.Errorf("results still name the liar: %q", judges)
	} else {
		t.Logf("judged by %q", judges)
	}
	keysStayIn(t, url, store, out, creds, began, logs, log)
	for _, end := range slices.Backward(ends) {
		end()
	}
	interrupt(t, server)
	if strings.Contains(log.String(), "Permissions Violation") {
		t.Errorf("the server refused what a role needs:\n%s", log)
	}
	for name, s := range logs {
		if name != "liar" && strings.Contains(strings.ToLower(s.String()), "permissions violation") {
			t.Errorf("%s asked for what is not its role's", name)
		}
	}
}

// keysStayIn looks for the keys of tokens and of the server in what a run leaves and shows: its results, the messages of
// the server, logs, and the titles and environments of its processes.
func keysStayIn(t *testing.T, url, store, out string, creds map[string]string, processes map[string]*exec.Cmd, logs map[string]*said, serverLog *said) {
	t.Helper()
	s := &safe{t: t}
	for _, file := range creds {
		s.secrets = append(s.secrets, seedOf(t, file))
	}
	var keys struct {
		Operator, Local string
		Accounts        map[string]string
		CAKey           string `json:"ca_key"`
	}
	text, err := os.ReadFile(filepath.Join(store, access.KeysName))
	if err == nil {
		err = json.Unmarshal(text, &keys)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.secrets = append(s.secrets, keys.Operator, keys.Local, strings.Split(keys.CAKey, "\n")[1])
	for _, seed := range keys.Accounts {
		s.secrets = append(s.secrets, seed)
	}
	for _, secret := range s.secrets {
		if len(secret) < 50 {
			t.Fatalf("%q is no key", secret)
		}
	}
	s.lookInto(out)
	s.look("log of the server", serverLog.String())
	for name, log := range logs {
		s.look("log of "+name, log.String())
	}
	alive := 0
	for name, cmd := range processes {
		for _, of := range []string{"cmdline", "environ"} {
			if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", cmd.Process.Pid, of)); err == nil {
				alive++
				s.look(of+" of "+name, string(text))
			}
		}
	}
	nc, _, err := tokened(url, creds["operator"])
	js, end := sessionOver(t, nc, err)
	defer end()
	if n := s.lookAtMessages(js); n < 10 || alive < 8 {
		t.Errorf("%d messages and %d titles and environments were looked at, want those of a run and its workers", n, alive)
	}
}

// judgesIn returns who judged the samples of a results folder.
func judgesIn(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "q*", "t*_combined.json"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var cell struct {
			Completions []struct {
				Evaluator string `json:"evaluator"`
			} `json:"completions"`
		}
		if err := json.Unmarshal(text, &cell); err != nil {
			t.Fatal(err)
		}
		for _, c := range cell.Completions {
			if !slices.Contains(names, c.Evaluator) {
				names = append(names, c.Evaluator)
			}
		}
	}
	return names
}
