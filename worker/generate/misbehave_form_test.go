package generate_test

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/lcbq/lcbq/worker/health"
)

// message changes the message of every choice.
func message(change func(m map[string]any)) odd {
	return each(func(c map[string]any) {
		m, _ := c["message"].(map[string]any)
		change(m)
	})
}

// spoken answers with bytes that are made of the right answer and need not be HTTP.
func spoken(text func(right string) string) odd {
	return func(w http.ResponseWriter, r *http.Request, k, n int) {
		raw(text(rightly(k, n, nil)))(w, r, k, n)
	}
}

// written answers with a text that is made of the right answer.
func written(text func(right string) string) odd {
	return func(w http.ResponseWriter, _ *http.Request, k, n int) {
		_, _ = io.WriteString(w, text(rightly(k, n, nil)))
	}
}

// chunked returns a body in two chunks with trailers.
func chunked(right string) string {
	half := len(right) / 2
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n%x;ext=1\r\n%s\r\n%x\r\n%s\r\n0\r\nX-Sum: 7\r\n\r\n",
		half, right[:half], len(right)-half, right[half:])
}

func sized(right string, more int) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(right)+more, right)
}

// wide returns text in UTF-16, with its mark.
func wide(text string) string {
	var b strings.Builder
	for _, u := range append([]uint16{0xfeff}, utf16.Encode([]rune(text))...) {
		b.Write([]byte{byte(u), byte(u >> 8)})
	}
	return b.String()
}

// streamed returns the right answer as events.
func streamed(right string) []string {
	var a struct {
		Choices []struct {
			Index   int
			Message struct{ Content string }
		}
	}
	if err := json.Unmarshal([]byte(right), &a); err != nil {
		panic(err)
	}
	var events []string
	for _, c := range a.Choices {
		text, err := json.Marshal(c.Message.Content)
		if err != nil {
			panic(err)
		}
		events = append(events, fmt.Sprintf(`data: {"choices":[{"index":%d,"delta":{"content":%s},"finish_reason":"stop"}]}`+"\n\n", c.Index, text))
	}
	return append(events, fmt.Sprintf(`data: {"choices":[],"usage":{"completion_tokens":%d}}`+"\n\n", 25*len(a.Choices)), "data: [DONE]\n\n")
}

