package score

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

// contests draws the pass rates of questions that come by contest: those of one share a
// shift of their logit. It returns the contest of each question too.
func contests(r *rand.Rand, sizes []int, shift float64) (rates []float64, of []int) {
	for c, n := range sizes {
		common := shift * r.NormFloat64()
		for range n {
			rates, of = append(rates, logistic(common+r.NormFloat64()-0.5)), append(of, c)
		}
	}
	return rates, of
}

// TestRefereeClusters: how often the interval by contest holds the mean of all questions
// of all contests, where questions of a contest are alike, and how often two models that
// differ by contest and are alike on the whole are called different.
func TestRefereeClusters(t *testing.T) {
	t.Parallel()
	equal := func(contests, each int) []int {
		out := make([]int, contests)
		for i := range out {
			out[i] = each
		}
		return out
	}
	mixed := equal(30, 2)
	for i := range mixed {
		mixed[i] += i % 5 * 2
	}
	for _, tt := range []struct {
		name  string
		sizes []int
		shift float64
		blind bool // the interval that knows no contests must fail here
	}{
		{"44 contests of 4", equal(44, 4), 1.5, true},
		{"30 contests of 2 to 10", mixed, 1.5, true},
		{"8 contests of 5", equal(8, 5), 1.5, true},
		{"44 contests of 4, not alike", equal(44, 4), 0, false},
	} {
		r := rand.New(rand.NewPCG(113, uint64(len(tt.sizes))))
		truth := 0.0
		for range 20 {
			rates, _ := contests(r, equal(5000, 1), tt.shift)
			truth += trueMean(rates, 1) / 20
		}
		var by, plain, differ, blind holds
		rounds := 5 * runs()
		for range rounds {
			rates, of := contests(r, tt.sizes, tt.shift)
			scores, err := Scores(draw(r, rates, func(int) int { return 50 }), 1)
			if err != nil {
				t.Fatal(err)
			}
			i, err := ClusteredInterval(values(scores), of, 0.95)
			if err != nil {
				t.Fatal(err)
			}
			by.note(i, truth)
			p, err := PopulationInterval(values(scores), 0.95, Beta, Bootstrap{})
			if err != nil {
				t.Fatal(err)
			}
			plain.note(p, truth)
			if i.Low > p.Low || i.High < p.High {
				t.Fatalf("%s: %v by contest is narrower than %v", tt.name, i, p)
			}
			// The same contests, another model: better at some and worse at others. The lead
			// changes its sign with the contest's, so the truth is 0.
			lead := make([]float64, len(tt.sizes))
			for c := range lead {
				lead[c] = tt.shift / 2 * r.NormFloat64()
			}
			a, b := make([]Score, len(rates)), make([]Score, len(rates))
			for q, c := range of {
				a[q], b[q] = Score{Value: logistic(lead[c] + 0.3*r.NormFloat64())}, Score{Value: logistic(-lead[c] + 0.3*r.NormFloat64())}
			}
			d, err := CompareClustered(a, b, of, 0.95)
			if err != nil {
				t.Fatal(err)
			}
			differ.note(d, 0)
			x, err := Compare(a, b, QuestionsLike, 0.95)
			if err != nil {
				t.Fatal(err)
			}
			blind.note(x.Interval, 0)
		}
		t.Logf("%-28s by contest %.1f %%, without contests %.1f %%; of a difference %.1f and %.1f %%", tt.name, 100*by.share(), 100*plain.share(), 100*differ.share(), 100*blind.share())
		by.within(t, tt.name, 0.94, 0.99)
		differ.within(t, tt.name+", difference", 0.94, 0.99)
		if tt.blind && (plain.share() > 0.9 || blind.share() > 0.9) {
			t.Errorf("%s: intervals without contests hold in %.1f and %.1f %%: the test shows nothing", tt.name, 100*plain.share(), 100*blind.share())
		}
	}
}

func TestClusteredIntervalCases(t *testing.T) {
	t.Parallel()
	x := []float64{0.1, 0.9, 0.4, 0.6, 0.2, 0.8}
	alone, err := ClusteredInterval(x, []int{0, 1, 2, 3, 4, 5}, 0.95)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := PopulationInterval(x, 0.95, Beta, Bootstrap{})
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(alone.Low-plain.Low) > 1e-12 || math.Abs(alone.High-plain.High) > 1e-12 {
		t.Errorf("a contest for each question: %v, want %v", alone, plain)
	}
	if _, err := ClusteredInterval(x, []int{7, 7, 7, 7, 7, 7}, 0.95); !errors.Is(err, ErrUndefined) {
		t.Errorf("one contest: %v, want ErrUndefined", err)
	}
	if _, err := ClusteredInterval(x, []int{1, 2}, 0.95); err == nil || errors.Is(err, ErrUndefined) {
		t.Errorf("contests of other questions: %v", err)
	}
	// Two contests of three: their values are 1.4/3 and 1.6/3, sd/sqrt(2) = 1/30, and Student's
	// quantile for one degree of freedom is 12.706: an arm of 0.4235.
	two, err := ClusteredInterval(x, []int{0, 0, 0, 1, 1, 1}, 0.95)
	if err != nil || two.High-0.5 < 0.36 {
		t.Errorf("two contests: %v, %v: one degree of freedom is known", two, err)
	}
	// A contest of four and four of one say as much as 3.2 of equal size: 2.2 degrees of freedom, of
	// which scipy's quantile is 3.9487. With 3.2 degrees it would be 3.0728.
	uneven := []float64{0.2, 0.2, 0.2, 0.2, 0.4, 0.4, 0.4, 0.4}
	of := []int{0, 0, 0, 0, 1, 2, 3, 4}
	c, d := make([]Score, 8), make([]Score, 8)
	for i := range c {
		d[i].Value = uneven[i]
	}
	differ, err := CompareClustered(c, d, of, 0.95)
	if err != nil {
		t.Fatal(err)
	}
	reach := unseenShare(1, 0.025) // of 3.2 contests' worth, not of eight questions'
	if arm := max(0.05*3.948720749712723, (1-math.Pow(1-reach, 1/3.2))*farthest(c, d, 0.3)); math.Abs(differ.High-0.3-arm) > 1e-9 {
		t.Errorf("a difference by contest: %v, want 0.3 +- %v", differ, arm)
	}
	a, b := make([]Score, 6), make([]Score, 6)
	for i := range a {
		a[i].Value, b[i].Value = x[i], 0.5
	}
	if _, err := CompareClustered(a, b, []int{0, 0, 0, 0, 0, 0}, 0.95); !errors.Is(err, ErrUndefined) {
		t.Errorf("one contest: %v, want ErrUndefined", err)
	}
}
