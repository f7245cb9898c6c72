package score

import (
	"math"
	"math/big"
	"math/bits"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

// exactUnion averages over every choice of the temperatures that give one more.
func exactUnion(counts []Count, k int) float64 {
	m := len(counts)
	each, more := k/m, k%m
	total, choices := new(big.Rat), int64(0)
	for mask := range 1 << m {
		if bits.OnesCount(uint(mask)) != more {
			continue
		}
		miss := big.NewRat(1, 1)
		for i, c := range counts {
			take := each
			if mask>>i&1 == 1 {
				take++
			}
			miss.Mul(miss, exactMiss(c.N, c.C, take))
		}
		total.Add(total, miss)
		choices++
	}
	total.Quo(total, big.NewRat(choices, 1))
	f, _ := total.Sub(big.NewRat(1, 1), total).Float64()
	return f
}

func TestUnionAtK(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		counts := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Count { return drawCount(t, 30) }), 1, 6).Draw(t, "counts")
		least := 30
		for _, c := range counts {
			least = min(least, c.N)
		}
		k := rapid.IntRange(1, least*len(counts)).Draw(t, "k")
		got, err := UnionAtK(counts, k)
		if want := exactUnion(counts, k); err != nil || math.Abs(got-want) > 1e-12 || want == 0 && got != 0 {
			t.Fatalf("UnionAtK(%v, %d) = %v, %v, want %v", counts, k, got, err, want)
		}
		one, err := UnionAtK(counts[:1], counts[0].N)
		if want, _ := PassAtK(counts[0].N, counts[0].C, counts[0].N); err != nil || !close12(one, want) {
			t.Fatalf("union of one = %v, %v, want %v", one, err, want)
		}
	})
}

func TestUnionKeepsSmallDigits(t *testing.T) {
	t.Parallel()
	counts := []Count{{1_000_000, 1}, {1_000_000, 0}, {1_000_000, 1}}
	for _, k := range []int{1, 2, 3, 7} {
		if got, err := UnionAtK(counts, k); err != nil || math.Abs(got/exactUnion(counts, k)-1) > 1e-9 {
			t.Errorf("UnionAtK(%d) = %v, %v, want %v", k, got, err, exactUnion(counts, k))
		}
	}
}

func TestSolved(t *testing.T) {
	t.Parallel()
	got, err := Solved([][]Count{
		{{10, 0}, {10, 0}, {0, 0}},
		{{10, 1}, {10, 0}, {10, 0}},
		{{10, 1}, {10, 1}, {10, 0}},
		{{10, 1}, {10, 9}, {10, 10}},
		{{10, 0}, {10, 1}, {10, 0}},
	})
	if want := (Coverage{Solved: []int{3, 3, 1}, Only: []int{1, 1, 0}, Union: 4, Complete: 4, All: 1}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Solved = %+v, %v, want %+v", got, err, want)
	}
	if _, err := Solved([][]Count{{{1, 1}}, {}}); err == nil {
		t.Error("Solved of ragged temperatures succeeded")
	}
	if _, err := Solved([][]Count{{{1, 2}}}); err == nil {
		t.Error("Solved of a bad count succeeded")
	}
}

func TestGroups(t *testing.T) {
	t.Parallel()
	got := Groups([]string{"hard", "easy", "", "hard"})
	want := []Group{{"", []int{2}}, {"easy", []int{1}}, {"hard", []int{0, 3}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Groups = %v, want %v", got, want)
	}
}
