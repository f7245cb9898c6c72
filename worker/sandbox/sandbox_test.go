package sandbox

import (
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	Main()
	goleak.VerifyTestMain(m)
}

// shortLimits keep a hostile program's test short.
var shortLimits = Limits{CPU: 300 * time.Millisecond, Wall: 800 * time.Millisecond, Memory: 1 << 30, Output: 1 << 20}

// slotIDs gives each slot of the test binary an id of its own.
var slotIDs atomic.Int64

// openSlot returns a slot on this host that is closed with the test.
func openSlot(t *testing.T, config Config) *Slot {
	t.Helper()
	if config.Python == "" {
		config.Python = testPython
	}
	h, err := Probe(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	return openSlotOn(t, h)
}

// openSlotOn is openSlot for a host that was probed already.
func openSlotOn(t *testing.T, h *Host) *Slot {
	t.Helper()
	s, err := h.NewSlot(int(slotIDs.Add(1)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
