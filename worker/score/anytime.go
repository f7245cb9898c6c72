package score

import (
	"fmt"
	"math"
)

// narrowestAt is the number of samples of a question at which an interval that may be looked
// at at any time costs least. It is fixed: a choice by what was seen would be a look too.
const narrowestAt = 100

// AnytimeLevel returns the level that an interval after n samples of each question needs so
// that those after every number of samples hold at once with the given level: one may look
// as often as one likes, and stop by what one sees.
//
// It is the boundary of the normal mixture (Robbins 1970) for the mean of rounds, of which
// each is one sample of every question; by the time-uniform central limit theorem it holds
// for what is not normal too (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2021). At 95 %
// it asks for 3.0 standard errors at 100 samples, 3.3 at 1,000 and 3.6 at 10,000, where one
// look asks for 2.0.
func AnytimeLevel(n int, level float64) float64 {
	alpha := 1 - level
	tuned := -2*math.Log(alpha) + math.Log(-2*math.Log(alpha)) + 1
	x := float64(n) * tuned / narrowestAt
	z := math.Sqrt(2 * (x + 1) / x * (math.Log1p(x)/2 - math.Log(alpha)))
	return math.Erf(z / math.Sqrt2)
}

// AnytimeInterval is SamplingInterval for looking again and again: the intervals after every
// number of samples hold at once with the given level. Questions that have more samples
// than the fewest are taken to have been looked at as often as that one. pass@k counts k
// samples as one. Fewer than two rounds say nothing: the interval is from 0 to 1.
//
// It holds if how many samples there are does not depend on the samples that are left out: a
// look must hold the first ones drawn, not those that were first done. Errors are those of
// SamplingInterval.
func AnytimeInterval(questions []Count, scores []Score, k int, level float64) (Interval, error) {
	if err := checkLevel(level); err != nil {
		return Interval{}, err
	}
	if len(questions) == 0 {
		return Interval{}, fmt.Errorf("anytime interval: %w: no questions", ErrUndefined)
	}
	fewest := math.MaxInt
	for _, c := range questions {
		fewest = min(fewest, c.N)
	}
	rounds := fewest / max(1, k)
	if rounds < 2 {
		if _, err := SamplingInterval(questions, scores, k, level); err != nil {
			return Interval{}, err
		}
		return Interval{0, 1}, nil
	}
	return SamplingInterval(questions, scores, k, AnytimeLevel(rounds, level))
}
