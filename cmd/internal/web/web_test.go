package web

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/cmd/internal/snapshot"
	"github.com/lcbq/lcbq/stream"
)

// TestToken: each way to give one, each wrong one, and what each role may do.
func TestToken(t *testing.T) {
	t.Parallel()
	r := newRig(t, small())
	s := r.open(t, "127.0.0.1:0")
	at := strings.TrimSuffix(s.URL, "/")
	cookie := func(token string) []string {
		u, err := url.Parse(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		return []string{"Cookie", "lcbq_" + u.Port() + "=" + token}
	}
	order := []string{"Content-Type", "application/json"}
	for _, c := range []struct {
		method, path string
		headers      []string
		want         int
	}{
		{"GET", "/healthz", nil, 200},
		{"GET", "/readyz", nil, 200},
		{"GET", "/healthz?js-enabled-only=true", nil, 200},
		{"GET", "/healthz?js-enabled-only=perhaps", nil, 400},
		{"GET", "/", nil, 401},
		{"GET", "/", bearer(s.Viewer), 200},
		{"GET", "/", cookie(s.Viewer), 200},
		{"GET", "/", cookie(s.Operator), 200},
		{"GET", "/", cookie("wrong"), 401},
		{"GET", "/?token=wrong", nil, 401},
		{"GET", "/?token=" + s.Viewer, nil, 303},
		{"GET", "/metrics", nil, 401},
		{"GET", "/metrics", bearer("wrong"), 401},
		{"GET", "/metrics", bearer(""), 401},
		{"GET", "/metrics", bearer(s.Viewer[:len(s.Viewer)-1]), 401},
		{"GET", "/metrics", bearer(s.Viewer), 200},
		{"GET", "/metrics?token=" + s.Viewer, nil, 200},
		{"GET", "/metrics", bearer(s.Operator), 200},
		{"GET", "/api/snapshot", nil, 401},
		{"GET", "/api/snapshot", bearer(s.Viewer), 200},
		{"GET", "/api/snapshot?run=../x", bearer(s.Viewer), 400},
		{"GET", "/api/snapshot?run=other", bearer(s.Viewer), 404},
		{"GET", "/api/backlog", nil, 401},
		{"GET", "/api/events", nil, 401},
		{"GET", "/api/dead", bearer(s.Viewer), 200},
		{"GET", "/jsz?streams=true", nil, 401},
		{"GET", "/jsz?streams=true", bearer(s.Viewer), 200},
		{"GET", "/varz", bearer(s.Viewer), 200},
		{"GET", "/connz", nil, 401},
		{"POST", "/api/dead/requeue", order, 401},
		{"POST", "/api/dead/requeue?token=" + s.Operator, order, 401}, // a link must not act
		{"POST", "/api/dead/requeue", append(bearer(s.Viewer), order...), 403},
		{"POST", "/api/dead/requeue", append(bearer(s.Operator), order...), 200},
		{"POST", "/api/dead/requeue", bearer(s.Operator), 415},
		{"POST", "/api/dead/requeue", append(append(cookie(s.Operator), order...), "Sec-Fetch-Site", "cross-site"), 403},
		{"POST", "/api/dead/requeue", append(append(cookie(s.Operator), order...), "Origin", "https://elsewhere.example"), 403},
		{"POST", "/metrics", bearer(s.Viewer), 405},
		{"GET", "/etc/passwd", bearer(s.Viewer), 404},
	} {
		if got := ask(t, c.method, at+c.path, `{"run":"r1"}`, c.headers...); got.status != c.want {
			t.Errorf("%s %s with %q: %d, want %d\n%.200s", c.method, c.path, c.headers, got.status, c.want, got.body)
		}
	}
	got := ask(t, "GET", at+"/?run=r1&token="+s.Viewer, "")
	set := got.header.Get("Set-Cookie")
	if to := got.header.Get("Location"); to != "/?run=r1" || !strings.Contains(set, "HttpOnly") || !strings.Contains(set, "SameSite=Lax") {
		t.Errorf("a link leads to %q with cookie %q", to, set)
	}
	if got := ask(t, "GET", at+"/healthz?stream=EVALUATE&account=x&details=true", ""); got.status != 200 || strings.Contains(got.body, "EVALUATE") {
		t.Errorf("without a token, /healthz tells of streams: %d %s", got.status, got.body)
	}
	for _, name := range []string{"Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy", "Cache-Control"} {
		if ask(t, "GET", at+"/metrics", "").header.Get(name) == "" {
			t.Errorf("no header %s", name)
		}
	}
	if log := r.log.String(); strings.Contains(log, s.Viewer) || strings.Contains(log, s.Operator) {
		t.Errorf("the log holds a token: %s", log)
	}
}

// TestAccessFile: it is the owner's alone, its tokens last over restarts, and one that others could have written is
// not believed.
func TestAccessFile(t *testing.T) {
	t.Parallel()
	r := newRig(t, small())
	path := filepath.Join(r.dir, AccessName)
	read := func() (a Access) {
		t.Helper()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &a); err != nil {
			t.Fatal(err)
		}
		return a
	}
	first := r.open(t, Auto)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the file: %v, %v", info, err)
	}
	a := read()
	if a != first.Access || a.Viewer == a.Operator || len(a.Viewer) < shortestToken {
		t.Errorf("the file says %+v, the server %+v", a, first.Access)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := r.open(t, Auto)
	if second.Access != a {
		t.Errorf("after a restart %+v, want %+v: open pages find the server by its port and token", second.Access, a)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func() error{
		"readable by others": func() error { return os.Chmod(path, 0o644) },
		"a link": func() error {
			other := filepath.Join(t.TempDir(), "x")
			return errors.Join(os.Rename(path, other), os.Symlink(other, path))
		},
		"torn": func() error { return os.WriteFile(path, []byte(`{"viewer_token": "short`), 0o600) },
		"alike": func() error {
			return os.WriteFile(path, fmt.Appendf(nil, `{"viewer_token":%q,"operator_token":%q}`, strings.Repeat("x", 30), strings.Repeat("x", 30)), 0o600)
		},
		"no file":     func() error { return os.Remove(path) },
		"empty token": func() error { return os.WriteFile(path, []byte(`{"viewer_token":"","operator_token":""}`), 0o600) },
	} {
		if err := a.write(r.dir); err != nil {
			t.Fatal(err)
		}
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		got := readAccess(r.dir)
		if got.Viewer == a.Viewer || got.Viewer == got.Operator || len(got.Viewer) < shortestToken || len(got.Operator) < shortestToken {
			t.Errorf("%s: tokens %+v", name, got)
		}
		_ = os.Remove(path)
	}
}

// TestPorts: two servers on one machine both start, and a port that was named and is taken is refused.
func TestPorts(t *testing.T) {
	t.Parallel()
	a, b := newRig(t, small()), newRig(t, small())
	first, second := a.open(t, Auto), b.open(t, Auto)
	if first.URL == second.URL {
		t.Errorf("both at %s", first.URL)
	}
	u, err := url.Parse(first.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{Check(u.Host), func() error {
		_, err := Open(Config{Listen: u.Host, Dir: b.dir, Log: slog.New(slog.DiscardHandler)})
		return err
	}()} {
		if !errors.Is(err, ErrPortInUse) {
			t.Errorf("a taken port: %v", err)
		}
	}
	for _, bad := range []string{"", "8222", "127.0.0.1:port", "127.0.0.1:99999", "here"} {
		if err := Check(bad); !errors.Is(err, ErrAddress) {
			t.Errorf("Check(%q) = %v", bad, err)
		}
	}
	for _, good := range []string{Auto, None, "127.0.0.1:0"} {
		if err := Check(good); err != nil {
			t.Errorf("Check(%q) = %v", good, err)
		}
	}
	s, err := Open(Config{Listen: None})
	if s != nil || err != nil {
		t.Errorf("none: %v, %v", s, err)
	}
	if err := s.Close(); err != nil { // callers do not ask whether there is one
		t.Error(err)
	}
	// Without a place for its tokens an automatic listener is off, with a line; one that was named is an error.
	cfg := Config{Listen: Auto, Dir: filepath.Join(a.dir, "gone"), Log: slog.New(slog.NewTextHandler(&a.log, nil))}
	if s, err := Open(cfg); s != nil || err != nil || !strings.Contains(a.log.String(), "the run goes on without") {
		t.Errorf("without a folder: %v, %v, %s", s, err, &a.log)
	}
	cfg.Listen = "127.0.0.1:0"
	if _, err := Open(cfg); err == nil {
		t.Error("without a folder, an address that was named is served without tokens that anybody knows")
	}
}

// TestBacklog sums what autoscalers want: units and seconds over the runs, without a paused one.
func TestBacklog(t *testing.T) {
	t.Parallel()
	first, second, paused := small(), small(), small()
	second.Run.ID, paused.Run.ID = "r2", "r3"
	paused.Run.Paused = 1
	first.Others = []snapshot.Run{{ID: "r2"}, {ID: "r3"}, {ID: "gone"}}
	r := newRig(t, first)
	r.runs["r2"], r.runs["r3"], r.runs["r1"] = second, paused, first
	s := r.open(t, "127.0.0.1:0")
	read := func(query string) map[string]backlog {
		t.Helper()
		got := ask(t, "GET", s.URL+"api/backlog"+query, "", bearer(s.Viewer)...)
		var all map[string]backlog
		if err := json.Unmarshal([]byte(got.body), &all); err != nil {
			t.Fatalf("%v: %s", err, got.body)
		}
		return all
	}
	all := read("")
	if got, want := all["generate"], (backlog{Units: 8, Waiting: 6, InFlight: 2, Seconds: 4, Workers: 1}); got != want {
		t.Errorf("generate %+v, want %+v", got, want)
	}
	// No rate is known: a second a unit, so that a scaler starts somebody.
	if got, want := all["evaluate"], (backlog{Units: 24, Waiting: 20, InFlight: 4, Seconds: 24}); got != want {
		t.Errorf("evaluate %+v, want %+v", got, want)
	}
	if got := read("?run=r2")["evaluate"].Units; got != 12 {
		t.Errorf("of one run %d units, want 12", got)
	}
	r.set(nil)
	if got := read("")["evaluate"]; got != (backlog{}) {
		t.Errorf("without a run %+v: a scaler wants a number", got)
	}
	r.err = errors.New("no answer")
	if got := ask(t, "GET", s.URL+"api/backlog", "", bearer(s.Viewer)...); got.status != http.StatusServiceUnavailable {
		t.Errorf("without a server %d: nothing waits is no answer", got.status)
	}
}

// TestRequeue puts back what the order names, and says what could not be.
func TestRequeue(t *testing.T) {
	t.Parallel()
	r := newRig(t, small())
	r.dead = []stream.Dead{{Subject: "evaluate.r1.q1.t1_0.u0000", Body: []byte("secret")}, {Subject: "evaluate.r1.q9.t1_0.u0000"}, {Subject: "evaluate.r1.q2.t1_0.u0000"}}
	s := r.open(t, "127.0.0.1:0")
	if got := ask(t, "GET", s.URL+"api/dead", "", bearer(s.Viewer)...); strings.Contains(got.body, "c2VjcmV0") || strings.Count(got.body, `"subject"`) != 3 {
		t.Errorf("the list of units given up: %s", got.body)
	}
	post := func(body string) answer {
		t.Helper()
		return ask(t, "POST", s.URL+"api/dead/requeue", body, append(bearer(s.Operator), "Content-Type", "application/json")...)
	}
	if got := post(`{"run":"r1","subjects":["evaluate.r1.q2.t1_0.u0000"]}`); !strings.Contains(got.body, `"requeued": 1`) {
		t.Errorf("one unit: %s", got.body)
	}
	if got := post(`{"run":"r1"}`); !strings.Contains(got.body, `"requeued": 2`) || !strings.Contains(got.body, "it is there already") {
		t.Errorf("all units: %s", got.body)
	}
	if got := strings.Join(r.requeued, " "); got != "evaluate.r1.q2.t1_0.u0000 evaluate.r1.q1.t1_0.u0000 evaluate.r1.q2.t1_0.u0000" {
		t.Errorf("put back: %s", got)
	}
	for _, bad := range []string{"", "{", `{"run":"*"}`, `{"run":"r1","all":true}`, `{"run":"r1","subjects":"` + strings.Repeat("x", 2<<20) + `"}`} {
		if got := post(bad); got.status != http.StatusBadRequest {
			t.Errorf("order %.30q: %d", bad, got.status)
		}
	}
}

// Follow opens the stream of events and returns what reads the next one of a kind.
func follow(t *testing.T, s *Server) (next func(kind string) string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"api/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.Viewer)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("events: %s", resp.Status)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	return func(kind string) string {
		t.Helper()
		for lines.Scan() {
			if lines.Text() != "event: "+kind {
				continue
			}
			lines.Scan()
			return strings.TrimPrefix(lines.Text(), "data: ")
		}
		t.Fatalf("no event %s: %v", kind, lines.Err())
		return ""
	}
}

// TestEvents: a page gets everything once and then what changes; the state of a server that does not answer is an
// event too, and after it everything comes again.
func TestEvents(t *testing.T) {
	t.Parallel()
	r := newRig(t, small())
	s := r.open(t, "127.0.0.1:0")
	next := follow(t, s)
	var grid gridText
	if err := json.Unmarshal([]byte(next("grid")), &grid); err != nil || len(grid.Questions) != 3 || grid.Questions[0].Cells[0] != [2]int{100, 40} {
		t.Errorf("grid %+v, %v", grid, err)
	}
	if got := next("curve"); !strings.Contains(got, "svg") {
		t.Errorf("curve %.100s", got)
	}
	if got := next("state"); !strings.Contains(got, `"id":"r1"`) || strings.Contains(got, "Title of") {
		t.Errorf("state %.300s", got)
	}
	changed := small()
	changed.Questions[2].Cells[1] = snapshot.Cell{N: 100, Passed: 7}
	r.set(changed)
	if got := next("cells"); got != "[[2,1,100,7]]" {
		t.Errorf("changed cells %s", got)
	}
	r.mu.Lock()
	r.err = errors.New("no answer")
	r.mu.Unlock()
	if got := next("trouble"); !strings.Contains(got, "no answer") {
		t.Errorf("trouble %s", got)
	}
	r.mu.Lock()
	r.err, r.fault = nil, true
	r.mu.Unlock()
	for !strings.Contains(next("trouble"), "no such cell") { // a fault in the drawing
	}
	changed = small()
	changed.Questions[1].Cells[1] = snapshot.Cell{N: 100, Passed: 9}
	r.mu.Lock()
	r.fault, r.runs[""] = false, changed
	r.mu.Unlock()
	grid = gridText{}
	if err := json.Unmarshal([]byte(next("grid")), &grid); err != nil || grid.Questions[1].Cells[1] != [2]int{100, 9} {
		t.Errorf("after the trouble %+v, %v", grid, err)
	}
}
