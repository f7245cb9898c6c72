package evaluate

import (
	"flag"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/lcbq/lcbq/worker/pythontest"

	"go.uber.org/goleak"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/lcb"
	"github.com/lcbq/lcbq/worker/lcb/sample"
	"github.com/lcbq/lcbq/worker/sandbox"

	"github.com/lcbq/lcbq/stream/streamtest"
)

// slowToo is given by .ci/run. Without it the suite is one that a person waits for.
var slowToo = flag.Bool("slow", false, "run the tests that burn seconds of processor time too")

// burnsSeconds leaves a test out that burns three seconds of processor time or more, unless the slow ones are wanted.
func burnsSeconds(t *testing.T) {
	t.Helper()
	if !*slowToo {
		t.Skip("burns seconds of processor time; -slow runs it")
	}
}

func TestMain(m *testing.M) {
	sandbox.Main()
	goleak.VerifyTestMain(m, streamtest.Leaks()...)
}

// limits are small, so that programs that run into them are quick.
var limits = sandbox.Limits{CPU: 300 * time.Millisecond, Wall: 3 * time.Second, Memory: 512 << 20, Output: 64 << 10}

// newGrader returns a grader that is closed with the test. All of them share what
// the first one found out about the machine.
func newGrader(tb testing.TB, slots int) *Grader {
	tb.Helper()
	path := pythontest.Find(tb)
	probeMu.Lock()
	defer probeMu.Unlock()
	var first *sandbox.Slot
	var err error
	if host == nil { // a probe costs as much as a hundred programs
		host, first, err = sandbox.Open(tb.Context(), sandbox.Config{Python: path, Limits: limits})
	} else {
		first, err = host.NewSlot(0)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return graderOn(tb, host, first, slots)
}

// newGraderFor is newGrader of one slot for runs with a reference speed.
func newGraderFor(tb testing.TB, reference string) *Grader {
	tb.Helper()
	host, first, err := sandbox.Open(tb.Context(), sandbox.Config{Python: pythontest.Find(tb), Limits: limits, Reference: reference})
	if err != nil {
		tb.Fatal(err)
	}
	return graderOn(tb, host, first, 1)
}

func graderOn(tb testing.TB, host *sandbox.Host, first *sandbox.Slot, slots int) *Grader {
	tb.Helper()
	p, err := newPool(tb.Context(), host, first, slots, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	g, err := newGraderOn(host, p, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := g.Close(); err != nil {
			tb.Error(err)
		}
	})
	return g
}

// problem returns a built-in problem.
func problem(tb testing.TB, id string) *lcb.Problem {
	tb.Helper()
	for _, p := range sample.Problems() {
		if p.ID == id {
			return p
		}
	}
	tb.Fatalf("no built-in problem %s", id)
	return nil
}

// question returns a built-in problem ready for judging, decoded once.
func question(tb testing.TB, id string) *Question {
	tb.Helper()
	questionsMu.Lock()
	defer questionsMu.Unlock()
	if q, ok := decoded[id]; ok {
		return q
	}
	q, err := NewQuestion(problem(tb, id))
	if err != nil {
		tb.Fatal(err)
	}
	decoded[id] = q
	return q
}

var (
	probeMu sync.Mutex // guards host
	host    *sandbox.Host
)

var (
	questionsMu sync.Mutex // guards decoded
	decoded     = make(map[string]*Question)
)

func code(program string) stream.Sample { return stream.Sample{Code: program, FinishReason: "stop"} }

func judge1(tb testing.TB, g *Grader, q *Question, s stream.Sample) stream.Judgement {
	tb.Helper()
	j, _, err := g.Judge(tb.Context(), q, s)
	if err != nil {
		tb.Fatal(err)
	}
	return j
}

// text shows a pointer's value.
func text(p *int) string {
	if p == nil {
		return "null"
	}
	return fmt.Sprint(*p)
}
