package evaluate

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/streamtest"
)

// TestStepsAreTheProtocols records what an evaluator does with one unit: the order
// for which the model shows that nothing is lost.
func TestStepsAreTheProtocols(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	g := newGrader(t, 1)
	q := b.m.Questions[0]
	task := b.m.Tasks(q, 700)[0]
	batch := stream.Batch{Unit: task.Unit}
	for i := range task.N {
		batch.Samples = append(batch.Samples, stream.Sample{Index: task.First + i, Code: "print(1)", FinishReason: "stop"})
	}
	b.publish(t, task.Unit, batch)
	var mu sync.Mutex
	var sent []string
	judged := int64(0) // programs run when the output was published
	record := b.Record(t, func(subject string) {
		mu.Lock()
		defer mu.Unlock()
		sent = append(sent, subject)
		if strings.HasPrefix(subject, string(stream.Combine)+".") {
			judged, _ = g.Counts()
		}
	})
	w := b.worker(g)
	w.Queue, w.Store, w.Runs.Store = record.Queue, record.Store, record.Store
	b.drain(t, w)
	mu.Lock()
	defer mu.Unlock()
	want := slices.DeleteFunc(streamtest.TheProtocol().Unit, func(s streamtest.Step) bool { return s == streamtest.Work })
	if got := streamtest.UnitSteps(stream.Evaluate, sent); !slices.Equal(got, want) || judged == 0 {
		t.Errorf("an evaluator's steps are %v with %d programs run before the second, want %v with some\n%v", got, judged, want, sent)
	}
}
