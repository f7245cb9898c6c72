package openai_test

import (
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/lcbq/lcbq/worker/engine"
	"github.com/lcbq/lcbq/worker/engine/openai"
	"github.com/lcbq/lcbq/worker/lcb"
	"github.com/lcbq/lcbq/worker/lcb/sample"
)

// BenchmarkShapes measures request shapes against a running server, whose address
// LCBQ_BENCH_ENDPOINT holds: the table in README.md is its output on one H100.
// Units of 128 samples are kept in flight, more than any shape asks for at once.
func BenchmarkShapes(b *testing.B) {
	endpoint, ok := os.LookupEnv("LCBQ_BENCH_ENDPOINT")
	if !ok {
		b.Skip("LCBQ_BENCH_ENDPOINT names no server")
	}
	for _, shape := range []struct {
		n, inFlight int
		stream      bool
	}{
		{32, 1024, false},
		{1, 1024, false},
		{8, 1024, false},
		{128, 1024, false},
		{32, 512, false},
		{32, 768, false},
		{32, 2048, false},
		{32, 1024, true},
		{8, 1024, true},
	} {
		b.Run(fmt.Sprintf("n=%d/in_flight=%d/stream=%t", shape.n, shape.inFlight, shape.stream), func(b *testing.B) {
			c, err := openai.New(openai.Config{
				Endpoints: []string{endpoint}, MaxN: shape.n, InFlight: shape.inFlight, Stream: shape.stream, Timeout: 5 * time.Minute,
			})
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			if err := c.Check(b.Context()); err != nil { // finds out how tokens are counted, too
				b.Fatal(err)
			}
			const unit, units = 128, 24
			var mu sync.Mutex
			tokens := 0
			b.ResetTimer()
			for range b.N {
				var wg sync.WaitGroup
				for i := range units {
					wg.Go(func() {
						got, err := c.Generate(b.Context(), lcbRequest(b, i*2/units, unit))
						if err != nil {
							b.Error(err)
							return
						}
						mu.Lock()
						defer mu.Unlock()
						for _, s := range got {
							tokens += s.Tokens
						}
					})
				}
				wg.Wait()
			}
			b.ReportMetric(float64(tokens)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}

// lcbRequest returns a request for samples of a built-in problem, as a run makes it.
func lcbRequest(b *testing.B, question, n int) engine.Request {
	b.Helper()
	p := sample.Problems()[question]
	r := engine.Request{Question: question, QuestionID: p.ID, N: n, Sampling: engine.Sampling{Temperature: 0.8, TopP: 1, MaxTokens: 256}}
	for _, m := range lcb.PromptStyle("lcb").Render(p).Messages {
		r.Messages = append(r.Messages, engine.Message{Role: m.Role, Content: m.Content})
	}
	return r
}
