package store_test

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest"
)

func TestMain(m *testing.M) { streamtest.Main(m) }

func TestTasksKeepTheirIdentityWhenARunGrows(t *testing.T) {
	t.Parallel()
	m := &store.Manifest{ID: "r", UnitSize: 100}
	tests := []struct {
		cuts []int
		want [][2]int // first, n
	}{
		{nil, nil},
		{[]int{50}, [][2]int{{0, 50}}},
		{[]int{50, 250}, [][2]int{{0, 50}, {50, 100}, {150, 100}}},
		{[]int{100, 300}, [][2]int{{0, 100}, {100, 100}, {200, 100}}},
		{[]int{300}, [][2]int{{0, 100}, {100, 100}, {200, 100}}},
		{[]int{1, 2, 3}, [][2]int{{0, 1}, {1, 1}, {2, 1}}},
	}
	for _, tt := range tests {
		got := m.Tasks(store.Question{Index: 7, Cuts: tt.cuts}, 700)
		if len(got) != len(tt.want) {
			t.Errorf("Tasks with cuts %v = %+v, want %v", tt.cuts, got, tt.want)
			continue
		}
		for i, w := range tt.want {
			if got[i].First != w[0] || got[i].N != w[1] || got[i].Index != i || got[i].Question != 7 || got[i].Temperature != 700 || got[i].Run != "r" {
				t.Errorf("task %d with cuts %v = %+v, want samples %v", i, tt.cuts, got[i], w)
			}
		}
	}
}

