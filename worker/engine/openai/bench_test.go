package openai_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/worker/engine/openai"
)

// BenchmarkGenerate measures what the client costs: 100 samples of 500 tokens in
// requests for 32, from a server that has the answers ready. Client, server and
// the network between them share the processor.
func BenchmarkGenerate(b *testing.B) {
	for _, name := range []string{"ids", "ids+prompt"} {
		b.Run(name, func(b *testing.B) {
			one := fmt.Sprintf(`{"index":0,"message":{"role":"assistant","content":%q},"finish_reason":"stop","token_ids":[%s151645]}`,
				strings.Repeat("print(x)\n", 200), strings.Repeat("12345,", 499))
			f := &fake{spoilt: map[string]bool{}}
			f.spoil = func(x *exchange) bool {
				prompt := ""
				if name == "ids+prompt" {
					prompt = `,"prompt_token_ids":[` + strings.Repeat("12345,", 599) + `1]`
				}
				x.w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(x.w, `{"choices":[`+strings.TrimSuffix(strings.Repeat(one+",", x.n), ",")+`]`+prompt+`}`)
				f.mu.Lock()
				f.asked = f.asked[:0]
				f.mu.Unlock()
				return true
			}
			s := &http.Server{Handler: f} //nolint:gosec // it serves this benchmark only
			l, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			go func() { _ = s.Serve(l) }()
			c, err := openai.New(openai.Config{Endpoints: []string{"http://" + l.Addr().String()}, Model: "m", InFlight: 1024})
			if err != nil {
				b.Fatal(err)
			}
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if got, err := c.Generate(b.Context(), request(100)); err != nil || got[0].Tokens != 500 {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)*100*500/b.Elapsed().Seconds(), "tokens/s")
			c.Close()
			_ = s.Close()
		})
	}
}
