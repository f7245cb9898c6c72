package evaluate

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest/patience"
	"github.com/lcbq/lcbq/worker/sandbox"
)

// judgeBeyond judges a program that is beyond the soft limit. A busy machine may not look before a program has ended, which
// is then judged like any other, whatever its draw, or before an endless one is beyond the whole limit: it is judged again.
func judgeBeyond(t *testing.T, g *Grader, q *Question, program string) stream.Judgement {
	t.Helper()
	for wait := patience.Begin(patience.Base); ; {
		j := judge1(t, g, q, code(program))
		if j.Share > 0 && !(j.Stopped() && j.CPU > limits.CPU.Seconds()) || wait.Over() {
			return j
		}
		g = newGrader(t, 1)
		g.forms = nil
	}
}

// TestAuditedLimit: of the programs beyond the soft limit those with a draw below the share run
// to their end, and the others are stopped; another evaluator of the run makes the same draws.
func TestAuditedLimit(t *testing.T) {
	t.Parallel()
	const share = 0.5
	soft := &store.SoftLimit{Least: 0.05}
	run := func(id string) *Question {
		a := &Audit{Run: id, Share: share}
		a.Set(soft)
		return one("audited").Audited(a)
	}
	g, other := newGrader(t, 2), newGrader(t, 1)
	// The draws are then of the texts: on a loaded machine a program of this limit may end before its form is made.
	g.forms, other.forms = nil, nil
	q := run("r1")
	if j := judge1(t, g, q, code("print(1)")); j.Verdict != stream.Passed || j.Beyond() || j.Share != 0 {
		t.Errorf("a quick program: %+v", j)
	}
	draw := func(id, text string) float64 {
		return (&Audit{Run: id}).drawOf(q.Digest, sha256.Sum256([]byte(text)))
	}
	kinds := map[string]string{
		"endless": "x = %d\nwhile True:\n    x += 1\n",
		"slow":    "import time\nx = %d\nwhile time.process_time() < .15:\n    pass\nprint(1)\n",
	}
	for kind, text := range kinds {
		for _, stops := range []bool{true, false} {
			i := 0
			for draw("r1", fmt.Sprintf(text, i)) >= share != stops {
				i++
			}
			program := fmt.Sprintf(text, i)
			j := judgeBeyond(t, g, q, program)
			want := stream.TimeLimit
			if kind == "slow" && !stops {
				want = stream.Passed
			}
			if j.Verdict != want || j.Stopped() != stops || j.Audited() == stops || j.Share != share || j.Draw != draw("r1", program) {
				t.Errorf("%s program %d: %+v, want verdict %s, stopped: %v, draw %v", kind, i, j, want, stops, draw("r1", program))
			}
			if kind == "endless" && (j.CPU > limits.CPU.Seconds()) == stops {
				t.Errorf("an endless program used %.2f s, stopped: %v", j.CPU, stops)
			}
			if kind == "endless" && stops {
				if again := judgeBeyond(t, other, run("r1"), program); again.Draw != j.Draw || !again.Stopped() {
					t.Errorf("another evaluator draws %+v, the first %+v", again, j)
				}
				if j := judge1(t, g, one("audited"), code(program)); j.Beyond() || j.Verdict != stream.TimeLimit || j.CPU < limits.CPU.Seconds() {
					t.Errorf("with a full limit: %+v, want a run of its own", j)
				}
				if draw("r2", program) == j.Draw {
					t.Error("two runs have the same draw")
				}
			}
		}
	}
}

