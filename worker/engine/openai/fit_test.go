package openai_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/worker/engine"
	"github.com/lcbq/lcbq/worker/engine/openai"
)

// TestMaxTokensFit wants a number of tokens that the context has no room for refused before
// any work, with the largest that fits beside the longest prompt of the run: by the server's
// tokenizer, or by the numbers in its refusal.
func TestMaxTokensFit(t *testing.T) {
	t.Parallel()
	const vllm = `{"object":"error","message":"'max_tokens' or 'max_completion_tokens' is too large: %d. This model's maximum context length is 4096 tokens and your request has %d input tokens (%d > 4096 - %d).","code":400}`
	sum := func(most, prompt int) string {
		if most+prompt <= 4096 {
			return ""
		}
		return fmt.Sprintf(vllm, most, prompt, most, prompt)
	}
	for _, tt := range []struct {
		name      string
		tokenizer bool
		models    int                           // the context that the list of models says, 0 for none
		refuse    func(most, prompt int) string // what the server says; "" takes the request
		want      map[int]string                // by --max-tokens; "" is that it fits
	}{
		{"by the tokenizer", true, 4096, sum, map[int]string{
			20000: "--max-tokens 20000 does not fit: the model's context holds 4096 tokens for prompt and answer, and the longest prompt, of question long, has 900\npass --max-tokens 3196 or less",
			3197:  "pass --max-tokens 3196 or less",
			3196:  "",
		}},
		{"by the refusal's numbers", false, 0, sum, map[int]string{20000: "of question long, has 900\npass --max-tokens 3196 or less", 3197: "pass --max-tokens 3196 or less", 3196: ""}},
		{"in the words of OpenAI", false, 0, func(most, prompt int) string {
			if most+prompt <= 4096 {
				return ""
			}
			return fmt.Sprintf(`{"error":{"message":"This model's maximum context length is 4096 tokens. However, you requested %d tokens (%d in the messages, %d in the completion)."}}`, most+prompt, prompt, most)
		}, map[int]string{3197: "pass --max-tokens 3196 or less", 3196: ""}},
		{"first the context alone, then the rest", false, 0, func(most, prompt int) string {
			if most > 4096 {
				return fmt.Sprintf(`{"object":"error","message":"max_tokens=%d cannot be greater than max_model_len=max_total_tokens=4096. Please request fewer output tokens."}`, most)
			}
			return sum(most, prompt)
		}, map[int]string{20000: "pass --max-tokens 3196 or less", 3196: ""}},
		{"the list of models alone", false, 4096, func(int, int) string { return "" }, map[int]string{4096: "lower --max-tokens to 4096 less the longest prompt", 3000: ""}},
		{"no numbers", false, 0, func(most, _ int) string {
			if most > 1000 {
				return `{"error":"max_tokens is too large for this account"}`
			}
			return ""
		}, map[int]string{2000: "max_tokens is too large for this account\nlower --max-tokens", 1000: ""}},
		{"a prompt beyond the context", true, 800, func(int, int) string { return "" }, map[int]string{10: "the prompt of question long has 900 tokens, and the model's context holds 800"}},
		{"says nothing", false, 0, func(int, int) string { return "" }, map[int]string{20000: ""}},
	} {
		for most, want := range tt.want {
			t.Run(fmt.Sprintf("%s/%d", tt.name, most), func(t *testing.T) {
				t.Parallel()
				f := newFake(t, nil)
				f.spoil = func(x *exchange) bool {
					asked, _ := x.body["max_tokens"].(float64)
					prompt := 300
					if strings.Contains(fmt.Sprint(x.body["messages"]), "longer") {
						prompt = 900
					}
					said := tt.refuse(int(asked), prompt)
					return said != "" && x.status(400, said)
				}
				srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					switch {
					case strings.HasSuffix(r.URL.Path, "/models"):
						_, _ = fmt.Fprintf(w, `{"data":[{"id":"m","max_model_len":%d}]}`, tt.models)
					case r.URL.Path == "/tokenize" && tt.tokenizer:
						body, _ := io.ReadAll(r.Body)
						count := 300
						if strings.Contains(string(body), "longer") {
							count = 900
						}
						_, _ = fmt.Fprintf(w, `{"count":%d,"max_model_len":%d}`, count, tt.models)
					default:
						f.ServeHTTP(w, r)
					}
				}))
				t.Cleanup(srv.Close)
				ask := func(id, text string) engine.Request {
					return engine.Request{QuestionID: id, Messages: []engine.Message{{Role: "user", Content: text}}}
				}
				c := newClient(t, func(cfg *openai.Config) {
					cfg.Endpoints, cfg.MaxTokens = []string{srv.URL}, most
					cfg.Prompts = []engine.Request{ask("short", "some question"), ask("long", "longer in tokens")}
				})
				err := c.Check(t.Context())
				if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
					t.Errorf("Check = %v\nwant %q", err, want)
				}
			})
		}
	}
}
