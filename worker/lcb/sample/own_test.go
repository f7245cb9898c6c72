package sample

import (
	"bytes"
	"testing"

	"github.com/lcbq/lcbq/worker/lcb"
)

// TestOwn wants the example of a problem set of one's own read by the reader of all problem files.
func TestOwn(t *testing.T) {
	t.Parallel()
	problems, err := lcb.ReadProblems(bytes.NewReader(Own()), "own.jsonl")
	if err != nil || len(problems) != 2 {
		t.Fatalf("%d problems, %v, want 2", len(problems), err)
	}
	if a, b := problems[0], problems[1]; a.ID != "2" || a.FuncName != "longest_run" || b.ID != "own_sum" || b.Functional() {
		t.Errorf("problems %q %q and %q %q, want one that is called and one that reads stdin", a.ID, a.FuncName, b.ID, b.FuncName)
	}
}
