package sandbox

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// marks is a program that marks some paths by looking at them, and timings one that
// says how long a look at each of them takes.
const (
	marks = `import os
for path in input().split():
    if os.access(path, 4):
        fd = os.open(path, os.O_RDONLY)
        os.read(fd, 1)
        os.close(fd)
`
	timings = `import os
from time import perf_counter_ns as now
paths, took = input().split(), []
for path in paths:
    began = now()
    if os.access(path, 4):
        fd = os.open(path, os.O_RDONLY)
        os.read(fd, 1)
        os.close(fd)
    took.append(now() - began)
print(*took)
`
)

// BenchmarkChannel is what one program can leave to the next by looking at files, or for
// names that do not exist: error-%/op are the bits that come out wrong (50 if there is no such
// channel), bits/s what a pair of programs carries. The first half of the bits
// are known to both and tell the slow looks from the quick.
func BenchmarkChannel(b *testing.B) {
	const bits = 48
	for _, level := range []Level{A, B, C} {
		for _, kind := range []string{"files", "names"} {
			b.Run(level.String()+"/"+kind, func(b *testing.B) {
				h := probeAt(b, level, Config{})
				s := openSlotOn(b, h)
				files, err := filepath.Glob("/usr/share/zoneinfo/[A-Z]*/*")
				if err != nil || len(files) < bits {
					b.Skipf("%d files of time zones, want %d", len(files), bits)
				}
				wrong, carried := 0, time.Duration(0)
				for round := range b.N {
					paths := slices.Clone(files[:bits])
					for i, path := range paths {
						if kind == "names" {
							paths[i] = filepath.Join(filepath.Dir(path), fmt.Sprintf("lcbq-%d-%v-%d-%d", os.Getpid(), level, round, i))
						} else if err := forget(path); err != nil {
							b.Fatal(err)
						}
					}
					var sent [bits]bool
					var marked []string
					for i := range sent {
						if sent[i] = rand.N(2) == 0; sent[i] {
							marked = append(marked, paths[i])
						}
					}
					began := time.Now()
					said := ""
					for _, run := range []struct {
						source string
						paths  []string
					}{{marks, marked}, {timings, paths}} {
						q := &Question{ID: fmt.Sprint(kind, round, len(run.paths)), Inputs: []string{strings.Join(run.paths, " ")}}
						r, err := s.Run(b.Context(), q, run.source, func(_ int, o Output) bool {
							said = string(o.Text)
							return true
						})
						if err != nil || r.Outcome != Accepted {
							b.Fatalf("Run = %+v, %v", r, err)
						}
					}
					carried += time.Since(began)
					wrong += misread(b, sent[:], strings.Fields(said))
				}
				b.ReportMetric(100*float64(wrong)/float64(b.N*bits/2), "error-%/op")
				b.ReportMetric(float64(b.N*bits/2)/carried.Seconds(), "bits/s")
			})
		}
	}
}

// misread returns how many of the second half of the bits are read wrongly, if the
// threshold is the one that tells the first half best.
func misread(b *testing.B, sent []bool, took []string) int {
	b.Helper()
	if len(took) != len(sent) {
		b.Fatalf("%d timings of %d bits", len(took), len(sent))
	}
	times := make([]int, len(took))
	for i, text := range took {
		n, err := strconv.Atoi(text)
		if err != nil {
			b.Fatal(err)
		}
		times[i] = n
	}
	half := len(sent) / 2
	wrong := func(from, to, threshold int) (n int) {
		for i := from; i < to; i++ {
			if sent[i] != (times[i] < threshold) {
				n++
			}
		}
		return n
	}
	best := slices.MinFunc(times[:half], func(x, y int) int { return wrong(0, half, x) - wrong(0, half, y) })
	return wrong(half, len(sent), best)
}

// forget drops a file from the page cache.
func forget(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	return unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED)
}
