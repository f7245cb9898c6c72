package curve

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/score"
)

// dated is a sweep of one temperature with the given contest dates, n samples and passes.
func dated(n int, dates []string, passed []int) *Sweep {
	s := &Sweep{Temperatures: []float64{0.2}}
	for i, d := range dates {
		s.Questions = append(s.Questions, Question{Index: i, ID: fmt.Sprint("q", i), Origin: stream.Origin{ContestDate: d}, Cells: []stream.Counts{{N: n, Passed: passed[i]}}})
	}
	return s
}

func TestCutoff(t *testing.T) {
	t.Parallel()
	s := dated(10, []string{"2024-08-31T23:59:59", "2024-09-01T00:00:00", "2024-09-02", "", "2024-08-01", "soon"}, []int{10, 2, 4, 9, 8, 9})
	a, err := Analyse(s, Options{Cutoff: "2024-09-01"})
	if err != nil {
		t.Fatal(err)
	}
	c := a.Cutoff
	if c.Before != 2 || c.After != 2 || c.Unknown != 2 {
		t.Fatalf("%d before, %d after, %d unknown, want 2 each", c.Before, c.After, c.Unknown)
	}
	p := c.Temperatures[0].Points[0]
	if p.K != 1 || math.Abs(p.Before.Value-0.9) > 1e-12 || math.Abs(p.After.Value-0.3) > 1e-12 || math.Abs(p.Difference+0.6) > 1e-12 {
		t.Errorf("%+v, want 0.9 before, 0.3 after", p)
	}
	if p.Interval == nil || p.Interval.Low > -0.6 || p.Interval.High < -0.6 {
		t.Errorf("interval %v", p.Interval)
	}
	months := map[string]int{}
	for _, g := range a.Splits {
		if g.By == "month" {
			months[g.Name] = g.Questions
		}
	}
	if len(months) != 3 || months["2024-08"] != 2 || months["2024-09"] != 2 || months[""] != 2 {
		t.Errorf("months %v", months)
	}
	for _, day := range []string{"2024-08-01", "2024-09-03"} {
		if _, err := Analyse(s, Options{Cutoff: day}); !errors.Is(err, ErrCutoff) || !strings.HasSuffix(err.Error(), "\nchoose a day after 2024-08-01, 2024-09-02 at the latest") {
			t.Errorf("cut-off %s: %v, want ErrCutoff and the days to choose from", day, err)
		}
	}
	for _, day := range []string{"2024-08-02", "2024-09-02"} {
		if _, err := Analyse(s, Options{Cutoff: day}); err != nil {
			t.Errorf("cut-off %s, of those that may be chosen: %v", day, err)
		}
	}
	same := dated(10, []string{"2024-08-01", "2024-08-01", ""}, []int{1, 2, 3})
	if _, err := Analyse(same, Options{Cutoff: "2024-08-01"}); !errors.Is(err, ErrCutoff) || !strings.HasSuffix(err.Error(), "\nno day divides these questions: leave it out") {
		t.Errorf("a cut-off of questions of one day: %v", err)
	}
	if _, err := Analyse(s, Options{Cutoff: "September"}); err == nil || errors.Is(err, ErrCutoff) {
		t.Errorf("a cut-off that is no day: %v", err)
	}
	if a, err := Analyse(s, Options{}); err != nil || a.Cutoff != nil {
		t.Errorf("a cut-off that nobody asked for: %+v, %v", a.Cutoff, err)
	}
}

// TestApart wants the interval of a difference to hold the true one: questions of both
// sides are drawn from worlds that differ by a known amount.
func TestApart(t *testing.T) {
	t.Parallel()
	const rounds = 400
	for _, w := range []struct {
		name          string
		before, after int
		x, y          func(r *rand.Rand) float64 // a question's pass rate
		mean          float64
	}{
		{"alike", 40, 40, (*rand.Rand).Float64, (*rand.Rand).Float64, 0},
		{"few after", 100, 12, (*rand.Rand).Float64, func(r *rand.Rand) float64 { return r.Float64() / 2 }, -0.25},
		{"easy before", 30, 30, func(r *rand.Rand) float64 { return 1 - r.Float64()/10 }, (*rand.Rand).Float64, -0.45},
	} {
		r := rand.New(rand.NewPCG(1, uint64(len(w.name))))
		held := 0
		side := func(n int, p func(*rand.Rand) float64) (float64, score.Interval) {
			values := make([]float64, n)
			mean := 0.0
			for i := range values {
				values[i] = p(r)
				mean += values[i] / float64(n)
			}
			in, err := score.PopulationInterval(values, 0.95, score.Beta, score.Bootstrap{})
			if err != nil {
				t.Fatal(err)
			}
			return mean, in
		}
		for range rounds {
			x, ix := side(w.before, w.x)
			y, iy := side(w.after, w.y)
			if d := apart(x, y, ix, iy); d.Low <= w.mean && w.mean <= d.High {
				held++
			}
		}
		// 400 runs have a standard error of 1.1 points at 95 %.
		if share := float64(held) / rounds; share < 0.92 || share > 0.995 {
			t.Errorf("%s: the interval held the true difference in %.1f %%, want about 95", w.name, 100*share)
		}
	}
}

// TestContests wants intervals by contest where contests are known and hold several
// questions, wider than the plain ones where questions of a contest are alike.
func TestContests(t *testing.T) {
	t.Parallel()
	of := func(contest func(q int) string) (*Sweep, *Sweep) {
		a, b := &Sweep{Temperatures: []float64{0.2}}, &Sweep{Temperatures: []float64{0.2}}
		for q := range 40 {
			x := Question{Index: q, ID: fmt.Sprint("q", q), Origin: stream.Origin{Platform: "atcoder", ContestID: contest(q)}, Cells: []stream.Counts{{N: 100, Passed: 10 + q/4%2*70 + q%4}}}
			a.Questions = append(a.Questions, x)
			x.Cells = []stream.Counts{{N: 100, Passed: x.Cells[0].Passed + (q/4%3-1)*8}}
			b.Questions = append(b.Questions, x)
		}
		return a, b
	}
	for _, tt := range []struct {
		name    string
		contest func(q int) string
		want    bool
	}{
		{"ten of four", func(q int) string { return fmt.Sprint("abc", q/4) }, true},
		{"one each", func(q int) string { return fmt.Sprint("abc", q) }, false},
		{"one of all", func(int) string { return "abc" }, false},
		{"one not known", func(q int) string { return []string{"", "abc", "arc"}[min(2, q)] }, false},
	} {
		a, b := of(tt.contest)
		analysis, err := Analyse(a, Options{Rounds: 10})
		if err != nil {
			t.Fatal(err)
		}
		p := analysis.Temperatures[0].Points[0].Population
		c, err := Compare(a, b, Options{})
		if err != nil {
			t.Fatal(err)
		}
		like := c.Temperatures[0].Points[0].Like
		if (p.Contest != nil) != tt.want || (like.Contest != nil) != tt.want {
			t.Errorf("%s: %v and %v by contest, want some: %v", tt.name, p.Contest, like.Contest, tt.want)
			continue
		}
		if tt.want && (p.Contest.Width() < 1.4*p.Width() || like.Contest.Width() < 1.4*like.Interval.Width()) {
			t.Errorf("%s: %v beside %v, %v beside %v: questions of a contest are alike here", tt.name, *p.Contest, p.Interval, *like.Contest, like.Interval)
		}
	}
}
