package evaluate

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream"
)

// BenchmarkSlowLane judges units of which half the programs sleep into the time limit, through a queue: how many
// quick ones are judged a second, how long after the last of them began the last unit ends, in time limits, and
// how many pairs of units end in another order than that in which they came. late-s is how long after the last
// quick one began the last slow one did, which the rule decides; what the tail has beyond it and one limit is the
// start of a process, the tick at which a sleeper is found, and the machine's load. Sleepers show many slots on
// few processors.
func BenchmarkSlowLane(b *testing.B) {
	for _, slots := range []int{4, 16} {
		b.Run(fmt.Sprint(slots), func(b *testing.B) {
			for b.Loop() {
				slowLane(b, slots)
			}
		})
	}
}

func slowLane(b *testing.B, slots int) {
	b.Helper()
	env := newBench(b)
	g := newGrader(b, slots)
	w := env.worker(g)
	w.Slots, w.Units = slots, NewUnits(slots)
	var mu sync.Mutex
	var lastQuick, lastSlow time.Time
	quick := 0
	g.fault = func(code string) error {
		mu.Lock()
		defer mu.Unlock()
		if strings.Contains(code, "sleep") {
			lastSlow = time.Now()
		} else {
			lastQuick, quick = time.Now(), quick+1
		}
		return nil
	}
	var all []stream.Unit
	for _, q := range env.m.Questions {
		for _, task := range env.m.Tasks(q, 700) {
			batch := batchOf(task, task.N, "")
			for i := range batch.Samples {
				s := &batch.Samples[i]
				if s.Code = fmt.Sprintf("print(%d, %d)", s.Index, q.Index); i%2 == 0 {
					s.Code = fmt.Sprintf("import time\ntime.sleep(99)\nprint(%d, %d)", s.Index, q.Index)
				}
			}
			env.publish(b, task.Unit, batch)
			all = append(all, task.Unit)
		}
	}
	var ended []string
	record := env.Record(b, func(subject string) {
		mu.Lock()
		defer mu.Unlock()
		if strings.HasPrefix(subject, string(stream.Combine)+".") {
			ended = append(ended, subject)
		}
	})
	w.Queue, w.Store, w.Runs.Store = record.Queue, record.Store, record.Store
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	ran := make(chan error, 1)
	began := time.Now()
	go func() { ran <- w.Run(ctx) }()
	env.WaitEmpty(b, stream.Evaluate)
	took := time.Since(began)
	cancel()
	if err := <-ran; err != nil {
		b.Fatal(err)
	}
	place := map[string]int{}
	for i, u := range all {
		place[u.Subject(stream.Combine)] = i
	}
	inverted := 0
	for i := range ended {
		for j := range i {
			if place[ended[j]] > place[ended[i]] {
				inverted++
			}
		}
	}
	b.ReportMetric(float64(len(all)), "units")
	b.ReportMetric(float64(quick)/lastQuick.Sub(began).Seconds(), "quick/s")
	b.ReportMetric((took-lastQuick.Sub(began)).Seconds()/limits.Wall.Seconds(), "tail-limits")
	b.ReportMetric(lastSlow.Sub(lastQuick).Seconds(), "late-s")
	b.ReportMetric(float64(inverted), "inverted")
	b.ReportMetric(took.Seconds(), "wall-s")
}
