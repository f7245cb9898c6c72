package sandbox

import (
	"flag"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"
)

// soak is how many programs TestSoak runs. 200000 takes about fifteen minutes of
// one processor; the default shows a leak of one descriptor in fifty programs, and
// little else.
var soak = flag.Int("soak", 200, "programs of TestSoak")

// TestSoak runs many programs, hostile ones among them, and wants the last
// tenth as fast as the first, and nothing of ours to have grown. The speed is
// processor time of everybody in it, this process, fork server and programs, over
// that of a yardstick run between them: an interpreter of its own that starts and
// ends, and suffers from other work on the machine as programs do.
func TestSoak(t *testing.T) { //nolint:paralleltest // counts the descriptors of this process
	h, err := Probe(t.Context(), Config{Python: testPython, Limits: shortLimits})
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, openSlotOn(t, h))
	cases := slices.Concat(readHostile(t, "tricks.txtar"), readHostile(t, "harness.txtar"))
	// Not those that burn their limit: one in eight programs is hostile.
	cases = slices.DeleteFunc(cases, func(c hostileCase) bool { return slices.Contains(c.outcomes, "time limit") })
	tenth := max(*soak/10, 1)
	var spent, yard [10]time.Duration
	var resident, descriptors [10]int64
	began, ours := time.Now(), meter{slot: b.slot}
	ours.take(t)
	for i := range 10 * tenth {
		if i%100 == 0 {
			yard[i/tenth] += yardstick(t)
			ours.take(t)
		}
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
		spent[i/tenth] += r.CPU + ours.take(t)
		if i%tenth == tenth-1 {
			t.Logf("%d programs in %v", i+1, time.Since(began).Round(time.Second))
			resident[i/tenth] = memoryOf(os.Getpid()) + memoryOf(b.slot.servers[plain].process.Pid)
			open, err := os.ReadDir("/proc/self/fd")
			if err != nil {
				t.Fatal(err)
			}
			descriptors[i/tenth] = int64(len(open))
		}
	}
	t.Logf("processor time per tenth %v, of the yardstick %v, resident %v, descriptors %v", spent, yard, resident, descriptors)
	if descriptors[9] > descriptors[1]+4 {
		t.Errorf("descriptors grew from %d to %d", descriptors[1], descriptors[9])
	}
	if *soak < 20000 {
		return // too short to tell growth of the rest from noise
	}
	last, first := spent[9].Seconds()/yard[9].Seconds(), spent[0].Seconds()/yard[0].Seconds()
	t.Logf("last tenth over first %.3f, by the yardstick %.3f", spent[9].Seconds()/spent[0].Seconds(), last/first)
	if last > first*1.05 {
		t.Errorf("the last tenth took %.2f yardsticks of processor time, the first %.2f", last, first)
	}
	if resident[9] > resident[1]+32<<20 {
		t.Errorf("resident memory grew from %d to %d", resident[1], resident[9])
	}
}

// yardstick returns the processor time of an interpreter that starts and ends.
func yardstick(t *testing.T) time.Duration {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), testPython, "-I", "-S", "-c", "pass")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}

// A meter adds up the processor time of this process and of the fork servers that
// a slot had meanwhile, from their start on.
type meter struct {
	slot       *Slot
	self, life time.Duration
	pid        int
}

// take returns what was used since the last call.
func (m *meter) take(t *testing.T) time.Duration {
	t.Helper()
	read := func(pid int) time.Duration {
		now, err := cpuTime(pid)
		if err != nil {
			t.Fatal(err)
		}
		return now
	}
	self, pid := read(os.Getpid()), m.slot.servers[plain].process.Pid
	life := read(pid)
	used := self - m.self + life
	if pid == m.pid {
		used -= m.life
	}
	m.self, m.life, m.pid = self, life, pid
	return used
}
