// Package percard decides how many engines share a card: how many fit into its memory, and whether one
// more is worth it by what is measured while they generate. It reads nothing and starts nothing.
package percard

import (
	"fmt"
	"time"

	"github.com/lcbq/lcbq/worker/gpu"
)

const (
	// warm is how long a card is not measured after its engines have become full: their batches fill.
	warm = 3 * time.Second
	// window is how long it is measured: with 512 sequences at a time its rate then varies by about 5 %.
	window = 12 * time.Second
	// drift is how much of a rate may be lost from one window to the next, because others share the
	// machine's processors, without telling anything of the engine that came between them.
	drift = 0.15
	// busy is the load, in percent, of a card without room for an engine that gains Gain.
	busy = 75
	// bound is the share of a processor from which an engine's loop holds the card back.
	bound = 0.75
	// roomy is the load, in percent, below which one more engine can double the rate. It then pays
	// where the work left lasts paysRoomy times as long as an engine loads. A busier card gains less,
	// and what the others lose while the engine loads is to be little of the run even if the engine
	// goes again: it wants paysBusy times as long.
	roomy     = 50
	paysRoomy = 2
	paysBusy  = 10
)

// Gain is the least that an added engine must gain to stay, as a share of the rate without it.
const Gain = 0.15

// Unknown stands in a reading for what cannot be read.
const Unknown = gpu.Unknown

// A Reading is a card and its engines at one moment.
type Reading struct {
	At time.Time
	// Full says that every engine serves with a full batch: what is measured is then what the
	// engines can do.
	Full bool
	// Loading says that the engine that was added last does not serve yet, and that the others serve
	// with a full batch.
	Loading bool
	Tokens  float64       // generated since the engines started; it falls when one starts anew
	Load    float64       // of the card in percent, or Unknown
	Waiting float64       // sequences that wait for a place in a batch
	Loop    float64       // processor time a second of the busiest process of an engine since the last reading, or Unknown
	Free    uint64        // bytes of the card's memory
	Left    float64       // tokens that are still to be generated, at most; 0 unknown
	Loads   time.Duration // what an engine took from its start until it served; 0 unknown
}

// A Step is what was measured with a number of engines on a card.
type Step struct {
	Engines   int     `json:"engines"`
	TokensPer float64 `json:"tokens_per_s"`           // of the card
	Before    float64 `json:"tokens_per_s_before"`    // with one engine fewer, just before the last one served; 0 unknown
	Load      float64 `json:"utilization_mean"`       // percent; -1 unknown
	Loop      float64 `json:"engine_loop_processors"` // of the busiest engine process; -1 unknown
	Waiting   float64 `json:"waiting_mean"`           // sequences
}

// An Action is what is to be done with a card's engines.
type Action uint8

// The actions. After Drop and Settle there is no other.
const (
	Keep   Action = iota // go on as it is, and measure
	Add                  // start one more engine
	Drop                 // end the engine that was added last; the rest stays
	Settle               // it stays as it is
)

// A Decider decides for one card. The zero value allows one engine.
type Decider struct {
	Most int    // engines that the card can carry
	Why  string // what allows no more than Most
	Need uint64 // bytes that must be free for one more engine

	engines int
	steps   []Step
	settled string // the reason, once it has settled
	waits   string // why no engine is added though the card has room; "" where it is not so

	before []Reading // of the last window, while an engine loads
	full   time.Time // since when the engines are full
	first  Reading   // of the window
	last   Reading
	load, loop, waiting,
	loadFor, loopFor float64 // sums over time, and the seconds in which they were known
	lacking time.Duration // of the window, without a full batch
}

// Engines returns how many engines the card shall have.
func (d *Decider) Engines() int { return max(d.engines, 1) }

// Steps returns what was measured.
func (d *Decider) Steps() []Step { return d.steps }

// Settled returns why the number stays as it is; "" while that is not decided.
func (d *Decider) Settled() string { return d.settled }

// Waits returns why no engine is added now though the card has room; "" where that is not so.
func (d *Decider) Waits() string { return d.waits }

// Look takes a reading, no older than the last, and returns what is to be done and why.
func (d *Decider) Look(r Reading) (Action, string) {
	if d.settled != "" {
		return Keep, d.settled
	}
	d.engines = d.Engines()
	if d.engines >= d.Most && len(d.steps) == 0 && d.engines == 1 {
		return d.settle("%s", d.Why) // there is nothing to measure for
	}
	d.note(r)
	if d.broken(r) {
		d.full, d.first, d.last = time.Time{}, Reading{}, Reading{}
		return Keep, "waits until every engine of the card has a full batch"
	}
	if d.full.IsZero() {
		d.full = r.At
	}
	if r.At.Sub(d.full) < warm {
		d.last = r
		return Keep, "waits until the batches are full"
	}
	if d.first.At.IsZero() {
		d.first, d.last = r, r
		d.load, d.loop, d.waiting, d.loadFor, d.loopFor, d.lacking = 0, 0, 0, 0, 0, 0
		return Keep, "measures"
	}
	d.take(r)
	if r.At.Sub(d.first.At) < window {
		return Keep, "measures"
	}
	s := d.step(r)
	n := len(d.steps)
	again := n > 0 && d.steps[n-1].Engines == s.Engines // after it has waited for more work
	if again {
		s.Before = d.steps[n-1].Before
		d.steps = d.steps[:n-1]
	}
	d.steps = append(d.steps, s)
	d.full, d.first, d.last = time.Time{}, Reading{}, Reading{}
	return d.judge(r, again)
}

