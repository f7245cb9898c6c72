package snapshot

import (
	"cmp"
	"time"

	"github.com/lcbq/lcbq/cmd/internal/snapshot/forecast"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
)

// timeLeft returns the time to the end of the run, nil where nothing tells it: while it is paused, nobody works at it,
// or it waits for units that were given up or for a person.
func timeLeft(in *raw, s *Snapshot) *Left {
	m := in.run
	generate, evaluate := s.Stage(stream.Generate), s.Stage(stream.Evaluate)
	x := forecast.Input{Ungenerated: max(0, s.Units.All-s.Units.Generated-s.Units.Dead), Unjudged: max(0, s.Units.All-s.Units.Judged-s.Units.Dead)}
	if !m.Open() || m.Paused != 0 || s.waitsForDead() || evaluate.Workers == 0 || generate.Workers == 0 && x.Ungenerated > 0 {
		return nil
	}
	if s.held(stream.Combine) || s.held(stream.Evaluate) || s.held(stream.Generate) && x.Ungenerated > 0 {
		return nil
	}
	x.Rate = cmp.Or(evaluate.Rate15, evaluate.Rate)
	// Evaluators hold a unit for each program at once and one more: if more than that waits, they are all at work.
	held := 0
	for i := range s.Workers {
		if w := &s.Workers[i]; w.Stage == stream.Evaluate && w.State.Lives() {
			held += w.Slots + 1
		}
	}
	x.Backlog = evaluate.Waiting > held
	x.Questions = make([]forecast.Question, len(m.Questions))
	for i, q := range m.Questions {
		x.Questions[i] = forecast.Question{Units: m.UnitsOf(q), Kind: q.Difficulty}
		for j, t := range m.Temperatures {
			if st, ok := in.cells[stream.Cell{Run: m.ID, Question: q.Index, Temperature: t}]; ok && st.Held() > 0 && st.DoneAt > 0 {
				x.Questions[i].Cells = append(x.Questions[i].Cells, forecast.Cell{Temperature: j, Units: m.UnitsAfter(q, t, 0), Tokens: float64(st.Tokens), CPU: judging(&st), Done: time.UnixMilli(st.DoneAt)})
			}
		}
	}
	l, ok := forecast.Of(x)
	if !ok {
		return nil
	}
	return &Left{Seconds: l.Seconds, Low: l.Low, High: l.High}
}

// startCost is about what a program costs besides its own time, in seconds.
const startCost = 0.005

// judging returns about what judging a cell cost, in seconds of processors. Equal programs run once, and the time of
// that one stands with each of their samples.
func judging(st *store.CellState) float64 {
	n := st.Held()
	if st.UniquePrograms == 0 || n == 0 {
		return st.JudgeCPU
	}
	return (st.JudgeCPU/float64(n) + startCost) * float64(st.UniquePrograms)
}
