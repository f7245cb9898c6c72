package stream_test

import (
	"strings"
	"testing"

	"github.com/lcbq/lcbq/stream"
)

// TestEngine wants each engine to be of exactly one kind, and any other name refused.
func TestEngine(t *testing.T) {
	t.Parallel()
	want := map[stream.Engine]string{"sim": "simulated", "replay": "recorded", "openai": "attached", "vllm": "supervised", "llama": "supervised"}
	for _, e := range stream.Engines() {
		var is []string
		for kind, yes := range map[string]bool{"simulated": e.Simulated(), "recorded": e.Recorded(), "attached": e.Attached(), "supervised": e.Supervised()} {
			if yes {
				is = append(is, kind)
			}
		}
		if len(is) != 1 || is[0] != want[e] || e.Check() != nil {
			t.Errorf("%s is %v, Check = %v, want %s and nil", e, is, e.Check(), want[e])
		}
	}
	if len(stream.Engines()) != len(want) {
		t.Errorf("Engines = %v, want %d", stream.Engines(), len(want))
	}
	for _, name := range []stream.Engine{"", "VLLM", "sglang"} {
		if err := name.Check(); err == nil || !strings.Contains(err.Error(), "want one of sim, replay, openai, vllm, llama") {
			t.Errorf("Check of %q = %v, want the names there are", name, err)
		}
	}
}
