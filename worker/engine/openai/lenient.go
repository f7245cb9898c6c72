package openai

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/lcbq/lcbq/worker/pyjson"
)

// A thought is a model's reasoning: text, a list of parts, or an object that holds it. Another shape is
// read as none: what a server sends beside an answer must not cost the answer.
type thought string

// UnmarshalJSON implements json.Unmarshaler.
func (t *thought) UnmarshalJSON(b []byte) error {
	*t = ""
	switch {
	case len(b) > 0 && b[0] == '"':
		return (*pyjson.Text)(t).UnmarshalJSON(b)
	case len(b) > 0 && b[0] == '[':
		var parts []thought
		if json.Unmarshal(b, &parts) == nil {
			for _, p := range parts {
				*t += p
			}
		}
	case len(b) > 0 && b[0] == '{':
		var o struct {
			Text    thought `json:"text"`
			Content thought `json:"content"`
		}
		if json.Unmarshal(b, &o) == nil {
			*t = o.Text + o.Content
		}
	}
	return nil
}

// A label is a name that a server gives, made fit to be shown and stored; "" for what is no text.
type label string

// mostLabel is the longest name that is kept, in bytes: models' names are paths at their longest.
const mostLabel = 200

// UnmarshalJSON implements json.Unmarshaler.
func (l *label) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) != nil {
		s = ""
	}
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return -1
		}
		return r
	}, s)
	for len(s) > mostLabel {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	*l = label(strings.TrimSpace(s))
	return nil
}

// sameModel reports whether an answer names the model that was asked for, or none.
func sameModel(answered, asked string) bool {
	const tag = ":latest" // Ollama's
	return answered == "" || strings.EqualFold(strings.TrimSuffix(answered, tag), strings.TrimSuffix(asked, tag))
}

// standard returns an answer with null for NaN and the infinities, which Python's servers write, and no
// JSON has: they stand among log probabilities, which nobody reads here.
func standard(raw []byte) []byte {
	if !bytes.Contains(raw, []byte("NaN")) && !bytes.Contains(raw, []byte("Infinity")) {
		return raw
	}
	out := make([]byte, 0, len(raw))
	inside := false
	for len(raw) > 0 {
		n, word := 1, ""
		switch {
		case inside && raw[0] == '\\':
			n = min(2, len(raw)) // what it escapes ends no text
		case raw[0] == '"':
			inside = !inside
		case !inside:
			word = noNumber(raw)
		}
		if word != "" {
			out, raw = append(out, "null"...), raw[len(word):]
			continue
		}
		out, raw = append(out, raw[:n]...), raw[n:]
	}
	return out
}

// noNumber returns the word at the head of raw that stands for no number, "" without one.
func noNumber(raw []byte) string {
	for _, word := range []string{"NaN", "Infinity", "-Infinity"} {
		if bytes.HasPrefix(raw, []byte(word)) {
			return word
		}
	}
	return ""
}
