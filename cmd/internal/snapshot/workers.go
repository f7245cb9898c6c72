package snapshot

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker"
	"github.com/lcbq/lcbq/worker/process"
)

// Heartbeats come from whoever may write them. What no worker says is cut.
const (
	longName  = 100
	longText  = 500
	mostSlots = 1 << 16
	mostRate  = 1e9
	mostSpeed = 1e6
	mostSpent = 1e9 // seconds
)

// clean returns a heartbeat whose numbers are in their ranges and whose texts are no longer than they need to be.
func clean(w store.Worker) *store.Worker {
	w.Name, w.Host, w.Fingerprint = head(w.Name, longName), head(w.Host, longName), head(w.Fingerprint, longName)
	w.Slots = max(0, min(w.Slots, mostSlots))
	w.Speed = max(0, min(w.Speed, mostSpeed))
	w.Lately = slices.Clone(w.Lately[:min(len(w.Lately), 2)])
	for i := range w.Lately {
		l := &w.Lately[i]
		for _, v := range []*float64{&l.Seconds, &l.Slots, &l.CPU, &l.Starved} {
			*v = max(0, min(*v, mostSpent))
		}
		l.Samples = max(0, min(l.Samples, mostSpent))
	}
	if t := w.Trouble; t != nil {
		w.Trouble = &store.Trouble{Code: head(t.Code, longName), Text: head(t.Text, longText), Remedy: head(t.Remedy, longText), Since: t.Since}
	}
	return &w
}

// head returns the beginning of a text that is too long, in whole characters.
func head(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "")
}

// within returns a rate that can be added to others.
func within(rate float64) float64 { return max(0, min(rate, mostRate)) }

// silence is how old a heartbeat may be: workers write theirs every ten seconds.
const silence = 15 * time.Second

// skew is by how much a host's clock may differ from the server's before it is said.
const skew = 2 * time.Second

// The store forgets a heartbeat that is not written again after fades; that of a worker that ends in good order is removed. A
// reader remembers one that faded for a while, so that it is seen who is gone.
const (
	fades    = 25 * time.Second
	remember = 10 * time.Minute
)

// remember returns the heartbeats that there are, and those that faded lately.
func (r *Reader) remember(now []store.Worker, at time.Time) []store.Worker {
	if r.known == nil {
		r.known = make(map[string]store.Worker)
	}
	here := make(map[string]bool, len(now))
	for i := range now {
		key := string(now[i].Stage) + "." + now[i].Name
		here[key] = true
		r.known[key] = now[i]
	}
	all := slices.Clone(now)
	for key, w := range r.known {
		if here[key] {
			continue
		}
		if age := at.Sub(time.UnixMilli(w.Seen)); age < fades || age > remember {
			delete(r.known, key)
		} else {
			all = append(all, w)
		}
	}
	return all
}

func workersOf(all []store.Worker, run string, now time.Time) []Worker {
	out := make([]Worker, 0, len(all))
	type stageOf struct {
		process string
		stage   stream.Stage
	}
	begun := make(map[stageOf]bool)
	for i := range all {
		if !worker.IsArrival(all[i].Name) {
			begun[stageOf{all[i].Process, all[i].Stage}] = true
		}
	}
	for i := range all {
		if !slices.Contains(stream.Stages, all[i].Stage) {
			continue
		}
		if worker.IsArrival(all[i].Name) && all[i].Process != "" && begun[stageOf{all[i].Process, all[i].Stage}] {
			continue // it lies there until it is taken away, or fades
		}
		w := clean(all[i])
		v := Worker{
			Stage: w.Stage, Name: w.Name, Host: w.Host, PID: w.PID, Slots: w.Slots, Started: w.Started, Units: w.Units, Samples: w.Samples, Cached: w.Cached,
			Faults: w.Faults, LastSign: max(0, float64(now.UnixMilli()-w.Seen)/1000), State: Working, Fingerprint: w.Fingerprint, Trouble: w.Trouble, Engine: w.Engine,
			Ready: w.Ready, Publishing: w.Publishing, Waited: w.Blocked,
			Speed: w.Speed, settled: w.SpeedSettled, lately: w.Lately,
		}
		if w.Slots == 0 {
			v.State = Starting
		}
		for _, rate := range w.Rates {
			v.all15 += within(rate.Quarter)
			if rate.Run == run {
				v.Rate, v.Rate15 = within(rate.Minute), within(rate.Quarter)
			}
		}
		if off := time.Duration(w.Clock-w.Seen) * time.Millisecond; w.Clock != 0 && off.Abs() >= skew {
			v.Clock = off.Seconds()
		}
		if id, err := process.Parse(w.Process); err == nil && id.Here() && !id.Alive() {
			v.State = Ended
		} else if v.LastSign > silence.Seconds() {
			v.State = Silent
		}
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b Worker) int {
		return cmp.Or(cmp.Compare(slices.Index(stream.Stages, a.Stage), slices.Index(stream.Stages, b.Stage)), cmp.Compare(a.Name, b.Name))
	})
	markSlow(out)
	return out
}

// cardsOf collects the cards that generators speak of. Engines that share a card both do.
func cardsOf(workers []Worker) []Card {
	out := []Card{}
	for i := range workers {
		w := &workers[i]
		if w.Engine == nil || !w.State.Lives() {
			continue
		}
		for _, c := range w.Engine.Cards {
			at := slices.IndexFunc(out, func(o Card) bool {
				return o.Host == w.Host && o.Index == c.Index && o.UUID == c.UUID
			})
			if at < 0 {
				at = len(out)
				out = append(out, Card{Host: w.Host, CardState: c})
			}
			out[at].Workers = append(out[at].Workers, w.Name)
			if w.Engine.Phase == "serving" {
				out[at].Engines++
			}
		}
	}
	slices.SortFunc(out, func(a, b Card) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Index, b.Index))
	})
	return out
}
