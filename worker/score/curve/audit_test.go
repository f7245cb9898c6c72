package curve

import (
	"encoding/json"
	"flag"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/stream"
)

// simulations is the flag of the tests of package score.
var simulations = flag.Int("simulations", 60, "simulated runs for each coverage")

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
}

// beyond is what a program of auditWorld does.
type beyond struct {
	reach   float64 // share of the programs that run beyond the soft limit
	passing float64 // of those, the ones that pass
	within  float64 // share of the others that pass
}

// auditWorld draws two sweeps of the same questions at temperatures at which the same programs come,
// so that a program has one draw for all of them: A is audited, and B is audited too or has a full
// limit. Their true rates are equal. It returns what a full limit gives A as well.
func auditWorld(r *rand.Rand, w beyond, temperatures []float64, bothAudited bool) (a, b, full *Sweep) {
	const questions, n, texts, share = 30, 60, 20, 0.2
	sweep := func(audited bool) (seen, whole *Sweep) {
		seen, whole = &Sweep{Temperatures: temperatures}, &Sweep{Temperatures: temperatures}
		for q := range questions {
			type program struct {
				beyond, passes bool
				draw           float64
			}
			hard := 0.4 + 0.6*float64(q%3)/2
			all := make([]program, texts)
			for i := range all {
				p := program{beyond: r.Float64() < w.reach, draw: r.Float64()}
				p.passes = r.Float64() < hard*w.within
				if p.beyond {
					p.passes = r.Float64() < hard*w.passing
				}
				all[i] = p
			}
			name := string(rune('A' + q))
			x, y := Question{Index: q, ID: name}, Question{Index: q, ID: name}
			for range temperatures {
				c, f := stream.Counts{N: n, Verdicts: map[stream.Verdict]int{}}, stream.Counts{N: n}
				var tally stream.AuditTally
				for i := range n {
					p := all[i%texts]
					j := stream.Judgement{Verdict: stream.WrongAnswer}
					if p.passes {
						j.Verdict = stream.Passed
						f.Passed++
					}
					if p.beyond && audited {
						j.Draw, j.Share = p.draw, share
						if j.Stopped() {
							j.Verdict = stream.TimeLimit
						}
					}
					if j.Verdict == stream.Passed {
						c.Passed++
					}
					c.Verdicts[j.Verdict]++
					tally.Count(&j)
				}
				c.Audit = tally.Audit()
				x.Cells, y.Cells = append(x.Cells, c), append(y.Cells, f)
			}
			seen.Questions, whole.Questions = append(seen.Questions, x), append(whole.Questions, y)
		}
		return seen, whole
	}
	a, full = sweep(true)
	b, whole := sweep(bothAudited)
	if !bothAudited {
		b = whole
	}
	return a, b, full
}

