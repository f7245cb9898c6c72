// Package summary computes the summaries of a run: run_summary.json, with the analysis of
// all counts and their provenance, and each question's summary. It writes no file and knows
// no queue.
package summary

import (
	"fmt"
	"math"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/health"
	"github.com/lcbq/lcbq/worker/lcb/result"
	"github.com/lcbq/lcbq/worker/score"
	"github.com/lcbq/lcbq/worker/score/curve"
)

// SchemaVersion is that of run_summary.json. It grows when a field gets another meaning, or one
// is added that others must be read by, as until is. Files without one are of version 1.
const SchemaVersion = 2

// A Run is run_summary.json: what the results folder's base says, and
// where the numbers come from.
type Run struct {
	Schema int `json:"schema_version" jsonschema:"enum=2"` // SchemaVersion
	result.RunSummary
	LCBQ       string              `json:"lcbq"` // version that defined the run
	Problems   store.ProblemSet    `json:"problems"`
	Windows    []store.Window      `json:"windows,omitempty"` // by which questions were chosen; none: all of the set, or a range of places
	Sampling   store.Model         `json:"sampling"`
	Judging    store.Judge         `json:"judging"`
	UnitSize   int                 `json:"unit_size"`
	Until      *Until              `json:"until,omitempty"` // what the number of samples was chosen by; none: it was given
	Throughput Throughput          `json:"throughput"`
	Incomplete map[string][]string `json:"incomplete,omitempty"` // temperatures without a cell, by question id
	Provenance Provenance          `json:"provenance"`
	Health     []health.Finding    `json:"health,omitempty"` // what a reader must know of the answers
	Analysis   *curve.Analysis     `json:"analysis,omitempty"`
}

// Throughput is a run's pace over its whole duration, pauses included.
type Throughput struct {
	SamplesPerSecond float64 `json:"samples_per_s"`
	TokensPerSecond  float64 `json:"tokens_per_s"`
	Tokens           int64   `json:"tokens"`
	JudgeCPU         float64 `json:"judge_cpu_s"`
}

// ladder is the k for which pass@k is reported: LiveCodeBench's own list as far as
// n reaches, and its continuation beyond 1000.
var ladder = []int{1, 5, 10, 20, 40, 50, 75, 100, 125, 150, 200, 500, 1000, 2000, 5000, 10000}

// Question makes a question's summary from the states of its cells that exist.
func Question(cells map[stream.Cell]store.CellState, m *store.Manifest, q store.Question) (*result.Summary, error) {
	var headers []result.Header
	var digests []result.Digest
	var files []string
	for _, t := range m.Temperatures {
		st, ok := cells[stream.Cell{Run: m.ID, Question: q.Index, Temperature: t}]
		if !ok {
			continue
		}
		headers = append(headers, result.Header{
			QuestionIdx: q.Index, QuestionID: q.ID, QuestionTitle: q.Title, Temperature: t.Float(), Counts: st.Counts,
			Engine: string(m.Model.Engine), Model: m.Model.Name, Simulated: m.Model.Engine.Simulated(),
			Judge: m.Judge.Mode, Fingerprint: st.Fingerprint,
		})
		digests = append(digests, result.Digest{SHA256: st.Digest, Bytes: st.Bytes})
		files = append(files, st.File)
	}
	s, err := result.NewSummary(headers, digests, files)
	if err != nil {
		return nil, err
	}
	s.Origin = q.Origin
	return s, nil
}

