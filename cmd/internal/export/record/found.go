package record

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/lcbq/lcbq/worker/score/curve"
)

func number(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }

// found adds to a result of an aggregate record what the analysis says of pass@k at this temperature and no field of the
// record holds: whether it may be the best, what choosing it may cost, what samples that were cut off leave open, what
// more samples would buy and what a solved question costs.
func (r *Run) found(details object, t *curve.Temperature, p *curve.Point) {
	if p.SamplingShare != nil {
		details["variance_share_of_sampling"] = number(*p.SamplingShare)
	}
	for i := range r.Analysis.Best {
		b := &r.Analysis.Best[i]
		if b.K != p.K {
			continue
		}
		for j := range b.Standings {
			s := &b.Standings[j]
			if s.Temperature != t.Temperature {
				continue
			}
			for name, f := range map[string]*curve.Finding{"these_questions": s.These, "questions_like": s.Like} {
				if f != nil {
					details["may_be_best_"+name] = strconv.FormatBool(f.InSet)
					details["behind_best_"+name+"_low"], details["behind_best_"+name+"_high"] = number(f.Behind.Low), number(f.Behind.High)
				}
			}
		}
		if c := b.Choice; c != nil && c.Temperature == t.Temperature {
			details["chosen_loses_at_most_these_questions"], details["chosen_loses_at_most_questions_like"] = number(c.These), number(c.Like)
		}
	}
	for _, x := range t.Truncation {
		if x.K == p.K {
			details["if_truncated_samples_had_passed"] = number(x.Passed)
			if x.Others != nil {
				details["if_truncated_samples_were_as_the_others"] = number(*x.Others)
			}
		}
	}
	for _, x := range t.Costs {
		if x.K == p.K {
			details["tokens_per_solved_question"] = number(x.Tokens)
			if x.CardSeconds != nil {
				details["card_seconds_per_solved_question"] = number(*x.CardSeconds)
			}
		}
	}
}

// union says what all temperatures together are worth against the best one, at the largest K at which that is known;
// "unknown" where it is at none.
func (r *Run) union() string {
	if r.Analysis == nil || r.Analysis.Union == nil {
		return unknown
	}
	text := unknown
	for i := range r.Analysis.Union.Points {
		if p := &r.Analysis.Union.Points[i]; p.Single != nil && p.Single.Interval != nil {
			text = fmt.Sprintf("%d samples of a question, %d at each temperature, solve %s of %d questions; gain over the best temperature %s, questions like these %s to %s",
				p.K, p.Each, number(p.Value), p.Questions, number(p.Single.Gain), number(p.Single.Interval.Low), number(p.Single.Interval.High))
		}
	}
	return text
}

// mixing says what the best mix of temperatures gains over one, for the largest budget of samples.
func (r *Run) mixing() string {
	text := unknown
	if r.Analysis == nil {
		return text
	}
	for i := range r.Analysis.Mixing {
		m := &r.Analysis.Mixing[i]
		if m.Budget != curve.BudgetSamples || m.Greedy.Like == nil {
			continue
		}
		var parts []string
		for _, p := range m.Greedy.Parts {
			parts = append(parts, fmt.Sprintf("%d at %s", p.Samples, number(p.Temperature)))
		}
		text = fmt.Sprintf("%d samples: %s; gain over one temperature %s, questions like these %s to %s", m.K, strings.Join(parts, ", "), number(m.Greedy.Gain), number(m.Greedy.Like.Low), number(m.Greedy.Like.High))
	}
	return text
}

// flips says how many questions only hotter temperatures solve.
func (r *Run) flips() string {
	if r.Analysis == nil || r.Analysis.Flips == nil {
		return unknown
	}
	f := r.Analysis.Flips
	return fmt.Sprintf("%d questions that no sample at temperature %s passed are passed at a hotter one, %d of them confirmed (false discovery rate %.3g)", len(f.Questions), number(f.Cold), f.Confirmed, 1-r.Analysis.Level)
}
