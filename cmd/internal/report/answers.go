package report

import (
	"fmt"
	"math"
	"strings"

	"github.com/lcbq/lcbq/cmd/internal/report/figure"
	"github.com/lcbq/lcbq/worker/score/curve"
)

// An Answer is what the numbers say to a question that most readers have.
type Answer struct {
	Question string
	Lines    []string // a sentence or two each
}

// Answers returns the answers that the results have, the first one first.
func (r *Report) Answers() []Answer {
	var out []Answer
	add := func(question string, lines ...string) {
		if len(lines) > 0 {
			out = append(out, Answer{question, lines})
		}
	}
	add("Which temperature?", r.choices()...)
	add("Is hotter better for many samples?", r.hotter()...)
	add("One temperature, or a mix?", r.mixed()...)
	add("What would more samples buy?", r.more()...)
	add("What is wrong with this run?", r.wrong()...)
	return out
}

// choices names the temperature to use for k = 1, 10 and 100, and what it may cost.
func (r *Report) choices() []string {
	var out []string
	for _, k := range []int{1, 10, 100} {
		b := r.BestAt(k)
		if b == nil || b.Choice == nil {
			continue
		}
		text := fmt.Sprintf("pass@%d: T = %s. It loses at most %s points against the best temperature on these questions, at most %s on questions like these (95 %%, all temperatures at once).",
			k, figure.Temperature(b.Choice.Temperature), figure.Percent(b.Choice.These), figure.Percent(b.Choice.Like))
		if b.Selected != nil {
			text += fmt.Sprintf(" The value at T = %s came out highest of %d, and such a value is too high on average: by at most %s points on these questions and %s on questions like these, which its intervals do not know.",
				figure.Temperature(b.Temperature), b.Selected.Of, figure.Percent(b.Selected.These), figure.Percent(b.Selected.Like))
		}
		if !b.Reliable {
			text += " Little known."
		}
		out = append(out, text)
	}
	return out
}

// hotter compares the choice for pass@1 with the best at the largest k of tables that is well known, and says what is
// known of the largest.
func (r *Report) hotter() []string {
	ks := r.Headline()
	known, last := r.hotterAt()
	if known == "" || len(ks) == 0 || last >= ks[len(ks)-1] {
		return nonEmpty(known)
	}
	b := r.BestAt(ks[len(ks)-1])
	if b == nil || b.Choice == nil {
		return nonEmpty(known)
	}
	var among []string
	for _, s := range b.Standings {
		if s.Like.InSet {
			among = append(among, figure.Temperature(s.Temperature))
		}
	}
	return []string{known, fmt.Sprintf("For k = %d it is little known: the highest is T = %s; the set that holds the best one with 95 %% is %s.", b.K, figure.Temperature(b.Temperature), strings.Join(among, ", "))}
}

func nonEmpty(line string) []string {
	if line == "" {
		return nil
	}
	return []string{line}
}

// hotterAt returns the answer for the largest k that is well known, and that k.
func (r *Report) hotterAt() (text string, k int) {
	first := r.BestAt(1)
	ks := r.Headline()
	if first == nil || first.Choice == nil || len(ks) < 2 {
		return "", 0
	}
	var last *curve.Best
	for _, k := range ks[1:] {
		if b := r.BestAt(k); b != nil && b.Choice != nil && (last == nil || b.Reliable) {
			last = b
		}
	}
	if last == nil {
		return "", 0
	}
	for _, s := range last.Standings {
		if s.Temperature != first.Choice.Temperature {
			continue
		}
		behind := fmt.Sprintf("T = %s is %s to %s points behind the best one at k = %d on questions like these", figure.Temperature(s.Temperature), figure.Percent(s.Like.Behind.Low), figure.Percent(s.Like.Behind.High), last.K)
		switch {
		case s.Temperature == last.Temperature:
			return fmt.Sprintf("No: the choice for pass@1, T = %s, is also highest at k = %d.", figure.Temperature(s.Temperature), last.K), last.K
		case s.Like.InSet:
			return fmt.Sprintf("Not shown: the highest at k = %d is T = %s, and the choice for pass@1, %s, may be as good.", last.K, figure.Temperature(last.Temperature), behind), last.K
		case last.Temperature > s.Temperature:
			return fmt.Sprintf("Yes: the highest at k = %d is T = %s, and the choice for pass@1, %s.", last.K, figure.Temperature(last.Temperature), behind), last.K
		default:
			return fmt.Sprintf("No, colder is: the highest at k = %d is T = %s, and the choice for pass@1, %s.", last.K, figure.Temperature(last.Temperature), behind), last.K
		}
	}
	return "", 0
}

