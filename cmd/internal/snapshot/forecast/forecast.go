// Package forecast estimates how long a run still takes. It is pure: it reads no clock and no queue.
package forecast

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// An Input is what is known of a run at a moment.
type Input struct {
	Questions []Question // in the order in which their units are handed out
	// Units that are still to be generated, and to be judged: the ones to be generated among them.
	Ungenerated, Unjudged int
	// Backlog says that evaluators have all the work they can do: judging decides when the run ends.
	Backlog bool
	// Rate is the units a second that were judged lately, 0 if nobody knows. It is used until cells are finished, and
	// where it says that these tell of better times.
	Rate float64
}

// A Question is one of the run's. Its units have like costs, and unlike those of other questions.
type Question struct {
	Units int
	Kind  string // questions of a kind, such as a difficulty, have more alike costs; may be ""
	Cells []Cell // that are finished
}

// A Cell is a finished one.
type Cell struct {
	Temperature int // index
	Units       int
	Tokens      float64   // what generating it cost; 0 if unknown
	CPU         float64   // what judging it cost, in seconds of processors; 0 if unknown
	Done        time.Time // when it was written
}

// Left is a time with the range in which it lies 8 of 10 times, in seconds.
type Left struct{ Seconds, Low, High float64 }

const (
	// recent is how much of the past tells the speed: workers may come and go. leastCells keeps it from being
	// told by a few cells, whose ends come in bunches.
	recent     = 15 * time.Minute
	leastCells = 40
	leastShare = 0.15 // of all finished cells
	// longGap is how many times longer than usual nothing was finished where the run was paused or its server away.
	longGap = 20
	// trust is how many questions of a kind weigh as much as those of all kinds in what one more of the kind will cost.
	trust = 3
	// quantile is the normal one for 8 of 10.
	quantile = 1.2816
	// unsteady is by how much speed scatters besides what questions cost.
	unsteady = 0.06
	// changed is by how much longer the rate of now makes a run where cells no longer tell its speed: none was
	// finished since workers left or stand still.
	changed = 5
	// blind is the factor of the range before anything tells it.
	blind = 2
)

// Of estimates the time left. It reports false if nothing tells it. The source of the cost of questions that nobody has seen
// is the mean of those that were: its uncertainty, and theirs, make the range.
func Of(in Input) (Left, bool) {
	if in.Unjudged <= 0 {
		return Left{}, true
	}
	generate := in.stage(in.Ungenerated, func(c Cell) float64 { return c.Tokens })
	judge := in.stage(in.Unjudged, func(c Cell) float64 { return c.CPU })
	best := judge
	switch {
	case in.Ungenerated > 0 && !in.Backlog:
		best = generate
	case generate.seconds > judge.seconds:
		best = generate
	}
	late := in.Rate > 0 && float64(in.Unjudged)/in.Rate > changed*best.seconds
	if best.seconds > 0 && !late {
		s := quantile * math.Sqrt(best.variance+unsteady*unsteady)
		return Left{best.seconds, best.seconds * math.Exp(-s), best.seconds * math.Exp(s)}, true
	}
	if in.Rate > 0 {
		x := float64(in.Unjudged) / in.Rate
		return Left{x, x / blind, x * blind}, true
	}
	return Left{}, false
}

// estimate is the time that one stage still takes, 0 if unknown, and the variance of its logarithm.
type estimate struct{ seconds, variance float64 }

// stage estimates the time that a stage takes for its last units.
func (in *Input) stage(units int, cost func(Cell) float64) estimate {
	known := costs(in.Questions, cost)
	speed := in.speed(cost)
	if units <= 0 || speed <= 0 || known.mean <= 0 {
		return estimate{}
	}
	// The last units in the order in which they are handed out are those that are left.
	total, unseen, questions := 0., 0., 0.
	for i := len(in.Questions) - 1; i >= 0 && units > 0; i-- {
		n := min(units, in.Questions[i].Units)
		units -= n
		work := float64(n) * known.of[i]
		total += work
		if !known.seen[i] {
			unseen += work
			questions += float64(n) / float64(max(1, in.Questions[i].Units))
		}
	}
	e := estimate{seconds: total / speed}
	if unseen > 0 && total > 0 {
		share := unseen / total
		e.variance = share * share * known.scatter * (1/max(1, questions) + 1/max(1, float64(known.questions)))
	}
	return e
}

