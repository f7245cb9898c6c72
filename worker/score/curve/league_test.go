package curve

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/score"
)

// drawn is a sweep of 40 questions at two temperatures whose pass rates are shifted by a
// difference of logits.
func drawn(r *rand.Rand, n int, shift float64) *Sweep {
	var passed [][]int
	for q := range 40 {
		ease := 4 * (float64(q)/39 - 0.5)
		var row []int
		for range 2 {
			c := 0
			for range n {
				if r.Float64() < 1/(1+math.Exp(-ease-shift)) {
					c++
				}
			}
			row = append(row, c)
		}
		passed = append(passed, row)
	}
	return sweepOf(n, passed...)
}

func TestRank(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	weak, strong, middle := drawn(r, 100, -1), drawn(r, 100, 1.5), drawn(r, 100, 0)
	strong.Temperatures = []float64{0.1, 0.2}
	l, err := Rank([]*Sweep{weak, strong, middle}, Options{Rounds: 300})
	if err != nil {
		t.Fatal(err)
	}
	if l.Questions != 40 || !slices.Equal(l.Temperatures, []float64{0.1, 0.2}) || len(l.Tables) != 4 || len(l.Notes) != 0 {
		t.Fatalf("league %+v", l)
	}
	first := l.Tables[0]
	if first.K != 1 || first.Questions != 40 || len(first.Pairs) != 3 || len(first.Places) != 3 {
		t.Fatalf("ranking %+v", first)
	}
	for i, want := range []struct {
		sweep, first, last int
		leads              bool
	}{{1, 1, 1, true}, {2, 2, 2, false}, {0, 3, 3, false}} {
		p := first.Places[i]
		if p.Sweep != want.sweep || p.First != want.first || p.Last != want.last || p.MayLead != want.leads || !p.Population.Contains(p.Value) {
			t.Errorf("place %d: %+v, want %+v", i+1, p, want)
		}
	}
	// A pair is the comparison of the two at the level that all three pairs need.
	c, err := Compare(weak, strong, Options{Level: score.Together(0.95, 3)})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := first.Pairs[0], c.Overall[0]; got.A != 0 || got.B != 1 || math.Abs(got.Difference-want.Difference) > 1e-15 || got.Like.Interval != want.Like.Interval || got.These.Interval != want.These.Interval {
		t.Errorf("pair %+v %+v, want %+v %+v", got, got.Like, want, want.Like)
	}
}

// TestRankOfEquals: of equal sweeps none is said to be behind, in all but 5 % of leagues.
func TestRankOfEquals(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 6))
	const runs = 120
	wrong := 0
	for range runs {
		var all []*Sweep
		for range 5 {
			all = append(all, drawn(r, 20, 0))
		}
		l, err := Rank(all, Options{Rounds: 200})
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(l.Tables[0].Pairs, func(p Against) bool {
			return !p.These.Interval.Contains(0) || !p.Like.Interval.Contains(0)
		}) {
			wrong++
		}
	}
	if share := float64(wrong) / runs; share > 0.05+3.5*math.Sqrt(0.05*0.95/runs) {
		t.Errorf("in %.1f %% of leagues of equals some pair differs, want 5", 100*share)
	}
}

func TestRankShares(t *testing.T) {
	t.Parallel()
	a, b, c := sweepOf(10, []int{1, 5}, []int{3, 3}), sweepOf(10, []int{2, 5}, []int{3, 3}), sweepOf(10, []int{2, 4})
	c.Temperatures = []float64{0.2, 0.7}
	l, err := Rank([]*Sweep{a, b, c}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if l.Questions != 1 || !slices.Equal(l.Temperatures, []float64{0.2}) || len(l.Notes) != 4 {
		t.Errorf("league %+v", l)
	}
	if p := l.Tables[0].Places[0]; p.Population != nil || p.Behind != nil || p.First != 1 || p.Last != 3 {
		t.Errorf("one question gives an interval: %+v", p)
	}
	c.Temperatures = []float64{0.3, 0.7}
	if l, err = Rank([]*Sweep{a, b, c}, Options{}); err != nil || len(l.Tables) != 0 || len(l.Notes) != 1 || l.Notes[0].Code != NoteNothingShared {
		t.Errorf("no temperature in common: %+v, %v", l, err)
	}
	c = sweepOf(10, []int{2, 4})
	c.Questions[0].ID = "other"
	if l, err = Rank([]*Sweep{a, b, c}, Options{}); err != nil || len(l.Tables) != 0 || l.Notes[0].Code != NoteNothingShared {
		t.Errorf("no question in common: %+v, %v", l, err)
	}
	c = sweepOf(10, []int{2, 4}, []int{3, 9})
	c.Questions[0].Cells[1] = stream.Counts{N: 5, Passed: 1}
	if l, err = Rank([]*Sweep{a, b, c}, Options{Rounds: 100}); err != nil || len(l.Tables) != 3 || l.Tables[1].Questions != 2 || l.Tables[2].Questions != 1 {
		t.Errorf("a cell with 5 samples: %+v, %v", l, err)
	}
	if _, err = Rank([]*Sweep{a}, Options{}); err == nil {
		t.Error("a league of one")
	}
}

// TestChanges: the questions that differ are named, the surest first, and those that only
// chance moved are not confirmed.
func TestChanges(t *testing.T) {
	t.Parallel()
	a := sweepOf(50, []int{0, 0}, []int{25, 25}, []int{50, 49}, []int{10, 30}, []int{40, 4})
	b := sweepOf(50, []int{30, 20}, []int{26, 24}, []int{20, 49}, []int{10, 30}, []int{40, 25})
	c, err := Compare(a, b, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, q := range c.Questions {
		order = append(order, q.ID)
	}
	if !slices.Equal(order[:3], []string{"q0", "q2", "q4"}) || c.Confirmed != 3 { // q4 at one temperature only
		t.Fatalf("order %v, %d confirmed: %+v", order, c.Confirmed, c.Questions)
	}
	q := c.Questions[0]
	if q.PassedA != 0 || q.PassedB != 50 || q.SamplesA != 100 || q.B != 0.5 || q.Difference != 0.5 || q.P > 1e-10 || q.Q < q.P {
		t.Errorf("changed: %+v", q)
	}
}

// TestTogether: the intervals for all temperatures at once are wider than each alone, and
// there are none where one temperature is compared.
func TestTogether(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 8))
	a, b := drawn(r, 100, 0), drawn(r, 100, 0.3)
	c, err := Compare(a, b, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range c.Temperatures {
		for _, p := range x.Points {
			for _, d := range []*Deviation{p.These, p.Like} {
				if d.Together == nil || d.Together.Low > d.Interval.Low || d.Together.High < d.Interval.High || d.Together.Width() < 1.05*d.Interval.Width() {
					t.Errorf("T = %v, k = %d: %v alone, %v together", x.Temperature, p.K, d.Interval, d.Together)
				}
			}
		}
	}
	if c.Overall[0].Like.Together != nil {
		t.Error("the mean of all has an interval for several")
	}
}