// mixed says whether a mix of temperatures is worth more than one, at the largest budget of
// samples that was tried, and which questions only a hot temperature solves.
func (r *Report) mixed() []string {
	var out []string
	var last *curve.Mixing
	for i := range r.Analysis.Mixing {
		if m := &r.Analysis.Mixing[i]; m.Budget == curve.BudgetSamples {
			last = m
		}
	}
	if last != nil && last.Pair.Like != nil && last.Greedy.Like != nil {
		m := last.Greedy
		if last.Pair.Gain > m.Gain {
			m = last.Pair
		}
		gain := fmt.Sprintf("%s gains %+.2f points over all %d at one temperature (%+.2f to %+.2f on questions like these)", figure.Parts(m.Parts), 100*m.Gain, last.K, 100*m.Like.Low, 100*m.Like.High)
		const hair = 5e-5 // what two decimals show
		switch {
		case len(m.Parts) == 1:
			out = append(out, fmt.Sprintf("At %d samples of a question one temperature is the best mix that was found: %s.", last.K, figure.Parts(m.Parts)))
		case m.Like.Low > hair:
			out = append(out, "A mix: "+gain+".")
		case m.Like.High < -hair:
			out = append(out, "One: the best mix found, "+gain+".")
		default:
			out = append(out, "Not shown: the best mix found, "+gain+".")
		}
	}
	if words := r.FlipWords(); words != "" {
		out = append(out, words)
	}
	return out
}

// more says how far more samples could narrow the interval over questions.
func (r *Report) more() []string {
	var out []string
	for _, k := range []int{1, 10, 100} {
		at := -1.0
		if b := r.BestAt(k); b != nil {
			at = b.Temperature
		}
		for _, x := range r.Analysis.Temperatures {
			p := figure.At(x.Points, k)
			if p == nil || p.Population == nil || p.SamplingShare == nil || at >= 0 && x.Temperature != at {
				continue
			}
			wide := p.Population.Width()
			out = append(out, fmt.Sprintf("pass@%d at T = %s: %s %% of its variance over questions is chance of the samples. The interval on questions like these is %s points wide, and would be about %s with any number of samples; only more questions narrow it further. On these very questions it is %s wide.",
				k, figure.Temperature(x.Temperature), figure.Percent(*p.SamplingShare), figure.Percent(wide), figure.Percent(wide*math.Sqrt(1-*p.SamplingShare)), figure.Percent(p.Sampling.Width())))
			break
		}
	}
	return out
}

// wrong says what the folder shows of faults, and what cut answers can hide.
func (r *Report) wrong() []string {
	var out []string
	if n := len(r.Remarks()); n == 1 {
		out = append(out, "One remark stands above the numbers.")
	} else if n > 1 {
		out = append(out, fmt.Sprintf("%d remarks stand above the numbers.", n))
	}
	at := -1.0
	if b := r.BestAt(1); b != nil {
		at = b.Temperature
	}
	for i := range r.Analysis.Temperatures {
		x := &r.Analysis.Temperatures[i]
		p := figure.At(x.Points, 1)
		if p == nil || at >= 0 && x.Temperature != at {
			continue
		}
		if cut := figure.Truncated(x); cut > 0.001 && len(x.Truncation) > 0 {
			text := fmt.Sprintf("%s %% of the samples at T = %s were cut off before a program: pass@1 is %s %% with none of them passed, and would be at most %s %% if all had",
				figure.Percent(cut), figure.Temperature(x.Temperature), figure.Percent(x.Truncation[0].Failed), figure.Percent(x.Truncation[0].Passed))
			if o := x.Truncation[0].Others; o != nil {
				text += fmt.Sprintf(", %s %% if they had passed as often as the others of their questions", figure.Percent(*o))
			}
			out = append(out, text+".")
		}
		break
	}
	if len(out) == 0 {
		out = append(out, "Nothing that the folder shows.")
	}
	return out
}
