package figure

import (
	"strings"
	"testing"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/score/curve"
)

// TestBeyondIsInNoTable: models are drawn and named, and no table has a value of k above n.
func TestBeyondIsInNoTable(t *testing.T) {
	t.Parallel()
	sweep := &curve.Sweep{Temperatures: []float64{0.2, 1}}
	for q, passed := range [][2]int{{3, 5}, {0, 9}, {0, 0}, {10, 10}} {
		x := curve.Question{Index: q, ID: string(rune('a' + q))}
		for _, c := range passed {
			x.Cells = append(x.Cells, stream.Counts{N: 10, Passed: c, Tokens: 1000, Verdicts: map[stream.Verdict]int{stream.Passed: c, stream.WrongAnswer: 10 - c}})
		}
		sweep.Questions = append(sweep.Questions, x)
	}
	a, err := curve.Analyse(sweep, curve.Options{Rounds: 50})
	if err != nil {
		t.Fatal(err)
	}
	s := &Source{Analysis: a}
	found := false
	for _, f := range s.All() {
		if f.Name == "beyond" {
			found = true
			if f.Table != nil || !strings.Contains(f.Caption, "no number to quote") {
				t.Errorf("beyond: table %v, caption %q", f.Table, f.Caption)
			}
			continue
		}
		if f.Table == nil {
			continue
		}
		for at, c := range f.Table.Columns {
			if c.Name != "k" {
				continue
			}
			for _, row := range f.Table.Rows {
				if v := row[at].Value(); len(v) > 2 {
					t.Errorf("%s has k = %s of 10 samples", f.Name, v)
				}
			}
		}
	}
	if !found {
		t.Error("there is no figure of what models say")
	}
	flips := s.Flips()
	if len(flips.Rows) != 1 || flips.Rows[0][0].Text != "b" || flips.Rows[0][3].Text != "9" || flips.Rows[0][7].Text != "yes" {
		t.Errorf("flips: %+v, want b, 9 of 10, confirmed", flips.Rows)
	}
	if want := "1 question that no sample at T = 0.2 passed"; !strings.Contains(s.FlipWords(), want) {
		t.Errorf("%q, want %q", s.FlipWords(), want)
	}
	costs := s.Costs()
	if len(costs.Rows) == 0 || costs.Rows[0][2].Text != "308" { // 100 tokens for a pass rate of 13 in 40
		t.Errorf("costs: %+v, want 308 tokens first", costs.Rows)
	}
	if mix := s.Mixing(); len(mix.Rows) == 0 || mix.Rows[0][0].Text != "samples" || !strings.Contains(mix.Rows[0][5].Text, " at ") && !strings.Contains(mix.Rows[0][3].Text, " at ") {
		t.Errorf("mixing: %+v", mix.Rows)
	}
}
