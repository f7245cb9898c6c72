package score

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

// TestAnytimeLevel holds the boundary against its formula, worked out elsewhere with
// alpha = 0.05: sqrt(2 (x+1)/x log(sqrt(x+1)/alpha)) with x = 8.7817 n/100.
func TestAnytimeLevel(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]float64{2: 6.41775, 10: 3.76326, 100: 3.03545, 1000: 3.25536, 10_000: 3.57561} {
		got := math.Sqrt2 * math.Erfinv(AnytimeLevel(n, 0.95))
		if math.Abs(got-want) > 1e-5 {
			t.Errorf("n = %d: %v standard errors, want %v", n, got, want)
		}
	}
	for n := 2; n < 10_000; n++ { // it costs least near 100
		if AnytimeLevel(n, 0.95) < AnytimeLevel(100, 0.95)-1e-4 {
			t.Errorf("n = %d costs less than 100", n)
		}
	}
}

// looks are the numbers of samples at which a run is looked at: every one at first, then at
// steps of a twentieth.
func looks(most int) []int {
	var out []int
	for n := 2; n <= most; n += max(1, n/20) {
		out = append(out, n)
	}
	return out
}

// TestRefereeAnytime: how often the interval is true at every one of many looks, and when the
// run is stopped by its width; beside it what the interval for one look does. The last must
// fail, or the test would not see what it is for.
func TestRefereeAnytime(t *testing.T) {
	t.Parallel()
	most, sizes := 100, []int{12}
	if *simulations >= 200 {
		most = 200
	}
	if *simulations > 200 {
		most, sizes = 1000, []int{12, 60}
	}
	for _, w := range tried() {
		for _, questions := range sizes {
			r := rand.New(rand.NewPCG(107, uint64(questions)))
			var always, stopped, naive, whenBest holds
			drawn, planned := 0.0, 0.0
			for range runs() {
				rates := w.rates(r, questions)
				truth := trueMean(rates, 1)
				counts := make([]Count, questions)
				half := 0.05 * math.Sqrt(60/float64(questions)) // stop where it is so narrow
				all, one := Interval{0, 1}, Interval{0, 1}      // what all looks so far have in common
				atStop, atFirst := 0, 0
				furthest, best := -1.0, Interval{} // the look that is furthest from the truth, as if one stopped there
				for _, n := range looks(most) {
					for i := range counts {
						counts[i].C += binomial(r, n-counts[i].N, rates[i])
						counts[i].N = n
					}
					scores, err := Scores(counts, 1)
					if err != nil {
						t.Fatal(err)
					}
					anytime, err := AnytimeInterval(counts, scores, 1, 0.95)
					if err != nil {
						t.Fatal(err)
					}
					plain, err := SamplingInterval(counts, scores, 1, 0.95)
					if err != nil {
						t.Fatal(err)
					}
					all = Interval{max(all.Low, anytime.Low), min(all.High, anytime.High)}
					one = Interval{max(one.Low, plain.Low), min(one.High, plain.High)}
					if atStop == 0 && anytime.Width() <= 2*half {
						atStop = n
						stopped.note(anytime, truth)
					}
					if atFirst == 0 && plain.Width() <= 2*half {
						atFirst = n
					}
					if off := math.Abs(MeanOf(scores)-truth) / max(1e-9, anytime.Width()); off > furthest {
						furthest, best = off, anytime
					}
				}
				always.note(all, truth)
				naive.note(one, truth)
				whenBest.note(best, truth)
				if atStop > 0 {
					drawn, planned = drawn+float64(atStop), planned+float64(atFirst)
				}
			}
			t.Logf("anytime %11s q=%-3d at every look %5.1f %%, stopped by width %5.1f %% (%d of %d, %.1f times the samples), at the worst look %5.1f %%; for one look %5.1f %%",
				w.name, questions, 100*always.share(), 100*stopped.share(), stopped.runs, always.runs, drawn/max(1, planned), 100*whenBest.share(), 100*naive.share())
			always.within(t, w.name+" at every look", 0.95, 1)
			whenBest.within(t, w.name+" at the worst look", 0.95, 1)
			if stopped.runs >= 20 {
				stopped.within(t, w.name+" stopped by width", 0.95, 1)
			}
			if w.name == "half" && naive.share() > 0.85 {
				t.Errorf("%s: the interval for one look holds at every look in %.1f %%: the test is blind", w.name, 100*naive.share())
			}
		}
	}
}

func TestAnytimeIntervalRefuses(t *testing.T) {
	t.Parallel()
	if _, err := AnytimeInterval(nil, nil, 1, 0.95); !errors.Is(err, ErrUndefined) {
		t.Errorf("no questions: %v", err)
	}
	counts := []Count{{10, 3}, {40, 9}}
	scores, err := Scores(counts, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := AnytimeInterval(counts, scores, 1, 1); err == nil {
		t.Error("a level of 1 is taken")
	}
	i, err := AnytimeInterval(counts, scores, 1, 0.95)
	if err != nil {
		t.Fatal(err)
	}
	same, err := SamplingInterval(counts, scores, 1, AnytimeLevel(10, 0.95)) // the fewest
	if err != nil || i != same {
		t.Errorf("%v, want %v, %v", i, same, err)
	}
	few := []Count{{1, 1}, {1, 0}}
	if scores, err = Scores(few, 1); err != nil {
		t.Fatal(err)
	}
	if i, err := AnytimeInterval(few, scores, 1, 0.95); err != nil || i != (Interval{0, 1}) {
		t.Errorf("one sample of each: %v, %v", i, err)
	}
}
