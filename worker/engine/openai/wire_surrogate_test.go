package openai

import (
	"strings"
	"testing"
)

// TestHalfSurrogate wants half a surrogate in an answer kept: Python refuses a program that holds one.
func TestHalfSurrogate(t *testing.T) {
	t.Parallel()
	const want = "# \xed\xa0\xbd"
	for _, answer := range []string{
		`{"choices":[{"text":"# \ud83d","finish_reason":"stop"}]}`,
		`{"choices":[{"message":{"content":"# \ud83d"},"finish_reason":"stop"}]}`,
		`{"choices":[{"message":{"content":[{"text":"# "},{"text":"\ud83d"}]},"finish_reason":"stop"}]}`,
	} {
		drafts, _, err := readWhole(strings.NewReader(answer))
		if err != nil || len(drafts) != 1 || drafts[0].completion().Text != want {
			t.Errorf("%s: %v, %v, want %q", answer, drafts, err, want)
		}
	}
}
