package combine

import (
	"cmp"
	"slices"

	"github.com/lcbq/lcbq/stream"
)

// A pace computes how fast a cell was generated. Units of one generator overlap
// in time, so its busy time is the union of their intervals, not the sum.
type pace struct {
	tokens int64
	spans  map[string][]span // by generator
}

type span struct{ from, to int64 } // Unix milliseconds

func (p *pace) add(u *stream.Scored) {
	if p.spans == nil {
		p.spans = make(map[string][]span)
	}
	for i := range u.Samples {
		p.tokens += int64(u.Samples[i].Tokens)
	}
	p.spans[u.Generator] = append(p.spans[u.Generator], span{u.Started, u.Ended})
}

// tokensPerSecond returns completion tokens per second and generator while the
// cell was being generated, 0 if that took no measurable time.
func (p *pace) tokensPerSecond() float64 {
	var busy int64
	for _, spans := range p.spans {
		slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
		var end int64
		for _, s := range spans {
			// A unit that ended before it began saw its host's clock set back: its
			// time is unknown, not negative.
			if from := max(s.from, end); s.to > from {
				busy += s.to - from
				end = s.to
			}
		}
	}
	if busy <= 0 {
		return 0
	}
	return float64(p.tokens) * 1000 / float64(busy)
}
