package curve

import (
	"errors"
	"fmt"
	"slices"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/score"
)

// A Comparison is two sweeps, question by question: two models, two judges or two
// sample counts. Questions are paired by id, temperatures by value; differences
// are of B less A.
type Comparison struct {
	Level        float64                 `json:"level"`
	Shared       int                     `json:"shared"` // questions that are in both sweeps
	OnlyA        int                     `json:"only_a"`
	OnlyB        int                     `json:"only_b"`
	Temperatures []TemperatureComparison `json:"temperatures"`      // those of both, ascending
	Overall      []Contrast              `json:"overall,omitempty"` // each question's mean over these; none for fewer than two
	Questions    []Changed               `json:"questions"`         // how each question passes in both, the surest change first
	Confirmed    int                     `json:"confirmed"`         // of these, how many changed with a Q of at most 1 - level
	Notes        []Note                  `json:"notes"`
}

// A TemperatureComparison is two sweeps at one temperature.
type TemperatureComparison struct {
	Temperature float64    `json:"temperature"`
	Points      []Contrast `json:"points"` // at the headline k
}

// A Contrast compares pass@k over the questions that have k samples in both.
type Contrast struct {
	K          int        `json:"k"`
	Questions  int        `json:"questions"`
	A          float64    `json:"a"`
	B          float64    `json:"b"`
	Difference float64    `json:"difference"`
	Differ     int        `json:"differ"`                    // questions on which the two score differently
	These      *Deviation `json:"these_questions,omitempty"` // would the same questions, sampled anew, agree?
	Like       *Deviation `json:"questions_like,omitempty"`  // would others? Both nil for fewer than two questions
	Reliable   bool       `json:"reliable"`                  // at least 2k samples of every question, and within 2 points either way on these questions
}

// A Deviation is what a difference can be.
type Deviation struct {
	Interval score.Interval `json:"interval"` // paired, for this one difference
	// Together is Interval for all temperatures at this k at once; nil where only one thing is compared.
	Together *score.Interval `json:"together,omitempty"`
	// Contest is Interval where questions of one contest are alike; nil for the same questions, where
	// contests are not known, or where each has one question.
	Contest *score.Interval `json:"contest,omitempty"`
	P       float64         `json:"p"` // two-sided, corrected by Holm for all temperatures at this k
}

// The codes of notes of a comparison.
const (
	NoteNothingShared = "nothing_shared" // no question, or no temperature, is in both
	NotePartlyShared  = "partly_shared"  // some questions or temperatures are in one only
)

// Compare compares b with a. Two sweeps that share nothing have a comparison too,
// whose notes say so. The error is a mistake of the caller: a sweep that is none
// or names a question twice, or an option out of range.
func Compare(a, b *Sweep, o Options) (*Comparison, error) {
	if o.Level == 0 {
		o.Level = defaultLevel
	}
	p, err := pair(a, b)
	if err != nil {
		return nil, fmt.Errorf("compare: %w", err)
	}
	if !(o.Level > 0 && o.Level < 1) {
		return nil, fmt.Errorf("compare: level = %v, want above 0 and below 1", o.Level)
	}
	p.level = o.Level
	p.share = [2]float64{a.share(), b.share()}
	out := &Comparison{Level: o.Level, Shared: len(p.questions), OnlyA: len(a.Questions) - len(p.questions), OnlyB: len(b.Questions) - len(p.questions)}
	out.Temperatures = make([]TemperatureComparison, len(p.temperatures))
	most := 0
	for i, t := range p.temperatures {
		out.Temperatures[i] = TemperatureComparison{Temperature: t.value, Points: []Contrast{}}
		for _, q := range p.questions {
			most = max(most, min(reach(q.a.Cells[t.a].N, p.share[0]), reach(q.b.Cells[t.b].N, p.share[1])))
		}
	}
	for _, k := range Headline(most) {
		if err := p.at(k, out); err != nil {
			return nil, fmt.Errorf("compare at k = %d: %w", k, err)
		}
	}
	if err := p.changes(out); err != nil {
		return nil, fmt.Errorf("compare questions: %w", err)
	}
	p.notes(a, b, out)
	return out, nil
}

