package snapshot

import (
	"cmp"
	"slices"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/health"
	"github.com/lcbq/lcbq/worker/score"
)

// derived is what follows from the finished cells alone. It is made anew only when one was finished.
type derived struct {
	cells, samples, passed int           // finished cells; samples and passed of all files
	written                int           // units in files
	seen                   int           // cells that have a file
	fewer                  []store.Fewer // as the run has them
	questions              []Question
	temperatures           []Temperature
	health                 []health.Finding
	healthAt               time.Time     // when health was made, by the server's clock
	unseen                 []health.Cell // the cells, if some came since then
}

// healthEvery is the interval at which the cells are looked at for what is wrong with the answers.
const healthEvery = 5 * time.Second

// diagnose looks at what the answers of the cells that came look like, at most every healthEvery: nobody acts on it
// within seconds, and it is as much work as all the rest.
func (d *derived) diagnose(in *raw) {
	if d.unseen == nil || in.now.Sub(d.healthAt) < healthEvery && d.cells < in.run.Cells() {
		return
	}
	d.health = health.Of(d.unseen, health.Settings{MaxTokens: in.run.Model.MaxTokens, Engine: in.run.Model.Engine})
	d.healthAt, d.unseen = in.now, nil
}

// estimated takes the estimate of temperature j from d if no sample has come since. t has all else.
func (d *derived) estimated(j int, t *Temperature) bool {
	if j >= len(d.temperatures) {
		return false
	}
	o := d.temperatures[j]
	if o.Temperature != t.Temperature || o.Samples != t.Samples || o.Passed != t.Passed || o.Cells != t.Cells {
		return false
	}
	*t = o
	return true
}

// make computes a snapshot of what was read.
func (r *Reader) make(in *raw) *Snapshot {
	m := in.run
	r.derive(in)
	d := &r.derived
	s := &Snapshot{
		At: in.now.UnixMilli(), Server: r.Server, Run: runOf(m), Others: []Run{}, Cards: []Card{}, Findings: []Finding{},
		Questions: d.questions, Temperatures: d.temperatures,
	}
	if r.Idle {
		s.Run.rest(m)
	}
	s.Run.Provenance = &m.Provenance
	s.Run.Cells.Done, s.Run.Samples.Done, s.Run.Passed, s.Run.Dead = d.cells, d.samples, d.passed, in.dead
	for _, o := range in.runs {
		if o.ID != m.ID && o.Open() {
			other := runOf(o)
			if r.Idle {
				other.rest(o)
			}
			s.Others = append(s.Others, other)
		}
	}
	s.Workers = workersOf(r.remember(in.workers, in.now), m.ID, in.now)
	s.Cards = cardsOf(s.Workers)
	s.Units = unitsOf(in, d, r.lost)
	s.Stages = stagesOf(in, s)
	if s.Units.Judged != r.judged || r.moved.IsZero() {
		r.judged, r.moved = s.Units.Judged, in.now
	}
	s.Left = timeLeft(in, s)
	s.Findings = r.findings(in, s)
	return s
}

func runOf(m *store.Manifest) Run {
	return Run{
		ID: m.ID, State: m.State(), Engine: m.Model.Engine, Model: m.Model.Name, Judge: m.Judge.Mode, Fingerprint: m.Judge.Fingerprint,
		OutputDir: m.OutputDir, Created: m.Created, Paused: m.Paused, Finished: m.Finished,
		Cells: Share{All: m.Cells()}, Samples: Share{All: m.Samples()},
	}
}

// rest says of a run that nobody serves that it does not run.
func (r *Run) rest(m *store.Manifest) {
	if m.Open() && m.Paused == 0 {
		r.State = Stopped
	}
}

