package curve

import (
	"math"
	"testing"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/score"
)

// TestTruncation: a cut-off sample is a failure, or left out, or a pass.
func TestTruncation(t *testing.T) {
	t.Parallel()
	s := sweepOf(10, []int{4, 4}, []int{0, 2})
	s.Questions[0].Cells[0].Verdicts = map[stream.Verdict]int{stream.Passed: 4, stream.Truncated: 5, stream.WrongAnswer: 1}
	a := analyse(t, s)
	if a.Temperatures[1].Truncation != nil {
		t.Errorf("nothing was cut off at the second temperature: %+v", a.Temperatures[1].Truncation)
	}
	got := a.Temperatures[0].Truncation
	if len(got) != 3 || got[0].K != 1 || got[1].K != 5 {
		t.Fatalf("%+v, want k = 1, 5 and 10", got)
	}
	near := func(what string, got, want float64) {
		if math.Abs(got-want) > 1e-12 {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	near("failed", got[0].Failed, 0.2)
	near("failed is the point", got[0].Failed, a.Temperatures[0].Points[0].Value)
	near("others", *got[0].Others, 0.8/2)
	near("passed", got[0].Passed, 0.9/2)
	if got[2].Others != nil {
		t.Errorf("k = 10 of 5 others: %v, want none", *got[2].Others)
	}
}

// TestCosts: k samples of a question cost k times their tokens, and solve pass@k of it.
func TestCosts(t *testing.T) {
	t.Parallel()
	s := sweepOf(10, []int{5, 0}, []int{5, 0})
	for i := range s.Questions {
		s.Questions[i].Cells[0].GenTPS = 20
	}
	a := analyse(t, s)
	got := a.Temperatures[0].Costs
	if len(got) == 0 || got[0].K != 1 || got[0].Tokens != 20 || *got[0].CardSeconds != 1 {
		t.Fatalf("%+v, want 20 tokens and a second for a question that half of the samples solve", got)
	}
	for i := 1; i < len(got); i++ {
		p := a.Temperatures[0].Points[i]
		if want := float64(p.K) * 10 / p.Value; math.Abs(got[i].Tokens-want) > 1e-9 {
			t.Errorf("k = %d: %v tokens, want %v", p.K, got[i].Tokens, want)
		}
	}
	if c := a.Temperatures[1].Costs; c != nil {
		t.Errorf("nothing is solved at the second temperature, for %+v", c)
	}
}

// TestFlips: a question that passes when hot only is listed, the surest first, and confirmed
// only if it would be so among as many.
func TestFlips(t *testing.T) {
	t.Parallel()
	s := sweepOf(100, []int{0, 1, 0}, []int{0, 40, 60}, []int{50, 50, 50}, []int{0, 0, 0}, []int{100, 100, 100})
	f := analyse(t, s).Flips
	if f == nil || f.Cold != 0.1 || f.Tested != 3 || len(f.Questions) != 2 || f.Confirmed != 1 {
		t.Fatalf("%+v, want 2 of 3 tested, one of them confirmed", f)
	}
	first, second := f.Questions[0], f.Questions[1]
	if first.ID != "q1" || first.Hot != 200 || first.Passed != 100 || first.Best != 0.3 {
		t.Errorf("%+v, want q1, best at 0.3", first)
	}
	// One pass among 300 samples is at the coldest in a third of cases.
	if second.ID != "q0" || math.Abs(second.P-2.0/3) > 1e-9 || second.Q < second.P {
		t.Errorf("%+v, want P = 2/3", second)
	}
}

// TestBeyond goes on at the temperature that is best, from n on, as a band.
func TestBeyond(t *testing.T) {
	t.Parallel()
	s := sweepOf(20, []int{0, 1}, []int{3, 5}, []int{18, 20}, []int{0, 0})
	b := analyse(t, s).Beyond
	if b == nil || b.Temperature != 0.2 || b.N != 20 || b.K[0] != 20 || b.K[len(b.K)-1] != 2000 || len(b.Models) != 5 {
		t.Fatalf("%+v", b)
	}
	last := b.Band(len(b.K) - 1)
	if math.Abs(last.Low-0.75) > 1e-3 || last.High < 0.999 {
		t.Errorf("at k = 2000 the models say %v: want three of four questions to all of them", last)
	}
	if analyse(t, sweepOf(5, []int{1, 2}, []int{0, 0})).Beyond != nil {
		t.Error("five samples go on")
	}
}

// TestMixing: temperatures that solve what the other does not are worth mixing, at each budget.
func TestMixing(t *testing.T) {
	t.Parallel()
	s := sweepOf(40, []int{10, 0}, []int{0, 10}, []int{10, 0}, []int{0, 10}, []int{10, 0}, []int{0, 10})
	for i := range s.Questions {
		for c := range s.Questions[i].Cells {
			s.Questions[i].Cells[c].GenTPS = 100
		}
		s.Questions[i].Cells[1].Tokens *= 3
	}
	got := analyse(t, s).Mixing
	by := make(map[string][]Mixing)
	for _, m := range got {
		by[m.Budget] = append(by[m.Budget], m)
		if m.Budget == BudgetSamples && m.Pair.Gain < 0.05 || m.Pair.Like == nil || m.Single.Like != nil || len(m.Single.Parts) != 1 || len(m.Pair.Parts) != 2 {
			t.Errorf("%s, k = %d: %+v", m.Budget, m.K, m)
		}
	}
	a := by[BudgetSamples]
	if len(a) != 2 || a[1].K != 10 || a[1].Pair.Parts[0] != (MixPart{0.1, 5}) || a[1].Amount != 10 {
		t.Errorf("%+v, want k = 5 and 10, five samples each", a)
	}
	// 20 tokens a sample on average, 10 when cold and 30 when hot; half of 100 buys 5 and 1.
	if b := by[BudgetTokens]; len(b) == 0 || b[0].Amount != 100 || b[0].Pair.Parts[0].Samples != 5 || b[0].Pair.Parts[1].Samples != 1 {
		t.Errorf("%+v, want 5 and 1 samples for 100 tokens", b)
	}
	if c := by[BudgetCardSeconds]; len(c) == 0 || math.Abs(c[0].Amount-1) > 1e-12 {
		t.Errorf("%+v, want a second", c)
	}
	var none *score.Interval
	if got[0].Single.Like != none {
		t.Error("one temperature gains over itself")
	}
}
