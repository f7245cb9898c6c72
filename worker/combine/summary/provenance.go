package summary

import (
	"cmp"
	"slices"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/lcb/result"
	"github.com/lcbq/lcbq/worker/score/curve"
)

// A Provenance is where a run's numbers come from, beyond its settings.
type Provenance struct {
	store.Provenance
	Stages    []Stage      `json:"stages"`           // those whose times are known
	Judges    store.Judges `json:"judges,omitempty"` // hosts that judged, and how fast they were
	DeadUnits int          `json:"dead_units"`       // given up and not put back
	Timeline  []Mark       `json:"timeline"`         // ascending; pace is the slope between marks
}

// A Mark is how far the run was at a time. Only finished cells count.
type Mark struct {
	Seconds float64 `json:"t_s"`     // since the run was defined, pauses included
	Cells   int     `json:"cells"`   // finished by then
	Samples int     `json:"samples"` // in them
}

// mostMarks bounds a timeline: finer than any chart, however many cells there are.
const mostMarks = 200

// timeline returns the cells that are there by the time they were finished, in at
// most mostMarks steps of equal time.
func timeline(m *store.Manifest, cells map[stream.Cell]store.CellState) []Mark {
	var states []store.CellState
	for c, st := range cells {
		if _, ok := m.Question(c.Question); ok {
			states = append(states, st)
		}
	}
	slices.SortFunc(states, func(a, b store.CellState) int { return cmp.Compare(a.DoneAt, b.DoneAt) })
	out := []Mark{}
	if len(states) == 0 {
		return out
	}
	step := max(1, (states[len(states)-1].DoneAt-m.Created+mostMarks-1)/mostMarks)
	samples := 0
	for i, st := range states {
		samples += st.Held()
		if i+1 < len(states) && (states[i+1].DoneAt-m.Created)/step == (st.DoneAt-m.Created)/step {
			continue // more of the same step follows
		}
		out = append(out, Mark{float64(max(0, st.DoneAt-m.Created)) / 1000, i + 1, samples})
	}
	return out
}

// judges sums the cells' work by the host that judged.
func judges(m *store.Manifest, cells map[stream.Cell]store.CellState) store.Judges {
	var all store.Judges
	for c, st := range cells {
		if _, ok := m.Question(c.Question); ok {
			for _, h := range st.Judges {
				all.Add(h)
			}
		}
	}
	return all
}

// A Stage is a stage's work on the cells that are there, from its first unit's
// start to its last one's end, pauses included.
type Stage struct {
	Stage            stream.Stage `json:"stage"`
	Started          time.Time    `json:"started"`
	Ended            time.Time    `json:"ended"`
	Seconds          float64      `json:"duration_s"`
	SamplesPerSecond float64      `json:"samples_per_s"`
	TokensPerSecond  float64      `json:"tokens_per_s,omitempty"` // of generating
	Retries          int          `json:"retries"`                // deliveries of units beyond the first
}

// stages sums the cells' work by stage.
func stages(m *store.Manifest, cells map[stream.Cell]store.CellState) []Stage {
	var generated, judged store.Work
	samples, tokens := 0, int64(0)
	for c, st := range cells {
		if _, ok := m.Question(c.Question); !ok {
			continue
		}
		generated.Add(st.Generated.From, st.Generated.To, st.Generated.Retries)
		judged.Add(st.Judged.From, st.Judged.To, st.Judged.Retries)
		samples, tokens = samples+st.Held(), tokens+st.Tokens
	}
	out := []Stage{}
	for _, s := range []struct {
		stage  stream.Stage
		work   store.Work
		tokens int64
	}{{stream.Generate, generated, tokens}, {stream.Evaluate, judged, 0}} {
		if s.work.From == 0 {
			continue
		}
		x := Stage{
			Stage: s.stage, Started: time.UnixMilli(s.work.From).UTC(), Ended: time.UnixMilli(s.work.To).UTC(),
			Seconds: s.work.Seconds(), Retries: s.work.Retries,
		}
		if x.Seconds > 0 {
			x.SamplesPerSecond, x.TokensPerSecond = float64(samples)/x.Seconds, float64(s.tokens)/x.Seconds
		}
		out = append(out, x)
	}
	return out
}

// sweepOf returns the counts of the run's questions that have a summary; the
// others have no samples.
func sweepOf(m *store.Manifest, summaries []*result.Summary) *curve.Sweep {
	s := &curve.Sweep{}
	for _, t := range m.Temperatures {
		s.Temperatures = append(s.Temperatures, t.Float())
	}
	rows := make(map[int]*result.Summary, len(summaries))
	for _, r := range summaries {
		rows[r.QuestionIdx] = r
	}
	for _, q := range m.Questions {
		x := curve.Question{Index: q.Index, ID: q.ID, Title: q.Title, Origin: q.Origin, Cells: make([]stream.Counts, len(m.Temperatures))}
		if r := rows[q.Index]; r != nil {
			fill(x.Cells, r, s.Temperatures)
		}
		s.Questions = append(s.Questions, x)
	}
	return s
}

// Sweep returns the counts of questions that have summaries, at all temperatures
// of any of them.
func Sweep(summaries []*result.Summary) *curve.Sweep {
	s := &curve.Sweep{}
	for _, r := range summaries {
		s.Temperatures = append(s.Temperatures, r.Temperatures...)
	}
	slices.Sort(s.Temperatures)
	s.Temperatures = slices.Compact(s.Temperatures)
	for _, r := range summaries {
		q := curve.Question{Index: r.QuestionIdx, ID: r.QuestionID, Title: r.QuestionTitle, Origin: r.Origin, Cells: make([]stream.Counts, len(s.Temperatures))}
		fill(q.Cells, r, s.Temperatures)
		s.Questions = append(s.Questions, q)
	}
	return s
}

// fill puts the counts of a question's summary into its cells.
func fill(cells []stream.Counts, r *result.Summary, temperatures []float64) {
	for i := range r.Results {
		if t := slices.Index(temperatures, r.Results[i].Temperature); t >= 0 {
			cells[t] = r.Results[i].Counts
		}
	}
}