// TestDrawOfAForm: programs of one normal form have one draw, which waits until the form is known,
// and what is beyond the limit is settled before.
func TestDrawOfAForm(t *testing.T) {
	t.Parallel()
	a := &Audit{Run: "r", Share: 0.5}
	a.Set(&store.SoftLimit{Least: 1, Tests: map[int]float64{2: 3}})
	q := one("forms").Audited(a)
	of := func(text string) *trial { return &trial{q: q, code: text} }
	first, second := of("pass"), of("pass # again")
	for _, tr := range []*trial{first, second} {
		soft := tr.softly()
		if soft(0, time.Hour) || tr.draw != 0 {
			t.Error("a draw is made before the form is known")
		}
		tr.form = cacheKey{question: q.key(), program: [sha256.Size]byte{7}}
		tr.formed.Store(true)
		for test, used := range map[int]time.Duration{0: time.Second, 2: 3 * time.Second, -1: time.Second} {
			if soft(test, used) || tr.draw != 0 {
				t.Errorf("test %d is stopped at %v", test, used)
			}
		}
		stop := soft(2, 3*time.Second+time.Millisecond)
		if tr.draw == 0 || stop != (tr.draw >= a.Share) {
			t.Errorf("beyond the limit: stop %v with the draw %v", stop, tr.draw)
		}
		if again := tr.softly(); again(0, 0) != stop {
			t.Error("another run of the program is another draw")
		}
	}
	if first.draw != second.draw {
		t.Errorf("two programs of one form have the draws %v and %v", first.draw, second.draw)
	}
	alone := of("pass")
	alone.formed.Store(true)
	alone.softly()(0, time.Hour)
	if alone.draw == first.draw || alone.draw != a.drawOf(q.Digest, sha256.Sum256([]byte("pass"))) {
		t.Errorf("a program without a form has the draw %v", alone.draw)
	}
}

// TestLimitLearnedMeanwhile: a limit that comes while a program runs holds for it, and one that comes between its
// two runs does not.
func TestLimitLearnedMeanwhile(t *testing.T) {
	t.Parallel()
	limit := &store.SoftLimit{Least: 1}
	for _, share := range []float64{1e-9, 1 - 1e-9} { // none runs on, all do
		a := &Audit{Run: "r", Share: share}
		tr := &trial{q: one("learned").Audited(a), code: "pass"}
		tr.formed.Store(true)
		soft := tr.softly()
		if soft(0, time.Hour) || tr.draw != 0 {
			t.Error("a draw is made before there is a limit")
		}
		a.Set(limit)
		if soft(0, time.Second) || tr.draw != 0 {
			t.Error("a draw is made of a program within the limit")
		}
		if stop := soft(0, 2*time.Second); stop != (share < 0.5) || tr.draw == 0 {
			t.Errorf("beyond the limit: stop %v with the draw %v of %v", stop, tr.draw, share)
		}
	}
	a := &Audit{Run: "r", Share: 1e-9}
	tr := &trial{q: one("learned").Audited(a), code: "pass"}
	tr.formed.Store(true)
	_ = tr.softly()(0, time.Hour)
	a.Set(limit)
	if tr.softly() != nil {
		t.Error("the second run of a program whose first ended without a limit has one")
	}
}

