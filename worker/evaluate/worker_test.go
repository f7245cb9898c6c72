package evaluate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest"
	"github.com/lcbq/lcbq/worker"
	"github.com/lcbq/lcbq/worker/engine"
	"github.com/lcbq/lcbq/worker/engine/sim"
	"github.com/lcbq/lcbq/worker/lcb"
	"github.com/lcbq/lcbq/worker/lcb/sample"
	"github.com/lcbq/lcbq/worker/sandbox"
)

// A bench is a server with a run of two built-in problems, whose units the tests
// publish as if they had been generated.
type bench struct {
	*streamtest.Env
	m      *store.Manifest
	issuer *stream.Issuer
}

func newBench(tb testing.TB) *bench {
	tb.Helper()
	b := &bench{Env: streamtest.New(tb)}
	problems := sample.Problems()
	b.m = &store.Manifest{
		ID: "r1", UnitSize: 10, Temperatures: []stream.Temperature{700}, Problems: store.ProblemSet{Digest: lcb.Digest(problems)},
		Model: store.Model{Engine: "sim", Name: "simulated", Extract: "lcb"}, Judge: store.Judge{Mode: "lcb"},
	}
	for i, p := range problems {
		if p.ID != fog && p.ID != labels {
			continue
		}
		b.m.Questions = append(b.m.Questions, store.Question{Index: i, ID: p.ID, Cuts: []int{20}})
		if err := b.Store.PutProblem(tb.Context(), b.m.Problems.Digest, i, p.Row()); err != nil {
			tb.Fatal(err)
		}
	}
	if err := b.Store.GiveReceipts(tb.Context(), b.m); err != nil {
		tb.Fatal(err)
	}
	if _, err := b.Store.PutRun(tb.Context(), b.m, 0); err != nil {
		tb.Fatal(err)
	}
	var err error
	if b.issuer, err = b.Store.Issuer(tb.Context(), b.m); err != nil {
		tb.Fatal(err)
	}
	b.Serve(tb, "r1")
	return b
}

func (b *bench) worker(g *Grader) *Worker {
	return &Worker{
		Queue: b.Queue, Store: b.Store, Runs: &worker.Runs{Store: b.Store}, Grader: g, Slots: 2, Grace: time.Minute,
		Pulse: worker.NewPulse(stream.Evaluate, "eval0", 2), Log: slog.New(slog.DiscardHandler),
	}
}

// publish has a unit wait to be judged, with its receipt.
func (b *bench) publish(tb testing.TB, u stream.Unit, body any) {
	tb.Helper()
	if batch, ok := body.(stream.Batch); ok {
		batch.Receipt = b.issuer.Receipt(u)
		body = batch
	}
	if _, err := b.Queue.Publish(tb.Context(), stream.Evaluate, u, body); err != nil {
		tb.Fatal(err)
	}
}

// drain runs w until EVALUATE is empty.
func (b *bench) drain(t *testing.T, w *Worker) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ran := make(chan error, 1)
	go func() { ran <- w.Run(ctx) }()
	b.WaitEmpty(t, stream.Evaluate)
	cancel()
	if err := <-ran; err != nil {
		t.Errorf("Run = %v, want nil after cancellation", err)
	}
}

