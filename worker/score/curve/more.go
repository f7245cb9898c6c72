package curve

import (
	"cmp"
	"errors"
	"math"
	"slices"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/score"
)

// A Truncation is what samples that were cut off before a program leave open at k.
type Truncation struct {
	K      int      `json:"k"`
	Failed float64  `json:"failed"`           // pass@k with all of them failed, which is how they are counted
	Others *float64 `json:"others,omitempty"` // if they passed as often as the others of their question; nil if one has fewer than k others
	Passed float64  `json:"passed"`           // if all of them had passed
}

// A Cost is what a solved question costs with k samples of each.
type Cost struct {
	K           int      `json:"k"`
	Tokens      float64  `json:"tokens"`
	CardSeconds *float64 `json:"card_seconds,omitempty"` // nil where the speed of generation is not known
}

// A Flips is the questions that no sample passed at the coldest temperature and some at a hotter one.
type Flips struct {
	Cold      float64 `json:"cold"`
	Tested    int     `json:"tested"`    // questions that some sample passed and some failed
	Confirmed int     `json:"confirmed"` // of Questions, those whose Q is at most 1 - level
	Questions []Flip  `json:"questions"` // the surest first
}

// A Flip is one of them.
type Flip struct {
	ID     string  `json:"question_id"`
	Cold   int     `json:"cold_samples"` // none passed
	Hot    int     `json:"hot_samples"`  // at all hotter temperatures
	Passed int     `json:"hot_passed"`
	Best   float64 `json:"best_temperature"` // where the highest share passed
	P      float64 `json:"p"`                // exact, one-sided: the chance of none at the coldest, were all temperatures alike
	Q      float64 `json:"q"`                // P with the share of false ones among those as sure controlled (Benjamini-Hochberg)
}

// A Beyond is what models make of pass@k for k that no cell has samples for. None of it is
// measured, and nothing measured says which model is right: read it as a range.
type Beyond struct {
	Temperature float64 `json:"temperature"`
	N           int     `json:"n"`
	K           []int   `json:"k"`
	Models      []Model `json:"models"` // the lowest and the highest bound the band
}

// A Model is one of them.
type Model struct {
	Name   string    `json:"name"`
	Values []float64 `json:"values"` // by K
}

// truncated is the samples of a cell that were cut off.
func truncated(c *stream.Counts) int { return min(c.Verdicts[stream.Truncated], c.N-c.Passed) }

// cutOff returns what the cut-off samples at temperature t leave open, nil if there are none.
func (a *analyser) cutOff(t int, ks []int) ([]Truncation, error) {
	var rows []*stream.Counts
	cut := 0
	for i := range a.Questions {
		if c := &a.Questions[i].Cells[t]; c.N > 0 && (len(a.among) == 0 || slices.Contains(a.among, i)) {
			rows = append(rows, c)
			cut += truncated(c)
		}
	}
	if cut == 0 {
		return nil, nil
	}
	mean := func(k int, of func(c *stream.Counts) score.Count) (float64, error) {
		total := 0.0
		for _, c := range rows {
			x := of(c)
			v, err := score.PassAtK(x.N, x.C, k)
			if err != nil {
				return 0, err
			}
			total += v / float64(len(rows))
		}
		return total, nil
	}
	var out []Truncation
	for _, k := range ks {
		x := Truncation{K: k}
		var err error
		if x.Failed, err = mean(k, count); errors.Is(err, score.ErrUndefined) {
			continue
		} else if err != nil {
			return nil, err
		}
		if x.Passed, err = mean(k, func(c *stream.Counts) score.Count { return score.Count{N: c.N, C: c.Passed + truncated(c)} }); err != nil {
			return nil, err
		}
		others, err := mean(k, func(c *stream.Counts) score.Count { return score.Count{N: c.N - truncated(c), C: c.Passed} })
		switch {
		case err == nil:
			x.Others = &others
		case !errors.Is(err, score.ErrUndefined):
			return nil, err
		}
		out = append(out, x)
	}
	return out, nil
}

