package curve

import (
	"errors"
	"fmt"

	"github.com/lcbq/lcbq/worker/score"
)

// A Plan says how many samples of a question, and how many questions, intervals of a wanted
// width need.
type Plan struct {
	Level float64 `json:"level"`
	Half  float64 `json:"half"` // wanted half-width, a share
	Rows  []Need  `json:"rows"` // by k
}

// A Need is what pass@k needs. Half-widths are shares.
type Need struct {
	K           int      `json:"k"`
	Temperature *float64 `json:"temperature,omitempty"` // the one that needs most samples; nil for an assumption
	Value       float64  `json:"value"`                 // pass@k there
	Questions   int      `json:"questions"`
	N           *int     `json:"n,omitempty"`           // fewest samples of a question for the wanted width on these questions; nil if no number is enough
	Until       *int     `json:"n_until,omitempty"`     // the same with --until-width, which looks while samples are drawn
	These       float64  `json:"these_questions"`       // half-width with N, on these questions
	Like        float64  `json:"questions_like"`        // and on questions like these
	Floor       float64  `json:"questions_like_at_any"` // what Like comes to with any number of samples
	Share       float64  `json:"sampling_share"`        // of the variance over questions with N samples, what more of them would remove
	Needed      *int     `json:"questions_needed,omitempty"`
}

// PlanFrom returns what the results of a pilot say. Each k needs 2k samples of every question
// at every temperature; the error names the first that has not. questions is how many there
// will be, 0 for those of the pilot.
func PlanFrom(pilot *Sweep, ks []int, questions int, half, level float64) (*Plan, error) {
	if err := pilot.Validate(); err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	p := &Plan{Level: level, Half: half, Rows: []Need{}}
	for _, k := range ks {
		var most *Need
		for t, temperature := range pilot.Temperatures {
			var counts []score.Count
			for i := range pilot.Questions {
				if c := corrected(&pilot.Questions[i].Cells[t]); c.N > 0 {
					counts = append(counts, c)
				}
			}
			if len(counts) == 0 {
				continue
			}
			o, err := score.PilotOutlook(counts, k)
			if errors.Is(err, score.ErrUndefined) {
				return nil, fmt.Errorf("plan pass@%d at temperature %v: %w", k, temperature, err)
			}
			if err != nil {
				return nil, fmt.Errorf("plan: %w", err)
			}
			if questions > 0 {
				o.Questions = questions
			}
			n := need(o, half, level)
			n.Temperature = &temperature
			if most == nil || more(n, most) {
				most = n
			}
		}
		if most == nil {
			return nil, fmt.Errorf("plan: %w: no sample was scored", score.ErrUndefined)
		}
		p.Rows = append(p.Rows, *most)
	}
	return p, nil
}

// PlanOf returns what assumed pass rates say of so many questions.
func PlanOf(rates []float64, ks []int, questions int, half, level float64) (*Plan, error) {
	p := &Plan{Level: level, Half: half, Rows: []Need{}}
	for _, k := range ks {
		o, err := score.WorldOutlook(rates, questions, k)
		if err != nil {
			return nil, fmt.Errorf("plan pass@%d: %w", k, err)
		}
		p.Rows = append(p.Rows, *need(o, half, level))
	}
	return p, nil
}

func need(o *score.Outlook, half, level float64) *Need {
	x := &Need{K: o.K, Value: o.Mean, Questions: o.Questions, Floor: o.Like(0, o.Questions, level)}
	n, ok := o.SamplesFor(half, level)
	if !ok {
		return x
	}
	if u, ok := o.SamplesUntil(half, level); ok {
		x.Until = &u
	}
	x.N, x.These, x.Like, x.Share = &n, o.Sampling(n, level), o.Like(n, o.Questions, level), o.Share(n)
	if q, ok := o.QuestionsFor(n, half, level); ok {
		x.Needed = &q
	}
	return x
}

// more reports whether a needs more samples than b.
func more(a, b *Need) bool { return b.N != nil && (a.N == nil || *a.N > *b.N) }