func (b *bench) dead(t *testing.T) []stream.Dead {
	t.Helper()
	d, err := b.Queue.DeadUnits(t.Context(), "r1")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// batchOf returns a unit of n equal samples.
func batchOf(task stream.Task, n int, program string) stream.Batch {
	b := stream.Batch{Unit: task.Unit, Generator: "gpu0"}
	for i := range n {
		b.Samples = append(b.Samples, stream.Sample{Index: task.First + i, Code: program, FinishReason: "stop"})
	}
	return b
}

// TestBatchesAreScored judges what the simulated model says, whose verdicts are
// known, and looks at every sample.
func TestBatchesAreScored(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	model, err := sim.New(sim.Config{})
	if err != nil {
		t.Fatal(err)
	}
	batches := make(map[stream.Unit]stream.Batch)
	distinct := make(map[string]bool)
	for _, q := range b.m.Questions {
		for _, task := range b.m.Tasks(q, 700) {
			said, err := model.Generate(t.Context(), engine.Request{QuestionID: q.ID, First: task.First, N: task.N, Sampling: engine.Sampling{Temperature: 0.7}})
			if err != nil {
				t.Fatal(err)
			}
			batch := batchOf(task, task.N, "")
			for i, c := range said {
				s := &batch.Samples[i]
				s.Completion, s.Tokens, s.FinishReason = c.Text, c.Tokens, c.FinishReason
				if s.Code, err = lcb.Extract(c.Text, lcb.ExtractLCB); err != nil {
					t.Fatal(err)
				}
				distinct[q.ID+s.Code] = true
			}
			delete(distinct, q.ID)
			batches[task.Unit] = batch
			b.publish(t, task.Unit, batch)
		}
	}
	g := newGrader(t, 2)
	w := b.worker(g)
	before := time.Now().UnixMilli()
	b.drain(t, w)
	passed, known := 0, 0
	for u, batch := range batches {
		var s stream.Scored
		if err := b.Queue.Get(t.Context(), stream.Combine, u, &s); err != nil {
			t.Fatal(err)
		}
		if s.Unit != u || s.Generator != "gpu0" || s.Evaluator != w.Pulse.Name() || s.Fingerprint != g.Host().Environment().Digest() || len(s.Judgements) != len(batch.Samples) ||
			s.JudgeStarted < before || s.JudgeEnded < s.JudgeStarted || s.JudgeAttempts != 1 {
			t.Fatalf("scored unit = %+v", s.Unit)
		}
		q := question(t, b.questionID(u.Question))
		for i, j := range s.Judgements {
			want := judge1(t, g, q, batch.Samples[i])
			if s.Samples[i] != batch.Samples[i] || j.Verdict != want.Verdict || text(j.Test) != text(want.Test) || j.Detail != want.Detail {
				t.Errorf("sample %d of %s: %v %q, want %v %q", i, q.ID, j.Verdict, j.Detail, want.Verdict, want.Detail)
			}
			if j.Verdict == stream.Passed {
				passed++
			}
			if j.Cached {
				known++
			}
		}
	}
	if passed == 0 || passed == 40 {
		t.Errorf("%d of 40 passed; the model is right sometimes", passed)
	}
	if ran, _ := g.Counts(); int(ran) != len(distinct) {
		t.Errorf("%d programs were run, want the %d distinct ones", ran, len(distinct))
	}
	if w.Pulse.Samples.Load() != 40 || w.Pulse.Units() != 4 || known == 0 || int(w.Pulse.Cached.Load()) != known {
		t.Errorf("pulse counts %d samples, %d units, %d cached; %d say that they are", w.Pulse.Samples.Load(), w.Pulse.Units(), w.Pulse.Cached.Load(), known)
	}
	if err := w.Pulse.Announce(t.Context(), b.Store); err != nil {
		t.Fatal(err)
	}
	beats, err := b.Store.Workers(t.Context())
	if err != nil || len(beats) != 1 || len(beats[0].Lately) != 2 || beats[0].Lately[0].Samples != 40 || beats[0].Lately[0].CPU <= 0 || beats[0].Lately[0].Starved <= 0 {
		t.Errorf("its heartbeat = %+v, %v, want 40 samples of the last minutes, and that it waited for units at the end", beats, err)
	}
	m, _, err := b.Store.Run(t.Context(), "r1")
	if err != nil || m.Judge.Fingerprint != g.Host().Environment().Digest() {
		t.Errorf("the run's fingerprint = %q, %v, want the grader's", m.Judge.Fingerprint, err)
	}
	environment, err := json.Marshal(g.Host().Environment())
	if err != nil || string(m.Provenance.Environment) != string(environment) || m.Provenance.SandboxLevel != g.Host().Level().String() {
		t.Errorf("provenance says %s at level %q, want %s (%v)", m.Provenance.Environment, m.Provenance.SandboxLevel, environment, err)
	}
}

func (b *bench) questionID(index int) string {
	q, _ := b.m.Question(index)
	return q.ID
}

// TestUnitsWait wants a worker to take no unit while its gate has no room for one.
func TestUnitsWait(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	task := b.m.Tasks(b.m.Questions[0], 700)[0]
	b.publish(t, task.Unit, batchOf(task, task.N, ""))
	w := b.worker(newGrader(t, 2))
	w.Units = worker.NewGate(1)
	w.Units.Enter(t.Context())
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := w.Run(ctx); err != nil {
		t.Errorf("Run = %v, want nil after its time", err)
	}
	if there, err := b.Queue.Has(t.Context(), stream.Combine, task.Unit); there || err != nil {
		t.Errorf("unit is judged: %t, %v, want it to wait", there, err)
	}
	w.Units.Leave()
	b.drain(t, w)
	if there, err := b.Queue.Has(t.Context(), stream.Combine, task.Unit); !there || err != nil {
		t.Errorf("unit is judged: %t, %v, want it to be", there, err)
	}
}

// TestUnitsThatNeedNoJudging: judged already, their cell done, or poison.
func TestUnitsThatNeedNoJudging(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	g := newGrader(t, 1)
	one, two := b.m.Tasks(b.m.Questions[0], 700), b.m.Tasks(b.m.Questions[1], 700)
	if _, err := b.Queue.Publish(t.Context(), stream.Combine, one[0].Unit, stream.Scored{Batch: stream.Batch{Receipt: b.issuer.Receipt(one[0].Unit)}, Evaluator: "former"}); err != nil {
		t.Fatal(err)
	}
	b.publish(t, one[0].Unit, batchOf(one[0], 10, solution))
	if err := b.Store.PutCell(t.Context(), two[0].Cell, store.CellState{Counts: stream.Counts{N: 10}}, 0); err != nil { // raised since
		t.Fatal(err)
	}
	b.publish(t, two[0].Unit, batchOf(two[0], 10, solution))
	b.publish(t, one[1].Unit, batchOf(one[1], 9, solution))
	b.publish(t, two[1].Unit, batchOf(two[0], 10, solution))
	beyond := stream.Unit{Cell: one[0].Cell, Index: 2}
	b.publish(t, beyond, "hello")
	b.drain(t, b.worker(g))
	if ran, _ := g.Counts(); ran != 0 {
		t.Errorf("%d programs were run, want none", ran)
	}
	reasons := make(map[string]string)
	for _, d := range b.dead(t) {
		reasons[d.Subject] = d.Error
	}
	for u, want := range map[stream.Unit]string{one[1].Unit: "batch holds 9 samples", two[1].Unit: "batch holds 10 samples of unit 0", beyond: "has no unit 2"} {
		if r := reasons[u.Subject(stream.Evaluate)]; !strings.Contains(r, want) || len(reasons) != 3 {
			t.Errorf("reason of %s = %q, want %q; dead units %v", u.Subject(stream.Evaluate), r, want, reasons)
		}
	}
	var s stream.Scored
	if err := b.Queue.Get(t.Context(), stream.Combine, one[0].Unit, &s); err != nil || s.Evaluator != "former" {
		t.Errorf("the former output = %+v, %v", s, err)
	}
	if has, err := b.Queue.Has(t.Context(), stream.Combine, two[0].Unit); has || err != nil {
		t.Errorf("a unit of a cell that is done is in COMBINE: %v, %v", has, err)
	}
}

// TestAnotherEnvironment: an evaluator whose environment is not the run's stops
// and leaves the unit to others.
func TestAnotherEnvironment(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	task := b.m.Tasks(b.m.Questions[0], 700)[0]
	b.publish(t, task.Unit, batchOf(task, 10, solution))
	if _, err := b.Store.UpdateRun(t.Context(), "r1", func(m *store.Manifest) bool { m.Judge.Fingerprint = "another"; return true }); err != nil {
		t.Fatal(err)
	}
	g := newGrader(t, 1)
	ended := make(chan error, 1)
	go func() { ended <- b.worker(g).Run(t.Context()) }()
	if err := streamtest.Receive(t, "the evaluator to end", ended); !errors.Is(err, worker.ErrUnfit) || !strings.Contains(err.Error(), "lcbq doctor") {
		t.Errorf("Run = %v, want ErrUnfit and a remedy", err)
	}
	lag, err := b.Queue.Lag(t.Context(), stream.Evaluate)
	if err != nil || lag.Stored != 1 || len(b.dead(t)) != 0 {
		t.Errorf("EVALUATE holds %d units, %v, %d dead; want the one waiting", lag.Stored, err, len(b.dead(t)))
	}
	if ran, _ := g.Counts(); ran != 0 {
		t.Errorf("%d programs were run, want none", ran)
	}
	m, _, err := b.Store.Run(t.Context(), "r1")
	if err != nil || m.Judge.Fingerprint != "another" {
		t.Errorf("the run's fingerprint = %q, %v, want it left alone", m.Judge.Fingerprint, err)
	}
}

// TestProblemsThatCannotBeJudged are given up at once, not tried for minutes.
func TestProblemsThatCannotBeJudged(t *testing.T) {
	t.Parallel()
	bad := strings.Replace(string(problem(t, fog).Row()), `"public_test_cases"`, `"public_test_cases": "[", "other"`, 1)
	for name, row := range map[string]string{"missing": "", "no row": "hello", "tests that do not decode": bad} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			if _, err := b.Store.UpdateRun(t.Context(), "r1", func(m *store.Manifest) bool { m.Problems.Digest = "other"; return true }); err != nil {
				t.Fatal(err)
			}
			task := b.m.Tasks(b.m.Questions[0], 700)[0]
			if row != "" {
				if err := b.Store.PutProblem(t.Context(), "other", task.Question, []byte(row)); err != nil {
					t.Fatal(err)
				}
			}
			b.publish(t, task.Unit, batchOf(task, 10, solution))
			b.drain(t, b.worker(newGrader(t, 1)))
			if d := b.dead(t); len(d) != 1 || d[0].Deliveries != 1 {
				t.Errorf("dead units = %+v, want the one at its first delivery", d)
			}
		})
	}
}