// costs returns what a solved question costs at temperature t.
func (a *analyser) costs(t int, x *Temperature) []Cost {
	var out []Cost
	if x.Tokens == 0 {
		return out
	}
	speed, cells := 0.0, 0
	for i := range a.Questions {
		if v := a.Questions[i].Cells[t].GenTPS; v > 0 {
			speed, cells = speed+v, cells+1
		}
	}
	for _, p := range x.Points {
		if p.Value == 0 {
			continue
		}
		c := Cost{K: p.K, Tokens: float64(p.K) * x.PerSample / p.Value}
		if cells > 0 {
			seconds := c.Tokens * float64(cells) / speed
			c.CardSeconds = &seconds
		}
		out = append(out, c)
	}
	return out
}

// flips fills in out.Flips.
func (a *analyser) flips(out *Analysis) error {
	if len(a.Temperatures) < 2 || a.share > 0 {
		return nil
	}
	f := &Flips{Cold: a.Temperatures[0], Questions: []Flip{}}
	var ps []float64
	var at []int // place in f.Questions, -1 for a question that the coldest solves too
	for i := range a.Questions {
		cells := a.Questions[i].Cells
		cold, hot := count(&cells[0]), score.Count{}
		x := Flip{ID: a.Questions[i].ID, Cold: cold.N}
		best := -1.0
		for t := 1; t < len(cells); t++ {
			c := count(&cells[t])
			hot.N, hot.C = hot.N+c.N, hot.C+c.C
			if r := c.Rate(); c.N > 0 && r > best {
				best, x.Best = r, a.Temperatures[t]
			}
		}
		if all := cold.C + hot.C; cold.N == 0 || hot.N == 0 || all == 0 || all == cold.N+hot.N {
			continue // nothing is tested
		}
		p, err := score.Rarer(cold, hot)
		if err != nil {
			return err
		}
		place := -1
		if cold.C == 0 {
			x.Hot, x.Passed, x.P = hot.N, hot.C, p
			place = len(f.Questions)
			f.Questions = append(f.Questions, x)
		}
		ps, at = append(ps, p), append(at, place)
	}
	f.Tested = len(ps)
	for i, q := range score.BenjaminiHochberg(ps) {
		if at[i] < 0 {
			continue
		}
		f.Questions[at[i]].Q = q
		if q <= 1-a.level {
			f.Confirmed++
		}
	}
	slices.SortStableFunc(f.Questions, func(x, y Flip) int { return cmp.Compare(x.P, y.P) })
	if f.Tested > 0 {
		out.Flips = f
	}
	return nil
}

// beyond fills in out.Beyond, at the temperature with the highest pass@k of the largest k.
func (a *analyser) beyond(out *Analysis) error {
	best, value := -1, 0.0
	for t := range out.Temperatures {
		if p := out.Temperatures[t].Points; len(p) > 0 && p[len(p)-1].Value > value {
			best, value = t, p[len(p)-1].Value
		}
	}
	const fewest = 10 // samples of a question, below which nothing shows how pass@k goes on
	if best < 0 || out.Temperatures[best].NMin < fewest || a.share > 0 {
		return nil
	}
	_, counts, _, err := a.at(best, 1)
	if err != nil {
		return err
	}
	b := &Beyond{Temperature: a.Temperatures[best], N: out.Temperatures[best].NMin}
	for _, k := range score.Powers(100 * b.N) {
		if k >= b.N {
			b.K = append(b.K, k)
		}
	}
	models, err := score.Beyond(counts, b.K, a.level)
	if errors.Is(err, score.ErrUndefined) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, m := range models {
		b.Models = append(b.Models, Model{m.Name, m.At})
	}
	out.Beyond = b
	return nil
}

// Band returns the lowest and the highest of the models at the i-th k.
func (b *Beyond) Band(i int) score.Interval {
	out := score.Interval{Low: math.Inf(1), High: math.Inf(-1)}
	for _, m := range b.Models {
		out.Low, out.High = min(out.Low, m.Values[i]), max(out.High, m.Values[i])
	}
	return out
}
