package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream/streamtest"
)

// A safe knows secrets and looks for them.
type safe struct {
	t       *testing.T
	secrets []string
	mu      sync.Mutex
	places  int // that were looked at
	titles  int // that had something blanked out
}

// look fails the test where text has a secret.
func (s *safe) look(place, text string) {
	s.t.Helper()
	s.mu.Lock()
	s.places++
	s.mu.Unlock()
	for _, secret := range s.secrets {
		if strings.Contains(text, secret) {
			at := strings.Index(text, secret)
			s.t.Errorf("%s has the secret %q: ...%s", place, secret, text[max(0, at-100):min(len(text), at+len(secret)+20)])
		}
	}
}

// lookInto looks at all files below dir, names included.
func (s *safe) lookInto(dir string) {
	s.t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		s.look(path, path+"\n"+string(b))
		return err
	})
	if err != nil {
		s.t.Error(err)
	}
}

// lookAtMessages looks at every message of every stream, those of the buckets included.
func (s *safe) lookAtMessages(js jetstream.JetStream) (messages int) {
	s.t.Helper()
	ctx := s.t.Context()
	for name := range js.StreamNames(ctx).Name() {
		stream, err := js.Stream(ctx, name)
		if err != nil {
			s.t.Fatal(err)
		}
		last := stream.CachedInfo().State.LastSeq
		for seq := stream.CachedInfo().State.FirstSeq; seq <= last && last > 0; seq++ {
			m, err := stream.GetMsg(ctx, seq)
			if err != nil {
				continue // taken away
			}
			messages++
			s.look(fmt.Sprintf("message %d of %s", seq, name), m.Subject+fmt.Sprint(m.Header)+string(m.Data))
		}
		info, err := json.Marshal(stream.CachedInfo())
		if err != nil {
			s.t.Fatal(err)
		}
		s.look("stream "+name, string(info))
	}
	return messages
}

// run runs lcbq with the given variables, looks at its output and returns it with its exit status. While it runs its title is
// looked at.
func (s *safe) run(env []string, args ...string) (int, string) {
	s.t.Helper()
	cmd := command(s.t, args...)
	cmd.Env = append(cmd.Environ(), env...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait() // the status tells
	}()
	title := fmt.Sprintf("/proc/%d/cmdline", cmd.Process.Pid)
	hidden := false
	for over := false; !over; {
		select {
		case <-done:
			over = true
		case <-time.After(5 * time.Millisecond):
			b, err := os.ReadFile(title)
			if err == nil && strings.Contains(string(b), "***") {
				hidden = true
			}
			if err == nil && hidden {
				s.titles++
				s.look("title of lcbq "+args[0], string(b))
			}
		}
	}
	s.look("output of lcbq "+args[0], out.String())
	return cmd.ProcessState.ExitCode(), out.String()
}

