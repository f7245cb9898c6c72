package evaluate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker"
	"github.com/lcbq/lcbq/worker/background"
)

// A Lender has units judged by guests: evaluators that nobody trusts. To everybody else it is an evaluator that takes
// its time: a unit that it lends stays in EVALUATE, in its hands, and it alone publishes what a guest found, once
// that counts. So a unit is counted once, whatever guests do, and comes again if the lender dies.
//
// What guests found is put together in tranches, those of one guest in each. Of every tranche one unit is drawn and
// judged again here; a guest cannot know which. If all is as it said, the whole tranche counts. Else the guest is
// found out: nothing of it counts any more, see expose.
//
// One lender works on a server at a time.
type Lender struct {
	*Worker // judges what is drawn, and what no guest judges

	// Ban ends the membership of a guest that was found out, beyond this lender. It is called again until it
	// returns nil.
	Ban func(ctx context.Context, b store.Ban) error

	Quiet  time.Duration // after which a tranche to which nothing comes is full; quietTranche if 0
	Lease  time.Duration // after which a unit that nobody has judged is taken back; leaseOf if 0
	Absent time.Duration // after which guests that do not ask are gone; absentAfter if 0
	Waits  time.Duration // for a guest to ask before a unit is judged here; waitsFor if 0

	salt   []byte       // decides what is drawn
	gate   *worker.Gate // limits the units in hand
	hand   atomic.Int64 // units in hand
	free   atomic.Int64 // units that guests want beyond what is lent
	lent   atomic.Int64 // units that are lent and not claimed
	checks sync.WaitGroup

	mu     sync.Mutex
	loans  map[stream.Unit]*loan
	guests map[string]*guest // by ID
}

const (
	mostLent     = 512 // units, which are held in memory
	quietTranche = 10 * time.Second
	lastTranche  = time.Second
	leaseOf      = 10 * time.Minute
	waitsFor     = 500 * time.Millisecond
	absentAfter  = 30 * time.Second

	// claimWithin is how long a claim may be on its way when nobody waits for its unit or judges it any more.
	claimWithin = 5 * time.Second

	// lendTries is how often a unit is handed out before it is lent no more.
	lendTries = 3

	lendLook  = 250 * time.Millisecond // between looks at what guests want
	runsEvery = 8                      // looks between those at which runs there are
)

// A loan is a unit in the hands of guests.
type loan struct {
	at    time.Time
	claim chan *queue.Claimed // takes one
	back  chan struct{}       // closed to take the unit back; guarded by the lender's mu
}

// takeBack has the unit judged by somebody else. The lender's mu is held.
func (o *loan) takeBack() {
	select {
	case <-o.back:
	default:
		close(o.back)
	}
}

