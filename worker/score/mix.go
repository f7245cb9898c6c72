package score

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// A Mixing compares three ways to spend one budget on a question: all of it at one
// temperature, half at each of two, and a mix made greedily.
type Mixing struct {
	Single, Pair, Greedy Mix
}

// A Mix is samples at several temperatures.
type Mix struct {
	Samples []int     // by temperature, as all samples choose it
	Value   float64   // mean chance that one of them passes; chosen on other samples than it is scored on
	Gain    float64   // of Value over that of the single temperature
	Like    *Interval // of Gain, on questions like these; nil for the single one and for fewer than two questions
}

// mixSteps is into how many parts a budget is cut for the greedy mix, mixSplits how often the
// samples are split into those that choose and those that score.
const (
	mixSteps  = 8
	mixSplits = 20
)

// Mixes returns what a budget buys, given by what a sample costs at each temperature. Each
// question is given by its counts at every temperature. A temperature gets as many whole samples as its
// part of the budget pays for.
//
// The best of many mixes, chosen and scored on the same samples, looks too good. So each way
// chooses on some samples and is scored on a random quarter, on as many as the budget buys at
// least; the mean over several such splits is its value. That is without bias the value of
// what one would choose with three quarters of the samples. The greedy mix adds an eighth of
// the budget at a time where it raises the mean most.
//
// The error is ErrUndefined if a question has fewer samples at a temperature than twice what
// the budget buys there, if it buys none at all, or if there is no question; a mistake if
// questions differ in their number, a cost is not above 0, the level is outside (0, 1) or b has no Rand.
func Mixes(questions [][]Count, costs []float64, budget, level float64, b Bootstrap) (Mixing, error) {
	x, err := newMixer(questions, costs, budget, level, b)
	if err != nil {
		return Mixing{}, fmt.Errorf("mix: %w", err)
	}
	var out Mixing
	every := make([][]Count, len(costs))
	for t := range every {
		for _, q := range questions {
			every[t] = append(every[t], q[t])
		}
	}
	all := x.table(every)
	for way, to := range x.ways(&out) {
		to.Samples = x.samples(x.choose(way, all))
	}
	x.crossed(b.Rand, &out, level, nil)
	return out, nil
}

func newMixer(questions [][]Count, costs []float64, budget, level float64, b Bootstrap) (*mixer, error) {
	if err := checkLevel(level); err != nil {
		return nil, err
	}
	if b.Rand == nil {
		return nil, errors.New("no source of chance")
	}
	if len(questions) == 0 || len(costs) < 2 {
		return nil, fmt.Errorf("%w: %d questions, %d temperatures: want a question and two temperatures", ErrUndefined, len(questions), len(costs))
	}
	x := &mixer{questions: questions, buys: make([][]int, len(costs))}
	for t, c := range costs {
		if !(c > 0) || math.IsInf(c, 0) {
			return nil, fmt.Errorf("cost of temperature %d = %v, want above 0", t, c)
		}
		x.buys[t] = make([]int, mixSteps+1)
		for part := range x.buys[t] {
			const hair = 1e-9 // a tenth ten times is one
			x.buys[t][part] = int(budget*float64(part)/mixSteps/c + hair)
		}
		if x.buys[t][mixSteps] < 1 {
			return nil, fmt.Errorf("%w: the budget buys no sample at temperature %d", ErrUndefined, t)
		}
	}
	most := 0
	for i, q := range questions {
		if len(q) != len(costs) {
			return nil, fmt.Errorf("question %d has %d temperatures, want %d", i, len(q), len(costs))
		}
		for t, c := range q {
			if err := c.Validate(); err != nil {
				return nil, fmt.Errorf("question %d, temperature %d: %w", i, t, err)
			}
			if k := x.buys[t][mixSteps]; c.N < 2*k {
				return nil, fmt.Errorf("question %d, temperature %d: %w: %d samples, want twice %d", i, t, ErrUndefined, c.N, k)
			}
			most = max(most, c.N)
		}
	}
	x.factorial = logFactorials(most)
	return x, nil
}

// A mixer holds what the ways of spending share.
type mixer struct {
	questions [][]Count
	buys      [][]int // [temperature][part]: samples that so many parts of the budget buy
	factorial factorials
}

// A missTable is the chance that the samples of some parts at a temperature all miss, by
// temperature, part and question.
type missTable [][][]float64

func (x *mixer) table(counts [][]Count) missTable {
	out := make(missTable, len(counts))
	for t := range out {
		out[t] = make([][]float64, mixSteps+1)
		for part, k := range x.buys[t] {
			out[t][part] = make([]float64, len(counts[t]))
			for i, c := range counts[t] {
				out[t][part][i] = x.factorial.miss(c, k)
			}
		}
	}
	return out
}

