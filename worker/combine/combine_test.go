package combine

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest"
	"github.com/lcbq/lcbq/worker/combine/summary"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// TestCellIsWrittenWithItsLastUnit: a cell without its last unit has no file, and
// neither a question without its last cell nor a run without its last question
// has a summary.
func TestCellIsWrittenWithItsLastUnit(t *testing.T) {
	t.Parallel()
	b := newBench(t, 2, 25, 100, 700)
	first, second := b.tasks(0, 100), b.tasks(0, 700)
	b.publish(t, second...)
	b.publish(t, first[2], first[0])
	w := b.worker()
	stop := b.start(t, w)
	st := b.waitCell(t, b.cell(0, 700), 25)
	if st.N != 25 || st.Passed != 7 || st.Verdicts[stream.Passed] != 7 || st.Verdicts[stream.WrongAnswer] != 18 || st.Tokens != 250 ||
		st.UniquePrograms != 7 || st.UniquePassed != 7 || st.JudgeCPU != 12.5 || st.Fingerprint != "f00d" || st.File != "t0_7_combined.json" || st.DoneAt == 0 {
		t.Errorf("state of the cell = %+v", st)
	}
	readCell(t, result.CellPath(b.dir, 0, 0.7), 25)
	b.WaitLag(t, stream.Combine, 0, 0)
	if exists(t, result.CellPath(b.dir, 0, 0.1)) || exists(t, result.SummaryPath(b.dir, 0)) {
		t.Error("a cell without its last unit was written, or its question's summary")
	}
	b.publish(t, first[1])
	b.waitCell(t, b.cell(0, 100), 25)
	streamtest.WaitFor(t, "the question's summary", func(context.Context) (bool, error) { return exists(t, result.SummaryPath(b.dir, 0)), nil })
	if exists(t, result.RunSummaryPath(b.dir)) {
		t.Error("the run's summary was written before its last question")
	}
	b.publish(t, append(b.tasks(1, 100), b.tasks(1, 700)...)...)
	b.waitFinished(t)
	stop()
	b.prove(t, 25)
	if n := w.Pulse.Samples.Load(); n != 100 {
		t.Errorf("the combiner counts %d samples, want 100", n)
	}
}

// TestLateUnitsAreDropped publishes units again when their cell is done: they
// must go without a trace.
func TestLateUnitsAreDropped(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, 30, 100, 200)
	b.publish(t, b.tasks(0, 100)...)
	w := b.worker()
	b.start(t, w)
	st := b.waitCell(t, b.cell(0, 100), 30)
	path := result.CellPath(b.dir, 0, 0.1)
	if err := os.Remove(path); err != nil { // nothing may write it again
		t.Fatal(err)
	}
	b.publish(t, b.tasks(0, 100)...)
	b.WaitEmpty(t, stream.Combine)
	again, _, err := b.Store.Cell(t.Context(), b.cell(0, 100))
	if err != nil || again.DoneAt != st.DoneAt {
		t.Errorf("the cell's state was written again: %+v, %v", again, err)
	}
	if exists(t, path) || len(b.dead(t)) != 0 || w.Pulse.Samples.Load() != 30 {
		t.Errorf("late units: file written %v, dead %v, samples %d", exists(t, path), b.dead(t), w.Pulse.Samples.Load())
	}
}

func TestCompressedCells(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, 20, 100)
	b.publishAll(t)
	w := b.worker()
	w.Compress = true
	w.Dir = filepath.Join(b.dir, "sub", "..") // given by flag: it is used instead of the run's
	stop := b.start(t, w)
	b.waitFinished(t)
	stop()
	path := result.CompressedCellPath(b.dir, 0, 0.1)
	readCell(t, path, 20)
	b.prove(t, 20)
	head, err := os.ReadFile(path)
	if err != nil || string(head[:4]) != "\x28\xb5\x2f\xfd" {
		t.Errorf("the file begins with %x, %v, want zstd's magic", head[:4], err)
	}
}

