package curve

import (
	"fmt"

	"github.com/lcbq/lcbq/worker/score"
)

// Anytime returns half the anytime interval of mean pass@k, and the fewest samples of a
// question. The error is score.ErrUndefined without questions, or with fewer than k samples.
func Anytime(questions []score.Count, k int, level float64) (half float64, fewest int, err error) {
	if len(questions) == 0 {
		return 0, 0, fmt.Errorf("anytime interval: %w: no questions", score.ErrUndefined)
	}
	scores, err := score.Scores(questions, k)
	if err != nil {
		return 0, 0, err
	}
	i, err := score.AnytimeInterval(questions, scores, k, level)
	if err != nil {
		return 0, 0, err
	}
	fewest = questions[0].N
	for _, c := range questions {
		fewest = min(fewest, c.N)
	}
	return i.Width() / 2, fewest, nil
}