// split draws the samples that score, and leaves those that choose, by temperature.
func (x *mixer) split(r *rand.Rand) (choose, score [][]Count) {
	choose, score = make([][]Count, len(x.buys)), make([][]Count, len(x.buys))
	for t := range x.buys {
		for i := range x.questions {
			c := x.questions[i][t]
			part := Count{N: max(x.buys[t][mixSteps], c.N/4)}
			part.C = x.factorial.hypergeometric(r, c, part.N)
			choose[t], score[t] = append(choose[t], Count{c.N - part.N, c.C - part.C}), append(score[t], part)
		}
	}
	return choose, score
}

// ways returns where each way's result goes.
func (x *mixer) ways(m *Mixing) []*Mix { return []*Mix{&m.Single, &m.Pair, &m.Greedy} }

// choose returns the parts of the budget by temperature that a way spends there.
func (x *mixer) choose(way int, from missTable) []int {
	parts := make([]int, len(x.buys))
	lowest := math.Inf(1)
	switch way {
	case 0:
		best := 0
		for t := range from {
			if m := mean(from[t][mixSteps]); m < lowest {
				best, lowest = t, m
			}
		}
		parts[best] = mixSteps
	case 1:
		var pair [2]int
		for t := range from {
			for u := range t {
				total := 0.0
				for i, m := range from[t][mixSteps/2] {
					total += m * from[u][mixSteps/2][i]
				}
				if total < lowest {
					pair, lowest = [2]int{t, u}, total
				}
			}
		}
		parts[pair[0]], parts[pair[1]] = mixSteps/2, mixSteps/2
	default:
		x.greedy(parts, from)
	}
	return parts
}

// greedy spends one part after the other where it lowers the mean chance of a miss most.
func (x *mixer) greedy(parts []int, from missTable) {
	for range mixSteps {
		best, lowest := 0, math.Inf(1)
		for t := range from {
			parts[t]++
			total := 0.0
			for i := range x.questions {
				total += x.miss(parts, from, i)
			}
			parts[t]--
			if total < lowest {
				best, lowest = t, total
			}
		}
		parts[best]++
	}
}

// miss is the chance that all samples of question i miss.
func (x *mixer) miss(parts []int, from missTable, i int) float64 {
	m := 1.0
	for t, part := range parts {
		if part > 0 {
			m *= from[t][part][i]
		}
	}
	return m
}

func (x *mixer) samples(parts []int) []int {
	out := make([]int, len(parts))
	for t, part := range parts {
		out[t] = x.buys[t][part]
	}
	return out
}

// crossed fills in the values. visit, which may be nil, is told what each way chose in each split.
func (x *mixer) crossed(r *rand.Rand, out *Mixing, level float64, visit func(way int, samples []int)) {
	q := len(x.questions)
	var scores, gains [3][]float64 // by question; by split
	for way := range scores {
		scores[way] = make([]float64, q)
	}
	for range mixSplits {
		chosen, scored := x.split(r)
		choose, score := x.table(chosen), x.table(scored)
		for way := range scores {
			parts := x.choose(way, choose)
			if visit != nil {
				visit(way, x.samples(parts))
			}
			total := 0.0
			for i := range scores[way] {
				v := 1 - x.miss(parts, score, i)
				scores[way][i] += v / mixSplits
				total += v / float64(q)
			}
			gains[way] = append(gains[way], total)
		}
	}
	for way, to := range x.ways(out) {
		to.Value = mean(scores[way])
		if way == 0 {
			continue
		}
		d := make([]float64, q)
		for i := range d {
			d[i] = scores[way][i] - scores[0][i]
		}
		to.Gain = mean(d)
		if q > 1 {
			// The choice is open too. By how much it matters the splits show, which score a quarter
			// of the samples each: all of them are twice as sure.
			for s := range gains[way] {
				gains[way][s] -= gains[0][s]
			}
			spread := math.Hypot(deviation(d, to.Gain)/math.Sqrt(float64(q)), deviation(gains[way], to.Gain)/2)
			arm := studentQuantile((1+level)/2, float64(q-1)) * spread
			arm = max(arm, unseenShare(q, (1-level)/2)*reachOf(d, to.Gain))
			to.Like = &Interval{max(-1, to.Gain-arm), min(1, to.Gain+arm)}
		}
	}
}

// reachOf is how far a value is from the mean at most.
func reachOf(x []float64, m float64) float64 {
	return max(slices.Max(x)-m, m-slices.Min(x))
}