// Run lends units until ctx is done, and then gives back what it has in hand. It returns as worker.Loop.Run does.
func (l *Lender) Run(ctx context.Context) error {
	l.salt = newSalt()
	l.loans, l.guests = make(map[stream.Unit]*loan), make(map[string]*guest)
	l.gate = worker.NewGate(mostLent)
	l.gate.Limit(1)
	if err := l.declare(ctx); errors.Is(err, queue.ErrLending) {
		return fmt.Errorf("lend units: %w\none is enough; stop it first, or start this evaluator without --lend", err)
	} else if err != nil {
		return fmt.Errorf("lend units: %w", err)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	stopClaims, stopWatch := background.Start(ctx, l.claims), background.Start(ctx, l.watch)
	loop := worker.Loop{
		Stage: stream.Evaluate, Queue: l.Queue, Serves: l.serves,
		Handle: func(work context.Context, msg worker.Message) error { return l.handle(work, ctx, msg) },
		Slots:  mostLent, Gate: l.gate, Grace: l.Grace, Hurry: l.Hurry, Pulse: l.Pulse, Log: l.Log,
		Samples: l.Runs.Samples, Again: "judged",
	}
	err := loop.Run(ctx)
	stop()
	stopClaims()
	stopWatch()
	l.checks.Wait()
	return err
}

// declare makes what lending needs, and reads who must not be lent to.
func (l *Lender) declare(ctx context.Context) error {
	copies, err := l.Queue.Copies(ctx)
	if err == nil {
		err = l.Queue.DeclareLending(ctx, copies)
	}
	if err == nil {
		err = l.Store.DeclareBans(ctx, copies)
	}
	if err != nil {
		return err
	}
	bans, err := l.Store.Bans(ctx)
	for _, b := range bans {
		l.guestOf(b.ID).banned.Store(true)
	}
	return err
}

// handle has one unit judged. stopping is done when the lender is told to end: units that are lent go back then.
func (l *Lender) handle(ctx, stopping context.Context, msg worker.Message) error {
	l.hand.Add(1)
	defer l.hand.Add(-1)
	j, err := l.take(ctx, msg)
	if j == nil || err != nil {
		return err
	}
	may, err := l.mayLend(ctx, stopping, j)
	if err != nil {
		return err
	}
	if !may {
		return l.judge(ctx, j)
	}
	began := time.Now()
	claim, err := l.lend(ctx, stopping, msg, j)
	switch {
	case err != nil:
		return err
	case claim == nil: // nobody judges it, or it is wanted no more
		if _, _, _, err := l.Runs.Unit(ctx, msg.Unit); err != nil {
			return err
		}
		return l.judge(ctx, j)
	}
	r := &report{job: j, claim: claim, began: began, ended: time.Now()}
	t := l.join(stopping, l.guestOf(claim.ID), r)
	if t == nil {
		return l.judge(ctx, j)
	}
	select {
	case <-t.done:
	case <-stopping.Done():
		return fmt.Errorf("judged by a guest, and not looked at: %w", worker.ErrDrained)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	published, err := l.admitted(ctx, t, r)
	if published || err != nil {
		return err
	}
	// Others share the work, unless the unit has come too often.
	if j.deliveries < lendTries {
		return fmt.Errorf("judged by a guest that is not believed: %w", worker.ErrDrained)
	}
	return l.judge(ctx, j)
}

// judge judges a unit here.
func (l *Lender) judge(ctx context.Context, j *job) error {
	scored, err := l.score(ctx, j)
	if err != nil {
		return err
	}
	return l.publish(ctx, j.run, scored)
}

// mayLend reports whether a unit is lent, and waits a little for a guest who asks: the other evaluators here do not need
// help. Where a run has an audited time limit verdicts depend on when a unit was judged, and two judges of one unit may
// differ.
func (l *Lender) mayLend(ctx, stopping context.Context, j *job) (bool, error) {
	if j.run.Judge.AuditShare > 0 || j.deliveries > lendTries {
		return false, nil
	}
	end := time.NewTimer(orElse(l.Waits, waitsFor))
	defer end.Stop()
	tick := time.NewTicker(lendLook / 10)
	defer tick.Stop()
	for {
		if l.free.Add(-1) >= 0 {
			return true, nil
		}
		l.free.Add(1)
		select {
		case <-tick.C:
		case <-end.C:
			return false, nil
		case <-stopping.Done():
			return false, fmt.Errorf("not lent: %w", worker.ErrDrained)
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
}

// lend lends a unit and waits for a claim on it. It returns nil if the unit was taken back.
func (l *Lender) lend(ctx, stopping context.Context, msg worker.Message, j *job) (*queue.Claimed, error) {
	out := &loan{at: time.Now(), claim: make(chan *queue.Claimed, 1), back: make(chan struct{})}
	l.mu.Lock()
	l.loans[msg.Unit] = out
	l.mu.Unlock()
	l.lent.Add(1)
	defer func() {
		l.lent.Add(-1)
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.loans, msg.Unit)
	}()
	if err := l.Queue.Lend(ctx, j.batch); err != nil {
		return nil, err
	}
	var claim *queue.Claimed
	var err error
	select {
	case claim = <-out.claim:
	case <-out.back:
	case <-stopping.Done():
		err = fmt.Errorf("lent to a guest: %w", worker.ErrDrained)
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	// Whoever still holds it judges for nothing.
	gone, cancel := context.WithTimeout(context.WithoutCancel(ctx), takeBackWait)
	defer cancel()
	if failed := l.Queue.Remove(gone, stream.Lent, msg.Unit); failed != nil && err == nil && claim == nil {
		l.Log.Warn("unit not taken back from the guests: one may judge it for nothing", "unit", msg.Unit.Subject(stream.Lent), "err", failed)
	}
	return claim, err
}

// takeBackWait bounds a request by which a unit is taken back.
const takeBackWait = 10 * time.Second

// claims hands what guests say to whoever lent the unit.
func (l *Lender) claims(ctx context.Context) {
	for ctx.Err() == nil {
		err := l.Queue.Claims(ctx, func(c *queue.Claimed) {
			l.mu.Lock()
			defer l.mu.Unlock()
			out, g := l.loans[c.Unit], l.guests[c.ID]
			switch {
			case out == nil:
				l.Log.Debug("claim on a unit that is not lent", "guest", c.Judge(), "err", c.Err)
				return
			case g != nil && g.banned.Load(): // and no other guest is handed the unit any more
				out.takeBack()
				return
			}
			select {
			case out.claim <- c:
			default: // another one was first
			}
		})
		if err != nil && ctx.Err() == nil {
			l.Log.Warn("claims of guests not read, trying again", "err", err)
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

// watch sees to it that guests find units, and no more than they can judge, until ctx is done.
func (l *Lender) watch(ctx context.Context) {
	tick := time.NewTicker(lendLook)
	defer tick.Stop()
	seen := time.Now()
	for looks, failing := 0, false; ; looks++ {
		err := l.look(ctx, looks%runsEvery == 0, &seen)
		if err != nil && ctx.Err() == nil && !failing {
			l.Log.Warn("what guests want is not known, trying again", "err", err)
		}
		failing = err != nil
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (l *Lender) look(ctx context.Context, runs bool, seen *time.Time) error {
	if runs {
		if err := l.serveRuns(ctx); err != nil {
			return err
		}
	}
	d, err := l.Queue.LentDemand(ctx)
	if err != nil {
		l.free.Store(0)
		return err
	}
	// As many units wait as are judged, so that guests that are quick never wait, and two for each that asks.
	want := min(max(2*d.Asking+d.Judging-d.Waiting, 0), mostLent-int(l.hand.Load()))
	l.free.Store(int64(max(want, 0)))
	l.gate.Limit(1 + int(l.hand.Load()) + want)
	if d.Asking+d.Judging > 0 {
		*seen = time.Now()
	}
	gone := time.Since(*seen) > orElse(l.Absent, absentAfter)
	l.mu.Lock()
	defer l.mu.Unlock()
	for u, out := range l.loans {
		age := time.Since(out.at)
		late := gone || age > orElse(l.Lease, leaseOf) || d.Waiting+d.Judging == 0 && age > claimWithin
		if m, err := l.Runs.Run(ctx, u.Run); err == nil && m.Cancelled != 0 {
			late = true
		}
		if late {
			out.takeBack()
		}
	}
	for _, g := range l.guests {
		quiet := orElse(l.Quiet, quietTranche)
		if d.Waiting+d.Judging == 0 { // nothing more comes soon
			quiet = min(quiet, lastTranche)
		}
		if t := g.quiet(quiet); t != nil {
			l.check(ctx, g, t)
		}
	}
	return nil
}

func orElse(d, usual time.Duration) time.Duration {
	if d == 0 {
		return usual
	}
	return d
}

// serveRuns has the units of every run that this host can judge lent.
func (l *Lender) serveRuns(ctx context.Context) error {
	all, _, err := l.Store.SharedRuns(ctx)
	if err != nil {
		return err
	}
	var ids []string
	for _, m := range all {
		if m.Open() && l.serves(ctx, m.ID) == nil {
			ids = append(ids, m.ID)
		}
	}
	slices.Sort(ids)
	return l.Queue.ServeLent(ctx, ids)
}

// guestOf returns the guest whose token has an ID.
func (l *Lender) guestOf(id string) *guest {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.guests[id] == nil {
		l.guests[id] = new(guest)
	}
	return l.guests[id]
}
