package score

import (
	"errors"
	"fmt"
	"slices"
)

// A Point is one point of a pass@k curve with all that a reader needs to trust
// it: both uncertainties, apart, and whether k is too near n.
type Point struct {
	K          int       `json:"k"`
	Value      float64   `json:"value"`                // mean pass@k over questions, in [0, 1]
	Questions  int       `json:"questions"`            // that have k samples; the others are left out
	Sampling   Interval  `json:"sampling"`             // these questions, sampled anew
	Population *Interval `json:"population,omitempty"` // other questions like these; nil for fewer than two
	Reliable   bool      `json:"reliable"`             // k is at most a tenth of every question's n
}

// Options are the settings of Points.
type Options struct {
	Level     float64 // of the intervals; 0 means 0.95
	Method    Method  // of the population interval
	Bootstrap Bootstrap
	Ragged    bool // leave out, at each k, questions with fewer samples; else such a k has no point
}

// Points returns the points of the mean pass@k curve at ks, in their order. A k
// for which the data define nothing has no point: no question has so many
// samples or, unless o.Ragged, some question has not.
//
// The error is a mistake of the caller: a count, k or option out of range.
func Points(questions []Count, ks []int, o Options) ([]Point, error) {
	if o.Level == 0 {
		o.Level = 0.95
	}
	var out []Point
	for _, k := range ks {
		p, err := point(questions, k, o)
		switch {
		case errors.Is(err, ErrUndefined):
			continue
		case err != nil:
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func point(questions []Count, k int, o Options) (Point, error) {
	if o.Ragged {
		questions = slices.DeleteFunc(slices.Clone(questions), func(c Count) bool { return c.N < k })
	}
	scores, err := Scores(questions, k)
	if err != nil {
		return Point{}, err
	}
	sampling, err := SamplingIntervalOf(questions, scores, k, o.Level)
	if err != nil {
		return Point{}, err
	}
	out := Point{K: k, Value: mean(values(scores)), Questions: len(scores), Sampling: sampling, Reliable: true}
	for _, c := range questions {
		out.Reliable = out.Reliable && Reliable(c.N, k)
	}
	population, err := PopulationInterval(values(scores), o.Level, o.Method, o.Bootstrap)
	switch {
	case err == nil:
		out.Population = &population
	case !errors.Is(err, ErrUndefined):
		return Point{}, fmt.Errorf("pass@%d: %w", k, err)
	}
	return out, nil
}
