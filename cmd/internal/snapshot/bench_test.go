package snapshot_test

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
)

// BenchmarkLook makes snapshots of a run of 175 questions at 16 temperatures with 64 workers: with nothing new since the
// last, and with a cell that was finished since.
func BenchmarkLook(b *testing.B) {
	var temperatures []stream.Temperature
	for t := range 16 {
		temperatures = append(temperatures, stream.Temperature(100+100*t))
	}
	r := newRigOf(b, 175, temperatures, 100) // 28,000 units
	for i := range 64 {
		r.beat(b, store.Worker{Stage: stream.Evaluate, Name: fmt.Sprintf("eval%d_h%d-1", i, i/4), Host: fmt.Sprint("h", i/4), Slots: 8, Rates: []store.RunRate{{Run: "r1", Minute: 1, Quarter: 1}}})
	}
	r.beat(b, store.Worker{Stage: stream.Generate, Name: "gpu0_h-1", Rates: []store.RunRate{{Run: "r1", Minute: 1, Quarter: 1}}})
	for q := range 100 {
		for _, t := range temperatures {
			r.finish(b, q, t)
		}
	}
	r.look(b) // the first reads all that was finished
	b.Run("nothing new", func(b *testing.B) {
		spent := processors(b)
		for b.Loop() {
			r.look(b)
		}
		b.ReportMetric(float64(processors(b)-spent)/1e6/float64(b.N), "cpu-ms/op") // of the server too
	})
	q, t := 100, 0
	b.Run("a cell more", func(b *testing.B) {
		for b.Loop() {
			if q < 175 {
				b.StopTimer()
				r.finish(b, q, temperatures[t])
				if t++; t == len(temperatures) {
					q, t = q+1, 0
				}
				b.StartTimer()
			}
			r.look(b)
		}
	})
	for ; q < 175; q, t = q+1, 0 { // the most that a first look has to read
		for ; t < len(temperatures); t++ {
			r.finish(b, q, temperatures[t])
		}
	}
	b.Run("the first of a process", func(b *testing.B) {
		spent := processors(b)
		for b.Loop() {
			r.fresh(b)
			r.look(b)
		}
		b.ReportMetric(float64(processors(b)-spent)/1e6/float64(b.N), "cpu-ms/op")
	})
}

// processors returns the time of processors that this process has had: what a look costs on a machine that others use
// too.
func processors(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
