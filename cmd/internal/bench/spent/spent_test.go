package spent

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/google/pprof/profile"
)

// made returns a profile of stacks, the innermost function first, each with its stage's label and the
// hundredths of a second it took.
func made(t *testing.T, stacks []stack) []byte {
	t.Helper()
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
		PeriodType: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"}, Period: 1e7,
	}
	functions := map[string]*profile.Location{}
	for _, s := range stacks {
		sample := &profile.Sample{Value: []int64{s.hundredths, s.hundredths * 1e7}}
		if s.label != "" {
			sample.Label = map[string][]string{label: {s.label}}
		}
		for name := range strings.FieldsSeq(s.calls) {
			l := functions[name]
			if l == nil {
				f := &profile.Function{ID: uint64(len(functions) + 1), Name: name}
				l = &profile.Location{ID: f.ID, Line: []profile.Line{{Function: f}}}
				functions[name] = l
				p.Function, p.Location = append(p.Function, f), append(p.Location, l)
			}
			sample.Location = append(sample.Location, l)
		}
		p.Sample = append(p.Sample, sample)
	}
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type stack struct {
	label, calls string
	hundredths   int64
}

// TestParse wants each stack under the stage that its goroutine is of, and under the innermost kind of work
// that is known.
func TestParse(t *testing.T) {
	t.Parallel()
	raw := made(t, []stack{
		{"generate", "runtime.memmove encoding/json.checkValid github.com/lcbq/lcbq/worker/engine/openai.readWhole", 30},
		{"generate", "syscall.Syscall6 net.(*conn).Write net/http.(*Transport).dialConn", 10},
		{"generate", "runtime.memmove github.com/lcbq/lcbq/worker/lcb.Extract", 5},
		// A connection within the process runs the server's functions on its client's goroutines.
		{"combine", "syscall.Syscall6 os.(*File).Write github.com/nats-io/nats-server/v2/server.(*fileStore).flush", 20},
		{"combine", "github.com/klauspost/compress/zstd.(*Decoder).DecodeAll github.com/lcbq/lcbq/stream.Decode", 7},
		{"", "runtime.scanobject runtime.gcDrain runtime.gcBgMarkWorker", 3},
		{"", "main.main", 1},
	})
	stages, err := Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		stage string
		kinds map[string]float64
	}{
		{"generate", map[string]float64{"JSON": 0.3, "sockets": 0.1, "extraction": 0.05}},
		{Server, map[string]float64{"files": 0.2}},
		{"combine", map[string]float64{"compression": 0.07}},
		{Runtime, map[string]float64{"garbage collection": 0.03}},
		{Other, map[string]float64{"other": 0.01}},
	}
	if len(stages) != len(want) {
		t.Fatalf("Parse = %+v, want %d stages", stages, len(want))
	}
	for i, s := range stages {
		if s.Name != want[i].stage || len(s.Kinds) != len(want[i].kinds) {
			t.Errorf("stage %d = %+v, want %+v", i, s, want[i])
		}
		for j, k := range s.Kinds {
			if math.Abs(k.Seconds-want[i].kinds[k.Name]) > 1e-9 || j > 0 && k.Seconds > s.Kinds[j-1].Seconds {
				t.Errorf("%s: %+v, want %v, the largest first", s.Name, s.Kinds, want[i].kinds)
			}
		}
	}
	twice := Sum(stages, stages)
	if len(twice) != len(stages) || math.Abs(twice[0].Seconds-0.9) > 1e-9 {
		t.Errorf("Sum = %+v, want twice %+v", twice, stages)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	if _, err := Parse([]byte("no profile")); err == nil || !strings.Contains(err.Error(), "read the processor profile") {
		t.Errorf("Parse of no profile = %v", err)
	}
	heap := &profile.Profile{SampleType: []*profile.ValueType{{Type: "space", Unit: "bytes"}}}
	var b bytes.Buffer
	if err := heap.Write(&b); err != nil {
		t.Fatal(err)
	}
	if _, err := Parse(b.Bytes()); err == nil || !strings.Contains(err.Error(), "holds no processor time") {
		t.Errorf("Parse of a heap profile = %v", err)
	}
}
