package sandbox

import (
	"fmt"
	"log/slog"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// affinity returns the processors of the thread that it happens to run on.
func affinity(t *testing.T) unix.CPUSet {
	t.Helper()
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		t.Error(err)
	}
	return set
}

// TestPinned wants a program, also one of a fork server that was replaced, on the
// processors of the configuration, and every thread of this process on all of its own.
func TestPinned(t *testing.T) {
	t.Parallel()
	if runtime.NumCPU() < 2 {
		t.Skip("this machine has one processor: no program can be kept from another")
	}
	before := affinity(t)
	last, absent := 0, 0
	for cpu := range 1024 {
		if before.IsSet(cpu) {
			last = cpu
		} else {
			absent = cpu
		}
	}
	forEachLevel(t, Config{CPUs: []int{last}, Recycle: 1}, func(t *testing.T, h *Host) {
		t.Helper()
		s := openSlotOn(t, h)
		q := &Question{ID: "q", Inputs: []string{""}}
		for range 2 {
			got := ""
			r, err := s.Run(t.Context(), q, "import os\nprint(*os.sched_getaffinity(0))", func(_ int, o Output) bool {
				got = strings.TrimSpace(string(o.Text))
				return true
			})
			if err != nil || r.Outcome != Accepted || got != strconv.Itoa(last) {
				t.Errorf("Run = %+v, %v on processors %q, want %d", r, err, got, last)
			}
		}
		h.Pin(nil)
		got := ""
		r, err := s.Run(t.Context(), q, "import os\nprint(len(os.sched_getaffinity(0)))", func(_ int, o Output) bool {
			got = strings.TrimSpace(string(o.Text))
			return true
		})
		if err != nil || r.Outcome != Accepted || got != strconv.Itoa(before.Count()) {
			t.Errorf("Run = %+v, %v on %q processors after Pin(nil), want all %d", r, err, got, before.Count())
		}
		s.spawn <- func() {
			if now := affinity(t); now != before {
				t.Errorf("the thread that starts fork servers is left on %v, want %v", now, before)
			}
		}
		var all, held sync.WaitGroup
		held.Add(32) // so many threads at once that idle ones are among them
		for range 32 {
			all.Go(func() {
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				held.Done()
				held.Wait()
				if now := affinity(t); now != before {
					t.Errorf("a thread of this process is left on %v, want %v", now, before)
				}
			})
		}
		all.Wait()
	})
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		_, err := Probe(t.Context(), Config{Python: testPython, CPUs: []int{absent}})
		if want := "run programs on processors [" + strconv.Itoa(absent) + "]: "; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Probe = %v, want %q", err, want)
		}
	})
}

// TestProcessorsVanish wants programs that are to run on a processor that is there no more to run on the others,
// with one word about it, and where they were told once that is there again.
func TestProcessorsVanish(t *testing.T) {
	t.Parallel()
	all := affinity(t)
	first, absent := -1, 0
	for cpu := range 1024 {
		if !all.IsSet(cpu) {
			absent = cpu
		} else if first < 0 {
			first = cpu
		}
	}
	var log strings.Builder
	h, err := Probe(t.Context(), Config{Python: testPython, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	s := openSlotOn(t, h)
	for i, c := range []struct {
		pin  []int
		want string
	}{{[]int{absent}, fmt.Sprint(all.Count())}, {[]int{absent}, fmt.Sprint(all.Count())}, {[]int{absent, first}, "1"}, {nil, fmt.Sprint(all.Count())}} {
		s.Pin(c.pin)
		if i == 1 {
			s.discard(plain) // a new server starts there too
		}
		got := ""
		r, err := s.Run(t.Context(), &Question{ID: "q", Inputs: []string{""}}, "import os\nprint(len(os.sched_getaffinity(0)))", func(_ int, o Output) bool {
			got = strings.TrimSpace(string(o.Text))
			return true
		})
		if err != nil || r.Outcome != Accepted || got != c.want {
			t.Errorf("pinned to %v: Run = %+v, %v on %q processors, want %s", c.pin, r, err, got, c.want)
		}
	}
	if strings.Count(log.String(), "were taken from this process") != 1 {
		t.Errorf("log = %q", log.String())
	}
}
