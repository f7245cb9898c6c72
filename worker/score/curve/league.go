package curve

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/score"
)

// A League is several sweeps over the questions and temperatures that all of them have.
type League struct {
	Level        float64   `json:"level"`
	Questions    int       `json:"questions"`    // that are in all sweeps
	Temperatures []float64 `json:"temperatures"` // that are in all sweeps
	Tables       []Ranking `json:"tables"`       // by k
	Notes        []Note    `json:"notes"`
}

// A Ranking is several sweeps at one k. A question's score is its mean pass@k over the
// temperatures of the league.
type Ranking struct {
	K         int       `json:"k"`
	Questions int       `json:"questions"` // that have k samples at each of these temperatures in all sweeps
	Places    []Place   `json:"places"`    // the highest value first
	Pairs     []Against `json:"pairs"`     // every two sweeps once, in their order
}

// A Place is one sweep in a ranking.
type Place struct {
	Sweep      int             `json:"sweep"` // by index
	Value      float64         `json:"value"`
	Population *score.Interval `json:"population,omitempty"` // on questions like these, for this sweep alone
	// Ranks are the places that it may have on questions like these, for all at once: 1 more
	// than are surely better, to as many as are not surely worse.
	First    int             `json:"first"`
	Last     int             `json:"last"`
	MayLead  bool            `json:"may_lead"`         // the best one is among these, on questions like these
	Behind   *score.Interval `json:"behind,omitempty"` // by how much it is behind the best one, on questions like these, for all at once
	Reliable bool            `json:"reliable"`         // 2k samples of every question at least
}

// An Against is one sweep against another. The intervals hold for all pairs at once, and P is
// corrected by Holm for all of them.
type Against struct {
	A          int        `json:"a"` // by index
	B          int        `json:"b"`
	Difference float64    `json:"difference"` // B less A
	These      *Deviation `json:"these_questions,omitempty"`
	Like       *Deviation `json:"questions_like,omitempty"`
}

// Rank compares several sweeps with each other. Sweeps that share nothing have a league
// too, whose notes say so. The error is a mistake of the caller.
func Rank(sweeps []*Sweep, o Options) (*League, error) {
	if o.Level == 0 {
		o.Level = defaultLevel
	}
	if !(o.Level > 0 && o.Level < 1) {
		return nil, fmt.Errorf("rank: level = %v, want above 0 and below 1", o.Level)
	}
	if len(sweeps) < 2 {
		return nil, fmt.Errorf("rank: %d sweeps, want 2 at least", len(sweeps))
	}
	if o.Rounds <= 0 {
		o.Rounds = defaultRounds
	}
	l := &league{sweeps: sweeps, o: o}
	if err := l.share(); err != nil {
		return nil, fmt.Errorf("rank: %w", err)
	}
	out := &League{Level: o.Level, Questions: len(l.questions), Temperatures: append([]float64{}, l.temperatures...), Tables: []Ranking{}, Notes: l.notes()}
	most := 0
	for _, q := range l.questions {
		most = max(most, l.reach(&q))
	}
	for _, k := range Headline(most) {
		r, err := l.ranking(k)
		if err != nil {
			return nil, fmt.Errorf("rank at k = %d: %w", k, err)
		}
		out.Tables = append(out.Tables, r)
	}
	return out, nil
}

// league is what several sweeps share.
type league struct {
	sweeps       []*Sweep
	o            Options
	shares       []float64 // of the audited time limit of each, 0 for none
	temperatures []float64
	questions    []leagueQuestion
}

type leagueQuestion struct {
	*Question                    // as the first sweep has it
	cells     [][]*stream.Counts // by sweep and temperature
}

// share finds the questions and temperatures that all sweeps have.
func (l *league) share() error {
	byID := make([]map[string]*Question, len(l.sweeps))
	for i, s := range l.sweeps {
		if err := s.Validate(); err != nil {
			return fmt.Errorf("sweep %d: %w", i+1, err)
		}
		l.shares = append(l.shares, s.share())
		byID[i] = make(map[string]*Question)
		for j := range s.Questions {
			q := &s.Questions[j]
			if byID[i][q.ID] != nil {
				return fmt.Errorf("sweep %d: question_id %q comes twice", i+1, q.ID)
			}
			byID[i][q.ID] = q
		}
	}
	for _, t := range l.sweeps[0].Temperatures {
		if !slices.ContainsFunc(l.sweeps, func(s *Sweep) bool { return !slices.Contains(s.Temperatures, t) }) {
			l.temperatures = append(l.temperatures, t)
		}
	}
	if len(l.temperatures) == 0 {
		return nil
	}
	for j := range l.sweeps[0].Questions {
		q := leagueQuestion{Question: &l.sweeps[0].Questions[j]}
		for i, s := range l.sweeps {
			own := byID[i][q.ID]
			if own == nil {
				break
			}
			var cells []*stream.Counts
			for _, t := range l.temperatures {
				cells = append(cells, &own.Cells[slices.Index(s.Temperatures, t)])
			}
			q.cells = append(q.cells, cells)
		}
		if len(q.cells) == len(l.sweeps) {
			l.questions = append(l.questions, q)
		}
	}
	return nil
}

