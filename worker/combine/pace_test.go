package combine

import (
	"testing"

	"github.com/lcbq/lcbq/stream"
)

// TestPaceOfACard wants the rate of a card with two engines counted over the time of the card, not twice.
func TestPaceOfACard(t *testing.T) {
	t.Parallel()
	var p pace
	for _, g := range []string{"gpu0_host-7", "gpu0-2_host-7", "gpu0-3_host-7"} {
		p.add(&stream.Scored{Batch: stream.Batch{Generator: g, Started: 1000, Ended: 2000, Samples: []stream.Sample{{Tokens: 100}}}})
	}
	if got := p.tokensPerSecond(); got != 300 {
		t.Errorf("three engines of a card made %v tokens/s, want 300", got)
	}
	for _, g := range []string{"gpu1_host-7", "gpu0-x_host-7", "gpu0_host-2_host-7", "sim-2_host"} {
		if cardOf(g) != g {
			t.Errorf("cardOf(%q) = %q, want the generator itself", g, cardOf(g))
		}
	}
}
