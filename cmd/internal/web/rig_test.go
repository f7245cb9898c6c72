package web

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/lcbq/lcbq/cmd/internal/snapshot"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/embed"
	"github.com/lcbq/lcbq/stream/streamtest/patience"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A rig is a listener on a real server whose runs are made up.
type rig struct {
	dir    string
	server *embed.Server
	log    lines

	mu       sync.Mutex
	runs     map[string]*snapshot.Snapshot // "" is the one that is worked on
	err      error
	fault    bool // looking panics
	looks    int
	dead     []stream.Dead
	requeued []string
}

type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newRig(tb testing.TB, first *snapshot.Snapshot) *rig {
	tb.Helper()
	r := &rig{dir: tb.TempDir(), runs: map[string]*snapshot.Snapshot{"": first}}
	var err error
	if r.server, err = embed.Start(embed.Config{Dir: tb.TempDir()}); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := r.server.Close(); err != nil {
			tb.Error(err)
		}
	})
	return r
}

func (r *rig) look(_ context.Context, run string) (*snapshot.Snapshot, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.looks++
	if r.fault {
		panic("no such cell")
	}
	if first := r.runs[""]; first != nil && run == first.Run.ID {
		run = ""
	}
	return r.runs[run], r.err
}

// set changes the run that is worked on.
func (r *rig) set(s *snapshot.Snapshot) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.runs[""] = s
}

// open listens. It closes with the test.
func (r *rig) open(tb testing.TB, listen string) *Server {
	tb.Helper()
	s, err := Open(Config{Listen: listen, Dir: r.dir, Log: slog.New(slog.NewTextHandler(&r.log, nil)), Parts: Parts{
		Version: "test", Server: r.server, Look: r.look,
		Dead: func(context.Context, string) ([]stream.Dead, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.dead, nil
		},
		Requeue: func(_ context.Context, d stream.Dead) error {
			if strings.Contains(d.Subject, "q9.") {
				return errors.New("it is there already")
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			r.requeued = append(r.requeued, d.Subject)
			return nil
		},
	}})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// An answer is what a request got.
type answer struct {
	status int
	header http.Header
	body   string
}

// client follows no redirect and keeps no connection. What it may wait for is over in seconds on a quiet machine.
var client = &http.Client{
	Timeout:       patience.Longest(patience.Base),
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// ask sends a request. headers are pairs of name and value.
func ask(tb testing.TB, method, url, body string, headers ...string) answer {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), method, url, strings.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(text)}
}

// bearer is the header of a token.
func bearer(token string) []string { return []string{"Authorization", "Bearer " + token} }

// small is a run of three questions at two temperatures, of which one cell is finished. Nothing measured it.
func small() *snapshot.Snapshot {
	s := &snapshot.Snapshot{
		At:    1_700_000_000_000,
		Run:   snapshot.Run{ID: "r1", State: "running", Engine: stream.EngineSim, Model: "sim", Judge: "lcb", Cells: snapshot.Share{Done: 1, All: 6}, Samples: snapshot.Share{Done: 100, All: 600}, Passed: 40, Dead: 2},
		Units: snapshot.Units{All: 6, Generated: 3, Judged: 2, Written: 1, Dead: 2},
		Stages: []snapshot.Stage{
			{Stage: stream.Generate, Stream: "GENERATE", Waiting: 3, InFlight: 1, Rate: 2, Rate15: 1.5, Backlog: 2, Workers: 1, Bytes: 100},
			{Stage: stream.Evaluate, Stream: "EVALUATE", Waiting: 10, InFlight: 2, Rate: -1, Rate15: -1, Backlog: -1, Trend: 0.5, Bytes: 2000},
			{Stage: stream.Combine, Stream: "COMBINE", Waiting: 1, Rate: 1, Backlog: 1, Workers: 1, Bytes: 30},
		},
		Workers: []snapshot.Worker{
			{Stage: stream.Generate, Name: "gen0-a", Host: "a", Slots: 4, Units: 30, Samples: 3000, State: snapshot.Working, Rate: 2},
			{Stage: stream.Evaluate, Name: "eval0-a", Host: "a", Slots: 8, Units: 10, Samples: 1000, Cached: 100, Faults: 1, State: snapshot.Silent, LastSign: 40},
		},
		Temperatures: []snapshot.Temperature{
			{Temperature: 0.2, Cells: snapshot.Share{Done: 1, All: 3}, Samples: 100, Passed: 40, PassAt1: 0.4, Low: 0.31, High: 0.5},
			{Temperature: 1, Cells: snapshot.Share{All: 3}, PassAt1: -1},
		},
		Findings: []snapshot.Finding{{Code: snapshot.NoEvaluator, Grave: true, Text: "nobody judges the 12 units in EVALUATE", Remedy: "start one", Command: "lcbq evaluate -o out"}},
		Left:     &snapshot.Left{Seconds: 100, Low: 60, High: 200},
	}
	for i, id := range []string{"q_a", "q_b", "q_c"} {
		s.Questions = append(s.Questions, snapshot.Question{Index: i, ID: id, Title: "Title of " + id, Difficulty: "easy", N: 100, Cells: make([]snapshot.Cell, 2)})
	}
	s.Questions[0].Cells[0] = snapshot.Cell{N: 100, Passed: 40}
	return s
}
