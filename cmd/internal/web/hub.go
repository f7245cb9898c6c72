package web

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lcbq/lcbq/cmd/internal/snapshot"
	"github.com/lcbq/lcbq/worker/background"
)

// frameEvery is the interval of what pages are sent.
const frameEvery = time.Second

// A looker returns how a run is now, nil where there is none.
type looker func(ctx context.Context, run string) (*snapshot.Snapshot, error)

// A hub has a feed for each run that somebody follows. All who follow one share what is read, drawn and encoded.
type hub struct {
	look     looker
	version  string
	log      *slog.Logger
	patience time.Duration // with a page that does not read

	mu    sync.Mutex
	feeds map[string]*feed
	count int // of those who follow
}

func newHub(look looker, version string, log *slog.Logger) *hub {
	return &hub{look: look, version: version, log: log, patience: writeTimeout, feeds: make(map[string]*feed)}
}

// join returns the feed of a run, which runs until the last one leaves. It reports false if too many follow.
func (h *hub) join(run string) (f *feed, leave func(), ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.count >= maxViewers {
		return nil, nil, false
	}
	f = h.feeds[run]
	if f == nil {
		f = &feed{look: h.look, run: run, log: h.log, next: make(chan struct{})}
		f.stop = background.Start(context.Background(), f.serve)
		h.feeds[run] = f
	}
	h.count++
	f.followers++
	return f, func() {
		h.mu.Lock()
		h.count--
		f.followers--
		last := f.followers == 0
		if last {
			delete(h.feeds, run)
		}
		h.mu.Unlock()
		if last {
			f.stop()
		}
	}, true
}

// A feed makes frames of one run.
type feed struct {
	look      looker
	run       string
	log       *slog.Logger
	followers int // guarded by the hub
	stop      func()

	mu    sync.Mutex
	frame *frame
	next  chan struct{} // closed when frame is replaced
}

// A frame is one moment of a run as it is sent. A page that has the frame before needs less of it.
type frame struct {
	number int64
	shape  string                 // of the grid: which questions and temperatures
	state  []byte                 // all but the cells
	curve  []byte                 // nil if it is that of the frame before
	cells  []byte                 // what changed since the frame before; nil if nothing did
	grid   func() ([]byte, error) // the whole grid, written when the first page asks for it
	full   []byte                 // the curve, changed or not
	err    []byte                 // why there is nothing newer; nil if there is
}

// current returns the newest frame, nil before the first, and what is closed when there is a newer one.
func (f *feed) current() (*frame, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.frame, f.next
}

func (f *feed) serve(ctx context.Context) {
	tick := time.NewTicker(frameEvery)
	defer tick.Stop()
	m := &maker{}
	told := false
	for {
		next, err := f.make(ctx, m)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			if !told {
				f.log.Warn("the live page is not drawn; the run goes on", "err", err)
			}
			told = true
			next = m.failed(err)
		} else {
			told = false
		}
		f.mu.Lock()
		f.frame = next
		close(f.next)
		f.next = make(chan struct{})
		f.mu.Unlock()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// make draws a frame. A fault in the drawing is an error of the page: it never ends the process, which is the run's.
func (f *feed) make(ctx context.Context, m *maker) (next *frame, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("draw page: %v", fault)
		}
	}()
	s, err := f.look(ctx, f.run)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return nil, errNoRun
	}
	return m.make(s)
}

// A maker makes frames of snapshots, one after the other.
type maker struct {
	last  frame
	cells [][]snapshot.Cell
	drawn []snapshot.Temperature // what the curve of last shows
}

// failed returns the frame of a moment of which nothing is known.
func (m *maker) failed(err error) *frame {
	text, jerr := json.Marshal(map[string]string{"text": err.Error()})
	if jerr != nil {
		text = []byte(`{"text":"the server does not answer"}`)
	}
	next := m.last
	next.number++
	next.cells, next.curve, next.err = nil, nil, text
	m.last = next
	return &next
}