// TestSecretsStayIn plants a secret wherever one can be given, and looks for them in every file, message, line and title that
// runs and failures leave.
func TestSecretsStayIn(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	// The short one has a letter that base64 has not: the report holds enough of that for any other three.
	s := &safe{t: t, secrets: []string{"plantedNATS01", "plantedENDP02", "plantedQUERY03", "plantedAPIKEY04", "plantedHF05", "plantedHUB06", "planted%2FCODED07", "planted/CODED07", "plantedTOKEN08", "p~9"}}
	var asked atomic.Value
	keys := make(map[string]bool)
	var mu sync.Mutex
	inner := chatServer(t, &asked)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		keys[r.Header.Get("Authorization")] = true
		mu.Unlock()
		if r.Header.Get("X-Deny") != "" || strings.HasPrefix(r.URL.Path, "/deny") { // as hosted endpoints do, the key repeated
			http.Error(w, `{"error":{"message":"Incorrect API key provided: `+r.Header.Get("Authorization")+`"}}`, http.StatusUnauthorized)
			return
		}
		inner.Config.Handler.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	host := strings.TrimPrefix(srv.URL, "http://")
	dir := t.TempDir()

	// A run with all in one process.
	endpoint := "http://me:plantedENDP02@" + host + "/v1?key=plantedQUERY03"
	hub := []string{"HF_ENDPOINT=http://x:plantedHUB06@127.0.0.1:9"}
	results := filepath.Join(dir, "results")
	code, out := s.run(hub, "run", "--problems", "sample", "--end", "2", "-n", "2", "--temperatures", "0.2", "--evaluators", "1", "--listen", "127.0.0.1:0", "-v",
		"--endpoint", endpoint, "--api-key", "plantedAPIKEY04", "--hf-token=plantedHF05", "-o", results)
	if code != 0 {
		t.Fatalf("run = %d:\n%s", code, out)
	}
	config := filepath.Join(results, "run.toml")
	if info, err := os.Stat(config); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("run.toml = %v, %v, want mode 0600", info.Mode(), err)
	}
	// The same by its run.toml, without and with the variables that it refers to.
	again := []string{"run", "--config", config, "--listen", "127.0.0.1:0"}
	code, out = s.run(nil, again...)
	if code != 2 || !regexp.MustCompile(`LCBQ_ENDPOINT_PASSWORD is not set`).MatchString(out) {
		t.Errorf("run by run.toml without its variables = %d, want 2 and the variable that is missing:\n%s", code, out)
	}
	code, out = s.run([]string{"LCBQ_ENDPOINT_PASSWORD=plantedENDP02", "LCBQ_ENDPOINT_KEY=plantedQUERY03", "LCBQ_HF_ENDPOINT_PASSWORD=plantedHUB06"}, again...)
	if code != 0 {
		t.Errorf("run by run.toml with its variables = %d:\n%s", code, out)
	}

	// A NATS server of the user's own.
	at := streamtest.NewGuarded(t, filepath.Join(dir, "store"), "u", "plantedNATS01")
	with := "nats://u:plantedNATS01@" + at
	other := filepath.Join(dir, "submitted")
	if code, out := s.run(hub, "submit", "--nats", with, "--endpoint", endpoint, "--api-key", "plantedAPIKEY04", "--end", "1", "-n", "2", "--temperatures", "0.2", "-o", other); code != 0 {
		t.Fatalf("submit = %d:\n%s", code, out)
	}
	worker := start(t, "generate", "-v", "--nats", with, "--endpoint", endpoint, "--api-key", "plantedAPIKEY04")
	conn, err := nats.Connect(with, nats.Timeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "a generator's unit in EVALUATE", func() bool {
		stream, err := js.Stream(t.Context(), "EVALUATE")
		return err == nil && stream.CachedInfo().State.Msgs > 0
	})
	if n := s.lookAtMessages(js); n < 3 { // manifest, unit, heartbeat
		t.Errorf("%d messages were looked at, want manifest, unit and heartbeat", n)
	}
	for _, args := range [][]string{{"status", "--nats", with}, {"runs", "--nats", with, "--json"}, {"verify", "--queues", "--nats", with}} {
		if code, out := s.run(nil, args...); code != 0 {
			t.Errorf("lcbq %v = %d:\n%s", args, code, out)
		}
	}
	interrupt(t, worker)

	// What fails.
	for _, nats := range []string{
		"nats://u:plantedTOKEN08@" + at, "nats://plantedTOKEN08@" + at, "nats://u:planted%2FCODED07@127.0.0.1:9", "nats://u:planted/CODED07@127.0.0.1:9",
		"nats://u:p~9@127.0.0.1:9", "u:plantedTOKEN08@127.0.0.1:9", "nats://u:plantedTOKEN08@127.0.0.1:99999", "nats://u:plantedTOKEN08%zz@h", "nats://u:p~9@" + at,
	} {
		if code, out := s.run(nil, "runs", "--nats", nats); code == 0 {
			t.Errorf("runs with %s succeeded:\n%s", nats, out)
		}
		if code, out := s.run([]string{"NATS_URL=" + nats}, "runs"); code == 0 {
			t.Errorf("runs with NATS_URL=%s succeeded:\n%s", nats, out)
		}
	}
	for _, e := range []string{
		"http://me:plantedENDP02@127.0.0.1:9/v1?key=plantedQUERY03", "http://me:plantedENDP02@" + host + "/deny/v1", "ftp://me:plantedENDP02@h", "http://me:plantedENDP02%zz@h",
		"http://me:p~9@127.0.0.1:9/v1?api_key=plantedQUERY03", "http://plantedTOKEN08@127.0.0.1:9/v1",
	} {
		gone := filepath.Join(dir, "gone")
		if code, out := s.run(nil, "run", "--endpoint", e, "--api_key", "plantedAPIKEY04", "--listen", "127.0.0.1:0", "-o", gone); code == 0 {
			t.Errorf("run with %s succeeded:\n%s", e, out)
		}
	}
	if code, out := s.run(nil, "dataset", "fetch", "v1", "--hf-endpoint", "http://x:plantedHUB06@127.0.0.1:9", "--hf-token", "plantedHF05", "--hf-home", filepath.Join(dir, "hub"), "--hf-offline"); code == 0 {
		t.Errorf("dataset fetch offline succeeded:\n%s", out)
	}
	if code, out := s.run(nil, "runs", "--nats", with, "--nosuchflag=http://a:plantedTOKEN08@h"); code != 2 {
		t.Errorf("an unknown flag = %d, want 2:\n%s", code, out)
	}
	s.lookInto(dir)
	if s.places < 60 {
		t.Errorf("only %d places were looked at", s.places)
	}
	if s.titles == 0 {
		t.Error("no process blanked its title")
	}
	mu.Lock()
	defer mu.Unlock()
	if !keys["Bearer plantedAPIKEY04"] {
		t.Errorf("the endpoint never saw the key, only %v", keys)
	}
}
