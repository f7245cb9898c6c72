package notify

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lcbq/lcbq/stream/streamtest/patience"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func names(events []Event) string {
	var out []string
	for _, e := range events {
		out = append(out, e.Event)
	}
	return strings.Join(out, " ")
}

// TestWatch walks a run through its life by a clock of its own.
func TestWatch(t *testing.T) {
	t.Parallel()
	type step struct {
		minute float64
		State
		want string
	}
	for name, steps := range map[string][]step{
		"done once": {
			{0, State{Work: 1}, ""},
			{1, State{Work: 2, Finished: true}, "done"},
			{2, State{Work: 2, Finished: true}, ""},
			{60, State{Work: 2, Finished: true}, ""},
		},
		"done before the first look is no news": {{0, State{Work: 2, Finished: true}, ""}, {1, State{Work: 2, Finished: true}, ""}},
		"raised and done again": {
			{0, State{Work: 2, Finished: true}, ""},
			{1, State{Work: 2}, ""},
			{2, State{Work: 3, Finished: true}, "done"},
		},
		"stalled once, and again after work": {
			{0, State{Work: 1}, ""},
			{9.9, State{Work: 1}, ""},
			{10, State{Work: 1}, "stalled"},
			{25, State{Work: 1}, ""},
			{26, State{Work: 2}, ""},
			{35.9, State{Work: 2}, ""},
			{36, State{Work: 2}, "stalled"},
		},
		"paused is not stalled": {
			{0, State{Work: 1, Paused: true}, ""},
			{30, State{Work: 1, Paused: true}, ""},
			{31, State{Work: 1}, ""},
			{39, State{Work: 1}, ""},
			{40, State{Work: 1}, "stalled"},
		},
		"dead units, at most once in ten minutes": {
			{0, State{Work: 1, Dead: 1}, "dead"},
			{1, State{Work: 2, Dead: 900}, ""},
			{10, State{Work: 3, Dead: 901}, "dead"},
			{21, State{Work: 4, Dead: 901}, ""},
			{22, State{Work: 5, Dead: 0}, ""},
			{23, State{Work: 6, Dead: 2}, "dead"},
		},
		"unhealthy":           {{0, State{Work: 1, Unhealthy: "no text"}, "unhealthy"}, {1, State{Work: 2, Unhealthy: "no text"}, ""}},
		"cancelled":           {{0, State{Work: 1}, ""}, {1, State{Work: 1, Cancelled: true}, "cancelled"}, {90, State{Work: 1, Cancelled: true}, ""}},
		"done with a failure": {{0, State{Work: 1}, ""}, {1, State{Work: 2, Finished: true, Dead: 1}, "done dead"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var w Watch
			start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			for _, s := range steps {
				s.Run = "r1"
				if got := names(w.Look(start.Add(time.Duration(s.minute*float64(time.Minute))), s.State)); got != s.want {
					t.Errorf("at minute %v: %q, want %q", s.minute, got, s.want)
				}
			}
		})
	}
}

// TestWatchOfTwoRuns keeps them apart, and tells once that a server of several ends.
func TestWatchOfTwoRuns(t *testing.T) {
	t.Parallel()
	var w Watch
	now := time.Now()
	if _, ok := w.Stop(now, ""); ok {
		t.Error("a server without runs that stops is told of")
	}
	w.Look(now, State{Run: "a", Work: 1})
	w.Look(now, State{Run: "b", Work: 1, Summary: "5 of 10 samples"})
	if e, ok := w.Stop(now, "SIGTERM"); !ok || e.Run != "" || !strings.Contains(e.Text, "2 runs") {
		t.Errorf("stop of two runs: %+v, %v", e, ok)
	}
	if got := w.Look(now.Add(time.Second), State{Run: "a", Work: 2, Finished: true}); names(got) != Done || got[0].Run != "a" || got[0].At == "" {
		t.Errorf("a is done: %+v", got)
	}
	if e, ok := w.Stop(now, ""); !ok || e.Run != "b" || e.Text != "run b is stopped (as asked): 5 of 10 samples" {
		t.Errorf("stop of one run: %+v, %v", e, ok)
	}
}

