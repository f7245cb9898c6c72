package curve

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/stream"
)

// audited returns a sweep of questions at two temperatures as an audit at a share of 0.1 shows it,
// and the mean pass rate that a full limit gives at each.
func audited() (*Sweep, []float64) {
	const questions, n = 20, 240
	chance := rand.New(rand.NewPCG(1, 2))
	s, truth := &Sweep{Temperatures: []float64{0.2, 0.8}}, make([]float64, 2)
	for q := range questions {
		x := Question{Index: q, ID: string(rune('a' + q)), Cells: make([]stream.Counts, 2)}
		for t := range x.Cells {
			c := &x.Cells[t]
			c.N, c.Verdicts = n, map[stream.Verdict]int{}
			var tally stream.AuditTally
			var draw float64
			for i := range n {
				j := stream.Judgement{Verdict: stream.WrongAnswer}
				pass := i*3 < n*(1+q%3)
				if i%4 == 0 { // beyond the limit; three samples share a draw
					if i%12 == 0 {
						draw = chance.Float64()
					}
					j.Draw, j.Share = draw, 0.1
				}
				if pass {
					truth[t] += 1 / float64(n*questions)
					j.Verdict = stream.Passed
				}
				if j.Stopped() {
					j.Verdict = stream.TimeLimit
				}
				c.Verdicts[j.Verdict]++
				if j.Verdict == stream.Passed {
					c.Passed++
				}
				tally.Count(&j)
			}
			c.Audit = tally.Audit()
		}
		s.Questions = append(s.Questions, x)
	}
	return s, truth
}

// TestAuditedAnalysis: what can be corrected is, what cannot is absent, and nothing is compared.
func TestAuditedAnalysis(t *testing.T) {
	t.Parallel()
	s, truth := audited()
	a, err := Analyse(s, Options{Rounds: 50})
	if err != nil {
		t.Fatal(err)
	}
	if a.Union != nil || a.Flips != nil || a.Beyond != nil || len(a.Mixing) > 0 || len(a.Audited) != 2 {
		t.Errorf("an audited analysis has union %v, flips %v, models %v, mixing %v, audits %v", a.Union, a.Flips, a.Beyond, a.Mixing, a.Audited)
	}
	if !slices.ContainsFunc(a.Notes, func(n Note) bool { return n.Code == NoteAudited && strings.Contains(n.Text, "share of 0.1") }) {
		t.Errorf("the notes %v do not say it", a.Notes)
	}
	for i, x := range a.Audited {
		p := a.Temperatures[i].Points[0]
		if math.Abs(x.Corrected-p.Value) > 1e-12 || math.Abs(*a.Temperatures[i].AvgAtN-x.Corrected) > 1e-12 {
			t.Errorf("pass@1 is %v, corrected %v", p.Value, x.Corrected)
		}
		if math.Abs(x.Corrected-truth[i]) > 4*x.StandardError || x.Uncorrected > truth[i]-0.05 || x.StandardError <= 0 {
			t.Errorf("corrected %v with the standard error %v, uncorrected %v, the truth is %v", x.Corrected, x.StandardError, x.Uncorrected, truth[i])
		}
		if got := x.Uncorrected + x.FalseStops/float64(20*240); math.Abs(got-x.Corrected) > 1e-9 {
			t.Errorf("%v false stops make %v of %v, want %v", x.FalseStops, got, x.Uncorrected, x.Corrected)
		}
		if half := p.Sampling.Width() / 2; half < 1.96*x.StandardError {
			t.Errorf("half the interval is %v, less than what the audit adds: %v", half, 1.96*x.StandardError)
		}
		for _, p := range a.Temperatures[i].Points {
			if p.K > 24 {
				t.Errorf("pass@%d of 240 samples is told at a share of 0.1", p.K)
			}
		}
	}
	if _, err := json.Marshal(a); err != nil {
		t.Error(err)
	}
	if _, err := Rows(s, 0); err != nil {
		t.Error(err)
	}
	plain, _ := audited()
	for i := range plain.Questions {
		for j := range plain.Questions[i].Cells {
			plain.Questions[i].Cells[j].Audit = nil
		}
	}
	if _, err := Compare(plain, s, Options{}); !errors.Is(err, ErrAudited) {
		t.Errorf("a comparison with it: %v", err)
	}
}

// TestHiddenFalseStops: where no program passed in the audit, the interval leaves room for those that
// it missed.
func TestHiddenFalseStops(t *testing.T) {
	t.Parallel()
	s := &Sweep{Temperatures: []float64{0.2}}
	for q := range 5 {
		c := stream.Counts{N: 1000, Passed: 500, Verdicts: map[stream.Verdict]int{stream.Passed: 500, stream.TimeLimit: 500}}
		c.Audit = &stream.Audit{Share: 0.1, Stopped: 450, Audited: 50, Draws: map[int]int{1: 50}}
		s.Questions = append(s.Questions, Question{Index: q, ID: string(rune('a' + q)), Cells: []stream.Counts{c}})
	}
	with, err := Analyse(s, Options{Rounds: 50})
	if err != nil {
		t.Fatal(err)
	}
	for i := range s.Questions {
		s.Questions[i].Cells[0].Audit = nil
	}
	without, err := Analyse(s, Options{Rounds: 50})
	if err != nil {
		t.Fatal(err)
	}
	a, b := with.Temperatures[0].Points[0], without.Temperatures[0].Points[0]
	// 36 programs may be missed of which none is seen, with a chance of a fortieth.
	if x := with.Audited[0]; x.FalseStops != 0 || x.Interval.Low != 0 || x.Interval.High < 30 || x.Interval.High > 40 {
		t.Errorf("false stops %v, %+v", x.FalseStops, x.Interval)
	}
	if a.Value != b.Value || a.Sampling.High <= b.Sampling.High || a.Sampling.Low != b.Sampling.Low {
		t.Errorf("the interval is %+v with what may be hidden, and %+v without", a.Sampling, b.Sampling)
	}
}