// TestMisshapenAnswers asks servers whose answers have an odd form: in HTTP, in the coding of their
// characters, in JSON, or in what the fields hold. It wants what TestMisbehavingServers wants.
func TestMisshapenAnswers(t *testing.T) {
	t.Parallel()
	for _, tt := range []misconduct{
		{"chunks with extensions and trailers", spoken(chunked), well, "", false},
		{"a length that is too small", spoken(func(right string) string { return sized(right, -9) }), fails, "decode answer", false},
		{"a length that is too large", spoken(func(right string) string { return sized(right, 9) }), fails, "unexpected EOF", false},
		{"two lengths", spoken(func(right string) string {
			return strings.Replace(sized(right, 0), "\r\n\r\n", "\r\nContent-Length: 7\r\n\r\n", 1)
		}), fails, "Content-Length", false},
		{"no length and an old protocol", spoken(func(right string) string { return "HTTP/1.0 200 OK\r\n\r\n" + right }), well, "", false},
		{"the same, cut off", spoken(func(right string) string { return "HTTP/1.0 200 OK\r\n\r\n" + right[:len(right)-20] }), fails, "decode answer", false},
		{"goes on first", spoken(func(right string) string {
			return "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + sized(right, 0)
		}), well, "", false},
		{"goes on for ever", spoken(func(string) string { return strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 50) }), fails, "transport connection broken", false},
		{"two answers to one request", spoken(func(right string) string {
			return sized(right, 0) + sized(strings.ReplaceAll(right, "Answer", "Other answer"), 0)
		}), well, "", false},
		{"part of an answer", func(w http.ResponseWriter, _ *http.Request, k, n int) {
			w.Header().Set("Content-Range", "bytes 0-9/1000")
			w.WriteHeader(http.StatusPartialContent)
			_, _ = io.WriteString(w, rightly(k, n, nil))
		}, fails, "status 206", false},
		{"not changed", func(w http.ResponseWriter, _ *http.Request, _, _ int) { w.WriteHeader(http.StatusNotModified) }, fails, "status 304", false},
		{"cookies", func(w http.ResponseWriter, _ *http.Request, k, n int) {
			for i := range 50 {
				http.SetCookie(w, &http.Cookie{Name: fmt.Sprint("c", i), Value: strings.Repeat("v", 1000)})
			}
			_, _ = io.WriteString(w, rightly(k, n, nil))
		}, well, "", false},
		{"packs megabytes of blanks", func(w http.ResponseWriter, _ *http.Request, k, n int) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = io.WriteString(z, strings.Repeat(" ", 4<<20)+rightly(k, n, nil))
			_ = z.Close()
		}, well, "", false},
		{"a packing that nobody asked for", func(w http.ResponseWriter, _ *http.Request, _, _ int) {
			w.Header().Set("Content-Encoding", "br")
			_, _ = io.WriteString(w, "\x1b\x05\x00\xf8")
		}, fails, "decode answer", false},
		{"a byte at a time, and never done", trickle("", 20*time.Millisecond, func(int, int) []string { return strings.Split(strings.Repeat("{", 5000), "") }), fails, "no complete answer within", true},
		{"a stream that nobody asked for", func(w http.ResponseWriter, r *http.Request, k, n int) {
			trickle(events, 0, func(int, int) []string { return streamed(rightly(k, n, nil)) })(w, r, k, n)
		}, well, "", false},
		{"the same, called JSON", written(func(right string) string { return strings.Join(streamed(right), "") }), fails, "decode answer", false},
		{"two bytes a character", written(wide), fails, "decode answer", false},
		{"a mark before the answer", written(func(right string) string { return "\ufeff" + right }), fails, "decode answer", false},
		{"zero bytes behind the answer", written(func(right string) string { return right + "\x00\x00" }), fails, "decode answer", false},
		{"zero characters in the text", message(func(m map[string]any) { m["content"] = fmt.Sprint(m["content"], "\x00") }), well, "", false},
		{"choices twice", written(func(right string) string { return strings.TrimSuffix(right, "}") + `,"choices":[]}` }), fails, "no choice", false},
		{"capital letters", written(func(right string) string { return strings.Replace(right, `"choices"`, `"Choices"`, 1) }), well, "", false},
		{"an index beyond numbers", each(func(c map[string]any) { c["index"] = json.Number("1e30") }), fails, "decode answer", false},
		{"one index for all", each(func(c map[string]any) { c["index"] = 0 }), well, "", false},
		{"a count beyond numbers", changed(func(a map[string]any, _ []map[string]any) {
			a["usage"] = map[string]any{"completion_tokens": json.Number(strings.Repeat("9", 400))}
		}), string(health.Uncounted), "", false},
		{"a count of all tokens alone", changed(func(a map[string]any, _ []map[string]any) { a["usage"] = map[string]any{"total_tokens": 900} }), string(health.Uncounted), "", false},
		{"counts now and then", func(w http.ResponseWriter, _ *http.Request, k, n int) {
			_, _ = io.WriteString(w, rightly(k, n, func(a map[string]any, _ []map[string]any) {
				if k%2 == 0 {
					delete(a, "usage")
				}
			}))
		}, string(health.Uncounted), "", false},
		{"no message", each(func(c map[string]any) { c["message"] = nil }), string(health.Empty), "", false},
		{"no choice in a choice", changed(func(a map[string]any, choices []map[string]any) { a["choices"] = make([]any, len(choices)) }), string(health.Empty), "", false},
		{"declines", message(func(m map[string]any) { m["content"], m["refusal"] = nil, "I cannot help with that" }), string(health.Empty), "", false},
		{"every other answer is empty", func(w http.ResponseWriter, _ *http.Request, k, n int) {
			_, _ = io.WriteString(w, rightly(k, n, func(_ map[string]any, choices []map[string]any) {
				if k%2 == 0 {
					for _, c := range choices {
						c["message"] = map[string]any{"content": ""}
					}
				}
			}))
		}, string(health.Empty), "", false},
		{"calls of tools beside the text", each(func(c map[string]any) {
			m, _ := c["message"].(map[string]any)
			m["tool_calls"] = []any{map[string]any{"id": "1", "type": "function", "function": map[string]any{"name": "f", "arguments": "{"}}}
			c["finish_reason"] = "tool_calls"
		}), string(health.ToolCalls), "", false},
		{"a reason under another name", each(func(c map[string]any) { c["stopReason"] = "stop"; delete(c, "finish_reason") }), string(health.Unfinished), "", false},
		{"a reason that nobody knows", each(func(c map[string]any) { c["finish_reason"] = "because" }), string(health.Unfinished), "", false},
		{"says that all were too long", each(func(c map[string]any) { c["finish_reason"] = "length" }), string(health.ServerCut), "", false},
		{"text in parts", message(func(m map[string]any) { m["content"] = []any{map[string]any{"type": "text", "text": m["content"]}} }), well, "", false},
		{"half of a character", written(func(right string) string { return strings.Replace(right, "Answer", `\ud83d Answer`, 1) }), well, "", false},
		{"fewer choices than asked for", func(w http.ResponseWriter, _ *http.Request, k, _ int) { _, _ = io.WriteString(w, rightly(k, 1, nil)) }, well, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.check(t)
		})
	}
}
