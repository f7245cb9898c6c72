package evaluate

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/sandbox"
)

// A soft limit is learned from the first programs of a question, which all run to the full limit. It
// holds for ever once learnPassed of them have passed, or learnJudged were judged: a question that
// nearly no program solves has the most time-outs. Of each test it is softFactor times what the
// slowest of those that passed needed, and never below store.LeastSoftLimit.
//
// Of a question with few samples learnShare are enough: there the programs that run to the full limit are what
// an audited limit costs, while with many a limit that stops too much costs more, in certainty.
const (
	learnPassed = 10
	learnJudged = 20
	learnLeast  = 6  // judged
	learnShare  = 10 // one in so many
	softFactor  = 3
)

// enough reports whether a limit can be set.
func (a *Audit) enough() bool {
	judged := learnJudged
	if a.Samples > 0 {
		judged = max(learnLeast, min(a.Samples/learnShare, learnJudged))
	}
	return a.judged >= judged || a.passed >= judged*learnPassed/learnJudged
}

// An Audit is the audited time limit of a run on one question. The limit is set once, from
// programs that ran without one, so that it does not depend on any draw. It is safe for concurrent use.
type Audit struct {
	Run   string  // its id, or whatever else stands for it; no draw of another run has to do with this one's
	Share float64 // of the programs beyond the soft limit that run on, above 0, at most 1
	// Samples is how many of the question are to be judged; 0 is as good as many.
	Samples int
	// Keep keeps a limit that was learned, unless another evaluator was first, and returns the one that
	// holds, nil if it could not be kept. Nil for a run that is judged by this grader alone.
	Keep func(context.Context, *store.SoftLimit) *store.SoftLimit

	mu      sync.Mutex
	limit   *store.SoftLimit // nil while it is being learned
	judged  int
	passed  int
	slowest map[int]time.Duration // of the tests of those that passed
	keeping bool                  // Keep is being called
}

// Limit returns the soft limit, nil while there is none.
func (a *Audit) Limit() *store.SoftLimit {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.limit
}

// Set sets the limit, unless there is one.
func (a *Audit) Set(l *store.SoftLimit) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.limit == nil {
		a.limit = l
	}
}

// learn takes note of a program that ran to its end while there was no limit, and sets the limit
// once enough of them did. If it cannot be kept, the next program tries again.
func (a *Audit) learn(ctx context.Context, r sandbox.Result) {
	a.mu.Lock()
	if a.limit != nil {
		a.mu.Unlock()
		return
	}
	a.judged++
	if r.Outcome == sandbox.Accepted {
		a.passed++
		for test, took := range r.Times {
			if a.slowest == nil {
				a.slowest = make(map[int]time.Duration)
			}
			a.slowest[test] = max(a.slowest[test], took)
		}
	}
	if !a.enough() || a.keeping {
		a.mu.Unlock()
		return
	}
	l := &store.SoftLimit{Least: store.LeastSoftLimit, Judged: a.judged, Passed: a.passed}
	for test, took := range a.slowest {
		if soft := softFactor * took.Seconds(); soft > l.Least {
			if l.Tests == nil {
				l.Tests = make(map[int]float64)
			}
			l.Tests[test] = soft
		}
	}
	a.keeping = true
	a.mu.Unlock()
	if a.Keep != nil {
		l = a.Keep(ctx, l)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.keeping = false
	if a.limit == nil {
		a.limit = l
	}
}

// Audited returns q as a run with an audited time limit judges it. Its programs share verdicts with
// those of the same run alone.
func (q *Question) Audited(a *Audit) *Question {
	out := *q
	out.audit = a
	return &out
}

// key names what programs of equal text may share a verdict on.
func (q *Question) key() string {
	key := q.Digest
	if q.audit != nil {
		key += " audited " + q.audit.Run
	}
	return key + q.pace.key()
}

// drawOf returns the draw of a program, above 0 and below 1: the same for whoever judges it in the run, and
// else as good as chance.
func (a *Audit) drawOf(question string, program [sha256.Size]byte) float64 {
	h := sha256.New()
	for _, part := range []string{"lcbq audit", a.Run, question, string(program[:])} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write([]byte(part))
	}
	return (float64(binary.BigEndian.Uint64(h.Sum(nil))>>12) + 0.5) / (1 << 52)
}

