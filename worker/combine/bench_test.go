package combine

import (
	"fmt"
	"os"
	"runtime/metrics"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// BenchmarkCell writes cells of completions of 4 KB each. Its peak_MB is the
// largest heap in use while a unit is visited, that of the embedded server
// included: it must not grow with the cell.
func BenchmarkCell(b *testing.B) {
	for _, n := range []int{500, 5000} {
		b.Run(map[int]string{500: "n=500", 5000: "n=5000"}[n], func(b *testing.B) {
			e := newBench(b, 1, n, 100)
			for _, task := range e.tasks(0, 100) {
				s := scored(task)
				for i := range s.Samples {
					s.Samples[i].Completion = strings.Repeat(s.Samples[i].Completion+" ", 4096/8)
				}
				if _, err := e.Queue.Publish(b.Context(), stream.Combine, task.Unit, s); err != nil {
					b.Fatal(err)
				}
			}
			heap := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
			var peak uint64
			w := e.worker()
			for b.Loop() {
				c := w.newCell(e.m, e.m.Questions[0], e.cell(0, 100)) // without a state: it is never marked
				err := c.stage(b.Context())
				if err == nil {
					err = c.appear()
				}
				if err != nil {
					b.Fatal(err)
				}
				err = c.visit(b.Context(), nil, func(*result.Sample) error {
					metrics.Read(heap)
					peak = max(peak, heap[0].Value.Uint64())
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(peak)/1e6, "peak_MB")
		})
	}
}

// BenchmarkWriteCell writes the cell that the size of a run is counted in: 10,000
// samples of 2 KB, all programs different, from units in the stream to the durable
// file. rss_MB is the most memory that the whole process has had, the embedded
// server, which a combiner does not have, included.
func BenchmarkWriteCell(b *testing.B) {
	for _, form := range []string{"plain", "zstd"} {
		b.Run(form, func(b *testing.B) {
			e := newBench(b, 1, 10_000, 100)
			e.m.UnitSize = 100
			body := strings.Repeat("for i in range(n):\n    total += a[i]\n", 18)
			for _, task := range e.tasks(0, 100) {
				s := scored(task)
				for i := range s.Samples {
					s.Samples[i].Code = fmt.Sprintf("%sprint(%d)\n", body, s.Samples[i].Index)
					s.Samples[i].Completion = "Here it is:\n```python\n" + s.Samples[i].Code + "```\n" + strings.Repeat("It adds up. ", 50)
				}
				if _, err := e.Queue.Publish(b.Context(), stream.Combine, task.Unit, s); err != nil {
					b.Fatal(err)
				}
			}
			w := e.worker()
			w.Compress = form == "zstd"
			for b.Loop() {
				c := w.newCell(e.m, e.m.Questions[0], e.cell(0, 100))
				err := c.stage(b.Context())
				if err == nil {
					err = c.appear()
				}
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(c.draft.state.Bytes)
			}
			b.ReportMetric(float64(highWater(b))/1e3, "rss_MB")
		})
	}
}

// highWater returns the peak resident memory of this process in kB.
func highWater(b *testing.B) int {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip("no /proc/self/status: ", err)
	}
	for line := range strings.Lines(string(status)) {
		if digits, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			var kB int
			if _, err := fmt.Sscan(digits, &kB); err != nil {
				b.Fatal(err)
			}
			return kB
		}
	}
	b.Skip("no VmHWM")
	return 0
}
