package evaluate

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/sandbox"
)

// A program that runs longer than sharedAfter is worth a question to the other evaluators:
// these are one in forty, and nearly all of the processor time. It is asked again every
// sharedEvery, for another may end first. No answer is waited for longer than sharedWait.
const (
	sharedAfter = 500 * time.Millisecond
	sharedEvery = time.Second
	sharedWait  = 5 * time.Second
)

// A shared is what the evaluators of a server know together: the verdicts on programs that
// took long. It is safe for concurrent use.
type shared struct {
	store *store.Store
	log   *slog.Logger
	after time.Duration // sharedAfter, or less in tests

	mu     sync.Mutex
	warned map[string]bool // faults that the log has; each is there once
}

// Share makes the grader ask the other evaluators of a server about programs that run for
// long, and tell them what it found out. It must be called before the grader judges. It
// does nothing on a server that has no place for that.
func (g *Grader) Share(s *store.Store, log *slog.Logger) {
	if s.SharesVerdicts() {
		g.shared = &shared{store: s, log: log, after: sharedAfter, warned: map[string]bool{}}
	}
}

// A knownError ends a run of a program whose verdict was found.
type knownError struct {
	judgement stream.Judgement
	own       bool // it may name a line of this very text
}

func (*knownError) Error() string { return "judged before" }

// watched runs a program to its end or its first failing test. If its verdict is found
// meanwhile, or another program of its form is being judged, that is the error.
func (g *Grader) watched(ctx context.Context, slot *pooled, t *trial) (sandbox.Result, comparison, error) {
	if t.asked {
		t.formed.Store(true)
	}
	if g.shared == nil && t.asked {
		return g.once(ctx, slot, t)
	}
	running, stop := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	var reason error
	watching.Go(func() {
		if reason = g.watch(running, slot, t); reason != nil {
			stop(reason)
		}
	})
	res, failed, err := g.once(running, slot, t)
	stop(nil)
	watching.Wait()
	if err != nil && ctx.Err() == nil && reason != nil {
		err = reason
	}
	return res, failed, err
}

// watch returns a reason to end a run as soon as there is one, and nil when ctx is done.
func (g *Grader) watch(ctx context.Context, slot *pooled, t *trial) error {
	began := time.Now()
	if !t.asked && g.forms.slow(ctx, slot) {
		found := g.forms.find(ctx, t)
		t.formed.Store(true)
		if found {
			if reason := g.forms.claim(t, g.cache); reason != nil {
				return reason
			}
		}
	}
	if g.shared == nil {
		return nil
	}
	keys := []store.VerdictKey{g.keyOf(t.q, t.code)}
	if t.form != (cacheKey{}) {
		keys = append(keys, g.formKey(t))
	}
	if j, key, ok := g.shared.ask(ctx, g.shared.after-time.Since(began), keys); ok {
		return &knownError{judgement: j, own: key == keys[0]}
	}
	return nil
}

func (g *Grader) keyOf(q *Question, code string) store.VerdictKey {
	return store.VerdictKey{Fingerprint: g.fingerprint, Question: q.key(), Program: sha256.Sum256([]byte(code))}
}

// formKey returns the key of the form of a trial that has one.
func (g *Grader) formKey(t *trial) store.VerdictKey {
	return store.VerdictKey{Fingerprint: g.fingerprint, Question: t.q.key(), Program: t.form.program}
}

// keyFor returns the key under which others are told of what a trial came to: its form's, unless
// the finding says something of the program's own text.
func (g *Grader) keyFor(t *trial, f finding) store.VerdictKey {
	if t.form != (cacheKey{}) && !f.own {
		return g.formKey(t)
	}
	return g.keyOf(t.q, t.code)
}

// ask returns another evaluator's verdict and its key, one of those given, as soon as there is one, and
// false when ctx is done. It begins after the time given.
func (s *shared) ask(ctx context.Context, after time.Duration, keys []store.VerdictKey) (j stream.Judgement, key store.VerdictKey, ok bool) {
	timer := time.NewTimer(after)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return j, key, false
		case <-timer.C:
		}
		for _, k := range keys {
			asking, cancel := context.WithTimeout(ctx, sharedWait)
			j, err := s.store.Verdict(asking, k)
			cancel()
			if err == nil {
				return j, k, true
			}
			if !errors.Is(err, store.ErrNotFound) && ctx.Err() == nil {
				s.warn("read", err)
			}
		}
		timer.Reset(sharedEvery)
	}
}

// tell keeps a verdict for the other evaluators, if it was worth the time.
func (s *shared) tell(ctx context.Context, k store.VerdictKey, j stream.Judgement, took time.Duration) {
	if took < s.after || !j.Verdict.Scored() {
		return
	}
	telling, cancel := context.WithTimeout(ctx, sharedWait)
	defer cancel()
	if err := s.store.PutVerdict(telling, k, j); err != nil && ctx.Err() == nil {
		s.warn("write", err)
	}
}

// warn logs what went wrong once for each kind of fault: programs are judged all the same.
func (s *shared) warn(what string, err error) {
	kind := what
	sorts := []error{store.ErrUnreadable, store.ErrFull, context.DeadlineExceeded}
	if i := slices.IndexFunc(sorts, func(sort error) bool { return errors.Is(err, sort) }); i >= 0 {
		kind += sorts[i].Error()
	}
	s.mu.Lock()
	first := !s.warned[kind]
	s.warned[kind] = true
	s.mu.Unlock()
	if first {
		s.log.Warn("verdicts are not shared with other evaluators: such programs are judged here; not logged again", "what", what, "err", err)
	}
}
