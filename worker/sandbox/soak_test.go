package sandbox

import (
	"flag"
	"os"
	"slices"
	"testing"
	"time"
)

// soak is how many programs TestSoak runs. 200000 takes about ten minutes on
// one processor; the default shows a leak of one descriptor in a hundred
// programs, and little else.
var soak = flag.Int("soak", 2000, "programs of TestSoak")

// TestSoak runs many programs, hostile ones among them, and wants the last
// tenth as fast as the first, and nothing of ours to have grown. The speed is
// compared in processor time, which other work on the machine changes less.
func TestSoak(t *testing.T) {
	t.Parallel()
	h, err := Probe(t.Context(), Config{Python: testPython, Limits: shortLimits})
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, openSlotOn(t, h))
	cases := slices.Concat(readHostile(t, "tricks.txtar"), readHostile(t, "harness.txtar"))
	// Not those that burn their limit: one in eight programs is hostile.
	cases = slices.DeleteFunc(cases, func(c hostileCase) bool { return slices.Contains(c.outcomes, "time limit") })
	tenth := max(*soak/10, 1)
	var spent [10]time.Duration
	var resident, descriptors [10]int64
	for i := range 10 * tenth {
		source, want := correctStdin, Accepted
		q := b.next
		if i%8 == 7 {
			c := cases[i/8%len(cases)]
			source, want, q = c.source, 0, b.stdin
			if c.functional() {
				q = b.functional
			}
		}
		r, err := b.slot.Run(t.Context(), q, source, func(int, Output) bool { return true })
		if err != nil || (want != 0 && r.Outcome != want) {
			t.Fatalf("program %d: Run = %+v, %v", i, r, err)
		}
		if want != 0 {
			spent[i/tenth] += r.CPU
		}
		if i%tenth == tenth-1 {
			resident[i/tenth] = residentMemory(os.Getpid()) + residentMemory(b.slot.servers[plain].process.Pid)
			open, err := os.ReadDir("/proc/self/fd")
			if err != nil {
				t.Fatal(err)
			}
			descriptors[i/tenth] = int64(len(open))
		}
	}
	t.Logf("processor time per tenth %v, resident %v, descriptors %v", spent, resident, descriptors)
	if *soak < 20000 {
		return // too short to tell growth from noise
	}
	if spent[9] > spent[0]*105/100 {
		t.Errorf("the last tenth took %v of processor time, the first %v", spent[9], spent[0])
	}
	if resident[9] > resident[1]+32<<20 {
		t.Errorf("resident memory grew from %d to %d", resident[1], resident[9])
	}
	if descriptors[9] > descriptors[1]+4 {
		t.Errorf("descriptors grew from %d to %d", descriptors[1], descriptors[9])
	}
}
