package score

import (
	"errors"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// at makes the scores of questions that differ from 0.5 by d.
func at(d ...float64) []Score {
	out := make([]Score, len(d))
	for i, v := range d {
		out[i] = Score{Value: 0.5 + v, Variance: 1e-4}
	}
	return out
}

func flat(n int) []Score { return at(make([]float64, n)...) }

func TestComparePairedT(t *testing.T) {
	t.Parallel()
	// Differences 0.01 to 0.10: mean 0.055, sd 0.0302765, t = 5.7446 with 9 degrees.
	d := []float64{0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.10}
	got, err := Compare(flat(10), at(d...), QuestionsLike, 0.95)
	arm := max(2.262157163*0.0302765035/math.Sqrt(10), (1-math.Pow(0.025, 0.1))*(0.045+2*math.Sqrt(2e-4))) // the t test's, or that of kinds not seen
	if err != nil || !close12(got.Mean, 0.055) || math.Abs(got.Interval.Low-(0.055-arm)) > 1e-8 || got.Differ != 10 {
		t.Errorf("Compare = %+v, %v, want 0.055 +- %v", got, err, arm)
	}
	// Two-sided P of t = 5.7446 is 0.000278, but no sign flip of 10 differences
	// is rarer than 2 of 1024.
	if want := 2.0 / 1024; got.P != want {
		t.Errorf("P = %v, want the floor %v", got.P, want)
	}
	noisy := slices.Concat(d, []float64{-0.09, -0.08, -0.07, -0.06, -0.05})
	got, err = Compare(flat(15), at(noisy...), QuestionsLike, 0.95)
	// mean 0.0133333, sd 0.0661888, t = 0.780189 with 14 degrees: P = 0.44827
	if err != nil || math.Abs(got.P-0.44827) > 1e-5 {
		t.Errorf("P = %v, %v, want 0.44827", got.P, err)
	}
	back, err := Compare(at(noisy...), flat(15), QuestionsLike, 0.95)
	if err != nil || math.Abs(back.P-got.P) > 1e-12 || math.Abs(back.Mean+got.Mean) > 1e-12 {
		t.Errorf("the other way round %+v, %v, want the mirror of %+v", back, err, got)
	}
}

func TestCompareTheseQuestions(t *testing.T) {
	t.Parallel()
	a, b := []Count{{10_000, 5000}, {10_000, 0}}, []Count{{10_000, 5100}, {10_000, 0}}
	sa, err1 := Scores(a, 1)
	sb, err2 := Scores(b, 1)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	got, err := Compare(sa, sb, TheseQuestions, 0.95)
	// z = 100/sqrt(2500 + 2499 and the unseen two) = 1.4141: P = 0.1573
	if err != nil || math.Abs(got.P-0.1573) > 1e-3 || !close12(got.Mean, 0.005) {
		t.Errorf("Compare = %+v, %v, want P = 0.1573 of a difference of 0.005", got, err)
	}
	// Three clear questions are certain about themselves and about no others.
	for claim, want := range map[Claim]bool{TheseQuestions: true, QuestionsLike: false} {
		sa, _ := Scores([]Count{{1000, 0}, {1000, 10}, {1000, 0}}, 1)
		sb, _ := Scores([]Count{{1000, 990}, {1000, 1000}, {1000, 1000}}, 1)
		got, err := Compare(sa, sb, claim, 0.95)
		if err != nil || (got.P < 0.001) != want {
			t.Errorf("claim %v: P = %v, %v, want it small: %v", claim, got.P, err, want)
		}
	}
	// One sample each decides nothing.
	sa, _ = Scores([]Count{{1, 0}, {1, 0}}, 1)
	sb, _ = Scores([]Count{{1, 1}, {1, 1}}, 1)
	for _, claim := range []Claim{TheseQuestions, QuestionsLike} {
		if got, err := Compare(sa, sb, claim, 0.95); err != nil || got.P < 0.05 {
			t.Errorf("one sample each, claim %v: P = %v, %v, want no certainty", claim, got.P, err)
		}
	}
}

func TestCompareEqual(t *testing.T) {
	t.Parallel()
	for _, claim := range []Claim{TheseQuestions, QuestionsLike} {
		for _, scores := range [][]Score{flat(20), make([]Score, 20)} {
			got, err := Compare(scores, scores, claim, 0.95)
			if err != nil || got.P != 1 || got.Mean != 0 || got.Differ != 0 {
				t.Errorf("claim %v: %+v, %v, want no difference", claim, got, err)
			}
		}
	}
}

// scored returns the scores at k = 1 of questions with the given counts.
func scored(t *testing.T, questions ...Count) []Score {
	t.Helper()
	out, err := Scores(questions, 1)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestCompareOneSample: with a sample each the test is McNemar's, exact.
func TestCompareOneSample(t *testing.T) {
	t.Parallel()
	var a, b []Score
	side := func(passed int) []Count {
		var out []Count
		for i := range 175 {
			c := 0
			if i < passed {
				c = 1
			}
			out = append(out, Count{1, c})
		}
		return out
	}
	x, y := side(100), side(100)
	for i := range 20 { // lost by b
		y[i].C = 0
	}
	for i := 100; i < 115; i++ { // won
		y[i].C = 1
	}
	a, b = scored(t, x...), scored(t, y...)
	got, err := Compare(a, b, TheseQuestions, 0.95)
	// P(X >= 20) of 35 at a half, twice: 0.49960.
	if err != nil || math.Abs(got.P-0.49960) > 1e-4 || math.Abs(got.Interval.Width()/2-1.96*6/175) > 1e-3 {
		t.Errorf("20 lost and 15 won of 175: %+v, %v, want P = 0.4996 and +- %v", got, err, 1.96*6/175)
	}
	// Five flips one way: 2/32, and the interval says the same.
	y = side(100)
	for i := 100; i < 105; i++ {
		y[i].C = 1
	}
	for _, claim := range []Claim{TheseQuestions, QuestionsLike} {
		got, err = Compare(scored(t, side(100)...), scored(t, y...), claim, 0.95)
		if err != nil || got.P < 2.0/32-1e-12 || !got.Interval.Contains(0) {
			t.Errorf("five flips, claim %v: %+v, %v, want P of 0.0625 and 0 within", claim, got, err)
		}
	}
}

// TestCompareIsNeverCertain: what is alike on few questions, or different by the same
// on all of them, leaves room for others.
func TestCompareIsNeverCertain(t *testing.T) {
	t.Parallel()
	same := func(c Count, times int) []Count { return slices.Repeat([]Count{c}, times) }
	for _, tt := range []struct {
		name string
		a, b []Count
		zero bool // whether no difference is possible
	}{
		{"alike on 12", same(Count{100, 0}, 12), same(Count{100, 0}, 12), true},
		{"alike on 175", same(Count{1, 1}, 175), same(Count{1, 1}, 175), true},
		{"50 and 51 of 100 on 12", same(Count{100, 50}, 12), same(Count{100, 51}, 12), true},
		{"0 and 100 on 3", same(Count{100, 0}, 3), same(Count{100, 100}, 3), true},
		{"0 and 100 on 30", same(Count{100, 0}, 30), same(Count{100, 100}, 30), false},
	} {
		these, err1 := Compare(scored(t, tt.a...), scored(t, tt.b...), TheseQuestions, 0.95)
		like, err2 := Compare(scored(t, tt.a...), scored(t, tt.b...), QuestionsLike, 0.95)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		if like.Interval.Width() == 0 || like.Interval.Width() < these.Interval.Width()-1e-12 {
			t.Errorf("%s: %v on these questions, %v on questions like these: want the second no surer", tt.name, these.Interval, like.Interval)
		}
		if like.Interval.Contains(0) != tt.zero || (like.P > 0.05) != tt.zero {
			t.Errorf("%s: %+v, want 0 within: %v", tt.name, like, tt.zero)
		}
	}
	// Far out a P is small, not 0.
	far, err := Compare(scored(t, same(Count{10_000, 100}, 400)...), scored(t, same(Count{10_000, 9000}, 400)...), TheseQuestions, 0.95)
	if err != nil || far.P < 0 || far.P > 1e-6 {
		t.Errorf("far apart: %+v, %v", far, err)
	}
	if p := tail(11.5, 1, math.Inf(1)); math.Abs(p/6.6e-31-1) > 0.1 {
		t.Errorf("tail(11.5) = %v, want 6.6e-31", p)
	}
	if p := tail(30, 1, 20); p <= 0 || p > 1e-15 {
		t.Errorf("Student's tail(30) = %v, want above 0", p)
	}
}

func TestHolm(t *testing.T) {
	t.Parallel()
	got := Holm([]float64{0.01, 0.04, 0.03, 0.005})
	want := []float64{0.03, 0.06, 0.06, 0.02}
	for i := range want {
		if !close12(got[i], want[i]) {
			t.Fatalf("Holm = %v, want %v", got, want)
		}
	}
	if got := Holm(nil); len(got) != 0 {
		t.Errorf("Holm of nothing = %v", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SliceOf(rapid.Float64Range(0, 1)).Draw(t, "p")
		for i, corrected := range Holm(p) {
			if corrected < p[i] || corrected > 1 || corrected > float64(len(p))*p[i]+1e-15 && corrected > slices.Max(p)*float64(len(p)) {
				t.Fatalf("Holm(%v)[%d] = %v", p, i, corrected)
			}
		}
	})
}

func TestCompareErrors(t *testing.T) {
	t.Parallel()
	if _, err := Compare(flat(1), flat(1), QuestionsLike, 0.95); !errors.Is(err, ErrUndefined) {
		t.Errorf("one question: %v, want ErrUndefined", err)
	}
	if _, err := Compare(flat(3), flat(4), QuestionsLike, 0.95); err == nil {
		t.Error("3 questions compared with 4")
	}
	if _, err := Compare(flat(3), flat(3), QuestionsLike, 0); err == nil {
		t.Error("level 0 accepted")
	}
}

func TestBest(t *testing.T) {
	t.Parallel()
	jitter := func(base, phase float64) []Score {
		d := make([]float64, 60)
		for i := range d {
			d[i] = base + 0.02*math.Sin(float64(i)*12.9898+phase)
		}
		return at(d...)
	}
	columns := [][]Score{jitter(0.1, 0), jitter(0.101, 2), jitter(0, 4), jitter(0.102, 1)}
	these, like, err := Best(columns, 0.95, chance(2000))
	for claim, got := range []BestSet{these, like} {
		if err != nil || !got.In[got.Best] || got.P[got.Best] != 1 || got.In[2] || !got.In[0] || !got.In[1] || !got.In[3] {
			t.Errorf("claim %v: Best = %+v, %v, want all but the third", claim, got, err)
		}
		total := 0.0
		for _, s := range got.Share {
			total += s
		}
		if math.Abs(total-1) > 1e-9 || got.Share[2] > 0.01 {
			t.Errorf("claim %v: shares %v, want a sum of 1 and none for the third", claim, got.Share)
		}
	}
}

func TestBestOfEquals(t *testing.T) {
	t.Parallel()
	for _, column := range [][]Score{make([]Score, 10), flat(10)} {
		these, like, err := Best([][]Score{column, column, column, column}, 0.95, chance(500))
		for claim, got := range []BestSet{these, like} {
			if err != nil || got.Best != 0 || slices.Contains(got.In, false) {
				t.Errorf("claim %v: Best = %+v, %v, want all in", claim, got, err)
			}
			if Claim(claim) == QuestionsLike && math.Abs(got.Share[3]-0.25) > 1e-9 {
				t.Errorf("claim %v: shares %v, want a quarter each", claim, got.Share)
			}
		}
	}
	// Equal sums that rounding made differ share the first place.
	tenth, fifth := 0.1, 0.2 // as variables: constants are summed exactly
	share := firstPlaces([]float64{tenth + fifth, 0.3, 0.2}, [][]float64{{0, 0}, {0, 0}, {0, 0}})
	if share[0] != 0.5 || share[1] != 0.5 || share[2] != 0 {
		t.Errorf("first places %v, want a half each for the equal ones", share)
	}
	// Better by the same on every question: clear for 20, not for 3.
	for n, in := range map[int]bool{3: true, 20: false} {
		up := make([]float64, n)
		for i := range up {
			up[i] = 0.25
		}
		_, got, err := Best([][]Score{flat(n), at(up...)}, 0.95, chance(500))
		if err != nil || got.In[0] != in || !got.In[1] {
			t.Errorf("%d questions: Best = %+v, %v, want the first in: %v", n, got, err, in)
		}
	}
}

func TestBestErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		columns   [][]Score
		level     float64
		b         Bootstrap
		undefined bool
	}{
		{"no columns", nil, 0.95, chance(10), true},
		{"one question", [][]Score{flat(1)}, 0.95, chance(10), true},
		{"unequal", [][]Score{flat(3), flat(4)}, 0.95, chance(10), false},
		{"no chance", [][]Score{flat(3)}, 0.95, Bootstrap{}, false},
		{"level", [][]Score{flat(3)}, 1, chance(10), false},
	} {
		if _, got, err := Best(tt.columns, tt.level, tt.b); err == nil || errors.Is(err, ErrUndefined) != tt.undefined {
			t.Errorf("%s: %v, %v, want an error, undefined: %v", tt.name, got, err, tt.undefined)
		}
	}
}

