package evaluate

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker"
	"github.com/lcbq/lcbq/worker/pythontest"
	"github.com/lcbq/lcbq/worker/sandbox"
)

// wrong is a program that answers no question of the bench.
const wrong = "print('no')"

// lending is a bench with a lender that was started, and the bans that it spoke.
type lending struct {
	*bench
	lender *Lender
	tasks  []stream.Task

	mu   sync.Mutex
	bans []store.Ban
}

// lend publishes the units of the run, of wrong programs, and starts a lender beside no other evaluator.
func lend(t *testing.T) *lending {
	t.Helper()
	b := &lending{bench: newBench(t)}
	b.lender = &Lender{Worker: b.worker(newGrader(t, 1)), Quiet: 200 * time.Millisecond, Waits: time.Minute}
	b.lender.Ban = func(_ context.Context, ban store.Ban) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.bans = append(b.bans, ban)
		return nil
	}
	for _, q := range b.m.Questions {
		if q.ID == fog { // the other one wants no program that reads and prints
			b.tasks = append(b.tasks, b.m.Tasks(q, 700)...)
		}
	}
	for _, task := range b.tasks {
		b.publish(t, task.Unit, batchOf(task, task.N, wrong))
	}
	return b
}

// start runs the lender; stop ends it.
func (b *lending) start(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- b.lender.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("Run = %v, want nil after cancellation", err)
		}
	}
}

// judged returns who judged each unit, and checks that the verdicts are true.
func (b *lending) judged(t *testing.T) map[string]int {
	t.Helper()
	b.WaitEmpty(t, stream.Evaluate)
	by := make(map[string]int)
	for _, task := range b.tasks {
		var s stream.Scored
		if err := b.Queue.Get(t.Context(), stream.Combine, task.Unit, &s); err != nil {
			t.Errorf("unit %d of %s: %v", task.Index, task.Key(), err)
			continue
		}
		if !b.m.Issued(task.Unit, s.Receipt) {
			t.Errorf("unit %d of %s is stored without its receipt", task.Index, task.Key())
		}
		for i := range s.Judgements {
			if s.Judgements[i].Verdict != stream.WrongAnswer || s.Samples[i].Code != wrong {
				t.Errorf("unit %d of %s, sample %d by %s: %s", task.Index, task.Key(), i, s.Evaluator, s.Judgements[i].Verdict)
				break
			}
		}
		by[s.Evaluator]++
	}
	return by
}

func (b *lending) banned() []store.Ban {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bans
}

// guest runs an honest evaluator that nobody trusts, until the returned function is called.
func (b *lending) guest(t *testing.T, who stream.Guest) (stop func()) {
	t.Helper()
	w := b.worker(newGrader(t, 1))
	w.Guest, w.Pulse = &who, worker.NewPulse(stream.Evaluate, "guest", 1)
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- w.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("guest's Run = %v, want nil", err)
		}
	}
}