// TestSoftLimitIsLearned: from programs that passed, with a floor; once, by the first that has enough.
func TestSoftLimitIsLearned(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	passed := func(times map[int]time.Duration) sandbox.Result {
		return sandbox.Result{Outcome: sandbox.Accepted, Times: times}
	}
	var a Audit
	for i := range learnPassed {
		if a.Limit() != nil {
			t.Fatalf("there is a limit after %d programs", i)
		}
		a.learn(ctx, passed(map[int]time.Duration{0: 200 * time.Millisecond, 3: time.Duration(i) * 100 * time.Millisecond, -1: 500 * time.Millisecond}))
		a.learn(ctx, sandbox.Result{Outcome: sandbox.TimeLimit, Times: map[int]time.Duration{1: 5 * time.Second}})
	}
	l := a.Limit()
	if l == nil || l.Least != 1 || len(l.Tests) != 2 || math.Abs(l.Tests[3]-softFactor*0.1*(learnPassed-1)) > 1e-9 || math.Abs(l.Tests[-1]-1.5) > 1e-9 || l.Passed != learnPassed {
		t.Fatalf("limit %+v", l)
	}
	a.learn(ctx, passed(map[int]time.Duration{0: 9 * time.Second}))
	if a.Limit() != l || a.judged != 2*learnPassed-1 {
		t.Errorf("the limit changes after it was set: %+v", a.Limit())
	}
	// A question that nobody solves, whose limit cannot be kept at first, and then is another's.
	kept := &store.SoftLimit{Least: 2}
	var tried []*store.SoftLimit
	b := Audit{Keep: func(_ context.Context, l *store.SoftLimit) *store.SoftLimit {
		tried = append(tried, l)
		if len(tried) == 1 {
			return nil
		}
		return kept
	}}
	for range learnJudged + 1 {
		b.learn(ctx, sandbox.Result{Outcome: sandbox.TimeLimit})
	}
	if b.Limit() != kept || len(tried) != 2 || tried[0].Least != 1 || tried[0].Tests != nil || tried[0].Judged != learnJudged {
		t.Errorf("limit %+v after the tries %+v", b.Limit(), tried)
	}
}

// TestFewSamplesLearnFrom: a question with few samples has a soft limit soon, one with many from as many programs
// as ever.
func TestFewSamplesLearnFrom(t *testing.T) {
	t.Parallel()
	for samples, want := range map[int]struct{ judged, passed int }{0: {20, 10}, 1: {6, 3}, 60: {6, 3}, 82: {8, 4}, 160: {16, 8}, 200: {20, 10}, 160_000: {20, 10}} {
		for _, c := range []struct {
			outcome sandbox.Outcome
			after   int
		}{{sandbox.Rejected, want.judged}, {sandbox.Accepted, want.passed}} {
			a := Audit{Samples: samples}
			n := 0
			for ; a.Limit() == nil && n < 100; n++ {
				a.learn(t.Context(), sandbox.Result{Outcome: c.outcome})
			}
			if n != c.after {
				t.Errorf("of %d samples: a limit after %d programs of outcome %v, want %d", samples, n, c.outcome, c.after)
			}
		}
	}
	m := &store.Manifest{Temperatures: []stream.Temperature{200, 700}, Questions: []store.Question{{Index: 3, Cuts: []int{40}}}}
	if n := samplesOf(m, 3); n != 80 {
		t.Errorf("40 samples at two temperatures are %d", n)
	}
}

// TestOnlyOneKeepsALimit: of programs that end at once one keeps the limit.
func TestOnlyOneKeepsALimit(t *testing.T) {
	t.Parallel()
	calls := 0
	a := Audit{Keep: func(_ context.Context, l *store.SoftLimit) *store.SoftLimit {
		calls++ // the race detector tells of two at once
		return l
	}}
	var all sync.WaitGroup
	for range 4 * learnJudged {
		all.Go(func() { a.learn(t.Context(), sandbox.Result{Outcome: sandbox.Rejected}) })
	}
	all.Wait()
	if calls != 1 || a.Limit() == nil {
		t.Errorf("%d kept %+v", calls, a.Limit())
	}
}