// TestWatchOfAShortRun wants the end of a run told of that is done before it is looked at for the first
// time, if somebody began it here; once, and not of one that was looked at before.
func TestWatchOfAShortRun(t *testing.T) {
	t.Parallel()
	var w Watch
	now := time.Now()
	w.Open(now, "short")
	w.Look(now, State{Run: "over", Work: 2, Finished: true})
	w.Open(now, "over")
	for _, step := range []struct{ run, want string }{{"short", Done}, {"short", ""}, {"over", ""}} {
		if got := w.Look(now.Add(time.Second), State{Run: step.run, Work: 2, Finished: true}); names(got) != step.want {
			t.Errorf("%s: %+v, want %q", step.run, got, step.want)
		}
	}
	w.Open(now, "never seen")
	if e, ok := w.Stop(now, "SIGTERM"); !ok || e.Run != "never seen" {
		t.Errorf("stop = %+v, %v, want that of the run that was begun", e, ok)
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Target{
		"https://hooks.example.com/secret": {url: "https://hooks.example.com/secret"},
		"mail -s lcbq me@example.com":      {command: "mail -s lcbq me@example.com"},
		"curl -d @- https://ntfy.sh/mine":  {command: "curl -d @- https://ntfy.sh/mine"},
	} {
		if got, err := Parse(text); err != nil || got != want {
			t.Errorf("Parse(%q) = %+v, %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "  ", "ftp://host/secret", "https://", "http://%zz/secret"} {
		_, err := Parse(text)
		if err == nil {
			t.Errorf("Parse(%q) is taken", text)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("Parse(%q) repeats the address: %v", text, err)
		}
	}
}

// Log collects what is logged.
type logged struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// sender returns a sender whose times are short.
func sender(t *testing.T, target string) (*Sender, *logged) {
	t.Helper()
	parsed, err := Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	log := new(logged)
	s := NewSender([]Target{parsed}, slog.New(slog.NewTextHandler(log, nil)))
	s.pause = time.Millisecond
	s.limit = patience.Longest(tryLimit) // a busy machine starts a command when it can
	return s, log
}

// TestWebhook wants an event posted whole, and tried again where it is refused.
func TestWebhook(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	got := make(chan Event, 1)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) == 1 {
			http.Error(w, "not now", http.StatusServiceUnavailable)
			return
		}
		var e Event
		if err := json.NewDecoder(r.Body).Decode(&e); err != nil || r.Header.Get("Content-Type") != "application/json" || r.Method != http.MethodPost {
			t.Errorf("%s of %q: %v", r.Method, r.Header.Get("Content-Type"), err)
		}
		got <- e
	}))
	defer hook.Close()
	s, log := sender(t, hook.URL+"/secret")
	s.Send(Event{Event: Done, Run: "r1", Text: "run r1 is done"})
	s.Close()
	if e := <-got; e.Event != Done || e.Run != "r1" || e.Text != "run r1 is done" || e.Host == "" {
		t.Errorf("posted %+v", e)
	}
	if log.String() != "" {
		t.Errorf("logged %s", log)
	}
}

// TestWebhookRefuses: tries are bounded, redirects are not followed, and the log does not hold the address, which
// is a secret.
func TestWebhookRefuses(t *testing.T) {
	t.Parallel()
	var calls, elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	}))
	defer hook.Close()
	s, log := sender(t, hook.URL+"/secret")
	s.Send(Event{Event: Done})
	s.Close()
	if calls.Load() != tries || elsewhere.Load() != 0 {
		t.Errorf("%d tries, %d elsewhere; want %d and none", calls.Load(), elsewhere.Load(), tries)
	}
	if text := log.String(); !strings.Contains(text, "307 Temporary Redirect") || strings.Contains(text, "secret") {
		t.Errorf("logged %s", text)
	}
}

// TestWebhookHangs: neither Send nor Close waits for a webhook that answers nothing.
func TestWebhookHangs(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-over:
		case <-r.Context().Done():
		}
	}))
	defer hook.Close()
	defer close(over)
	s, log := sender(t, hook.URL)
	s.last = 20 * time.Millisecond // tryLimit is 500 times as long
	for range waiting + 2 {
		s.Send(Event{Event: Dead})
	}
	if !strings.Contains(log.String(), "too slow") {
		t.Errorf("what found no room is not logged: %s", log)
	}
	wait := patience.Begin(tryLimit / 2)
	s.Close()
	if wait.Over() {
		t.Error("Close waited for the webhook")
	}
}

// TestCommand gives it the event by stdin and variables, and reports how it fails.
func TestCommand(t *testing.T) {
	t.Parallel()
	out := filepath.Join(t.TempDir(), "out")
	s, log := sender(t, `{ cat; echo; echo "$LCBQ_EVENT $LCBQ_EVENT_RUN $LCBQ_EVENT_TEXT"; } > `+out)
	s.Send(Event{Event: Stalled, Run: "r1", Text: "$(touch owned)"})
	s.Close()
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	body, variables, _ := strings.Cut(string(b), "\n")
	var e Event
	if err := json.Unmarshal([]byte(body), &e); err != nil || e.Run != "r1" {
		t.Errorf("stdin %q: %v", body, err)
	}
	if variables != "stalled r1 $(touch owned)\n" {
		t.Errorf("variables %q", variables)
	}
	s, log = sender(t, "echo no mail here >&2; exit 3")
	s.Send(Event{Event: Stalled})
	s.Close()
	if text := log.String(); !strings.Contains(text, "exit status 3: no mail here") {
		t.Errorf("logged %s", text)
	}
}

// TestCommandHangs: all that a command started ends with its time.
func TestCommandHangs(t *testing.T) {
	t.Parallel()
	s, log := sender(t, "sleep 1000 & sleep 1000; true")
	s.limit = 50 * time.Millisecond
	s.Send(Event{Event: Done})
	s.Close()
	if text := log.String(); !strings.Contains(text, "did not end in time") {
		t.Errorf("logged %s", text)
	}
}