// borrow asks for units as a guest does, and says of each what say does, until the returned function is called. It
// takes the units off their queue though it says nothing of some.
func (b *lending) borrow(t *testing.T, who stream.Guest, say func(stream.Batch) *stream.Claim) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			c, err := b.JS.Consumer(ctx, stream.Lent.Stream(), "borrowers-r1")
			if err != nil {
				<-time.After(20 * time.Millisecond)
				continue
			}
			msg, err := c.Next(jetstream.FetchMaxWait(time.Second))
			if err != nil {
				continue
			}
			var batch stream.Batch
			if err := errors.Join(stream.Decode(msg.Data(), &batch), msg.Ack()); err != nil {
				t.Error(err)
			}
			if batch.Receipt != "" {
				t.Errorf("a guest is lent the receipt of unit %d of %s", batch.Index, batch.Key())
			}
			if claim := say(batch); claim != nil {
				if _, err := b.Queue.PublishClaim(ctx, who, *claim); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// claimed says one verdict of all samples of a unit.
func claimed(b stream.Batch, v stream.Verdict) *stream.Claim {
	c := &stream.Claim{Unit: b.Unit}
	for range b.Samples {
		j := stream.Judgement{Verdict: v}
		if v != stream.Passed {
			j.ErrorCode, j.Test = new(-2), new(0)
		}
		c.Judgements = append(c.Judgements, j)
	}
	return c
}

// TestHonestGuest wants what an honest guest found to count, under its name, but for the units that were drawn.
func TestHonestGuest(t *testing.T) {
	t.Parallel()
	b := lend(t)
	who := stream.Guest{ID: "UHONEST", Share: 50_000}
	defer b.guest(t, who)()
	defer b.start(t)()
	by := b.judged(t)
	if by[who.Judge()] == 0 || by[b.lender.Pulse.Name()] == 0 || len(by) != 2 {
		t.Errorf("judged by %v, want both", by)
	}
	if bans := b.banned(); len(bans) > 0 {
		t.Errorf("an honest guest was banned: %+v", bans)
	}
}

// TestGuestIsFoundOut has guests say what is not so, or what nobody says who is honest. Each must be banned, with a
// reason, and nothing of it may count.
func TestGuestIsFoundOut(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		say  func(stream.Batch) *stream.Claim
		want string
	}{
		"all passed": {func(b stream.Batch) *stream.Claim { return claimed(b, stream.Passed) }, "claimed passed, is wrong_answer"},
		"one of a unit": {func(b stream.Batch) *stream.Claim {
			c := claimed(b, stream.WrongAnswer)
			c.Judgements[7] = stream.Judgement{Verdict: stream.Passed}
			return c
		}, "claimed passed, is wrong_answer"},
		"too few": {func(b stream.Batch) *stream.Claim {
			c := claimed(b, stream.WrongAnswer)
			c.Judgements = c.Judgements[1:]
			return c
		}, "9 judgements of 10 samples"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := lend(t)
			who := stream.Guest{ID: "ULIAR", Share: 50_000}
			defer b.borrow(t, who, tt.say)()
			defer b.start(t)()
			if by := b.judged(t); by[who.Judge()] > 0 {
				t.Errorf("judged by %v, want nothing of the guest", by)
			}
			bans := b.banned()
			if len(bans) != 1 || bans[0].ID != who.ID || bans[0].Judge != who.Judge() || !strings.Contains(bans[0].Reason, tt.want) || bans[0].Run != "r1" {
				t.Errorf("bans = %+v, want one of %s that says %q", bans, who.ID, tt.want)
			}
		})
	}
}

// TestGuestSaysNothing wants units judged here that a guest took and never answered for, whether it has gone or goes on
// asking.
func TestGuestSaysNothing(t *testing.T) {
	t.Parallel()
	b := lend(t)
	taken := make(chan struct{}, 100)
	defer b.borrow(t, stream.Guest{ID: "USILENT", Share: 50_000}, func(stream.Batch) *stream.Claim { taken <- struct{}{}; return nil })()
	defer b.start(t)()
	<-taken
	if by := b.judged(t); len(by) != 1 || by[b.lender.Pulse.Name()] != len(b.tasks) {
		t.Errorf("judged by %v, want all here", by)
	}
	if bans := b.banned(); len(bans) > 0 {
		t.Errorf("who says nothing was banned: %+v", bans)
	}
}

// TestBannedGuestComesBack wants nothing believed of a guest that an earlier lender banned, and the ban to be read.
func TestBannedGuestComesBack(t *testing.T) {
	t.Parallel()
	b := lend(t)
	who := stream.Guest{ID: "ULIAR", Share: 50_000}
	if err := errors.Join(b.Store.DeclareBans(t.Context(), 1), b.Store.PutBan(t.Context(), store.Ban{ID: who.ID})); err != nil {
		t.Fatal(err)
	}
	defer b.borrow(t, who, func(b stream.Batch) *stream.Claim { return claimed(b, stream.WrongAnswer) })()
	defer b.start(t)()
	if by := b.judged(t); by[who.Judge()] > 0 {
		t.Errorf("judged by %v, want nothing of a guest that is banned", by)
	}
}

// TestLenderEnds wants a lender that ends to give back what it has lent at once, to take the units off the guests'
// queue, and the next one to have them judged.
func TestLenderEnds(t *testing.T) {
	t.Parallel()
	b := lend(t)
	taken, answer := make(chan struct{}, 100), make(chan struct{})
	leave := b.borrow(t, stream.Guest{ID: "USLOW", Share: 50_000}, func(b stream.Batch) *stream.Claim {
		taken <- struct{}{}
		<-answer
		return claimed(b, stream.WrongAnswer)
	})
	stop := b.start(t)
	<-taken
	stop()
	if n, err := b.Queue.LentDemand(t.Context()); err != nil || n.Waiting > 0 {
		t.Errorf("%+v, %v after the end, want no unit that waits for a guest", n, err)
	}
	close(answer)
	leave()
	b.lender = &Lender{Worker: b.lender.Worker, Ban: b.lender.Ban}
	defer b.start(t)()
	b.judged(t)
}