// Of makes a run's summary from the states of the cells that exist; those
// that do not are listed.
func Of(m *store.Manifest, cells map[stream.Cell]store.CellState) (*Run, error) {
	s := &Run{Schema: SchemaVersion, LCBQ: m.LCBQ, Problems: m.Problems, Windows: m.Windows, Sampling: m.Model, Judging: m.Judge, UnitSize: m.UnitSize}
	s.Run, s.Engine, s.Model, s.Simulated = m.ID, string(m.Model.Engine), m.Model.Name, m.Model.Engine.Simulated()
	s.Judge, s.Fingerprint, s.Questions = m.Judge.Mode, m.Judge.Fingerprint, len(m.Questions)
	s.Incomplete = make(map[string][]string)
	var summaries []*result.Summary
	last := m.Created
	for _, q := range m.Questions {
		s.N = max(s.N, q.N())
		one, err := Question(cells, m, q)
		if err == nil {
			summaries = append(summaries, one)
		}
		for _, t := range m.Temperatures {
			st, ok := cells[stream.Cell{Run: m.ID, Question: q.Index, Temperature: t}]
			if !ok {
				s.Incomplete[q.ID] = append(s.Incomplete[q.ID], t.String())
			}
			last = max(last, st.DoneAt)
		}
	}
	for _, t := range m.Temperatures {
		s.Temperatures = append(s.Temperatures, t.Float())
	}
	s.Provenance = Provenance{Provenance: m.Provenance, Stages: stages(m, cells), Judges: judges(m, cells), Timeline: timeline(m, cells)}
	if err := s.Count(summaries, sweepOf(m, summaries)); err != nil {
		return nil, fmt.Errorf("summarise run %s: %w", m.ID, err)
	}
	var err error
	if s.Until, err = UntilOf(m, cells); err != nil {
		return nil, fmt.Errorf("summarise run %s: %w", m.ID, err)
	}
	s.Health = health.Of(healthOf(m, cells), health.Settings{MaxTokens: m.Model.MaxTokens, Engine: m.Model.Engine})
	s.Started, s.Finished = time.UnixMilli(m.Created).UTC(), time.UnixMilli(last).UTC()
	if s.DurationSeconds = s.Finished.Sub(s.Started).Seconds(); s.DurationSeconds > 0 {
		s.Throughput.SamplesPerSecond = float64(s.Samples) / s.DurationSeconds
		s.Throughput.TokensPerSecond = float64(s.Throughput.Tokens) / s.DurationSeconds
	}
	return s, nil
}

// healthOf returns the counts of the run's cells that exist.
func healthOf(m *store.Manifest, cells map[stream.Cell]store.CellState) []health.Cell {
	var out []health.Cell
	for _, q := range m.Questions {
		for _, t := range m.Temperatures {
			if st, ok := cells[stream.Cell{Run: m.ID, Question: q.Index, Temperature: t}]; ok {
				out = append(out, health.Cell{Question: q.Index, Temperature: t.Float(), Counts: st.Counts})
			}
		}
	}
	return out
}

// Count fills in what follows from the summaries of the questions: totals, pass@k
// and the analysis of sweep, which is their counts.
func (s *Run) Count(summaries []*result.Summary, sweep *curve.Sweep) error {
	s.Results = result.Total(summaries)
	for i := range s.Results {
		r := &s.Results[i]
		s.Samples, s.Passed, s.Unscored = s.Samples+r.N, s.Passed+r.Passed, s.Unscored+r.Unscored
		s.Throughput.Tokens, s.Throughput.JudgeCPU = s.Throughput.Tokens+r.Tokens, s.Throughput.JudgeCPU+r.JudgeCPU
		var err error
		if r.PassAtK, err = passAtK(summaries, r.Temperature); err != nil {
			return fmt.Errorf("pass@k at temperature %v: %w", r.Temperature, err)
		}
	}
	var err error
	s.Analysis, err = curve.Analyse(sweep, curve.Options{})
	return err
}

// passAtK returns the mean over questions of pass@k, for every k of the ladder
// that each question has samples for. Where programs were stopped at a soft limit it is the
// unbiased estimate, for every k that it reaches.
func passAtK(summaries []*result.Summary, temperature float64) (map[int]float64, error) {
	out := make(map[int]float64)
	least, share := math.MaxInt, 0.0
	var counts []stream.Counts
	for _, s := range summaries {
		for _, c := range s.Results {
			if c.Temperature == temperature && c.N > 0 {
				counts = append(counts, c.Counts)
				least = min(least, c.N)
				if c.Audit != nil {
					share = c.Audit.Share
				}
			}
		}
	}
	if share > 0 {
		least = score.Audit{Share: share}.Reach(least)
	}
	for _, k := range ladder {
		if len(counts) == 0 || k > least {
			break
		}
		sum := 0.0
		for _, c := range counts {
			p, err := pass(&c, k)
			if err != nil {
				return nil, err
			}
			sum += p
		}
		out[k] = sum / float64(len(counts))
	}
	return out, nil
}

// pass returns pass@k of a cell.
func pass(c *stream.Counts, k int) (float64, error) {
	if c.Audit == nil {
		return score.PassAtK(c.N, c.Passed, k)
	}
	return score.Audit{Share: c.Audit.Share, Passed: c.Audit.PassedDraws}.PassAtK(score.Count{N: c.N, C: c.Passed}, k)
}