// TestCompareHidden: what may have passed unseen widens the interval on its side by as much, and no difference
// that it could explain is one.
func TestCompareHidden(t *testing.T) {
	t.Parallel()
	a, b := make([]Score, 40), make([]Score, 40)
	for i := range a {
		a[i] = Score{Value: 0.4 + float64(i%5)/100, Variance: 1e-4}
		b[i] = Score{Value: 0.5 + float64(i%7)/100, Variance: 1e-4}
	}
	hide := func(of []Score, by float64) []Score {
		out := slices.Clone(of)
		for i := range out {
			out[i].Hidden = by
		}
		return out
	}
	for _, claim := range []Claim{TheseQuestions, QuestionsLike} {
		plain, err := Compare(a, b, claim, 0.95)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range []struct {
			a, b   float64
			differ bool
		}{{0.05, 0, true}, {0.2, 0, false}, {0, 0.2, true}} {
			got, err := Compare(hide(a, x.a), hide(b, x.b), claim, 0.95)
			if err != nil {
				t.Fatal(err)
			}
			if math.Abs(got.Interval.Low-plain.Interval.Low+x.a) > 1e-12 || math.Abs(got.Interval.High-plain.Interval.High-x.b) > 1e-12 || got.Mean != plain.Mean {
				t.Errorf("claim %d, hidden %v and %v: %v, without %v", claim, x.a, x.b, got.Interval, plain.Interval)
			}
			if (got.P > 0.05) != got.Interval.Contains(0) || got.P < plain.P || (got.P <= 0.05) != x.differ {
				t.Errorf("claim %d, hidden %v and %v: P = %v with %v, without P = %v", claim, x.a, x.b, got.P, got.Interval, plain.P)
			}
		}
	}
}