// reach returns the largest k for which a question has a pass@k at each temperature in all sweeps.
func (l *league) reach(q *leagueQuestion) int {
	least := math.MaxInt
	for s, side := range q.cells {
		for _, c := range side {
			least = min(least, reach(c.N, l.shares[s]))
		}
	}
	return least
}

func (l *league) notes() []Note {
	out := []Note{}
	add := func(code, format string, args ...any) { out = append(out, Note{code, fmt.Sprintf(format, args...)}) }
	switch {
	case len(l.temperatures) == 0:
		add(NoteNothingShared, "the results have no temperature in common: nothing can be compared")
		return out
	case len(l.questions) == 0:
		add(NoteNothingShared, "the results have no question in common: nothing can be compared")
		return out
	}
	for i, s := range l.sweeps {
		if q, t := len(s.Questions)-len(l.questions), len(s.Temperatures)-len(l.temperatures); q > 0 || t > 0 {
			add(NotePartlyShared, "%d questions and %d temperatures of result %d are not in all: they are left out", q, t, i+1)
		}
	}
	if slices.ContainsFunc(l.shares, func(x float64) bool { return x > 0 }) {
		add(NoteAudited, auditedLeague)
	}
	if len(l.questions) == 1 {
		add(NoteOneQuestion, "one question only: no interval and no test over questions is defined")
	} else if len(l.questions) < fewQuestions {
		add(NoteFew, "%d questions are few: read intervals over questions as a hint", len(l.questions))
	}
	return out
}

// ranking compares the sweeps at k.
func (l *league) ranking(k int) (Ranking, error) {
	var asked []*Question
	means := make([][]score.Score, len(l.sweeps))
	enough := make([]bool, len(l.sweeps))
	var cells [][][]*stream.Counts // by sweep, temperature and question
	for range l.sweeps {
		cells = append(cells, make([][]*stream.Counts, len(l.temperatures)))
	}
	for _, q := range l.questions {
		if l.reach(&q) < k {
			continue
		}
		asked = append(asked, q.Question)
		for s := range l.sweeps {
			for t := range l.temperatures {
				cells[s][t] = append(cells[s][t], q.cells[s][t])
			}
		}
	}
	for s := range l.sweeps {
		means[s], enough[s] = make([]score.Score, len(asked)), true
		for t := range l.temperatures {
			own, counts, err := scores(cells[s][t], k, l.o.Level)
			if err != nil {
				return Ranking{}, err
			}
			for i := range own {
				add(&means[s][i], own[i], len(l.temperatures))
			}
			enough[s] = enough[s] && score.Reliable(counts, k, score.Interval{})
		}
	}
	r := Ranking{K: k, Questions: len(asked)}
	if err := l.pairs(&r, means, asked); err != nil {
		return Ranking{}, err
	}
	return r, l.places(&r, means, enough)
}

// pairs compares every two sweeps, for all pairs at once.
func (l *league) pairs(r *Ranking, scores [][]score.Score, asked []*Question) error {
	n := len(scores)
	level := score.Together(l.o.Level, n*(n-1)/2)
	var all []*Contrast
	for a := range n {
		for b := a + 1; b < n; b++ {
			c, err := contrast(r.K, scores[a], scores[b], asked, level)
			if err != nil {
				return err
			}
			all = append(all, &c)
			r.Pairs = append(r.Pairs, Against{A: a, B: b, Difference: c.Difference, These: c.These, Like: c.Like})
		}
	}
	correct(all, func(c *Contrast) *Deviation { return c.These })
	correct(all, func(c *Contrast) *Deviation { return c.Like })
	return nil
}

// places orders the sweeps and says which places each may have.
func (l *league) places(r *Ranking, scores [][]score.Score, enough []bool) error {
	// The leader is looked for by Hsu's method, as the best temperature is.
	_, like, err := score.Best(scores, l.o.Level, score.Bootstrap{Rounds: l.o.Rounds, Rand: rand.New(rand.NewPCG(l.o.Seed, 0x6c65616775))})
	undefined := errors.Is(err, score.ErrUndefined)
	if err != nil && !undefined {
		return err
	}
	for i, s := range scores {
		p := Place{Sweep: i, Value: score.MeanOf(s), First: 1, Last: len(scores), MayLead: true, Reliable: enough[i]}
		if !undefined {
			values := make([]float64, len(s))
			for j := range s {
				values[j] = min(1, max(0, s[j].Value)) // a mean of temperatures may round beyond, an estimate of an audit lie there
			}
			of, err := score.PopulationInterval(values, l.o.Level, score.Beta, score.Bootstrap{})
			if err != nil {
				return err
			}
			of.High = min(1, of.High+s[0].Hidden)
			p.Population, p.MayLead, p.Behind = &of, like.In[i], &like.Behind[i]
		}
		for _, x := range r.Pairs {
			if x.Like == nil || x.A != i && x.B != i {
				continue
			}
			low, high := x.Like.Interval.Low, x.Like.Interval.High // of B less A
			if x.B == i {
				low, high = -high, -low
			}
			switch {
			case low > 0:
				p.First++
			case high < 0:
				p.Last--
			}
		}
		r.Places = append(r.Places, p)
	}
	slices.SortStableFunc(r.Places, func(a, b Place) int {
		switch {
		case a.Value > b.Value:
			return -1
		case a.Value < b.Value:
			return 1
		}
		return 0
	})
	return nil
}
