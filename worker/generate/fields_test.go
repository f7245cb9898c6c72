package generate_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/stream/streamtest"
	"github.com/lcbq/lcbq/worker/engine"
)

// TestCompletionFieldsReachTheBatch: each field of an engine's completion is in the
// message to the evaluators, by its value.
func TestCompletionFieldsReachTheBatch(t *testing.T) {
	t.Parallel()
	var full engine.Completion
	streamtest.Fill(t, &full)
	recorded := full // a program without a text keeps its program; with one, the text is what counts
	recorded.Text = ""
	full.Code = nil
	env := streamtest.New(t)
	m := submit(t, env, nil)
	drain(t, env, newWorker(env, &fake{answer: func(_ int, r engine.Request) ([]engine.Completion, error) {
		return []engine.Completion{full, recorded, full}[:r.N], nil
	}}))
	b := batch(t, env, m.Tasks(m.Questions[0], m.Temperatures[0])[0].Unit)
	for i, c := range []engine.Completion{full, recorded} {
		raw, err := json.Marshal(b.Samples[i])
		if err != nil {
			t.Fatal(err)
		}
		v := reflect.ValueOf(c)
		for j := range v.NumField() {
			if v.Field(j).IsZero() {
				continue
			}
			want, err := json.Marshal(v.Field(j).Interface())
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Contains(raw, append([]byte(":"), want...)) {
				t.Errorf("%s = %s of a completion is not in the sample %s", v.Type().Field(j).Name, want, strings.TrimSpace(string(raw)))
			}
		}
	}
}