// TestRefereeAuditedComparison: a sweep against what a full limit gives the same samples differs by the
// draws alone, and the intervals hold that there is no difference, at one temperature and over
// several that share their programs. Without the correction, and with the draws of several
// temperatures taken for independent, they would not.
func TestRefereeAuditedComparison(t *testing.T) {
	t.Parallel()
	rounds := max(15, *simulations*3/10)
	r := rand.New(rand.NewPCG(41, 1))
	temperatures := []float64{0.2, 0.4, 0.6, 0.8}
	for name, w := range map[string]beyond{
		"many pass":                 {0.3, 0.8, 0.5},
		"few pass beyond":           {0.3, 0.05, 0.5},
		"one in a thousand, unseen": {0.3, 0.002, 0.5},
		"all that pass come late":   {0.5, 0.9, 0},
	} {
		one, all, bare := 0, 0, 0
		for range rounds {
			a, _, full := auditWorld(r, w, temperatures, false)
			c, err := Compare(a, full, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if len(c.Questions) > 0 {
				t.Fatal("questions that changed are listed without counts")
			}
			if hold(c.Temperatures[0].Points[0].These) {
				one++
			}
			if hold(c.Overall[0].These) {
				all++
			}
			for i := range a.Questions {
				for j := range a.Questions[i].Cells {
					a.Questions[i].Cells[j].Audit = nil
				}
			}
			if c, err = Compare(a, full, Options{}); err != nil {
				t.Fatal(err)
			}
			if hold(c.Overall[0].These) {
				bare++
			}
		}
		t.Logf("%s: at one temperature %d of %d, over all %d, uncorrected %d", name, one, rounds, all, bare)
		if least := int((0.94 - 3.5*math.Sqrt(0.05*0.95/float64(rounds))) * float64(rounds)); one < least || all < least {
			t.Errorf("%s: intervals hold the truth in %d and %d of %d", name, one, all, rounds)
		}
		if w.passing > 0.5 && bare > rounds/2 {
			t.Errorf("%s: without correction they hold it in %d of %d: the test is blind", name, bare, rounds)
		}
	}
}

// hold reports whether an interval holds that there is no difference, and wants P to say the same.
func hold(d *Deviation) bool { return d.Interval.Contains(0) && d.P > 0.05 }

// TestRefereeAuditedEquals compares two audited sweeps of other samples at the same true rates.
func TestRefereeAuditedEquals(t *testing.T) {
	t.Parallel()
	rounds := max(30, *simulations*3/10)
	r := rand.New(rand.NewPCG(42, 1))
	rejected, like, wide := 0, 0, 0.0
	for range rounds {
		a, b, _ := auditWorld(r, beyond{0.3, 0.8, 0.5}, []float64{0.2, 0.8}, true)
		c, err := Compare(a, b, Options{})
		if err != nil {
			t.Fatal(err)
		}
		o := c.Overall[0]
		if o.These.P <= 0.05 {
			rejected++
		}
		if o.Like.P <= 0.05 {
			like++
		}
		wide += o.These.Interval.Width() / float64(rounds)
		if !slices.ContainsFunc(c.Notes, func(n Note) bool { return n.Code == NoteAudited }) {
			t.Fatal("no note says that the results are audited")
		}
	}
	t.Logf("equals differ in %d and %d of %d, intervals are %.3f wide", rejected, like, rounds, wide)
	if most := 0.06 + 3.5*math.Sqrt(0.05*0.95/float64(rounds)); float64(like) > most*float64(rounds) || float64(rejected) > most*float64(rounds) {
		t.Errorf("equals differ on these questions in %d, on questions like these in %d of %d", rejected, like, rounds)
	}
}

// TestAuditedLeague: three results of which one is audited have the places of what a full limit gives.
func TestAuditedLeague(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(43, 1))
	a, _, full := auditWorld(r, beyond{0.3, 0.8, 0.5}, []float64{0.2, 0.8}, true)
	worse, _, _ := auditWorld(r, beyond{0.3, 0, 0.1}, []float64{0.2, 0.8}, true)
	l, err := Rank([]*Sweep{a, full, worse}, Options{Rounds: 200})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range l.Tables[0].Places {
		if lead := p.Sweep != 2; p.MayLead != lead || lead && p.First != 1 || !lead && p.First != 3 {
			t.Errorf("result %d may lead: %v, places %d to %d", p.Sweep, p.MayLead, p.First, p.Last)
		}
	}
	for _, k := range l.Tables {
		if k.K > 12 { // a share of 0.2 of 60 samples
			t.Errorf("a table at k = %d", k.K)
		}
	}
	if !slices.ContainsFunc(l.Notes, func(n Note) bool { return n.Code == NoteAudited }) {
		t.Errorf("the notes %v do not say it", l.Notes)
	}
}

// TestHiddenBehind: a temperature that may be higher than is seen is not excluded for its lag.
func TestHiddenBehind(t *testing.T) {
	t.Parallel()
	make2 := func(audit *stream.Audit) *Sweep {
		s := &Sweep{Temperatures: []float64{0.2, 0.8}}
		for q := range 12 {
			low := stream.Counts{N: 1000, Passed: 500, Verdicts: map[stream.Verdict]int{stream.Passed: 500, stream.TimeLimit: 500}, Audit: audit}
			high := stream.Counts{N: 1000, Passed: 525, Verdicts: map[stream.Verdict]int{stream.Passed: 525}}
			s.Questions = append(s.Questions, Question{Index: q, ID: string(rune('a' + q)), Cells: []stream.Counts{low, high}})
		}
		return s
	}
	for hides, audit := range map[bool]*stream.Audit{false: nil, true: {Share: 0.02, Stopped: 490, Audited: 10, Draws: map[int]int{10: 1}}} {
		a, err := Analyse(make2(audit), Options{Rounds: 500})
		if err != nil {
			t.Fatal(err)
		}
		if in := slices.Contains(a.Best[0].These, 0.2); in != hides {
			t.Errorf("hidden passes %v: 0.2 may be the best: %v", hides, in)
		}
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
