package result

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/lcbq/lcbq/stream"
)

func TestSampleRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		optional := rapid.Ptr(rapid.IntRange(-5, 100), true)
		want := Sample{
			Sample: stream.Sample{
				Index: rapid.IntRange(0, 1<<40).Draw(t, "index"), Completion: rapid.String().Draw(t, "completion"),
				Code: rapid.String().Draw(t, "code"), Tokens: rapid.Int().Draw(t, "tokens"), FinishReason: rapid.String().Draw(t, "finish"),
			},
			Judgement: stream.Judgement{
				Verdict: rapid.SampledFrom(stream.Verdicts()).Draw(t, "verdict"), ErrorCode: optional.Draw(t, "error_code"),
				Test: optional.Draw(t, "test"), CPU: rapid.Float64().Draw(t, "cpu"), Detail: rapid.String().Draw(t, "detail"),
			},
			Generator: rapid.String().Draw(t, "generator"), Evaluator: rapid.String().Draw(t, "evaluator"),
		}
		raw := AppendSample(nil, &want)
		if bytes.ContainsAny(raw, "\n\r") {
			t.Fatalf("%s is not one line", raw)
		}
		if got, err := ParseSample(raw); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("ParseSample(%s) = %+v, %v, want %+v", raw, got, err, want)
		}
	})
}

// TestSampleFields: a file has every field of a Sample, under the name that its tag
// says.
func TestSampleFields(t *testing.T) {
	t.Parallel()
	names := []string{"passed"} // it follows from the verdict
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Sample]()) {
		// A message carries half surrogates in fields of its own; a file escapes them.
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && !strings.HasSuffix(name, "_wtf8") {
			names = append(names, name)
		}
	}
	have := make([]string, 0, len(fields))
	for _, f := range fields {
		have = append(have, f.name)
	}
	slices.Sort(names)
	slices.Sort(have)
	if !slices.Equal(have, names) {
		t.Errorf("files have the fields %v, a Sample %v", have, names)
	}
}
