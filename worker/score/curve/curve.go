// Package curve turns the counts of a whole sweep into one value that holds all
// that can be said of them: pass@k curves with both uncertainties, the best
// temperatures, the union over temperatures, splits and words for what the data
// do not define. It is pure as score is, and its result has no NaN: it can always
// be written as JSON.
package curve

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/score"
)

// A Sweep is the counts of a run, or of as much of it as is there.
type Sweep struct {
	Temperatures []float64 // ascending, each once
	Questions    []Question
}

// A Question is one question with its cells.
type Question struct {
	Index int // in the problem set
	ID    string
	Title string
	stream.Origin
	// Cells are what was counted, one for each temperature of the sweep in their
	// order, the zero value where there is none. Questions and temperatures may
	// differ in N; a cell with N = 0 is taken for missing.
	Cells []stream.Counts
}

// Options are the settings of Analyse. The zero value is the default.
type Options struct {
	Level  float64 // of every interval and set, above 0 and below 1; 0 means 0.95
	Rounds int     // resamples of each bootstrap; 0 means 2000
	Seed   uint64  // of the resamples: the same input and seed give the same output
	Cutoff string  // day that sets questions of contests before it and from it on apart, YYYY-MM-DD; "" for none
}

const (
	defaultLevel  = 0.95
	defaultRounds = 2000
)

// Ladder returns the k at which a sweep of at most n samples a cell is reported:
// 1, 2, 5, 10, ... up to n, and n itself. Headline returns the few of them for
// tables.
func Ladder(n int) []int { return score.Powers(n) }

// Headline returns the k for tables and splits, up to n.
func Headline(n int) []int {
	var out []int
	for _, k := range []int{1, 5, 10, 100, 1000, 10_000} {
		if k <= n {
			out = append(out, k)
		}
	}
	return out
}

// Validate reports what makes s no sweep.
func (s *Sweep) Validate() error {
	var errs []error
	for i, t := range s.Temperatures {
		if math.IsNaN(t) || math.IsInf(t, 0) || t < 0 {
			errs = append(errs, fmt.Errorf("temperature %v: want a finite number, 0 or more", t))
		}
		if i > 0 && t <= s.Temperatures[i-1] {
			errs = append(errs, fmt.Errorf("temperature %v comes after %v, want them ascending, each once", t, s.Temperatures[i-1]))
		}
	}
	for _, q := range s.Questions {
		if len(q.Cells) != len(s.Temperatures) {
			errs = append(errs, fmt.Errorf("question %d has %d cells, want one for each of %d temperatures", q.Index, len(q.Cells), len(s.Temperatures)))
			continue
		}
		for i := range q.Cells {
			err := count(&q.Cells[i]).Validate()
			if err == nil && q.Cells[i].Audit != nil {
				err = auditOf(&q.Cells[i]).Validate(count(&q.Cells[i]))
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("question %d at temperature %v: %w", q.Index, s.Temperatures[i], err))
			}
		}
	}
	return errors.Join(errs...)
}

func count(c *stream.Counts) score.Count { return score.Count{N: c.N, C: c.Passed} }

// analyser holds what the parts of an analysis share.
type analyser struct {
	*Sweep
	level  float64
	split  string // the cut-off
	rounds int
	rand   *rand.Rand
	ladder []int
	least  int     // samples of the cell with the fewest, of those that have some
	share  float64 // of an audited time limit, 0 if no sample ran beyond a soft limit
	among  []int   // questions that every value is over while cells are missing; nil for all
	scores map[place][]score.Score
	counts map[place][]score.Count
	which  map[place][]int
}

// A place is a temperature, by index, and a k.
type place struct{ t, k int }

// Analyse returns all that can be said of s. A sweep without samples has an
// analysis too, whose notes say so. The error is a mistake of the caller: a sweep
// that is none, or an option out of range.
func Analyse(s *Sweep, o Options) (*Analysis, error) {
	if o.Level == 0 {
		o.Level = defaultLevel
	}
	if !(o.Level > 0 && o.Level < 1) {
		return nil, fmt.Errorf("analyse: level = %v, want above 0 and below 1", o.Level)
	}
	if o.Rounds <= 0 {
		o.Rounds = defaultRounds
	}
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("analyse: %w", err)
	}
	if _, err := time.Parse(time.DateOnly, o.Cutoff); o.Cutoff != "" && err != nil {
		return nil, fmt.Errorf("analyse: cut-off = %q, want a day such as 2025-01-31", o.Cutoff)
	}
	a := &analyser{
		Sweep: s, level: o.Level, split: o.Cutoff, rounds: o.Rounds, rand: rand.New(rand.NewPCG(o.Seed, 0x6c636271)),
		scores: make(map[place][]score.Score), counts: make(map[place][]score.Count), which: make(map[place][]int),
	}
	most := 0
	for _, q := range s.Questions {
		for i := range q.Cells {
			n := q.Cells[i].N
			most = max(most, n)
			if n > 0 && (a.least == 0 || n < a.least) {
				a.least = n
			}
		}
	}
	a.share = s.share()
	a.ladder = Ladder(most)
	a.among = a.shared()
	out := &Analysis{Level: o.Level, Questions: len(s.Questions)}
	for _, part := range []func(*Analysis) error{a.temperatures, a.best, a.union, a.splits, a.cutoff, a.mixing, a.flips, a.beyond, a.audits, a.notes} {
		if err := part(out); err != nil {
			return nil, fmt.Errorf("analyse: %w", err)
		}
	}
	return out, nil
}

// shared returns the questions that have samples at every temperature at which any
// has, if some have not: a temperature measured on easier questions than another would
// look better. It is nil if none are missing, and if there would be nothing left.
func (a *analyser) shared() []int {
	live := make([]bool, len(a.Temperatures))
	for _, q := range a.Questions {
		for t := range q.Cells {
			live[t] = live[t] || q.Cells[t].N > 0
		}
	}
	var out []int
	missing := false
	for i, q := range a.Questions {
		all := true
		for t := range q.Cells {
			all = all && (q.Cells[t].N > 0 || !live[t])
		}
		if all {
			out = append(out, i)
		} else {
			missing = true
		}
	}
	if !missing {
		return nil
	}
	return out
}

// at returns the scores at temperature t of the questions that have k samples
// there, their counts, and which questions these are.
func (a *analyser) at(t, k int) ([]score.Score, []score.Count, []int, error) {
	p := place{t, k}
	if scores, ok := a.scores[p]; ok {
		return scores, a.counts[p], a.which[p], nil
	}
	var which []int
	for i := range a.Questions {
		if a.room(t, i) >= k {
			which = append(which, i)
		}
	}
	scores, counts, err := scores(a.cells(t, which), k, a.level)
	if err != nil {
		return nil, nil, nil, err
	}
	a.scores[p], a.counts[p], a.which[p] = scores, counts, which
	return scores, counts, which, nil
}

func (a *analyser) bootstrap() score.Bootstrap {
	return score.Bootstrap{Rounds: a.rounds, Rand: a.rand}
}
