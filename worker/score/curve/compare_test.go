package curve

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/score"
)

func TestCompare(t *testing.T) {
	t.Parallel()
	a := sweepOf(100, []int{10, 50, 3}, []int{20, 0, 3}, []int{0, 30, 3}, []int{7, 7, 3}, []int{9, 9, 9})
	b := sweepOf(50, []int{15, 25}, []int{0, 5}, []int{10, 15}, []int{3, 4})
	b.Questions[0], b.Questions[3] = b.Questions[3], b.Questions[0] // another order
	b.Questions[0].Index, b.Questions[0].ID, b.Questions[0].Cells[1] = 9, "q3", stream.Counts{}
	c, err := Compare(a, b, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if c.Shared != 4 || c.OnlyA != 1 || c.OnlyB != 0 || len(c.Temperatures) != 2 || c.Level != 0.95 {
		t.Fatalf("comparison %+v", c)
	}
	first := c.Temperatures[0]
	if len(first.Points) != 3 { // 1, 5, 10: in B no cell has 100
		t.Fatalf("points %+v", first.Points)
	}
	p := first.Points[0]
	mean := func(x ...float64) float64 {
		sum := 0.0
		for _, v := range x {
			sum += v
		}
		return sum / float64(len(x))
	}
	if p.K != 1 || p.Questions != 4 || math.Abs(p.A-mean(0.1, 0.2, 0, 0.07)) > 1e-15 || math.Abs(p.B-mean(0.3, 0, 0.2, 0.06)) > 1e-15 || p.Differ != 4 || p.Reliable {
		t.Errorf("at 0.1: %+v", p)
	}
	if p.Difference != p.B-p.A || !p.These.Interval.Contains(p.Difference) || !p.Like.Interval.Contains(p.Difference) || p.Like.Interval.Width() < p.These.Interval.Width() {
		t.Errorf("at 0.1: %+v, %+v", p.These, p.Like)
	}
	second := c.Temperatures[1].Points[0]
	if second.Questions != 3 || math.Abs(second.B-mean(0.5, 0.1, 0.3)) > 1e-15 {
		t.Errorf("at 0.2, where a cell is missing: %+v", second)
	}
	// The correction is for the temperatures at the same k.
	raw := func(temperature int, questions []int) float64 {
		var x, y []score.Count
		for _, q := range questions {
			x = append(x, count(&a.Questions[q].Cells[temperature]))
			for i := range b.Questions {
				if b.Questions[i].ID == a.Questions[q].ID {
					y = append(y, count(&b.Questions[i].Cells[temperature]))
				}
			}
		}
		sx, _ := score.Scores(x, 1)
		sy, _ := score.Scores(y, 1)
		d, err := score.Compare(sx, sy, score.TheseQuestions, 0.95)
		if err != nil {
			t.Fatal(err)
		}
		return d.P
	}
	want := score.Holm([]float64{raw(0, []int{0, 1, 2, 3}), raw(1, []int{0, 1, 2})})
	if math.Abs(p.These.P-want[0]) > 1e-12 || math.Abs(second.These.P-want[1]) > 1e-12 {
		t.Errorf("P = %v and %v, want %v", p.These.P, second.These.P, want)
	}
	// Over all temperatures: the questions that have samples at each.
	o := c.Overall[0]
	if o.Questions != 3 || math.Abs(o.A-mean(0.1, 0.5, 0.2, 0, 0, 0.3)) > 1e-15 || math.Abs(o.B-mean(0.3, 0.5, 0, 0.1, 0.2, 0.3)) > 1e-15 {
		t.Errorf("overall %+v", o)
	}
	var got []string
	for _, n := range c.Notes {
		got = append(got, n.Code)
	}
	if !slices.Equal(got, []string{NotePartlyShared, NotePartlyShared, NoteFew}) {
		t.Errorf("notes %v", c.Notes)
	}
}

// TestCompareOverallVariance: the mean over two temperatures scatters as two
// independent samples do.
func TestCompareOverallVariance(t *testing.T) {
	t.Parallel()
	a := sweepOf(1000, []int{300, 300}, []int{300, 300})
	b := sweepOf(1000, []int{300, 300}, []int{300, 300})
	c, err := Compare(a, b, Options{})
	if err != nil {
		t.Fatal(err)
	}
	one, both := c.Temperatures[0].Points[0].These.Interval, c.Overall[0].These.Interval
	if math.Abs(one.Width()/both.Width()-math.Sqrt2) > 1e-9 {
		t.Errorf("one temperature %v, both %v, want narrower by sqrt(2)", one, both)
	}
}

func TestCompareWords(t *testing.T) {
	t.Parallel()
	other := sweepOf(10, []int{1})
	other.Questions[0].ID = "another"
	hot := sweepOf(10, []int{1})
	hot.Temperatures[0] = 2
	for name, tt := range map[string]struct {
		a, b *Sweep
		want string
	}{
		"questions":    {sweepOf(10, []int{1}), other, "no question in common"},
		"temperatures": {sweepOf(10, []int{1}), hot, "no temperature in common"},
		"one question": {sweepOf(10, []int{1}), sweepOf(10, []int{5}), "one question only"},
		"empty":        {&Sweep{}, &Sweep{}, "no question in common"},
	} {
		c, err := Compare(tt.a, tt.b, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Notes) != 1 || !strings.Contains(c.Notes[0].Text, tt.want) {
			t.Errorf("%s: notes %v", name, c.Notes)
		}
		if _, err := json.Marshal(c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	twice := sweepOf(10, []int{1}, []int{1})
	twice.Questions[1].ID = twice.Questions[0].ID
	for name, bad := range map[string]func() (*Comparison, error){
		"comes twice": func() (*Comparison, error) { return Compare(twice, other, Options{}) },
		"B: ":         func() (*Comparison, error) { return Compare(other, sweepOf(10, []int{11}), Options{}) },
		"level":       func() (*Comparison, error) { return Compare(other, other, Options{Level: 2}) },
	} {
		if c, err := bad(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, %v, want an error with %q", c, err, name)
		}
	}
}