// derive computes what follows from the finished cells, if there are others than at the last look.
func (r *Reader) derive(in *raw) {
	samples := 0
	for _, st := range in.cells {
		samples += st.Held()
	}
	m, old := in.run, &r.derived
	if old.questions != nil && samples == old.samples && len(in.cells) == old.seen && len(old.questions) == len(m.Questions) && old.sized(m) {
		old.diagnose(in)
		return
	}
	d := derived{samples: samples, fewer: slices.Clone(m.Fewer), seen: len(in.cells), questions: make([]Question, len(m.Questions)), temperatures: make([]Temperature, len(m.Temperatures))}
	counts := make([][]score.Count, len(m.Temperatures))
	var cells []health.Cell
	for i, t := range m.Temperatures {
		d.temperatures[i] = Temperature{Temperature: t.Float(), Cells: Share{All: len(m.Questions)}, PassAt1: -1}
	}
	for i, q := range m.Questions {
		d.questions[i] = Question{Index: q.Index, ID: q.ID, Title: q.Title, Difficulty: q.Difficulty, N: q.N(), Cells: make([]Cell, len(m.Temperatures))}
		for j, t := range m.Temperatures {
			st, ok := in.cells[stream.Cell{Run: m.ID, Question: q.Index, Temperature: t}]
			if !ok || st.Held() <= 0 {
				continue
			}
			d.questions[i].Cells[j] = Cell{N: st.N, Passed: st.Passed}
			d.passed += st.Passed
			d.written += m.UnitsAfter(q, t, 0) - m.UnitsAfter(q, t, st.Held())
			at := &d.temperatures[j]
			at.Samples, at.Passed = at.Samples+st.N, at.Passed+st.Passed
			counts[j] = append(counts[j], score.Count{N: st.N, C: st.Passed})
			if st.Held() >= m.Wanted(q, t) {
				d.cells++
				at.Cells.Done++
			}
			cells = append(cells, health.Cell{Question: q.Index, Temperature: t.Float(), Counts: st.Counts})
		}
	}
	for j := range d.temperatures {
		if t := &d.temperatures[j]; !old.estimated(j, t) {
			t.estimate(counts[j])
		}
	}
	d.health, d.healthAt, d.unseen = old.health, old.healthAt, cells
	d.diagnose(in)
	r.derived = d
}

// sized reports whether the questions still want as many samples.
func (d *derived) sized(m *store.Manifest) bool {
	if !slices.Equal(d.fewer, m.Fewer) {
		return false
	}
	for i, q := range m.Questions {
		if d.questions[i].N != q.N() || len(d.questions[i].Cells) != len(m.Temperatures) {
			return false
		}
	}
	return true
}

// level is that of all intervals.
const level = 0.95

// estimate sets pass@1 and its interval.
func (t *Temperature) estimate(counts []score.Count) {
	t.Complete = t.Cells.Done == t.Cells.All && t.Cells.All > 0
	scores, err := score.Scores(counts, 1)
	if err != nil || len(scores) == 0 {
		return
	}
	i, err := score.SamplingInterval(counts, scores, 1, level)
	if err != nil {
		return
	}
	t.PassAt1, t.Low, t.High = score.MeanOf(scores), i.Low, i.High
}

// unitsOf says where the run's units are, by what still waits.
func unitsOf(in *raw, d *derived, lost int) Units {
	u := Units{All: in.run.Units(), Written: d.written, Dead: in.dead, Lost: lost}
	ahead := func(stage stream.Stage) int {
		l := in.looks[stage].Runs[in.run.ID]
		return int(l.Waiting) + l.InFlight //nolint:gosec // a count of messages fits
	}
	switch {
	case !in.run.Open() || !in.run.Published: // of units not published yet the queues know nothing
		u.Generated, u.Judged = d.written, d.written
	default: // units given up or lost count as generated nowhere, wherever they were: they are not on their way
		u.Generated = max(d.written, u.All-ahead(stream.Generate)-in.dead-lost)
		u.Judged = max(d.written, u.Generated-ahead(stream.Evaluate))
	}
	return u
}

// stagesOf returns the rows of the stages. s has its units and workers.
func stagesOf(in *raw, s *Snapshot) []Stage {
	out := make([]Stage, len(stream.Stages))
	size := 0.
	if s.Units.All > 0 {
		size = float64(s.Run.Samples.All) / float64(s.Units.All)
	}
	for i, stage := range stream.Stages {
		look := in.looks[stage]
		own := look.Runs[in.run.ID]
		r := &out[i]
		*r = Stage{
			Stage: stage, Stream: stage.Stream(), Waiting: int(own.Waiting), InFlight: own.InFlight, Redelivered: own.Again, Backlog: -1, //nolint:gosec // counts fit
			Bytes: int64(look.Bytes), Most: look.Most, //nolint:gosec // a disk's size fits
		}
		if stage == stream.Combine && in.run.Open() { // its consumer serves all runs: what waits for its cell is counted
			r.Waiting = max(0, s.Units.Judged-s.Units.Written)
		}
		for j := range s.Workers {
			if w := &s.Workers[j]; w.Stage == stage && w.State == Working {
				r.Workers++
				r.Rate += w.Rate
				r.Rate15 += w.Rate15
			}
		}
		r.Samples = r.Rate * size
		if rate := cmp.Or(r.Rate, r.Rate15); rate > 0 {
			r.Backlog = float64(r.Waiting+r.InFlight) / rate
		}
		if r.Trend = -r.Rate; i > 0 {
			r.Trend += out[i-1].Rate
		}
		if r.Waiting+r.InFlight == 0 && r.Trend < 0 {
			r.Trend = 0
		}
	}
	return out
}