func TestManifestIsWrittenByCompareAndSet(t *testing.T) {
	t.Parallel()
	s := streamtest.New(t).Store
	ctx := t.Context()
	if _, _, err := s.Run(ctx, "r"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Run before it exists = %v, want ErrNotFound", err)
	}
	if _, err := s.PutRun(ctx, &store.Manifest{ID: "r"}, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PutRun(ctx, &store.Manifest{ID: "r"}, 0); !errors.Is(err, store.ErrChanged) {
		t.Errorf("a second creation = %v, want ErrChanged", err)
	}
	// Ten writers add one each; none may be lost.
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if _, err := s.UpdateRun(ctx, "r", func(m *store.Manifest) bool { m.UnitSize++; return true }); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if m, _, err := s.Run(ctx, "r"); err != nil || m.UnitSize != 10 {
		t.Errorf("after ten updates: %+v, %v, want 10", m, err)
	}
}

func TestNewerFormatIsRefused(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	kv, err := env.JS.KeyValue(t.Context(), "lcbq_runs")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		`{"format":99,"lcbq":"v9"}`, `{"format":99,"judge":{"leniency":0.5},"lcbq":"v9"}`,
		`{"format":1,"id":"r","unit_size":10,"model":{"engine":"oracle"},"lcbq":"v9"}`,
		`{"format":1,"id":"r","unit_size":10,"judge":{"mode":"lcb","leniency":0.5},"lcbq":"v9"}`,
		`{"format":1,"id":"r","unit_size":10,"hours":[1,2],"lcbq":"v9"}`,
	} {
		if _, err := kv.Put(t.Context(), "r", []byte(text)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := env.Store.Run(t.Context(), "r"); !errors.Is(err, store.ErrNewer) || !strings.Contains(err.Error(), "use the lcbq that made it, version v9") {
			t.Errorf("manifest %s: %v, want ErrNewer and the version that made it", text, err)
		}
		if runs, unread, err := env.Store.Runs(t.Context()); err != nil || len(runs) > 0 || len(unread) != 1 || !errors.Is(unread[0].Err, store.ErrNewer) {
			t.Errorf("manifest %s: Runs = %v, %v, %v, want it unread", text, runs, unread, err)
		}
		if _, err := env.Store.UpdateRun(t.Context(), "r", func(*store.Manifest) bool { return true }); !errors.Is(err, store.ErrNewer) {
			t.Errorf("manifest %s: UpdateRun = %v, want ErrNewer", text, err)
		}
	}
}

// TestNewerNotes: what a newer lcbq notes of a run, and does not define it, is no reason not to work for it.
func TestNewerNotes(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	kv, err := env.JS.KeyValue(t.Context(), "lcbq_runs")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(t.Context(), "r", []byte(`{"format":1,"id":"r","unit_size":10,"lcbq":"v9","provenance":{"weather":"fair","judge_host":"h","gpus":[{"name":"g","colour":"green"}]}}`)); err != nil {
		t.Fatal(err)
	}
	m, _, err := env.Store.Run(t.Context(), "r")
	if err != nil || m.Provenance.JudgeHost != "h" || len(m.Provenance.GPUs) != 1 || m.Provenance.GPUs[0].Name != "g" {
		t.Errorf("Run = %+v, %v", m, err)
	}
}

func TestCells(t *testing.T) {
	t.Parallel()
	s := streamtest.New(t).Store
	ctx := t.Context()
	a := stream.Cell{Run: "r", Question: 1, Temperature: 100}
	b := stream.Cell{Run: "r", Question: 12, Temperature: 100}
	other := stream.Cell{Run: "r2", Question: 1, Temperature: 100}
	for _, c := range []stream.Cell{a, b, other} {
		if err := s.PutCell(ctx, c, store.CellState{Counts: stream.Counts{N: 100}}, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.PutCell(ctx, a, store.CellState{Counts: stream.Counts{N: 200}}, 0); !errors.Is(err, store.ErrChanged) {
		t.Errorf("marking a cell done twice = %v, want ErrChanged", err)
	}
	if cells, err := s.Cells(ctx, "r", -1); err != nil || len(cells) != 2 || cells[a].N != 100 {
		t.Errorf("Cells of the run = %v, %v, want its two", cells, err)
	}
	if cells, err := s.Cells(ctx, "r", 1); err != nil || len(cells) != 1 || cells[a].N != 100 {
		t.Errorf("Cells of question 1 = %v, %v, want one", cells, err)
	}
	for n, want := range map[int]bool{100: true, 101: false} {
		if done, err := s.CellDone(ctx, a, n); err != nil || done != want {
			t.Errorf("CellDone(%d) = %v, %v, want %v", n, done, err, want)
		}
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	s := streamtest.New(t).Store
	row := bytes.Repeat([]byte("0123456789"), 500_000) // more than one message holds
	if _, err := s.Problem(t.Context(), "d", 0); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Problem before it is stored = %v, want ErrNotFound", err)
	}
	for range 2 {
		if err := s.PutProblem(t.Context(), "d", 0, row); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := s.Problem(t.Context(), "d", 0); err != nil || !bytes.Equal(got, row) {
		t.Errorf("Problem = %d bytes, %v, want %d", len(got), err, len(row))
	}
}

func TestWorkersComeAndGo(t *testing.T) {
	t.Parallel()
	s := streamtest.New(t).Store
	w := store.Worker{Stage: stream.Evaluate, Name: "eval0_host-1", Units: 3}
	if err := s.PutWorker(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	ws, err := s.Workers(t.Context())
	if err != nil || len(ws) != 1 || ws[0].Seen <= 0 {
		t.Fatalf("Workers = %+v, %v, want one, and when it was seen", ws, err)
	}
	w.Seen = ws[0].Seen // the server's time
	if !reflect.DeepEqual(ws[0], w) {
		t.Errorf("Workers = %+v, want %+v", ws, w)
	}
	if err := s.RemoveWorker(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	if ws, err := s.Workers(t.Context()); err != nil || len(ws) != 0 {
		t.Errorf("Workers after removal = %+v, %v", ws, err)
	}
}

func TestWorkAddsUp(t *testing.T) {
	t.Parallel()
	var w store.Work
	w.Add(0, 0, 2)     // time unknown
	w.Add(900, 100, 0) // a clock that went back
	if w != (store.Work{Retries: 2}) || w.Seconds() != 0 {
		t.Errorf("work without a time = %+v", w)
	}
	w.Add(5000, 7000, 0)
	w.Add(4000, 6500, 1)
	w.Add(5500, 5500, -1) // attempts unknown
	if want := (store.Work{From: 4000, To: 7000, Retries: 3}); w != want || w.Seconds() != 3 {
		t.Errorf("work = %+v, want %+v", w, want)
	}
}

// TestCellsAreTheCallers: what Cells returns belongs to the caller, and a later look costs
// what was finished since, not what was known.
func TestCellsAreTheCallers(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	s, ctx := env.Store, t.Context()
	cell := func(q int) stream.Cell { return stream.Cell{Run: "r", Question: q, Temperature: 100} }
	const large = 100_000 // bytes of one state, so that reading it again shows
	for q := range 3 {
		if err := s.PutCell(ctx, cell(q), store.CellState{Counts: stream.Counts{N: 1}, File: strings.Repeat("x", large)}, 0); err != nil {
			t.Fatal(err)
		}
		cells, err := s.Cells(ctx, "r", -1)
		if err != nil || len(cells) != q+1 {
			t.Fatalf("look %d: %d cells, %v, want %d", q, len(cells), err, q+1)
		}
		clear(cells)
	}
	before := env.Conn.Stats().InBytes
	if cells, err := s.Cells(ctx, "r", -1); err != nil || len(cells) != 3 {
		t.Errorf("%d cells, %v, want 3", len(cells), err)
	}
	if read := env.Conn.Stats().InBytes - before; read > large/2 {
		t.Errorf("a look with nothing new read %d bytes, want none of the states again", read)
	}

	// SharedCells has what is new, and leaves what it gave before as it was.
	old, err := s.SharedCells(ctx, "r")
	if err != nil || len(old) != 3 {
		t.Fatalf("%d shared cells, %v, want 3", len(old), err)
	}
	if err := s.PutCell(ctx, cell(3), store.CellState{Counts: stream.Counts{N: 1}}, 0); err != nil {
		t.Fatal(err)
	}
	if cells, err := s.Cells(ctx, "r", -1); err != nil || len(cells) != 4 { // reads it for both
		t.Errorf("%d cells, %v, want 4", len(cells), err)
	}
	if cells, err := s.SharedCells(ctx, "r"); err != nil || len(cells) != 4 || len(old) != 3 {
		t.Errorf("%d shared cells, %v, want 4; those of before are %d, want 3", len(cells), err, len(old))
	}
}

// TestTask agrees with the list of a cell's units, and knows what is left of a cell.
func TestTask(t *testing.T) {
	t.Parallel()
	for _, cuts := range [][]int{nil, {50}, {50, 250}, {100, 300}, {1, 2, 3}, {250, 251}} {
		m := &store.Manifest{ID: "r", UnitSize: 100, Temperatures: []stream.Temperature{700}, Questions: []store.Question{{Index: 7, Cuts: cuts}}}
		q := m.Questions[0]
		tasks := m.Tasks(q, 700)
		for _, want := range tasks {
			if gotQ, got, ok := m.Task(want.Unit); !ok || got != want || gotQ.Index != 7 {
				t.Errorf("cuts %v: Task(%+v) = %+v, %v, want %+v", cuts, want.Unit, got, ok, want)
			}
		}
		for _, have := range append([]int{0}, cuts...) {
			left := 0
			for _, task := range tasks {
				if task.First+task.N > have {
					left++
				}
			}
			if got := m.UnitsAfter(q, 700, have); got != left {
				t.Errorf("cuts %v: UnitsAfter(%d) = %d, want %d", cuts, have, got, left)
			}
		}
		c := stream.Cell{Run: "r", Question: 7, Temperature: 700}
		for _, u := range []stream.Unit{
			{Cell: c, Index: len(tasks)},
			{Cell: c, Index: -1},
			{Cell: stream.Cell{Run: "s", Question: 7, Temperature: 700}},
			{Cell: stream.Cell{Run: "r", Question: 8, Temperature: 700}},
			{Cell: stream.Cell{Run: "r", Question: 7, Temperature: 800}},
		} {
			if _, task, ok := m.Task(u); ok {
				t.Errorf("cuts %v: Task(%+v) = %+v, want none", cuts, u, task)
			}
		}
	}
}

// TestSharedRuns: who looks every second sees what Runs sees, after every change, and what it
// was given before stays as it was.
func TestSharedRuns(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	s, ctx := env.Store, t.Context()
	same := func(when string) []*store.Manifest {
		t.Helper()
		want, bad, err := s.Runs(ctx)
		if err != nil {
			t.Fatal(err)
		}
		got, unread, err := s.SharedRuns(ctx)
		if err != nil || !reflect.DeepEqual(got, want) || len(unread) != len(bad) {
			t.Errorf("%s: %+v, %d unread, %v, want %+v, %d", when, got, len(unread), err, want, len(bad))
		}
		return got
	}
	same("without runs")
	var revisions []uint64
	for _, id := range []string{"a", "b"} {
		rev, err := s.PutRun(ctx, &store.Manifest{ID: id, UnitSize: 1, Questions: []store.Question{{Index: 1, Cuts: []int{3}}}}, 0)
		if err != nil {
			t.Fatal(err)
		}
		revisions = append(revisions, rev)
	}
	before := same("with two")
	same("with nothing new")
	if _, err := s.UpdateRun(ctx, "a", func(m *store.Manifest) bool { m.Paused = 7; return true }); err != nil {
		t.Fatal(err)
	}
	paused := same("when one is paused")
	if now := paused; before[0].Paused != 0 || now[0].Paused != 7 {
		t.Errorf("paused %d, and what was given before says %d", now[0].Paused, before[0].Paused)
	}
	if _, err := s.Note(ctx, stream.Evaluate, "a", func(m *store.Manifest) bool { m.Judge.Fingerprint = "f00d"; return true }); err != nil {
		t.Fatal(err)
	}
	if now := same("when its judge is noted"); now[0].Judge.Fingerprint != "f00d" || paused[0].Judge.Fingerprint != "" {
		t.Errorf("judges %q, before %q", now[0].Judge.Fingerprint, paused[0].Judge.Fingerprint)
	}
	if err := s.RemoveRun(ctx, "b", revisions[1]); err != nil {
		t.Fatal(err)
	}
	same("when one is gone")
	kv, err := env.JS.KeyValue(ctx, "lcbq_runs")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(ctx, "a", []byte("garbage")); err != nil {
		t.Fatal(err)
	}
	same("when one cannot be read")
}

// TestLostDeclaration wants what holds the runs to be declared again where the request was lost, as a cluster loses it whose
// leader ends.
func TestLostDeclaration(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"KV_lcbq_cells", "OBJ_lcbq_problems", store.JudgeStream, "KV_lcbq_banned"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			js := streamtest.Lossy(t, streamtest.NewOwn(t, streamtest.Guard{}), "$JS.API.STREAM.CREATE."+name)
			s, err := store.Declare(t.Context(), js, 1)
			if err == nil {
				err = s.DeclareBans(t.Context(), 1)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}