// TestCorrectedRatesAreUnbiased simulates runs of one question on several evaluators: programs
// of which many are alike, some slow and of those some passing, a limit that is learned by whoever has enough
// first and that the others see later, and verdicts that are remembered. Learning, limits, draws and
// counts are those of a run. Over many runs the mean of the corrected rate is the true rate.
func TestCorrectedRatesAreUnbiased(t *testing.T) {
	t.Parallel()
	type program struct {
		text   [sha256.Size]byte
		passes bool
		needs  float64 // seconds
	}
	const runs, samples, distinct, evaluators, share = 600, 600, 200, 3, 0.1
	chance := rand.New(rand.NewPCG(8, 13))
	pool := make([]program, distinct)
	for i := range pool {
		p := program{text: sha256.Sum256(fmt.Append(nil, i)), passes: i%3 == 0, needs: 0.01}
		if i%5 == 0 {
			p.needs = 1 + 3*chance.Float64()
		}
		pool[i] = p
	}
	drawn := make([]int, samples)
	truth := 0.0
	for i := range drawn { // copies are many of a few programs
		drawn[i] = min(chance.IntN(distinct), chance.IntN(distinct))
		if pool[drawn[i]].passes {
			truth += 100.0 / samples
		}
	}
	var sum, squares, claimed, naive, stopped float64
	for run := range runs {
		var shared *store.SoftLimit
		hosts := make([]*Audit, evaluators)
		caches := make([]map[int]stream.Judgement, evaluators)
		for i := range hosts {
			caches[i] = make(map[int]stream.Judgement)
			hosts[i] = &Audit{Run: fmt.Sprint("r", run), Share: share, Keep: func(_ context.Context, l *store.SoftLimit) *store.SoftLimit {
				if shared == nil {
					shared = l
				}
				return shared
			}}
		}
		var c stream.Counts
		var audit stream.AuditTally
		for at, i := range drawn {
			p, h := pool[i], (at*7+run)%evaluators
			if at%50 == 0 && shared != nil { // a unit begins: the host reads what the others kept
				hosts[h].Set(shared)
			}
			j, known := caches[h][i]
			if !known {
				trial := &trial{q: (&Question{Digest: "q"}).Audited(hosts[h]), form: cacheKey{question: "q", program: p.text}}
				trial.formed.Store(true)
				stop := false
				if soft := trial.softly(); soft != nil {
					stop = soft(0, time.Duration(p.needs*float64(time.Second)))
				}
				j = stream.Judgement{Verdict: stream.WrongAnswer}
				switch {
				case stop:
					j.Verdict = stream.TimeLimit
				case p.passes:
					j.Verdict = stream.Passed
				}
				if trial.draw > 0 {
					j.Draw, j.Share = trial.draw, share
				}
				if trial.limit == nil {
					r := sandbox.Result{Outcome: sandbox.Rejected}
					if p.passes {
						r = sandbox.Result{Outcome: sandbox.Accepted, Times: map[int]time.Duration{1: time.Second / 10}}
					}
					hosts[h].learn(t.Context(), r)
				}
				caches[h][i] = j
			}
			c.Count(&stream.Sample{}, &j)
			audit.Count(&j)
		}
		c.Audit = audit.Audit()
		rate := c.Rate()
		sum, squares = sum+rate, squares+rate*rate
		naive += stream.PassRate(c.Passed, c.N)
		if a := c.Audit; a != nil {
			stopped += float64(a.Stopped)
			for size, n := range a.PassedDraws {
				claimed += float64(n) * (1 - share) * math.Pow(100*float64(size)/(share*samples), 2)
			}
		}
	}
	mean := sum / runs
	deviation := math.Sqrt(squares/runs - mean*mean)
	t.Logf("true rate %.3f %%, corrected %.3f +- %.3f, uncorrected %.3f, %.0f of %d samples stopped; deviation of a run %.2f, claimed %.2f", truth, mean, deviation/math.Sqrt(runs), naive/runs, stopped/runs, samples, deviation, math.Sqrt(claimed/runs))
	if off := math.Abs(mean-truth) / (deviation / math.Sqrt(runs)); off > 4 {
		t.Errorf("the mean of %d runs is %.3f %%, %.1f standard errors from the true %.3f", runs, mean, off, truth)
	}
	if stopped == 0 || math.Abs(naive/runs-truth) < 1 {
		t.Errorf("uncorrected %.3f %% with %.0f stopped: nothing to correct", naive/runs, stopped/runs)
	}
	if got := math.Sqrt(claimed / runs); math.Abs(got/deviation-1) > 0.1 {
		t.Errorf("the deviation of a run is %.3f points, the audit claims %.3f", deviation, got)
	}
}
