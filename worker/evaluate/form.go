package evaluate

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/sandbox"
)

// A program's normal form is made once the program has used formAfter of processor time, or has
// taken formWall with sleep: making it costs about as much as a quick program, and nearly all
// of the time goes into the few slow ones. Whether it is slow is looked at every formEvery.
const (
	formAfter = 50 * time.Millisecond
	formEvery = 100 * time.Millisecond
	formWall  = time.Second
)

// A forms finds programs that differ in comments, docstrings and layout only, so that one of
// them runs and its verdict counts for all. It is safe for concurrent use.
type forms struct {
	host  *sandbox.Host
	id    int // of its slot
	log   *slog.Logger
	after time.Duration // formAfter, or less in tests
	every time.Duration // formEvery, or less in tests

	turn chan struct{} // holds a token while nobody makes a form; guards the fields below
	slot *sandbox.Slot // that makes them, nil until one is needed
	off  bool          // no slot can be had
	told bool          // the log has that a form could not be made

	mu      sync.Mutex
	running map[cacheKey]*claim // by form
}

// A claim is the run of a program whose verdict counts for the others of its form.
type claim struct {
	done    chan struct{}
	finding finding // valid once done is closed and good
	good    bool
}

func newForms(host *sandbox.Host, id int, log *slog.Logger) *forms {
	f := &forms{host: host, id: id, log: log, after: formAfter, every: formEvery, turn: make(chan struct{}, 1), running: make(map[cacheKey]*claim)}
	f.turn <- struct{}{}
	return f
}

// A sameError ends a run of a program beside which another program of its form runs.
type sameError struct{ claim *claim }

func (*sameError) Error() string { return "a program of the same normal form is being judged" }

// A trial is the judging of one program. Its fields but the first three are written by the
// goroutine that watches a run, which is waited for at the end of the run.
type trial struct {
	q    *Question
	code string
	turn turn // its unit's

	last   bool    // what this run comes to counts: nothing is beside it
	whole  bool    // it may go as far beyond the limit as Slack says, whatever is measured
	slowed float64 // the slowdown of the test that took longest in the last run, as far as it was measured; else 0

	asked bool     // the program's form was asked for, or is not to be
	form  cacheKey // of the form; zero if there is none
	claim *claim   // of this trial; nil if it has none

	formed atomic.Bool // form is what it stays

	// Of an audited time limit; used by the goroutine that runs the program.
	begun bool             // it ran before, or runs
	limit *store.SoftLimit // that holds for the program; nil while there is none
	draw  float64          // of the program, once it was beyond the limit; else 0
}

// slow waits until the program in the slot is slow. It returns false if ctx ends before.
func (f *forms) slow(ctx context.Context, slot *pooled) bool {
	timer := time.NewTicker(f.every)
	defer timer.Stop()
	for began := time.Now(); ; {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
		}
		if slot.Used() >= f.after || time.Since(began) >= formWall {
			return true
		}
	}
}

// find makes the form of a trial's program. It returns false if there is none.
func (f *forms) find(ctx context.Context, t *trial) bool {
	t.asked = true
	select {
	case <-f.turn:
	case <-ctx.Done():
		return false
	}
	defer func() { f.turn <- struct{}{} }()
	if !f.open() {
		return false
	}
	sum, ok, err := f.slot.Normal(ctx, t.code)
	if err != nil && ctx.Err() == nil && !f.told {
		f.told = true
		f.log.Warn("program is judged by its text: its normal form could not be made; not logged again", "question", t.q.ID, "err", err)
	}
	if err != nil || !ok {
		return false
	}
	t.form = cacheKey{question: t.q.key(), program: sum}
	return true
}

// open starts the slot, and reports whether there is one; the turn is held.
func (f *forms) open() bool {
	if f.slot != nil || f.off {
		return f.slot != nil
	}
	slot, err := f.host.NewSlot(f.id)
	if err != nil {
		f.off = true
		f.log.Warn("programs that differ in comments and layout only are judged each by itself: no room to compare them", "err", err)
		return false
	}
	f.slot = slot
	return true
}

// claim looks up the form of a trial. It returns the reason to end the trial's run: its verdict is
// known, or another program of the form is being judged. Otherwise it returns nil, and the
// trial's verdict counts for those that come after.
func (f *forms) claim(t *trial, c *cache) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if other := f.running[t.form]; other != nil {
		return &sameError{other}
	}
	if known, ok := c.get(t.form); ok {
		return &knownError{judgement: known.Judgement}
	}
	t.claim = &claim{done: make(chan struct{})}
	f.running[t.form] = t.claim
	return nil
}

// settle ends the claim of a trial, if it has one: found counts for its form if it says nothing
// of the program's own text or of this run alone.
func (f *forms) settle(t *trial, found finding, err error, c *cache) {
	good := err == nil && !found.chance && !found.unsure && !found.own
	if good && t.form != (cacheKey{}) {
		c.put(t.form, found)
	}
	if t.claim == nil {
		return
	}
	f.mu.Lock()
	delete(f.running, t.form)
	f.mu.Unlock()
	t.claim.finding, t.claim.good = found, good
	close(t.claim.done)
}

// wait returns the finding of the trial that has the claim, and false if it counts for no other.
func (c *claim) wait(ctx context.Context) (finding, bool, error) {
	select {
	case <-c.done:
		f := c.finding
		f.known = true
		return f, c.good, nil
	case <-ctx.Done():
		return finding{}, false, ctx.Err()
	}
}

// close stops the slot. No form may be being made.
func (f *forms) close() error {
	if f == nil || f.slot == nil {
		return nil
	}
	return f.slot.Close()
}
