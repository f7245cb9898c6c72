package sandbox

import (
	"flag"
	"fmt"
	"hash/fnv"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lcbq/lcbq/stream/streamtest/patience"
)

func TestMain(m *testing.M) {
	crowd()
	Main()
	// Some programs sleep into their limits: four tests run at once, however few the processors.
	patience.AtOnce(4)
	goleak.VerifyTestMain(m)
}

var (
	full   = flag.Bool("full", false, "run each program of the catalogues at every level, and import each package in a process of its own")
	sample = flag.Int64("sample", 1, "which programs of the catalogues are run at which level")
)

// drawn reports whether the part numbered i of n holds what is called name: each name is
// in one part, and in every one if -full is given.
func drawn(name string, i, n int) bool {
	h := fnv.New64a()
	// A hash takes whatever it is given.
	_, _ = fmt.Fprint(h, *sample, name)
	return *full || int(h.Sum64()%uint64(n)) == i
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
	h, err := probed(config)
	if err != nil {
		t.Fatal(err)
	}
	return openSlotOn(t, h)
}

// openSlotOn is openSlot for a host that was probed already.
func openSlotOn(tb testing.TB, h *Host) *Slot {
	tb.Helper()
	s, err := h.NewSlot(int(slotIDs.Add(1)))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}
