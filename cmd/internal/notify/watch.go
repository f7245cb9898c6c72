package notify

import (
	"cmp"
	"fmt"
	"time"
)

// The events.
const (
	Done      = "done"      // every sample is scored
	Stopped   = "stopped"   // the process that runs the run or its server ends before it is done
	Unhealthy = "unhealthy" // the answers say nothing about the model
	Stalled   = "stalled"   // nothing has moved for StallAfter
	Dead      = "dead"      // units were given up
	Cancelled = "cancelled"
)

// StallAfter is how long nothing of an open run must move before it counts as stalled.
const StallAfter = 10 * time.Minute

// deadEvery is the shortest time between two events about units given up: a bad host gives up thousands.
const deadEvery = 10 * time.Minute

// An Event is what somebody is told. Its form is that of the webhook's body.
type Event struct {
	Event  string `json:"event"` // one of the constants above
	Run    string `json:"run"`   // "" of a server that stops
	Text   string `json:"text"`  // a sentence
	Remedy string `json:"remedy,omitempty"`
	At     string `json:"at"` // RFC 3339
	Host   string `json:"host"`
}

// A State is what is known of a run at one moment.
type State struct {
	Run       string
	Finished  bool
	Cancelled bool
	Paused    bool
	Work      int64  // a number that changes whenever anything of the run is done
	Dead      int    // units given up
	Unhealthy string // why the answers say nothing about the model; "" if they may
	Remedy    string // for that
	Summary   string // how far it is, for a sentence
}

// A Watch turns the states of runs into events, each once. It is not safe for concurrent use.
type Watch struct {
	runs map[string]*watched
}

// watched is what was last known of a run, and what was told of it.
type watched struct {
	State
	moved     time.Time // when its work last changed
	stalled   bool      // told
	unhealthy bool      // told
	told      int       // units given up that were told of
	toldAt    time.Time
}

// Look returns what has happened since the last look at the run. What was so at the first look is not told: the
// process may have been started anew. Units given up and answers of no model are.
func (w *Watch) Look(now time.Time, s State) []Event {
	if w.runs == nil {
		w.runs = make(map[string]*watched)
	}
	r, known := w.runs[s.Run]
	if !known {
		r = &watched{State: s, moved: now}
		w.runs[s.Run] = r
	}
	before := r.State
	r.State = s
	var out []Event
	tell := func(event, remedy, format string, args ...any) {
		out = append(out, Event{Event: event, Run: s.Run, Text: fmt.Sprintf("run %s "+format, append([]any{s.Run}, args...)...), Remedy: remedy, At: now.UTC().Format(time.RFC3339)})
	}
	over := s.Finished || s.Cancelled
	if s.Work != before.Work || s.Paused || over {
		r.moved, r.stalled = now, false
	}
	switch {
	case s.Finished && !before.Finished:
		tell(Done, "", "is done: %s", s.Summary)
	case s.Cancelled && !before.Cancelled:
		tell(Cancelled, "", "was cancelled: %s", s.Summary)
	case !r.stalled && now.Sub(r.moved) >= StallAfter:
		r.stalled = true
		tell(Stalled, "look at 'lcbq status'", "has not moved for %s: %s", now.Sub(r.moved).Round(time.Minute), s.Summary)
	}
	if s.Dead < r.told { // put back
		r.told = s.Dead
	}
	if s.Dead > r.told && (r.toldAt.IsZero() || now.Sub(r.toldAt) >= deadEvery) {
		tell(Dead, "see why with 'lcbq dead list', then put them back with 'lcbq dead requeue'", "gave up %s", units(s.Dead))
		r.told, r.toldAt = s.Dead, now
	}
	if s.Unhealthy != "" && !r.unhealthy {
		tell(Unhealthy, s.Remedy, "is unhealthy: %s", s.Unhealthy)
	}
	r.unhealthy = s.Unhealthy != ""
	return out
}

// Open takes a run for open that has not been looked at yet: whoever starts it knows that it is not
// done, and it may be by the first look.
func (w *Watch) Open(now time.Time, run string) {
	if w.runs == nil {
		w.runs = make(map[string]*watched)
	}
	if w.runs[run] == nil {
		w.runs[run] = &watched{State: State{Run: run}, moved: now}
	}
}

// Stop returns the event of a process that ends while runs are not done: one for all of them. why may be "".
func (w *Watch) Stop(now time.Time, why string) (Event, bool) {
	var open *watched
	n := 0
	for _, r := range w.runs {
		if !r.Finished && !r.Cancelled {
			n++
			open = r
		}
	}
	switch n {
	case 0:
		return Event{}, false
	case 1:
		return Event{
			Event: Stopped, Run: open.Run, At: now.UTC().Format(time.RFC3339), Remedy: "the same command goes on with it",
			Text: fmt.Sprintf("run %s is stopped (%s): %s", open.Run, cmp.Or(why, "as asked"), open.Summary),
		}, true
	default:
		return Event{
			Event: Stopped, At: now.UTC().Format(time.RFC3339), Remedy: "the same command goes on with them",
			Text: fmt.Sprintf("the server of %d runs that are not done is stopped (%s)", n, cmp.Or(why, "as asked")),
		}, true
	}
}

func units(n int) string {
	if n == 1 {
		return "1 unit"
	}
	return fmt.Sprintf("%d units", n)
}
