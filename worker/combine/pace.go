package combine

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/lcbq/lcbq/stream"
)

// A pace computes how fast a cell was generated. Units of one card overlap in time, also those of
// several engines on it, so its busy time is the union of their intervals, not the sum.
type pace struct {
	tokens int64
	spans  map[string][]span // by card
}

// cardOf returns what names the card of a generator: gpu0-2_host-7 is the second engine on the
// card of gpu0_host-7. A generator without a card is one of its own.
func cardOf(generator string) string {
	label, rest, ok := strings.Cut(generator, "_")
	card, slot, several := strings.Cut(label, "-")
	if _, err := strconv.Atoi(slot); !ok || !several || err != nil || !strings.HasPrefix(card, "gpu") {
		return generator
	}
	return card + "_" + rest
}

type span struct{ from, to int64 } // Unix milliseconds

func (p *pace) add(u *stream.Scored) {
	if p.spans == nil {
		p.spans = make(map[string][]span)
	}
	for i := range u.Samples {
		p.tokens += int64(u.Samples[i].Tokens)
	}
	card := cardOf(u.Generator)
	p.spans[card] = append(p.spans[card], span{u.Started, u.Ended})
}

// tokensPerSecond returns completion tokens per second and card while the
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