// paired is what two sweeps share.
type paired struct {
	level        float64
	share        [2]float64 // of the audited time limits of A and B, 0 for none
	questions    []pairedQuestion
	temperatures []pairedTemperature
}

type pairedQuestion struct{ a, b *Question }

type pairedTemperature struct {
	value float64
	a, b  int // indices
}

func pair(a, b *Sweep) (*paired, error) {
	byID := make(map[string]*Question, len(a.Questions))
	for i, s := range []*Sweep{a, b} {
		name := string(rune('A' + i))
		if err := s.Validate(); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		seen := make(map[string]bool, len(s.Questions))
		for _, q := range s.Questions {
			if seen[q.ID] {
				return nil, fmt.Errorf("%s: question_id %q comes twice", name, q.ID)
			}
			seen[q.ID] = true
		}
	}
	for i := range a.Questions {
		byID[a.Questions[i].ID] = &a.Questions[i]
	}
	p := &paired{}
	for i := range b.Questions {
		if q, ok := byID[b.Questions[i].ID]; ok {
			p.questions = append(p.questions, pairedQuestion{q, &b.Questions[i]})
		}
	}
	for i, t := range a.Temperatures {
		if j := slices.Index(b.Temperatures, t); j >= 0 {
			p.temperatures = append(p.temperatures, pairedTemperature{t, i, j})
		}
	}
	return p, nil
}

// at adds the contrasts at k to out.
func (p *paired) at(k int, out *Comparison) error {
	var here []*Contrast // what the correction is for
	var pairs [][2][]score.Score
	n := len(p.questions)
	means := [2][]score.Score{make([]score.Score, n), make([]score.Score, n)}
	everywhere := make([]bool, n)
	for i := range everywhere {
		everywhere[i] = true
	}
	reliable := true
	for i, t := range p.temperatures {
		var cells [2][]*stream.Counts
		var which []int
		for j, q := range p.questions {
			a, b := &q.a.Cells[t.a], &q.b.Cells[t.b]
			if reach(a.N, p.share[0]) < k || reach(b.N, p.share[1]) < k {
				everywhere[j] = false
				continue
			}
			cells[0], cells[1] = append(cells[0], a), append(cells[1], b)
			which = append(which, j)
		}
		if len(which) == 0 {
			continue
		}
		var sides [2][]score.Score
		sure := true
		for s := range sides {
			own, counts, err := scores(cells[s], k, p.level)
			if err != nil {
				return err
			}
			for j, q := range which {
				add(&means[s][q], own[j], len(p.temperatures))
			}
			sides[s], sure = own, sure && enough(counts, k)
		}
		reliable = reliable && sure
		c, err := contrast(k, sides[0], sides[1], p.asked(which), p.level)
		if err != nil {
			return err
		}
		c.Reliable = c.Reliable && sure
		points := &out.Temperatures[i].Points
		*points = append(*points, c)
		here, pairs = append(here, &(*points)[len(*points)-1]), append(pairs, sides)
	}
	if err := together(here, pairs, p.level); err != nil {
		return err
	}
	correct(here, func(c *Contrast) *Deviation { return c.These })
	correct(here, func(c *Contrast) *Deviation { return c.Like })

	var a, b []score.Score
	var which []int
	for j, all := range everywhere {
		if all {
			a, b = append(a, means[0][j]), append(b, means[1][j])
			which = append(which, j)
		}
	}
	if len(p.temperatures) < 2 || len(a) == 0 {
		return nil
	}
	c, err := contrast(k, a, b, p.asked(which), p.level)
	if err != nil {
		return err
	}
	c.Reliable = c.Reliable && reliable
	out.Overall = append(out.Overall, c)
	return nil
}

// add adds one of m scores of a question to their mean. A program that comes at several temperatures
// has one draw for all of them, so what the draws add goes the same way at each: it is summed as a
// standard error, which is most.
func add(mean *score.Score, s score.Score, m int) {
	n := float64(m)
	mean.Value += s.Value / n
	before := mean.Drawn
	mean.Drawn += s.Drawn / n
	mean.Variance += (s.Variance-s.Drawn*s.Drawn)/(n*n) + mean.Drawn*mean.Drawn - before*before
	mean.Hidden += s.Hidden / n
	mean.Unseen = max(mean.Unseen, s.Unseen/n)
	mean.Pooled = mean.Pooled || s.Pooled
}

