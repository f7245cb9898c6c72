package score

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// TestOutlookVariance holds the variance of pass@k for other n against the sum over all
// possible counts.
func TestOutlookVariance(t *testing.T) {
	t.Parallel()
	choose := func(n, k int) float64 {
		a, _ := math.Lgamma(float64(n + 1))
		b, _ := math.Lgamma(float64(k + 1))
		c, _ := math.Lgamma(float64(n - k + 1))
		return math.Exp(a - b - c)
	}
	for _, p := range []float64{0, 0.03, 0.5, 1} {
		for _, nk := range [][2]int{{2, 1}, {7, 1}, {6, 3}, {40, 7}} {
			n, k := nk[0], nk[1]
			first, second := 0.0, 0.0
			for c := range n + 1 {
				w := choose(n, c) * math.Pow(p, float64(c)) * math.Pow(1-p, float64(n-c))
				v, err := PassAtK(n, c, k)
				if err != nil {
					t.Fatal(err)
				}
				first, second = first+w*v, second+w*v*v
			}
			o, err := WorldOutlook([]float64{p, p}, 2, k)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := o.variance(n), second-first*first; math.Abs(got-want) > 1e-9 {
				t.Errorf("p = %v, n = %d, k = %d: variance %v, want %v", p, n, k, got, want)
			}
		}
	}
}

// TestPlanIsKept: with the samples and the questions that a small pilot asks for, intervals
// are as wide as was wanted.
func TestPlanIsKept(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		world     string
		pilot, k  int
		half      float64
		questions int
	}{
		{"lcb", 8, 1, 0.005, 175},
		{"lcb", 40, 10, 0.005, 175},
		{"uniform", 8, 1, 0.01, 175},
		{"uniform", 8, 2, 0.01, 60},
		{"saturated", 20, 1, 0.001, 175},
	} {
		t.Run(fmt.Sprintf("%s k=%d", tt.world, tt.k), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(157, uint64(tt.k)))
			all, err := World(tt.world)
			if err != nil {
				t.Fatal(err)
			}
			rate := func() float64 { return all[r.IntN(len(all))] }
			got, like := 0.0, 0.0
			const rounds = 30
			for range rounds {
				rates := make([]float64, tt.questions)
				for i := range rates {
					rates[i] = rate()
				}
				o, err := PilotOutlook(draw(r, rates, func(int) int { return tt.pilot }), tt.k)
				if err != nil {
					t.Fatal(err)
				}
				n, ok := o.SamplesFor(tt.half, 0.95)
				if !ok {
					t.Fatalf("no n is enough for +-%v", tt.half)
				}
				counts := draw(r, rates, func(int) int { return n })
				scores, err := Scores(counts, tt.k)
				if err != nil {
					t.Fatal(err)
				}
				i, err := SamplingInterval(counts, scores, tt.k, 0.95)
				if err != nil {
					t.Fatal(err)
				}
				got += i.Width() / 2 / rounds
				// As many questions as are needed for twice the certainty about others like these.
				half := o.Like(0, o.Questions, 0.95) / 2
				more, ok := o.QuestionsFor(tt.pilot, half, 0.95)
				if !ok {
					t.Fatalf("no number of questions is enough for +-%v", half)
				}
				rates = rates[:0]
				for range more {
					rates = append(rates, rate())
				}
				if scores, err = Scores(draw(r, rates, func(int) int { return tt.pilot }), tt.k); err != nil {
					t.Fatal(err)
				}
				if i, err = PopulationInterval(values(scores), 0.95, Beta, Bootstrap{}); err != nil {
					t.Fatal(err)
				}
				like += i.Width() / 2 / half / rounds
			}
			t.Logf("wanted +-%v, got +-%.4f on these questions; of what was wanted on questions like these %.3f", tt.half, got, like)
			if math.Abs(got/tt.half-1) > 0.1 {
				t.Errorf("+-%.4f on these questions, want %v", got, tt.half)
			}
			if math.Abs(like-1) > 0.12 {
				t.Errorf("%.3f of the width that was wanted on questions like these", like)
			}
		})
	}
}

func TestOutlookCases(t *testing.T) {
	t.Parallel()
	if _, err := PilotOutlook([]Count{{10, 1}, {10, 3}}, 6); !errors.Is(err, ErrUndefined) {
		t.Errorf("fewer than 2k samples: %v, want ErrUndefined", err)
	}
	if _, err := PilotOutlook([]Count{{10, 1}}, 1); !errors.Is(err, ErrUndefined) {
		t.Errorf("one question: %v, want ErrUndefined", err)
	}
	// All questions at a half: nothing differs but the samples.
	o, err := WorldOutlook([]float64{0.5, 0.5}, 100, 1)
	if err != nil {
		t.Fatal(err)
	}
	if got := o.Share(10); got != 1 {
		t.Errorf("alike questions: %v of the variance is chance of the samples, want 1", got)
	}
	// 1.96 sqrt(0.25/n/100) = 0.01 for n = 96.04.
	if n, ok := o.SamplesFor(0.01, 0.95); !ok || n != 97 {
		t.Errorf("a half known to a point: n = %d, %v, want 97", n, ok)
	}
	// Rates of 0 and 1 do not scatter, and leave it all to the questions.
	if o, err = WorldOutlook([]float64{0, 1}, 100, 1); err != nil {
		t.Fatal(err)
	}
	if got := o.Share(1000); got != 0 {
		t.Errorf("questions of 0 and 1: %v of the variance is chance of the samples, want 0", got)
	}
	if _, ok := o.SamplesFor(0, 0.95); ok {
		t.Error("a width of 0 can be had")
	}
	// The scatter of a pilot's scores is chance where questions are alike, not between them.
	same := make([]float64, 5000)
	for i := range same {
		same[i] = 0.5
	}
	if o, err = PilotOutlook(draw(rand.New(rand.NewPCG(163, 1)), same, func(int) int { return 2 }), 1); err != nil {
		t.Fatal(err)
	}
	if o.Between > 0.01 {
		t.Errorf("alike questions differ by %v, want about 0: the scatter of two samples is 0.125", o.Between)
	}
	rates, err := BetaWorld(0.3, 0.35)
	if err != nil {
		t.Fatal(err)
	}
	if m := mean(rates); math.Abs(m-0.3) > 0.002 || math.Abs(deviation(rates, m)-0.35) > 0.005 {
		t.Errorf("mean %v, deviation %v, want 0.3 and 0.35", m, deviation(rates, m))
	}
	for _, bad := range [][2]float64{{0, 0.1}, {0.5, 0.5}, {0.5, 0}} {
		if _, err := BetaWorld(bad[0], bad[1]); err == nil {
			t.Errorf("a mean of %v and a deviation of %v make a world", bad[0], bad[1])
		}
	}
	if _, err := World("moon"); err == nil {
		t.Error("there is a world moon")
	}
}