// TestQuestionsAreForgotten: the one not used for longest goes first.
func TestQuestionsAreForgotten(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	problems := sample.Problems()[6:]
	for i, p := range problems {
		if err := env.Store.PutProblem(t.Context(), "d", i, p.Row()); err != nil {
			t.Fatal(err)
		}
	}
	var c questions
	get := func(i int) *Question {
		t.Helper()
		q, err := c.get(t.Context(), env.Store, "d", i)
		if err != nil || q.ID != problems[i].ID {
			t.Fatalf("get %d = %v, %v", i, q, err)
		}
		return q
	}
	zero, one := get(0), get(1)
	get(2)
	get(3)
	if get(0) != zero {
		t.Error("question 0 was decoded twice")
	}
	get(4) // one goes
	if get(0) != zero || get(1) == one || len(c.ready) != keepQuestions {
		t.Errorf("question 0 kept %v, 1 forgotten %v, %d ready", get(0) == zero, get(1) != one, len(c.ready))
	}
}

// TestFaultOfOneSample wants a program that the sandbox fails with every time to cost
// itself: the unit's other samples are judged, each once, and nothing is dead.
func TestFaultOfOneSample(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	g := newGrader(t, 2)
	const bad = "print(666)"
	tries := 0
	g.fault = func(code string) error {
		if code != bad {
			return nil
		}
		tries++ // one sample, so one at a time
		return sandbox.ErrOverloaded
	}
	task := b.m.Tasks(b.m.Questions[0], 700)[0]
	batch := batchOf(task, task.N, "")
	for i := range batch.Samples {
		batch.Samples[i].Code = fmt.Sprintf("print(%d)", i)
	}
	batch.Samples[3].Code = bad
	b.publish(t, task.Unit, batch)
	b.drain(t, b.worker(g))
	var s stream.Scored
	if err := b.Queue.Get(t.Context(), stream.Combine, task.Unit, &s); err != nil {
		t.Fatal(err)
	}
	for i, j := range s.Judgements {
		want := stream.WrongAnswer
		if i == 3 {
			want = stream.JudgeFault
		}
		if j.Verdict != want {
			t.Errorf("sample %d: %v, want %v", i, j.Verdict, want)
		}
	}
	if d := s.Judgements[3].Detail; !strings.Contains(d, "machine overloaded") || s.Judgements[3].ErrorCode != nil {
		t.Errorf("the sample given up says %q, code %s", d, text(s.Judgements[3].ErrorCode))
	}
	// The other samples once, and the program that shows that the host is well.
	if ran, _ := g.Counts(); tries != faultTries || ran != int64(task.N-1+faultTries) || len(b.dead(t)) != 0 {
		t.Errorf("%d tries, %d programs run, %d dead units", tries, ran, len(b.dead(t)))
	}
}

// TestFaultOfTheHost wants a host on which nothing can be judged to give no sample up.
func TestFaultOfTheHost(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	g := newGrader(t, 1)
	g.fault = func(string) error { return sandbox.ErrOverloaded }
	w := b.worker(g)
	q := question(t, fog)
	s := stream.Scored{Batch: stream.Batch{Samples: []stream.Sample{code("print(1)"), code("print(2)")}}, Judgements: make([]stream.Judgement, 2)}
	err := w.judgeAll(t.Context(), q, &s, faultTries)
	if !errors.Is(err, ErrFault) || !strings.Contains(err.Error(), "can be judged here either") {
		t.Errorf("judgeAll on a broken host = %v", err)
	}
}