// enough reports whether pass@k is estimated from samples of every question's own.
func enough(counts []score.Count, k int) bool { return score.Reliable(counts, k, score.Interval{}) }

// asked returns the questions at the given places, as A has them.
func (p *paired) asked(which []int) []*Question {
	out := make([]*Question, len(which))
	for i, j := range which {
		out[i] = p.questions[j].a
	}
	return out
}

// contrast compares the scores of the same questions.
func contrast(k int, a, b []score.Score, questions []*Question, level float64) (Contrast, error) {
	c := Contrast{K: k, Questions: len(a), A: score.MeanOf(a), B: score.MeanOf(b)}
	c.Difference = c.B - c.A
	for i := range a {
		if a[i].Value != b[i].Value {
			c.Differ++
		}
	}
	for _, claim := range []score.Claim{score.TheseQuestions, score.QuestionsLike} {
		d, err := score.Compare(a, b, claim, level)
		if errors.Is(err, score.ErrUndefined) {
			return c, nil
		}
		if err != nil {
			return Contrast{}, err
		}
		x := &Deviation{Interval: d.Interval, P: d.P}
		if claim == score.TheseQuestions {
			c.These = x
			c.Reliable = x.Interval.Width() <= 2*score.Widest
		} else {
			c.Like = x
			if of := contests(questions); of != nil {
				i, err := score.CompareClustered(a, b, of, level)
				if err != nil {
					return Contrast{}, err
				}
				x.Contest = &i
			}
		}
	}
	return c, nil
}

// correct replaces the P of contrasts by Holm's.
func correct(all []*Contrast, of func(*Contrast) *Deviation) {
	var p []float64
	for _, c := range all {
		if d := of(c); d != nil {
			p = append(p, d.P)
		}
	}
	corrected := score.Holm(p)
	for _, c := range all {
		if d := of(c); d != nil {
			d.P, corrected = corrected[0], corrected[1:]
		}
	}
}

// together adds the intervals that hold for all contrasts at once.
func together(all []*Contrast, pairs [][2][]score.Score, level float64) error {
	level = score.Together(level, len(all))
	for i, c := range all {
		for claim, to := range []*Deviation{c.These, c.Like} {
			if to == nil || len(all) < 2 {
				continue
			}
			d, err := score.Compare(pairs[i][0], pairs[i][1], score.Claim(claim), level)
			if err != nil {
				return err
			}
			to.Together = &d.Interval
		}
	}
	return nil
}

func (p *paired) notes(a, b *Sweep, out *Comparison) {
	out.Notes = []Note{}
	add := func(code, format string, args ...any) {
		out.Notes = append(out.Notes, Note{code, fmt.Sprintf(format, args...)})
	}
	switch {
	case len(p.questions) == 0:
		add(NoteNothingShared, "the two have no question in common: nothing can be compared")
		return
	case len(p.temperatures) == 0:
		add(NoteNothingShared, "the two have no temperature in common: nothing can be compared")
		return
	}
	if out.OnlyA > 0 || out.OnlyB > 0 {
		add(NotePartlyShared, "%d questions are in A only and %d in B only: they are left out", out.OnlyA, out.OnlyB)
	}
	if x, y := len(a.Temperatures)-len(p.temperatures), len(b.Temperatures)-len(p.temperatures); x > 0 || y > 0 {
		add(NotePartlyShared, "%d temperatures are in A only and %d in B only: they are left out", x, y)
	}
	if p.share != [2]float64{} {
		add(NoteAudited, auditedPair)
	}
	if len(p.questions) == 1 {
		add(NoteOneQuestion, "one question only: no interval and no test over questions is defined")
	} else if len(p.questions) < fewQuestions {
		add(NoteFew, "%d questions are few: read intervals over questions as a hint", len(p.questions))
	}
}
