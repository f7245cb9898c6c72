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
	arm := 2.262157163 * 0.0302765035 / math.Sqrt(10)
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

func TestCompareAll(t *testing.T) {
	t.Parallel()
	d := make([]float64, 30)
	up := make([]float64, 30)
	for i := range d {
		d[i] = 0.001 * float64(i%5-2)
		up[i] = 0.1 + d[i]
	}
	columns := [][]Score{at(d...), flat(30), at(up...), at(d...)}
	got, err := CompareAll(columns, 1, QuestionsLike, 0.95)
	if err != nil || len(got) != 4 {
		t.Fatal(got, err)
	}
	single, err := Compare(columns[1], columns[2], QuestionsLike, 0.95)
	if err != nil || !close12(got[2].P, 3*single.P) || got[1].P != 1 || got[1].Mean != 0 || got[0].P < 0.9 {
		t.Errorf("CompareAll = %+v, %v, want the third alone to differ, P = 3 x %v", got, err, single.P)
	}
	if _, err := CompareAll(columns, 4, QuestionsLike, 0.95); err == nil {
		t.Error("CompareAll with base 4 of 4 succeeded")
	}
	if _, err := CompareAll(append(columns, flat(3)), 0, QuestionsLike, 0.95); err == nil {
		t.Error("CompareAll of unequal columns succeeded")
	}
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
	for _, claim := range []Claim{TheseQuestions, QuestionsLike} {
		got, err := Best(columns, claim, 0.95, chance(2000))
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
	for _, claim := range []Claim{TheseQuestions, QuestionsLike} {
		for _, column := range [][]Score{make([]Score, 10), flat(10)} {
			got, err := Best([][]Score{column, column, column, column}, claim, 0.95, chance(500))
			if err != nil || got.Best != 0 || slices.Contains(got.In, false) {
				t.Errorf("claim %v: Best = %+v, %v, want all in", claim, got, err)
			}
			if claim == QuestionsLike && math.Abs(got.Share[3]-0.25) > 1e-9 {
				t.Errorf("claim %v: shares %v, want a quarter each", claim, got.Share)
			}
		}
	}
	// Better by the same on every question: clear for 20, not for 3.
	for n, in := range map[int]bool{3: true, 20: false} {
		up := make([]float64, n)
		for i := range up {
			up[i] = 0.25
		}
		got, err := Best([][]Score{flat(n), at(up...)}, QuestionsLike, 0.95, chance(500))
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
		if got, err := Best(tt.columns, QuestionsLike, tt.level, tt.b); err == nil || errors.Is(err, ErrUndefined) != tt.undefined {
			t.Errorf("%s: %v, %v, want an error, undefined: %v", tt.name, got, err, tt.undefined)
		}
	}
}