// A change is a cell that is not what it was: its place, its samples, and those that passed.
type change [4]int

// A gridText is the grid as a page needs it once.
type gridText struct {
	Temperatures []float64      `json:"temperatures"`
	Questions    []questionText `json:"questions"`
}

type questionText struct {
	Index      int      `json:"question_idx"`
	ID         string   `json:"id"`
	Title      string   `json:"title"`
	Difficulty string   `json:"difficulty,omitempty"`
	N          int      `json:"n"`
	Cells      [][2]int `json:"cells"`
}

func (m *maker) make(s *snapshot.Snapshot) (*frame, error) {
	next := frame{number: m.last.number + 1}
	without := *s
	without.Questions = nil // they are in the grid
	without.Others, without.Stages, without.Workers = list(s.Others), list(s.Stages), list(s.Workers)
	without.Cards, without.Findings, without.Temperatures = list(s.Cards), list(s.Findings), list(s.Temperatures)
	var err error
	if next.state, err = json.Marshal(&without); err != nil {
		return nil, fmt.Errorf("encode snapshot: %w", err)
	}
	next.shape = shapeOf(s)
	if next.shape != m.last.shape {
		m.cells = nil
	}
	var changes []change
	for q := range s.Questions {
		for t, c := range s.Questions[q].Cells {
			if m.cells != nil && m.cells[q][t] != c {
				changes = append(changes, change{q, t, c.N, c.Passed})
			}
		}
	}
	if changes != nil {
		if next.cells, err = json.Marshal(changes); err != nil {
			return nil, fmt.Errorf("encode cells: %w", err)
		}
	}
	next.grid = m.last.grid
	if m.cells == nil || changes != nil {
		next.grid = sync.OnceValues(func() ([]byte, error) { return json.Marshal(gridOf(s)) })
		m.cells = make([][]snapshot.Cell, len(s.Questions))
		for q := range s.Questions {
			m.cells[q] = slices.Clone(s.Questions[q].Cells)
		}
	}
	next.full = m.last.full
	if next.full == nil || !slices.Equal(m.drawn, s.Temperatures) {
		wide, narrow, err := curveOf(s)
		if err != nil {
			return nil, err
		}
		m.drawn = s.Temperatures
		if next.full, err = json.Marshal(map[string]string{"wide": wide, "narrow": narrow}); err != nil {
			return nil, fmt.Errorf("encode chart: %w", err)
		}
		next.curve = next.full
	}
	m.last = next
	return &next, nil
}

// list returns all as JSON has a list: [] where there is nothing.
func list[T any](all []T) []T {
	if all == nil {
		return []T{}
	}
	return all
}

// shapeOf names the questions and temperatures of a grid.
func shapeOf(s *snapshot.Snapshot) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q", s.Run.ID)
	for i := range s.Temperatures {
		fmt.Fprintf(&b, " %g", s.Temperatures[i].Temperature)
	}
	for i := range s.Questions {
		fmt.Fprintf(&b, " %d:%d:%d", s.Questions[i].Index, s.Questions[i].N, len(s.Questions[i].Cells))
	}
	return b.String()
}

func gridOf(s *snapshot.Snapshot) gridText {
	g := gridText{Temperatures: []float64{}, Questions: []questionText{}}
	for i := range s.Temperatures {
		g.Temperatures = append(g.Temperatures, s.Temperatures[i].Temperature)
	}
	for i := range s.Questions {
		q := &s.Questions[i]
		t := questionText{Index: q.Index, ID: q.ID, Title: q.Title, Difficulty: q.Difficulty, N: q.N, Cells: make([][2]int, len(q.Cells))}
		for j, c := range q.Cells {
			t.Cells[j] = [2]int{c.N, c.Passed}
		}
		g.Questions = append(g.Questions, t)
	}
	return g
}
