package summary

import (
	"math"
	"slices"
	"testing"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

func TestTimeline(t *testing.T) {
	t.Parallel()
	m := &store.Manifest{Created: 1_000_000, Questions: []store.Question{{Index: 0}, {Index: 1}}}
	cell := func(q, temperature int) stream.Cell {
		return stream.Cell{Run: "r", Question: q, Temperature: stream.Temperature(temperature)}
	}
	if got := timeline(m, nil); got == nil || len(got) != 0 {
		t.Errorf("timeline of nothing = %v, want an empty list", got)
	}
	got := timeline(m, map[stream.Cell]store.CellState{
		cell(0, 1): {Counts: stream.Counts{N: 10}, DoneAt: 1_004_000}, cell(0, 2): {Counts: stream.Counts{N: 5}, DoneAt: 1_002_000}, cell(1, 1): {Counts: stream.Counts{N: 7}, DoneAt: 1_004_001},
		cell(9, 1): {Counts: stream.Counts{N: 99}, DoneAt: 1_000_500}, // no question of the run
	})
	if want := []Mark{{2, 1, 5}, {4.001, 3, 22}}; !slices.Equal(got, want) {
		t.Errorf("timeline = %v, want %v: two cells that end at once are one step", got, want)
	}
	many := make(map[stream.Cell]store.CellState)
	for i := range 5000 {
		many[cell(i%2, i)] = store.CellState{Counts: stream.Counts{N: 1}, DoneAt: 1_000_000 + int64(i)*37}
	}
	got = timeline(m, many)
	if len(got) > mostMarks+1 || len(got) < mostMarks/2 || got[len(got)-1] != (Mark{4999 * 0.037, 5000, 5000}) {
		t.Errorf("%d marks, the last %v", len(got), got[len(got)-1])
	}
	for i := 1; i < len(got); i++ {
		if got[i].Seconds <= got[i-1].Seconds || got[i].Samples <= got[i-1].Samples || math.IsNaN(got[i].Seconds) {
			t.Errorf("mark %v follows %v", got[i], got[i-1])
		}
	}
}

// TestSweepOfSummaries: questions that have other temperatures have cells without
// samples there.
func TestSweepOfSummaries(t *testing.T) {
	t.Parallel()
	question := func(index int, temperatures ...float64) *result.Summary {
		s := &result.Summary{QuestionIdx: index, QuestionID: "q", Origin: stream.Origin{Difficulty: "easy"}, Temperatures: temperatures}
		for _, x := range temperatures {
			s.Results = append(s.Results, result.CellSummary{Temperature: x, Counts: stream.Counts{N: 10, Passed: index, Verdicts: map[stream.Verdict]int{stream.Passed: index, stream.WrongAnswer: 10 - index}}})
		}
		return s
	}
	got := Sweep([]*result.Summary{question(3, 0.5, 0.2), question(4, 0.9, 0.5)})
	if !slices.Equal(got.Temperatures, []float64{0.2, 0.5, 0.9}) || len(got.Questions) != 2 {
		t.Fatalf("sweep = %+v", got)
	}
	first, second := got.Questions[0], got.Questions[1]
	if first.Cells[0].Passed != 3 || first.Cells[1].N != 10 || first.Cells[2].N != 0 || second.Cells[0].N != 0 || second.Cells[2].Passed != 4 || second.Cells[2].Verdicts[stream.WrongAnswer] != 6 || first.Difficulty != "easy" {
		t.Errorf("cells = %+v and %+v", first.Cells, second.Cells)
	}
}

func TestPassAtKNeedsSamplesOfEveryQuestion(t *testing.T) {
	t.Parallel()
	question := func(n, passed int) *result.Summary {
		return &result.Summary{Results: []result.CellSummary{{Temperature: 0.1, Counts: stream.Counts{N: n, Passed: passed}}}}
	}
	got, err := passAtK([]*result.Summary{question(4, 0), question(10, 10), question(0, 0)}, 0.1)
	if err != nil || len(got) != 1 || got[1] != 0.5 {
		t.Errorf("passAtK = %v, %v, want pass@1 = 0.5 alone", got, err)
	}
	if got, err := passAtK(nil, 0.1); err != nil || len(got) != 0 {
		t.Errorf("passAtK of nothing = %v, %v", got, err)
	}
}