// TestRunSummary checks the numbers that are computed here: pass@k, the pace, and
// what is left out while cells are missing.
func TestRunSummary(t *testing.T) {
	t.Parallel()
	b := newBench(t, 2, 12, 100, 200)
	b.publishAll(t)
	b.start(t, b.worker())
	m := b.waitFinished(t)
	raw, err := os.ReadFile(result.RunSummaryPath(b.dir))
	if err != nil {
		t.Fatal(err)
	}
	var s summary.Run
	if err := json.Unmarshal(raw, &s); err != nil {
		t.Fatal(err)
	}
	if s.Run != "r1" || s.LCBQ != "v1" || s.Engine != "sim" || !s.Simulated || s.Judge != "lcb" || s.N != 12 || s.Samples != 48 || s.Passed != 12 ||
		s.UnitSize != 10 || s.Throughput.Tokens != 480 || s.Throughput.JudgeCPU != 24 || len(s.Incomplete) != 0 {
		t.Errorf("run summary = %s", raw)
	}
	if len(s.Results) != 2 || s.Results[1].Temperature != 0.2 {
		t.Fatalf("results = %+v, want one a temperature", s.Results)
	}
	// 3 of 12 pass: pass@5 = 1 - C(9,5)/C(12,5) = 1 - 126/792, pass@10 = 1.
	want := map[int]float64{1: 0.25, 5: 1 - 126.0/792, 10: 1}
	got := s.Results[0].PassAtK
	for k, p := range want {
		if math.Abs(got[k]-p) > 1e-12 || len(got) != len(want) {
			t.Errorf("pass@k = %v, want %v", got, want)
		}
	}
	if s.Results[0].GenTPS != 120 { // 120 tokens in the second in which both units were generated
		t.Errorf("gen_tps = %v, want 120", s.Results[0].GenTPS)
	}
	if len(s.Analysis.Temperatures) != 2 || s.Analysis.Questions != 2 || len(s.Analysis.Best) == 0 {
		t.Fatalf("analysis = %+v", s.Analysis)
	}
	x := s.Analysis.Temperatures[0]
	if len(x.Points) != 5 || x.Points[0].Value != got[1] || x.Points[2].Value != got[5] || x.Samples != 24 || x.UniquePrograms != 14 || x.UniquePassed != 6 || x.Tokens != 240 {
		t.Errorf("analysis at 0.1 = %+v", x)
	}
	// Every cell has two units, each generated at the first go and judged at the third.
	stages := s.Provenance.Stages
	if len(stages) != 2 || stages[0].Stage != stream.Generate || stages[1].Stage != stream.Evaluate {
		t.Fatalf("stages = %+v", stages)
	}
	if g, e := stages[0], stages[1]; g.Seconds != 1 || g.SamplesPerSecond != 48 || g.TokensPerSecond != 480 || g.Retries != 0 ||
		e.Seconds != 4 || e.SamplesPerSecond != 12 || e.TokensPerSecond != 0 || e.Retries != 16 || e.Started.UnixMilli() != 2000 || e.Ended.UnixMilli() != 6000 {
		t.Errorf("stages = %+v", stages)
	}
	if want := (store.Judges{{Host: "h-1.2_3", Samples: 48, Slowest: 9.5, Fastest: 9.5}}); !slices.Equal(s.Provenance.Judges, want) {
		t.Errorf("judges = %+v, want %+v", s.Provenance.Judges, want)
	}
	if m.Finished != s.Finished.UnixMilli() || s.Started.UnixMilli() != m.Created {
		t.Errorf("finished %d, the manifest says %d", s.Finished.UnixMilli(), m.Finished)
	}

	cells, err := b.Store.Cells(t.Context(), "r1", -1)
	if err != nil {
		t.Fatal(err)
	}
	delete(cells, b.cell(1, 200))
	partial, err := summary.Of(m, cells)
	if err != nil || partial.Samples != 36 || len(partial.Incomplete) != 1 || len(partial.Incomplete["q1"]) != 1 || partial.Incomplete["q1"][0] != "0.2" {
		t.Errorf("summary without a cell = %+v, %v", partial, err)
	}
	if p := partial.Results[1].PassAtK[1]; math.Abs(p-0.25) > 1e-12 {
		t.Errorf("pass@1 without a cell = %v, want that of the question that has one", p)
	}
}

