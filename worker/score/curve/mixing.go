package curve

import (
	"errors"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/score"
)

// The budgets that mixes of temperatures are compared at.
const (
	BudgetSamples     = "samples"
	BudgetTokens      = "tokens"
	BudgetCardSeconds = "card_seconds"
)

// A Mixing is what one budget for a question buys at one temperature, at two and by a mix.
type Mixing struct {
	Budget    string  `json:"budget"` // samples, tokens or card_seconds
	K         int     `json:"k"`      // samples that it buys at the mean cost over the temperatures
	Amount    float64 `json:"amount"` // of the budget, for a question
	Questions int     `json:"questions"`
	Single    Mix     `json:"single"`
	Pair      Mix     `json:"pair"`
	Greedy    Mix     `json:"greedy"`
}

// A Mix is one way to spend it. Value and Gain are of temperatures chosen on other samples than
// they are scored on; Parts is what all samples choose.
type Mix struct {
	Parts []MixPart       `json:"parts"`
	Value float64         `json:"value"`                    // mean chance that one sample passes
	Gain  float64         `json:"gain"`                     // over one temperature
	Like  *score.Interval `json:"questions_like,omitempty"` // of the gain; nil for one temperature
}

// A MixPart is a temperature's part.
type MixPart struct {
	Temperature float64 `json:"temperature"`
	Samples     int     `json:"samples"`
}

// mixing fills in out.Mixing, over the questions that have samples at every temperature.
func (a *analyser) mixing(out *Analysis) error {
	if len(a.Temperatures) < 2 || a.share > 0 {
		return nil
	}
	var counts [][]score.Count
	sums := make([]stream.Counts, len(a.Temperatures))
	speed, cells := make([]float64, len(sums)), make([]float64, len(sums))
	least := 0
	for i := range a.Questions {
		row := make([]score.Count, len(sums))
		fewest := 0
		for t := range row {
			row[t] = count(&a.Questions[i].Cells[t])
			if t == 0 || row[t].N < fewest {
				fewest = row[t].N
			}
		}
		if fewest == 0 {
			continue
		}
		counts = append(counts, row)
		if least == 0 || fewest < least {
			least = fewest
		}
		for t := range row {
			c := &a.Questions[i].Cells[t]
			sums[t].Add(c)
			if c.GenTPS > 0 {
				speed[t] += c.GenTPS
				cells[t]++
			}
		}
	}
	for _, budget := range []string{BudgetSamples, BudgetTokens, BudgetCardSeconds} {
		costs, average := make([]float64, len(sums)), 0.0
		for t := range costs {
			tokens := float64(sums[t].Tokens) / float64(max(1, sums[t].N+sums[t].Unscored))
			switch budget {
			case BudgetSamples:
				costs[t] = 1
			case BudgetTokens:
				costs[t] = tokens
			default:
				if cells[t] > 0 {
					costs[t] = tokens * cells[t] / speed[t]
				}
			}
			if costs[t] == 0 { // not known
				average = 0
				break
			}
			average += costs[t] / float64(len(costs))
		}
		if average == 0 {
			continue
		}
		for _, k := range Headline(least / 2) {
			if k == 1 {
				continue
			}
			m, err := score.Mixes(counts, costs, average*float64(k), a.level, a.bootstrap())
			if errors.Is(err, score.ErrUndefined) {
				continue // a cheap temperature has too few samples
			}
			if err != nil {
				return err
			}
			out.Mixing = append(out.Mixing, Mixing{
				Budget: budget, K: k, Amount: average * float64(k), Questions: len(counts),
				Single: a.mix(m.Single), Pair: a.mix(m.Pair), Greedy: a.mix(m.Greedy),
			})
		}
	}
	return nil
}

func (a *analyser) mix(m score.Mix) Mix {
	out := Mix{Parts: []MixPart{}, Value: min(1, m.Value), Gain: m.Gain, Like: m.Like}
	for t, n := range m.Samples {
		if n > 0 {
			out.Parts = append(out.Parts, MixPart{a.Temperatures[t], n})
		}
	}
	return out
}
