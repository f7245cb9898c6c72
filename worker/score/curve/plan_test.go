package curve

import (
	"errors"
	"testing"

	"github.com/lcbq/lcbq/worker/score"
)

// TestPlanFrom: a plan is for the temperature that needs most samples, whose rates are in the
// middle, and for the questions that are asked for.
func TestPlanFrom(t *testing.T) {
	t.Parallel()
	s := sweepOf(20, []int{1, 10}, []int{0, 11}, []int{2, 9}, []int{19, 12})
	p, err := PlanFrom(s, []int{1, 10}, 0, 0.01, 0.95)
	if err != nil {
		t.Fatal(err)
	}
	a := p.Rows[0]
	if a.K != 1 || *a.Temperature != 0.2 || a.Questions != 4 || a.N == nil || a.These > 0.01 {
		t.Errorf("%+v, want the middle temperature", a)
	}
	counts := []score.Count{{N: 20, C: 10}, {N: 20, C: 11}, {N: 20, C: 9}, {N: 20, C: 12}}
	o, err := score.PilotOutlook(counts, 1)
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := o.SamplesFor(0.01, 0.95); n != *a.N {
		t.Errorf("n = %d, want %d", *a.N, n)
	}
	if a.Share != o.Share(*a.N) || a.Like != o.Like(*a.N, 4, 0.95) || a.Floor != o.Like(0, 4, 0.95) {
		t.Errorf("%+v is not the outlook's", a)
	}
	if p, err = PlanFrom(s, []int{1}, 400, 0.01, 0.95); err != nil || p.Rows[0].Questions != 400 || *p.Rows[0].N >= *a.N/50 {
		t.Errorf("400 questions: %+v, %v: want about a hundredth of %d samples", p.Rows[0], err, *a.N)
	}
	if _, err := PlanFrom(s, []int{11}, 0, 0.01, 0.95); !errors.Is(err, score.ErrUndefined) {
		t.Errorf("k = 11 of 20: %v, want ErrUndefined", err)
	}
	if _, err := PlanFrom(sweepOf(0, []int{0}, []int{0}), []int{1}, 0, 0.01, 0.95); !errors.Is(err, score.ErrUndefined) {
		t.Errorf("no samples: %v, want ErrUndefined", err)
	}
}