func TestPaceIsTheUnionOfIntervals(t *testing.T) {
	t.Parallel()
	unit := func(generator string, from, to int64, tokens int) *stream.Scored {
		return &stream.Scored{Batch: stream.Batch{Generator: generator, Started: from, Ended: to, Samples: []stream.Sample{{Tokens: tokens}}}}
	}
	tests := []struct {
		name  string
		units []*stream.Scored
		want  float64
	}{
		{"nothing", nil, 0},
		{"no measurable time", []*stream.Scored{unit("a", 5, 5, 9)}, 0},
		{"one unit", []*stream.Scored{unit("a", 1000, 3000, 100)}, 50},
		{"overlap counts once", []*stream.Scored{unit("a", 1000, 3000, 100), unit("a", 2000, 4000, 200)}, 100},
		{"one within another, out of order", []*stream.Scored{unit("a", 1500, 2500, 50), unit("a", 1000, 3000, 50)}, 50},
		{"a gap is idle", []*stream.Scored{unit("a", 1000, 2000, 100), unit("a", 9000, 10000, 100)}, 100},
		{"two generators work side by side", []*stream.Scored{unit("a", 1000, 2000, 100), unit("b", 1000, 2000, 100)}, 100},
		{"a clock that went back", []*stream.Scored{unit("a", 2000, 1000, 100), unit("a", 3000, 4000, 100)}, 200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var p pace
			for _, u := range tt.units {
				p.add(u)
			}
			if got := p.tokensPerSecond(); got != tt.want {
				t.Errorf("tokensPerSecond = %v, want %v", got, tt.want)
			}
		})
	}
}

// TestClosed: it is called once the summary is there, and not for a part of a run.
func TestClosed(t *testing.T) {
	t.Parallel()
	b := newBench(t, 2, 12, 100)
	w := b.worker()
	told := make(chan error, 10)
	w.Closed = func(_ context.Context, dir string) {
		_, err := result.ReadRunSummary(dir)
		told <- err
	}
	b.publish(t, b.tasks(0, 100)...)
	b.start(t, w)
	b.waitCell(t, b.cell(0, 100), 12)
	select {
	case err := <-told:
		t.Fatalf("told of a run that lacks a cell: %v", err)
	default:
	}
	b.publish(t, b.tasks(1, 100)...)
	if err := <-told; err != nil {
		t.Errorf("told before the summary was there: %v", err)
	}
}

// TestClosedOutlivesTheDrain: a combiner that finishes a run while it starts is drained at once. It is told
// of the run's end all the same, and once.
func TestClosedOutlivesTheDrain(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, 30, 100)
	finished(t, b)
	reopen(t, b)
	w := b.worker()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var told []error
	w.Closed = func(c context.Context, _ string) {
		cancel()
		told = append(told, c.Err())
	}
	if err := w.Run(ctx); err != nil {
		t.Fatal(err)
	}
	m, _, err := b.Store.Run(t.Context(), b.m.ID)
	if err != nil {
		t.Fatal(err)
	}
	cells, err := b.Store.Cells(t.Context(), b.m.ID, -1)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.closeRun(t.Context(), m, cells); err != nil {
		t.Errorf("close a finished run: %v", err)
	}
	if len(told) != 1 || told[0] != nil {
		t.Errorf("told %v, want once, with a context that has not ended", told)
	}
}

// TestFolderIsOneRuns: a folder that was named for one run takes no cell of another.
func TestFolderIsOneRuns(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, 30, 100)
	b.publishAll(t)
	w := b.worker()
	w.Dir, w.Only = t.TempDir(), "r2"
	stop := b.start(t, w)
	b.waitFinished(t)
	stop()
	b.prove(t, 30)
	if exists(t, filepath.Join(w.Dir, "q0")) {
		t.Error("cells of r1 were written to the folder of r2")
	}
}

// TestDoneCellsHaveNoDead: a unit that was given up at one stage and made by another
// attempt is in the cell: it is dead no more. Those of other cells are.
func TestDoneCellsHaveNoDead(t *testing.T) {
	t.Parallel()
	b := newBench(t, 2, 30, 100)
	for _, u := range []stream.Unit{b.tasks(0, 100)[1].Unit, b.tasks(1, 100)[1].Unit} {
		if err := b.Queue.Bury(t.Context(), stream.Dead{Subject: u.Subject(stream.Evaluate)}); err != nil {
			t.Fatal(err)
		}
	}
	b.publish(t, b.tasks(0, 100)...)
	stop := b.start(t, b.worker())
	b.waitCell(t, b.cell(0, 100), 30)
	stop()
	if dead := b.dead(t); len(dead) != 1 || dead[0].Subject != b.tasks(1, 100)[1].Subject(stream.Evaluate) {
		t.Errorf("dead units = %+v, want that of the unfinished cell alone", dead)
	}
}
