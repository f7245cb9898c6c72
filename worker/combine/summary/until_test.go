package summary

import (
	"testing"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
)

// TestUntilOf: the rule is held against the widest temperature, and against the cell with the
// fewest samples of it.
func TestUntilOf(t *testing.T) {
	t.Parallel()
	m := &store.Manifest{ID: "r", Temperatures: []stream.Temperature{200, 800}, Questions: []store.Question{{Index: 0, Cuts: []int{400}}, {Index: 3, Cuts: []int{400}}}}
	if m.Temperatures[0].Float() >= m.Temperatures[1].Float() {
		t.Fatal("temperatures do not ascend")
	}
	cells := make(map[stream.Cell]store.CellState)
	put := func(q int, at stream.Temperature, n, passed int) {
		cells[stream.Cell{Run: "r", Question: q, Temperature: at}] = store.CellState{Counts: stream.Counts{N: n, Passed: passed}}
	}
	put(0, 200, 400, 4)
	put(3, 200, 400, 396)
	put(0, 800, 400, 200)
	put(3, 800, 380, 190)
	if u, err := UntilOf(m, cells); u != nil || err != nil {
		t.Errorf("a run without a rule: %+v, %v", u, err)
	}
	m.Until = &store.Until{Half: 0.1, K: 1, Most: 1000}
	u, err := UntilOf(m, cells)
	if err != nil {
		t.Fatal(err)
	}
	// About 3.1 standard errors of sqrt(1/4/390)/sqrt(2).
	if u.At != m.Temperatures[1].Float() || u.N != 380 || !u.Reached || u.Widest < 0.05 || u.Widest > 0.065 {
		t.Errorf("until %+v", u)
	}
	m.Until.Half = 0.05
	if u, err = UntilOf(m, cells); err != nil || u.Reached {
		t.Errorf("a narrower rule is reached: %+v, %v", u, err)
	}
	m.Until.K = 381
	if u, err = UntilOf(m, cells); err != nil || u != nil && u.N < 381 {
		t.Errorf("questions with fewer than k samples count: %+v, %v", u, err)
	}
	delete(cells, stream.Cell{Run: "r", Question: 0, Temperature: 800})
	delete(cells, stream.Cell{Run: "r", Question: 3, Temperature: 800})
	if u, err = UntilOf(m, cells); u != nil || err != nil {
		t.Errorf("a temperature without samples: %+v, %v", u, err)
	}
}