// TestLuck wants two verdicts of one program excused where chance or a time near the limit decide, and nowhere else.
func TestLuck(t *testing.T) {
	t.Parallel()
	slack := limits
	slack.Slack = Slack(slack.CPU)
	g, err := NewGrader(t.Context(), Config{Sandbox: sandbox.Config{Python: pythontest.Find(t), Limits: slack}, Slots: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	}()
	q := question(t, fog)
	for _, tt := range []struct {
		name, program string
		a, b          stream.Verdict
		want          bool
	}{
		{"plain", wrong, stream.Passed, stream.WrongAnswer, false},
		{"plain and time", wrong, stream.TimeLimit, stream.WrongAnswer, false},
		{"endless", "while True: pass", stream.Passed, stream.TimeLimit, false},
		{"chance", "import random\nprint(random.random())", stream.Passed, stream.WrongAnswer, true},
		{"near", "import time\nwhile time.process_time() < 0.25: pass\nprint('no')", stream.TimeLimit, stream.WrongAnswer, true},
	} {
		got, err := g.luck(t.Context(), q, tt.program, tt.a, tt.b)
		if err != nil || got != tt.want {
			t.Errorf("%s: luck = %v, %v, want %v", tt.name, got, err, tt.want)
		}
	}
}

// TestDrawCannotBeForeseen wants each unit of a tranche drawn as often as others, and by other lenders others.
func TestDrawCannotBeForeseen(t *testing.T) {
	t.Parallel()
	tr := &tranche{}
	for i := range 10 {
		c := &queue.Claimed{Claim: stream.Claim{Unit: stream.Unit{Cell: stream.Cell{Run: "r1"}, Index: i}}}
		tr.reports = append(tr.reports, &report{claim: c})
	}
	drawn := make(map[int]int)
	for range 2000 {
		l := &Lender{salt: newSalt(), Worker: &Worker{Log: slog.New(slog.DiscardHandler)}}
		first, second := l.draw(tr), l.draw(tr)
		if first != second {
			t.Fatal("one lender draws two units of one tranche")
		}
		drawn[first.claim.Index]++
	}
	for i := range 10 {
		if n := drawn[i]; n < 120 || n > 280 { // 200, six standard deviations either way
			t.Errorf("unit %d was drawn %d times of 2000, want about 200", i, n)
		}
	}
}

// TestAbsurdClaims wants what no honest guest says to be seen without running a program, and what one may say left to
// the draw.
func TestAbsurdClaims(t *testing.T) {
	t.Parallel()
	task := stream.Task{Unit: stream.Unit{Cell: stream.Cell{Run: "r1", Temperature: 700}}, N: 10}
	batch := batchOf(task, task.N, wrong)
	batch.Samples[3].Code = "" // it has none
	for _, tt := range []struct {
		name   string
		change func(c *stream.Claim)
		want   string
	}{
		{"honest", func(*stream.Claim) {}, ""},
		{"all passed, which may be", func(c *stream.Claim) { c.Judgements[0] = stream.Judgement{Verdict: stream.Passed} }, ""},
		{"too few", func(c *stream.Claim) { c.Judgements = c.Judgements[1:] }, "9 judgements of 10"},
		{"a fault", func(c *stream.Claim) { c.Judgements[0].Verdict = stream.JudgeFault }, "judge_fault"},
		{"no verdict", func(c *stream.Claim) { c.Judgements[0].Verdict = 0 }, "known verdict"},
		{"no code where some is", func(c *stream.Claim) { c.Judgements[0].Verdict = stream.NoCode }, "no_code"},
		{"passed without a program", func(c *stream.Claim) { c.Judgements[3] = stream.Judgement{Verdict: stream.Passed} }, "passed"},
		{"passed with a code", func(c *stream.Claim) { c.Judgements[0].Verdict = stream.Passed }, "passed"},
		{"beyond a limit that no run has", func(c *stream.Claim) { c.Judgements[0].Draw, c.Judgements[0].Share = 0.05, 0.1 }, "wrong_answer"},
		{"endless words", func(c *stream.Claim) { c.Judgements[0].Detail = strings.Repeat("x", 1<<20) }, "wrong_answer"},
	} {
		c := claimed(batch, stream.WrongAnswer)
		c.Judgements[3] = stream.Judgement{Verdict: stream.NoCode, ErrorCode: new(-4), Test: new(-1)}
		tt.change(c)
		r := &report{job: &job{batch: batch}, claim: &queue.Claimed{Claim: *c}}
		if got := r.absurd(); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
