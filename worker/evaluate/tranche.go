package evaluate

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/lcb/result"
	"github.com/lcbq/lcbq/worker/sandbox"
)

// A guest is an evaluator that nobody trusts, as a lender knows it.
type guest struct {
	admitting sync.RWMutex // held for reading while something of the guest is published, for writing when it is banned
	banned    atomic.Bool

	joining sync.Mutex
	open    *tranche // to which its next report comes; nil if there is none
}

// A tranche is what a guest reported between two draws. Its fields but the first two are written before done is closed.
type tranche struct {
	reports []*report
	last    time.Time // when a report came
	done    chan struct{}
	fair    bool
}

// A report is a unit as a guest judged it.
type report struct {
	*job
	claim        *queue.Claimed
	began, ended time.Time
	again        *stream.Scored // what was found here, of the one that was drawn
}

// newSalt returns what no guest can know.
func newSalt() []byte {
	salt := make([]byte, sha256.Size)
	_, _ = rand.Read(salt) // it never fails
	return salt
}

// size returns how many units are in a full tranche of a guest.
func size(g stream.Guest) int { return max(1, stream.WholeShare/g.Share) }

// join adds a report to its guest's tranche, and has the tranche looked at when it is full. It returns nil if the guest
// is found out by then.
func (l *Lender) join(ctx context.Context, g *guest, r *report) *tranche {
	if why := r.absurd(); why != "" {
		l.expose(ctx, g, r, why, 1)
	}
	g.joining.Lock()
	defer g.joining.Unlock()
	if g.banned.Load() {
		return nil
	}
	if g.open == nil {
		g.open = &tranche{done: make(chan struct{})}
	}
	t := g.open
	t.reports, t.last = append(t.reports, r), time.Now()
	if len(t.reports) >= size(r.claim.Guest) {
		g.open = nil
		l.check(ctx, g, t)
	}
	return t
}

// quiet returns the guest's tranche if nothing has come to it for a while. The next report opens another one.
func (g *guest) quiet(after time.Duration) *tranche {
	g.joining.Lock()
	defer g.joining.Unlock()
	t := g.open
	if t == nil || time.Since(t.last) < after {
		return nil
	}
	g.open = nil
	return t
}

// check has a unit of a tranche judged again, and decides about the tranche. It does not wait for that.
func (l *Lender) check(ctx context.Context, g *guest, t *tranche) {
	l.checks.Go(func() {
		defer close(t.done)
		r := l.draw(t)
		scored, err := l.score(ctx, r.job)
		why := ""
		if err == nil {
			why, err = l.differs(ctx, r, scored)
		}
		switch {
		case ctx.Err() != nil:
		case err != nil:
			l.Log.Warn("what a guest judged cannot be looked at: it is judged here", "guest", r.claim.Judge(), "units", len(t.reports), "err", err)
		case why != "":
			l.expose(ctx, g, r, why, len(t.reports))
		default:
			r.again, t.fair = &scored, true
		}
	})
}

// draw returns the report of a tranche that is looked at. No guest knows the salt.
func (l *Lender) draw(t *tranche) *report {
	least, drawn := "", t.reports[0]
	for _, r := range t.reports {
		mac := hmac.New(sha256.New, l.salt)
		_, _ = io.WriteString(mac, r.claim.Subject(stream.Lent)) // a hash takes every write
		if sum := string(mac.Sum(nil)); least == "" || sum < least {
			least, drawn = sum, r
		}
	}
	return drawn
}

// admitted publishes a report of a tranche that was looked at. It reports false if it does not count.
func (l *Lender) admitted(ctx context.Context, t *tranche, r *report) (bool, error) {
	if !t.fair {
		return false, nil
	}
	g := l.guestOf(r.claim.ID)
	g.admitting.RLock()
	defer g.admitting.RUnlock()
	if g.banned.Load() {
		return false, nil
	}
	if r.again != nil {
		return true, l.publish(ctx, r.run, *r.again)
	}
	return true, l.publish(ctx, r.run, r.scored(l.fingerprint()))
}

func (w *Worker) fingerprint() string { return w.Grader.Host().Environment().Digest() }

