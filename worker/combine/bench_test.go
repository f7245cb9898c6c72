package combine

import (
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
				before, _, _ := e.Store.Cell(b.Context(), e.cell(0, 100)) // none: it is never marked
				d, err := w.stage(b.Context(), e.m, e.m.Questions[0], e.cell(0, 100), before)
				if err == nil {
					err = d.file.Appear()
				}
				if err != nil {
					b.Fatal(err)
				}
				err = w.visit(b.Context(), e.m, e.m.Questions[0], e.cell(0, 100), before, nil, func(*result.Sample) error {
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