// known is what the units of each question cost, as far as finished cells tell.
type known struct {
	of        []float64 // by question
	seen      []bool
	mean      float64
	scatter   float64 // squared deviation of a question's cost from what its kind lets expect, as a share of it
	questions int     // seen
}

// costs returns the cost of a unit of each question. Where no cell has a cost, each unit costs one.
func costs(questions []Question, cost func(Cell) float64) known {
	k := known{of: make([]float64, len(questions)), seen: make([]bool, len(questions)), scatter: 1}
	has := false
	for i := range questions {
		has = has || slices.ContainsFunc(questions[i].Cells, func(c Cell) bool { return cost(c) > 0 })
	}
	if !has {
		cost = func(c Cell) float64 { return float64(c.Units) }
	}
	at := temperatures(questions, cost)
	type group struct{ sum, n float64 }
	kinds := make(map[string]*group)
	all := group{}
	for i := range questions {
		sum, units := 0., 0.
		for _, c := range questions[i].Cells {
			if factor := at[c.Temperature]; factor > 0 {
				sum, units = sum+cost(c)/factor, units+float64(c.Units)
			}
		}
		if units == 0 {
			continue
		}
		k.of[i], k.seen[i] = sum/units, true
		g := kinds[questions[i].Kind]
		if g == nil {
			g = new(group)
			kinds[questions[i].Kind] = g
		}
		g.sum, g.n = g.sum+k.of[i], g.n+1
		all.sum, all.n = all.sum+k.of[i], all.n+1
	}
	if all.n == 0 {
		return k
	}
	k.mean, k.questions = all.sum/all.n, int(all.n)
	expect := func(kind string) float64 {
		g := kinds[kind]
		if g == nil {
			return k.mean
		}
		return (g.sum + trust*k.mean) / (g.n + trust)
	}
	deviation := 0.
	for i := range questions {
		e := expect(questions[i].Kind)
		if !k.seen[i] {
			k.of[i] = e
			continue
		}
		d := (k.of[i] - e) / e
		deviation += d * d
	}
	if all.n > 2 {
		k.scatter = deviation / (all.n - 1)
	}
	return k
}

// temperatures returns how much more than the mean a cell costs at each temperature, from the questions of which all
// cells are finished; 1 where none is.
func temperatures(questions []Question, cost func(Cell) float64) map[int]float64 {
	most := 0
	for i := range questions {
		most = max(most, len(questions[i].Cells))
	}
	sums, out, all, n := make(map[int]float64), make(map[int]float64), 0., 0
	for i := range questions {
		for _, c := range questions[i].Cells {
			out[c.Temperature] = 1
			if len(questions[i].Cells) == most && most > 1 {
				x := cost(c) / float64(max(1, c.Units))
				sums[c.Temperature] += x
				all, n = all+x, n+1
			}
		}
	}
	if all > 0 {
		for t := range out {
			if x := sums[t] / (all / float64(len(sums))); len(sums) == most && x > 0 {
				out[t] = x
			}
		}
	}
	return out
}

// speed returns the cost that was worked off a second lately, by the cells that were finished. Long gaps, in which the
// run was paused or nobody worked, count as ordinary ones.
func (in *Input) speed(cost func(Cell) float64) float64 {
	var all []Cell
	has := false
	for i := range in.Questions {
		for _, c := range in.Questions[i].Cells {
			if !c.Done.IsZero() {
				all = append(all, c)
				has = has || cost(c) > 0
			}
		}
	}
	if !has {
		cost = func(c Cell) float64 { return float64(c.Units) }
	}
	if len(all) < 2 {
		return 0
	}
	slices.SortFunc(all, func(a, b Cell) int { return cmp.Compare(a.Done.UnixNano(), b.Done.UnixNano()) })
	gaps := make([]float64, 0, len(all)-1)
	for i := range all[1:] {
		gaps = append(gaps, all[i+1].Done.Sub(all[i].Done).Seconds())
	}
	sorted := slices.Sorted(slices.Values(gaps))
	mean := 0.
	for _, g := range sorted[:max(1, len(sorted)*9/10)] {
		mean += g / float64(max(1, len(sorted)*9/10))
	}
	most := max(longGap*mean, time.Minute.Seconds())
	least := max(leastCells, int(leastShare*float64(len(all))))
	took, work := 0., 0.
	for i := len(all) - 1; i > 0; i-- {
		if took >= recent.Seconds() && len(all)-1-i >= least {
			break
		}
		took += min(gaps[i-1], most)
		work += cost(all[i])
	}
	if took <= 0 {
		return 0
	}
	return work / took
}
