package evaluate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/lcbq/lcbq/worker/sandbox"
)

// A program that ended beyond the CPU limit is run again with nothing beside it, and the second
// result counts. A program that kept the limit beside others keeps it alone too, and is not run
// again. How far a program is let run beyond the limit is what the slowdown asks that is measured
// meanwhile, see strain. Where it cannot be measured it is nearTo: caches and hyperthreads shared
// with other programs cost up to a third of the speed.
const nearTo = 1.3

// Slack returns how far beyond a CPU limit a test must be allowed to run where nobody can measure
// what contention takes, so that a Grader can see that the program ended near it.
func Slack(limit time.Duration) time.Duration {
	return time.Duration(float64(limit) * (nearTo - 1))
}

// run judges a program, or takes the verdict of another program of its form, or of another
// evaluator that has judged it.
func (g *Grader) run(ctx context.Context, t *trial) (finding, error) {
	g.ran.Add(1)
	f, took, err := g.judge(ctx, t)
	if same, ok := errors.AsType[*sameError](err); ok {
		var good bool
		if f, good, err = same.claim.wait(ctx); err == nil && !good {
			// What the other came to does not count for this one, which runs again unasked.
			f, took, err = g.judge(ctx, t)
		}
	}
	if had, ok := errors.AsType[*knownError](err); ok {
		f, err = finding{Judgement: had.judgement, known: true, own: had.own}, nil
	}
	if err == nil && !f.known && t.draw > 0 {
		f.Draw, f.Share = t.draw, t.q.audit.Share
	}
	if g.forms != nil {
		g.forms.settle(t, f, err, g.cache)
	}
	switch {
	case err != nil:
		return finding{}, err
	case f.known:
		g.ran.Add(-1)
	case g.shared != nil && !f.chance && !f.unsure:
		g.shared.tell(ctx, g.keyFor(t, f), f.Judgement, took)
	}
	return f, nil
}

// judge runs a program in a slot. It runs the program again if its time was near the limit, or
// if another program may have ended it. It returns how long the last run took.
func (g *Grader) judge(ctx context.Context, t *trial) (finding, time.Duration, error) {
	limit := t.q.pace.here(g.host.Environment().Limits.CPU)
	crowded := false
	res, failed, err := g.beside(ctx, t)
	if err == nil && near(res, limit) {
		if res, failed, err = g.quietly(ctx, t); errors.Is(err, errBusy) {
			crowded = true
			res, failed, err = g.among(ctx, t, true)
		}
	}
	if errors.Is(err, sandbox.ErrAlone) {
		crowded = false
		res, failed, err = g.sole(ctx, t)
	}
	if err != nil {
		return finding{}, 0, err
	}
	if a := t.q.audit; a != nil && t.limit == nil {
		meant := res
		meant.Times = t.q.pace.meantAll(res.Times)
		a.learn(ctx, meant)
	}
	f := finding{Judgement: judgement(t.q, res, failed), chance: res.Chance, own: res.Outcome == sandbox.Exception}
	if res.TestCPU > limit {
		f.Slowdown = recorded(t.slowed)
		if f.unsure = crowded; crowded {
			g.unsure.Add(1)
			f.Detail = shorten(strings.TrimPrefix(f.Detail+"; "+fmt.Sprintf("it took %.2f s of processor time beside other programs, and was not run alone: too many such programs wait", res.TestCPU.Seconds()), "; "))
		}
	}
	return f, res.CPU, nil
}

// recorded returns what is recorded of a slowdown: how many times slower the host was, 0 for one that changes nothing.
func recorded(slow float64) float64 {
	if slow <= margin {
		return 0
	}
	return math.Round(1000*(1+slow)) / 1000
}

// Well returns an error if this host cannot judge the simplest program on a question.
func (g *Grader) Well(ctx context.Context, q *Question) error {
	_, _, err := g.beside(ctx, &trial{q: q, code: "pass", asked: true})
	return err
}

