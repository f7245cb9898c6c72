package curve

import "github.com/lcbq/lcbq/worker/score"

// contests numbers the contests of questions. It returns nil where that says nothing: a
// question does not tell its contest, each has one of its own, or all are of one.
func contests(questions []*Question) []int {
	type contest struct{ platform, id string }
	places := make(map[contest]int)
	out := make([]int, len(questions))
	for i, q := range questions {
		c := contest{q.Platform, q.ContestID}
		if c.id == "" {
			return nil
		}
		if _, ok := places[c]; !ok {
			places[c] = len(places)
		}
		out[i] = places[c]
	}
	if len(places) < 2 || len(places) == len(questions) {
		return nil
	}
	return out
}

// byContest returns the interval for the mean of other questions like these that takes those
// of a contest for alike, nil where contests say nothing.
func byContest(scores []score.Score, questions []*Question, level float64) (*score.Interval, error) {
	of := contests(questions)
	if of == nil {
		return nil, nil //nolint:nilnil // absent
	}
	values := make([]float64, len(scores))
	for i, s := range scores {
		values[i] = s.Value
	}
	i, err := score.ClusteredInterval(values, of, level)
	if err != nil {
		return nil, err
	}
	return &i, nil
}