// note keeps the readings of the last window before an added engine serves. The processors that a machine
// shares with others change their pace within a minute, which is what an engine takes to load: what was
// measured before that tells less of what the new one gains.
func (d *Decider) note(r Reading) {
	if !r.Loading {
		return
	}
	if n := len(d.before); n > 0 {
		if last := d.before[n-1]; r.Tokens < last.Tokens || r.At.Before(last.At) || r.At.Sub(last.At) > window/2 {
			d.before = nil // an engine started anew, or had no full batch meanwhile
		}
	}
	d.before = append(d.before, r)
	for len(d.before) > 1 && r.At.Sub(d.before[1].At) >= window {
		d.before = d.before[1:]
	}
}

// rateBefore returns the rate that note measured; 0 where that was too short.
func (d *Decider) rateBefore() float64 {
	if len(d.before) == 0 {
		return 0
	}
	first, last := d.before[0], d.before[len(d.before)-1]
	if took := last.At.Sub(first.At); took >= window/2 {
		return (last.Tokens - first.Tokens) / took.Seconds()
	}
	return 0
}

// gain returns what the engine that was added last gains, as a share of the rate without it.
func (d *Decider) gain() float64 {
	n := len(d.steps)
	now, without := d.steps[n-1], d.steps[n-2].TokensPer
	// Loading may slow the others down too: a rate that is lower by more than drift tells of harm.
	if now.Before > 0 && now.TokensPer >= (1-drift)*without {
		without = now.Before
	}
	return now.TokensPer/max(without, 1) - 1
}

// broken reports whether a reading ends the window: an engine that started anew, a clock that was set
// back, or too much time without a full batch. A moment without one is part of what engines do.
func (d *Decider) broken(r Reading) bool {
	switch {
	case r.Tokens < d.last.Tokens || r.At.Before(d.last.At):
		return true
	case r.Full:
		return false
	case d.first.At.IsZero():
		return true
	}
	d.lacking += r.At.Sub(d.last.At)
	return d.lacking > window/5
}

// take adds a reading to the window: it stands for the time since the one before.
func (d *Decider) take(r Reading) {
	dt := r.At.Sub(d.last.At).Seconds()
	d.last = r
	d.waiting += r.Waiting * dt
	if r.Load != Unknown {
		d.load += r.Load * dt
		d.loadFor += dt
	}
	if r.Loop != Unknown {
		d.loop += r.Loop * dt
		d.loopFor += dt
	}
}

// step sums the window up.
func (d *Decider) step(r Reading) Step {
	took := r.At.Sub(d.first.At).Seconds()
	s := Step{Engines: d.engines, TokensPer: (r.Tokens - d.first.Tokens) / took, Load: Unknown, Loop: Unknown, Waiting: d.waiting / took, Before: d.rateBefore()}
	d.before = nil
	if d.loadFor > 0 {
		s.Load = d.load / d.loadFor
	}
	if d.loopFor > 0 {
		s.Loop = d.loop / d.loopFor
	}
	return s
}

// judge decides by the last step. Again says that its engines have stayed already.
func (d *Decider) judge(r Reading, again bool) (Action, string) {
	d.waits = ""
	s := d.steps[len(d.steps)-1]
	if len(d.steps) > 1 && !again {
		if gain := d.gain(); gain < Gain {
			d.engines--
			d.settled = fmt.Sprintf("engine %d of the card gained %.0f %%, want %.0f: it is ended", s.Engines, 100*gain, 100*Gain)
			return Drop, d.settled
		}
	}
	switch {
	case d.engines >= d.Most:
		return d.settle("%s", d.Why)
	case s.Load == Unknown:
		return d.settle("the driver does not tell the card's load")
	case s.Load >= busy:
		return d.settle("the card is busy %.0f %% of the time, another engine needs less than %d", s.Load, busy)
	case s.Loop != Unknown && s.Loop < bound:
		return d.settle("the engine's loop takes %.2f of a processor: it does not hold the card back", s.Loop)
	case r.Free < d.Need:
		return d.settle("%.1f GiB of the card are free, another engine needs %.1f", gib(r.Free), gib(d.Need))
	}
	if d.waits = s.tooShort(r); d.waits != "" {
		return Keep, d.waits
	}
	d.engines++
	return Add, fmt.Sprintf("the card is busy %.0f %% of the time with %d: there is room for another engine", s.Load, s.Engines)
}

// tooShort says why the work that is left does not pay for one more engine; "" where it does, or where
// it is not known.
func (s Step) tooShort(r Reading) string {
	if r.Left <= 0 || r.Loads <= 0 || s.TokensPer <= 0 {
		return ""
	}
	pays := paysBusy
	if s.Load < roomy {
		pays = paysRoomy
	}
	left := r.Left / s.TokensPer // seconds
	if left >= float64(pays)*r.Loads.Seconds() {
		return ""
	}
	return fmt.Sprintf("the work left takes %.0f s, and another engine on a card that is busy %.0f %% of the time wants %d times the %.0f s that it loads", left, s.Load, pays, r.Loads.Seconds())
}

func (d *Decider) settle(format string, args ...any) (Action, string) {
	d.settled = fmt.Sprintf(format, args...)
	return Settle, d.settled
}

// Lost settles with the engines that are left, because the last one that was added, or another, has
// ended for good.
func (d *Decider) Lost(left int, why string) {
	d.engines = max(left, 1)
	if d.settled == "" {
		d.settled = "an engine ended: " + why
	}
}

func gib(bytes uint64) float64 { return float64(bytes) / (1 << 30) }
