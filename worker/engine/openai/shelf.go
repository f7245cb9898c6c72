package openai

import (
	"slices"
	"sync"

	"github.com/lcbq/lcbq/worker/engine"
)

// A shelf keeps what calls that failed had drawn, the last shelfBytes of it: a unit comes
// back within minutes, or goes to another generator.
type shelf struct {
	mu    sync.Mutex
	units map[call][]slot
	order []call // the oldest first
	bytes int
}

// slotBytes is about what a place takes beside its text.
const slotBytes = 128

// shelfBytes holds some hundred units of ordinary completions.
const shelfBytes = 64 << 20

// A call names the samples that a request wants.
type call struct {
	run         string
	question    int
	temperature float64
	first, n    int
}

func callOf(r engine.Request) call {
	return call{r.Run, r.Question, r.Sampling.Temperature, r.First, r.N}
}

// take returns the places of a call, with what is kept in them. It is kept no longer.
func (s *shelf) take(r engine.Request) []slot {
	s.mu.Lock()
	defer s.mu.Unlock()
	if all := s.drop(callOf(r)); all != nil {
		return all
	}
	return make([]slot, r.N)
}

// drop takes a call's places off the shelf. It returns nil if there are none.
func (s *shelf) drop(c call) []slot {
	all := s.units[c]
	if all != nil {
		delete(s.units, c)
		s.order = slices.DeleteFunc(s.order, func(o call) bool { return o == c })
		s.bytes -= weight(all)
	}
	return all
}

func weight(all []slot) int {
	n := 0
	for i := range all {
		n += len(all[i].Text) + slotBytes
	}
	return n
}

// put keeps what a call has drawn.
func (s *shelf) put(r engine.Request, all []slot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.units == nil {
		s.units = make(map[call][]slot)
	}
	s.drop(callOf(r)) // two deliveries of one unit: the later one's are as good
	s.units[callOf(r)], s.order = all, append(s.order, callOf(r))
	for s.bytes += weight(all); s.bytes > shelfBytes; {
		s.drop(s.order[0])
	}
}
