package sandbox

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPinned wants a program, also one of a fork server that was replaced, on the
// processors of the configuration, and this process on all of its own.
func TestPinned(t *testing.T) {
	t.Parallel()
	if runtime.NumCPU() < 2 {
		t.Skip("this machine has one processor: no program can be kept from another")
	}
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(os.Getpid(), &before); err != nil {
		t.Fatal(err)
	}
	last := 0
	for cpu := range 1024 {
		if before.IsSet(cpu) {
			last = cpu
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
		var now unix.CPUSet
		if err := unix.SchedGetaffinity(os.Getpid(), &now); err != nil || now != before {
			t.Errorf("this process may use %v (%v), want %v as before", now, err, before)
		}
	})
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		h := probeAt(t, C, Config{CPUs: []int{1023}})
		s, err := h.NewSlot(0)
		if err == nil {
			_ = s.Close()
			t.Skip("this machine has a processor 1023")
		}
		if !strings.Contains(err.Error(), "run programs on processors [1023]: ") {
			t.Errorf("NewSlot = %v, want the processors named", err)
		}
	})
}
