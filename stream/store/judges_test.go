package store_test

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/lcbq/lcbq/stream/store"
)

// TestJudges wants samples and speeds summed by host, in order, and a list that ends whatever evaluators
// call themselves.
func TestJudges(t *testing.T) {
	t.Parallel()
	var j store.Judges
	for _, h := range []store.JudgeHost{
		{"b", 10, 0, 0}, {"a", 5, 9, 9}, {"b", 10, 8, 8}, {"a", 1, 7, 12}, {"b", 1, -3, -3}, {"a", 1, 5, 1e300},
	} {
		j.Add(h)
	}
	if want := (store.Judges{{"a", 7, 7, 12}, {"b", 21, 8, 8}}); !reflect.DeepEqual(j, want) {
		t.Errorf("judges = %+v, want %+v", j, want)
	}
	for i := range 1000 {
		j.Add(store.JudgeHost{Host: fmt.Sprint("c", i), Samples: 1})
	}
	samples := 0
	for _, h := range j {
		samples += h.Samples
	}
	if len(j) > 65 || samples != 1028 || j[0].Host != "" {
		t.Errorf("of 1002 hosts with 1028 samples: %d, %d, the first %q", len(j), samples, j[0].Host)
	}
}

func TestSameSpeed(t *testing.T) {
	t.Parallel()
	for pair, want := range map[[2]float64]bool{{10, 10}: true, {10, 11}: true, {11, 10}: true, {10, 9}: false, {9, 10}: false, {10, 9.1}: true, {0, 10}: false} {
		if got := store.SameSpeed(pair[0], pair[1]); got != want {
			t.Errorf("SameSpeed%v = %v", pair, got)
		}
	}
}