// softly returns what decides whether the trial's program is stopped, nil for nothing. A limit that is learned
// while the program runs for the first time holds for it too: with 64 slots most programs of a question that time
// out have begun by then.
//
// That a program is beyond the limit is settled before its draw is made, by its time and by programs that have
// ended. So those that run on are a random share of all that are beyond.
func (t *trial) softly() sandbox.Soft {
	a := t.q.audit
	if a == nil || a.Share >= 1 {
		return nil
	}
	if t.begun && t.limit == nil {
		return nil // it has ended without one
	}
	t.begun = true
	return func(test int, used time.Duration) bool {
		if t.draw > 0 {
			return t.draw >= a.Share // another run of it was beyond: it is the same program still
		}
		if t.limit == nil {
			if t.limit = a.Limit(); t.limit == nil {
				return false
			}
		}
		soft := t.limit.Least
		if s, ok := t.limit.Tests[test]; ok {
			soft = s
		}
		// Programs of one form have one draw, so the form must be known.
		if t.q.pace.meant(used).Seconds() <= soft || !t.formed.Load() {
			return false
		}
		program := t.form.program
		if t.form == (cacheKey{}) {
			program = sha256.Sum256([]byte(t.code))
		}
		t.draw = a.drawOf(t.q.Digest, program)
		return t.draw >= a.Share
	}
}

// An audits holds the audits of the questions that are in use. The one that was not used for longest
// is forgotten when there are more than keepQuestions: its limit is in the store, or is learned anew.
type audits struct {
	mu  sync.Mutex
	all []keptAudit // most recently used last
}

type keptAudit struct {
	run      string
	question int
	audit    *Audit
}

// never is the soft limit of a question whose own cannot be read: no program is stopped.
var never = &store.SoftLimit{Least: math.Inf(1)}

// audited returns a question as the run wants it judged: with its soft limit, if the run has an
// audited time limit.
func (w *Worker) audited(ctx context.Context, m *store.Manifest, index int, q *Question) (*Question, error) {
	if m.Judge.AuditShare == 0 {
		return q, nil
	}
	a := w.auditOf(m, index)
	if a.Limit() != nil {
		return q.Audited(a), nil
	}
	l, err := w.Store.SoftLimit(ctx, m.ID, index)
	switch {
	case err == nil:
		a.Set(l)
	case errors.Is(err, store.ErrUnreadable):
		w.Log.Warn("no program of the question is stopped early: its soft limit is none that lcbq wrote", "question", q.ID, "err", err)
		a.Set(never)
	case !errors.Is(err, store.ErrNotFound):
		return nil, err
	}
	return q.Audited(a), nil
}

// auditOf returns the audit of a run's question.
func (w *Worker) auditOf(m *store.Manifest, index int) *Audit {
	c := &w.audits
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, k := range c.all {
		if k.run == m.ID && k.question == index {
			c.all = append(append(c.all[:i:i], c.all[i+1:]...), k)
			return k.audit
		}
	}
	run := m.ID
	a := &Audit{Run: run, Share: m.Judge.AuditShare, Samples: samplesOf(m, index)}
	a.Keep = func(ctx context.Context, l *store.SoftLimit) *store.SoftLimit {
		kept, err := w.Store.PutSoftLimit(ctx, run, index, l)
		if err != nil && ctx.Err() == nil {
			w.Log.Warn("soft limit is not kept: programs run to the full limit until it is", "run", run, "question", index, "err", err)
		}
		return kept
	}
	if len(c.all) >= keepQuestions {
		c.all = c.all[1:]
	}
	c.all = append(c.all, keptAudit{run, index, a})
	return a
}

// samplesOf returns how many samples of a question a run wants.
func samplesOf(m *store.Manifest, index int) (n int) {
	q, _ := m.Question(index)
	for _, t := range m.Temperatures {
		n += m.Wanted(q, t)
	}
	return n
}