// scored returns the unit as the guest judged it. Its samples are those that were lent.
func (r *report) scored(fingerprint string) stream.Scored {
	return stream.Scored{
		Batch: r.batch, Judgements: r.claim.Judgements, Evaluator: r.claim.Judge(), Fingerprint: fingerprint,
		JudgeStarted: r.began.UnixMilli(), JudgeEnded: r.ended.UnixMilli(), JudgeAttempts: int(min(r.deliveries, math.MaxInt32)),
	}
}

// absurd says what of a claim no honest guest says, "" for nothing. It runs no program.
func (r *report) absurd() string {
	c := r.claim
	if c.Err != nil {
		return c.Err.Error()
	}
	if len(c.Judgements) != len(r.batch.Samples) {
		return fmt.Sprintf("it has %d judgements of %d samples", len(c.Judgements), len(r.batch.Samples))
	}
	s := r.scored("")
	for i := range s.Samples {
		x := result.Of(&s, i)
		if err := x.Validate(); err != nil {
			return err.Error()
		}
		known, decided := withoutRunning(s.Samples[i])
		switch {
		case !x.Verdict.Scored(), x.Beyond(), len(x.Detail) > 2*mostDetail, (x.Verdict == stream.Passed) != (x.ErrorCode == nil):
			return fmt.Sprintf("sample %d: verdict %s with what does not go with it", x.Index, x.Verdict)
		case decided && x.Verdict != known.Verdict, !decided && (x.Verdict == stream.NoCode || x.Verdict == stream.Truncated || x.Verdict == stream.Refused):
			return fmt.Sprintf("sample %d: claimed %s of an answer whose program is %d bytes long", x.Index, x.Verdict, len(x.Code))
		}
	}
	return ""
}

// differs says in what a guest's verdicts on a unit are false, "" for nothing.
func (l *Lender) differs(ctx context.Context, r *report, found stream.Scored) (string, error) {
	for i, claimed := range r.claim.Judgements {
		is := found.Judgements[i]
		if claimed.Verdict == is.Verdict {
			continue
		}
		if !is.Verdict.Scored() {
			return "", fmt.Errorf("sample %d: %s", found.Samples[i].Index, is.Detail)
		}
		excused, err := l.Grader.luck(ctx, r.question, found.Samples[i].Code, claimed.Verdict, is.Verdict)
		if err != nil {
			return "", err
		}
		if !excused {
			return fmt.Sprintf("sample %d: claimed %s, is %s", found.Samples[i].Index, claimed.Verdict, is.Verdict), nil
		}
	}
	return "", nil
}

// slowBy is by which factor a guest may be slower than this host without being taken for a liar.
const slowBy = 2

// luck reports whether two honest judges of a program may come to two verdicts: its outcome depends on chance, or its
// time is near the limit.
func (g *Grader) luck(ctx context.Context, q *Question, code string, a, b stream.Verdict) (bool, error) {
	t := &trial{q: q, code: code, asked: true, whole: true}
	res, _, err := g.beside(ctx, t)
	if errors.Is(err, sandbox.ErrAlone) {
		res, _, err = g.sole(ctx, t)
	}
	if err != nil {
		return false, err
	}
	limit := q.pace.here(g.host.Environment().Limits.CPU)
	timed := a == stream.TimeLimit || b == stream.TimeLimit
	return res.Chance || timed && slowBy*res.TestCPU > limit && float64(res.TestCPU) < nearTo*float64(limit), nil
}

// expose ends the membership of a guest: nothing of it counts from now on. What counted before, the combiner takes back
// when it learns of the ban. spared is how many units had not counted yet.
func (l *Lender) expose(ctx context.Context, g *guest, r *report, why string, spared int) {
	g.admitting.Lock()
	known := g.banned.Swap(true)
	g.admitting.Unlock()
	if known {
		return
	}
	b := store.Ban{
		ID: r.claim.ID, Judge: r.claim.Judge(), At: time.Now().UnixMilli(), Run: r.claim.Run, Unit: r.claim.Subject(stream.Evaluate), Reason: why, Spared: spared,
	}
	l.Log.Error("an evaluator that is not trusted gave a false verdict: it is banned, and what it judged is judged again",
		"token", b.ID, "judge", b.Judge, "unit", b.Unit, "why", why)
	for said := false; ; said = true {
		err := l.Ban(ctx, b)
		if err == nil || ctx.Err() != nil {
			return
		}
		if !said {
			l.Log.Error("the ban is not written down, trying again", "token", b.ID, "err", err)
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return
		}
	}
}