// beside runs a program beside others.
func (g *Grader) beside(ctx context.Context, t *trial) (sandbox.Result, comparison, error) {
	return g.among(ctx, t, false) // t may have been on a quiet core, and begin anew
}

// among runs a program beside others. What it comes to counts if last is true.
func (g *Grader) among(ctx context.Context, t *trial, last bool) (sandbox.Result, comparison, error) {
	slot, err := g.pool.acquire(ctx, t.q.Digest, t.turn)
	if err != nil {
		return sandbox.Result{}, comparison{}, err
	}
	defer g.pool.release(slot)
	g.others.RLock()
	defer g.others.RUnlock()
	if g.fault != nil {
		if err := g.fault(t.code); err != nil {
			return sandbox.Result{}, comparison{}, fmt.Errorf("%w: %w", ErrFault, err)
		}
	}
	t.last = last
	return g.watched(ctx, slot, t)
}

// quietly runs a program on a quiet core. Its error wraps errBusy if none is free soon.
func (g *Grader) quietly(ctx context.Context, t *trial) (sandbox.Result, comparison, error) {
	slot, err := g.quiet.enter(ctx)
	if err != nil {
		return sandbox.Result{}, comparison{}, err
	}
	g.near.Add(1)
	t.last = true
	g.others.RLock()
	res, failed, err := g.watched(ctx, slot, t)
	g.others.RUnlock()
	if left := g.quiet.leave(slot); err == nil && left != nil {
		err = fmt.Errorf("%w: give quiet processors back: %w", ErrFault, left)
	}
	return res, failed, err
}

// soleRest bounds the share of time in which programs run alone. After such a program the
// next one waits soleRest times as long as that one took, its wait for others included. So
// they take a ninth of the time at most, whoever sends them.
const soleRest = 8

// sole runs a program while no other program of the grader runs.
func (g *Grader) sole(ctx context.Context, t *trial) (sandbox.Result, comparison, error) {
	var rested time.Time
	select {
	case rested = <-g.rest:
	case <-ctx.Done():
		return sandbox.Result{}, comparison{}, ctx.Err()
	}
	defer func() { g.rest <- rested }()
	pause := time.NewTimer(time.Until(rested))
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done():
		return sandbox.Result{}, comparison{}, ctx.Err()
	}
	slot, err := g.pool.acquire(ctx, t.q.Digest, t.turn)
	if err != nil {
		return sandbox.Result{}, comparison{}, err
	}
	defer g.pool.release(slot)
	g.near.Add(1)
	began := time.Now()
	g.others.Lock()
	defer g.others.Unlock()
	defer func() { rested = time.Now().Add(soleRest * time.Since(began)) }()
	t.asked = true // making its form is a process too
	t.last = true
	return g.watched(ctx, slot, t)
}

// near reports whether a test exceeded the limit by so little that the machine's load may be
// the cause: it came to an end before it was stopped.
func near(r sandbox.Result, limit time.Duration) bool {
	return r.Outcome == sandbox.TimeLimit && !r.Cut && r.TestCPU > limit && r.TestCPU < limit+share(limit, mostSlow)
}

// once runs a program to its end or its first failing test.
func (g *Grader) once(ctx context.Context, slot *pooled, t *trial) (sandbox.Result, comparison, error) {
	var failed comparison
	q := t.q
	slot.Soft(t.softly())
	defer slot.Soft(nil)
	slot.Scale(q.pace.scale())
	defer slot.Scale(1)
	if !t.whole {
		slot.Stretch(g.stretch(t))
		defer slot.Stretch(nil)
	}
	res, err := slot.Run(ctx, &q.sandbox, t.code, func(test int, out sandbox.Output) bool {
		failed = q.compare(test, out)
		return failed.equal()
	})
	switch {
	case err != nil && ctx.Err() != nil:
		return res, failed, ctx.Err()
	case err != nil:
		return res, failed, fmt.Errorf("%w: run program on question %s: %w", ErrFault, q.ID, err)
	}
	return res, failed, nil
}
