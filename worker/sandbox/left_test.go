package sandbox

import (
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// setFlags sets flags on the descriptors that a program shares with those before and after
// it, showFlags says which are set.
const (
	setFlags = `import fcntl, os
for fd in (0, 1, 2):
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_NONBLOCK | os.O_APPEND)
print("set")
`
	showFlags = `import fcntl
print(*[fcntl.fcntl(fd, fcntl.F_GETFL) for fd in (0, 1, 2)])
`
)

// TestNothingLeftInFlags wants the flags of open files, which programs share, to be for each
// program what they were for the first.
func TestNothingLeftInFlags(t *testing.T) {
	t.Parallel()
	q := &Question{ID: "q", Inputs: []string{""}}
	for _, level := range []Level{A, B, C} {
		t.Run(level.String(), func(t *testing.T) {
			t.Parallel()
			s := openSlotOn(t, probeAt(t, level, Config{Limits: shortLimits}))
			said := func(source string) (text string) {
				r, err := s.Run(t.Context(), q, source, func(_ int, o Output) bool {
					text = string(o.Text)
					return true
				})
				if err != nil || r.Outcome != Accepted {
					t.Fatalf("Run of %q = %+v, %v", source, r, err)
				}
				return text
			}
			before := said(showFlags)
			said(setFlags)
			if after := said(showFlags + "# again\n"); after != before {
				t.Errorf("the next program found flags %q, want %q", after, before)
			}
		})
	}
}

// TestMemoryOf wants the tables of an address space counted: a page that was only read has
// none of its own, but takes two pages of tables where it lies alone.
func TestMemoryOf(t *testing.T) { //nolint:paralleltest // it measures the process
	const pages, apart = 2000, 1 << 30
	before := memoryOf(os.Getpid())
	for i := range pages {
		hint := unsafe.Add(nil, 0x100000000000+i*apart)
		at, err := unix.MmapPtr(-1, 0, hint, uintptr(os.Getpagesize()), unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.MunmapPtr(at, uintptr(os.Getpagesize())) })
		_ = *(*byte)(at)
	}
	if grown, least := memoryOf(os.Getpid())-before, int64(pages*os.Getpagesize()); grown < least {
		t.Errorf("memory grew by %d bytes, want %d at least", grown, least)
	}
}
