package score

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// mixWorld is questions of the world lcb that temperatures find unlike: [temperature][question].
func mixWorld(r *rand.Rand, temperatures, questions int, quirk float64) [][]float64 {
	rates := worlds[0].rates(r, questions)
	at := make([][]float64, temperatures)
	for t := range at {
		at[t] = moved(rates, func() float64 { return quirk * r.NormFloat64() })
	}
	return at
}

func mixTruth(at [][]float64, samples []int) float64 {
	total := 0.0
	for q := range at[0] {
		miss := 0.0
		for t, n := range samples {
			if n > 0 {
				miss += float64(n) * math.Log1p(-at[t][q])
			}
		}
		total -= math.Expm1(miss)
	}
	return total / float64(len(at[0]))
}

// TestRefereeMixes: a mix is worth, on average, what is said of it, which what it seems worth to the
// samples that chose it is not; and the interval of its gain holds.
func TestRefereeMixes(t *testing.T) {
	t.Parallel()
	const temperatures, questions, n = 6, 60, 40
	for _, tt := range []struct {
		name  string
		quirk float64
		costs []float64
	}{
		{"equal", 0, []float64{1, 1, 1, 1, 1, 1}},
		{"interaction", 0.8, []float64{1, 1, 1, 1, 1, 1}},
		{"costly when hot", 0.8, []float64{1, 1, 1.2, 1.4, 1.8, 2}},
	} {
		r := rand.New(rand.NewPCG(167, uint64(len(tt.name))))
		all := mixWorld(r, temperatures, 1500, tt.quirk)
		of := make(map[[6]int]float64) // what a mix is worth on all of them
		worth := func(samples []int) float64 {
			key := [6]int(samples)
			if _, ok := of[key]; !ok {
				of[key] = mixTruth(all, samples)
			}
			return of[key]
		}
		var off, noise [3]float64
		naive, gain := 0.0, 0.0
		var like [3]holds
		rounds := max(25, runs()/2)
		for range rounds {
			at := mixWorld(r, temperatures, questions, tt.quirk)
			counts := make([][]Count, questions)
			for q := range counts {
				for t := range at {
					counts[q] = append(counts[q], Count{N: n, C: binomial(r, n, at[t][q])})
				}
			}
			x, err := newMixer(counts, tt.costs, 16, 0.95, Bootstrap{Rand: r})
			if err != nil {
				t.Fatal(err)
			}
			var got Mixing
			var truth, among [3]float64
			x.crossed(r, &got, 0.95, func(way int, samples []int) {
				truth[way] += mixTruth(at, samples) / mixSplits
				among[way] += worth(samples) / mixSplits
			})
			for way, m := range x.ways(&got) {
				d := m.Value - truth[way]
				off[way] += d / float64(rounds)
				noise[way] += d * d
				if way > 0 {
					like[way].note(*m.Like, among[way]-among[0])
				}
			}
			gain += got.Greedy.Gain / float64(rounds)
			// The same samples choose and score.
			var columns [][]Count
			for t := range at {
				var c []Count
				for q := range counts {
					c = append(c, counts[q][t])
				}
				columns = append(columns, c)
			}
			table := x.table(columns)
			parts := x.choose(2, table)
			seems := 0.0
			for i := range counts {
				seems += (1 - x.miss(parts, table, i)) / questions
			}
			naive += (seems - mixTruth(at, x.samples(parts))) / float64(rounds)
		}
		for way, name := range []string{"single", "pair", "greedy"} {
			s := math.Sqrt(noise[way]) / float64(rounds)
			t.Logf("%-16s %-7s off by %+.4f (+-%.4f), like holds in %5.1f %%", tt.name, name, off[way], s, 100*like[way].share())
			if math.Abs(off[way]) > 3.5*s {
				t.Errorf("%s, %s: off by %+.4f on average", tt.name, name, off[way])
			}
			if way > 0 {
				like[way].within(t, tt.name+" "+name, 0.93, 1)
			}
		}
		t.Logf("%-16s the greedy mix gains %+.4f; scored on the samples that chose it, it is off by %+.4f", tt.name, gain, naive)
		if naive-off[2] < 0.006 {
			t.Errorf("%s: scored on the samples that chose it the greedy mix is off by %+.4f only: the test shows nothing", tt.name, naive)
		}
		if tt.name == "interaction" && gain < 0.005 {
			t.Errorf("%s: the greedy mix gains %+.4f, want what unlike temperatures bring", tt.name, gain)
		}
	}
}

func TestMixesCases(t *testing.T) {
	t.Parallel()
	b := func() Bootstrap { return Bootstrap{Rand: rand.New(rand.NewPCG(1, 2))} }
	// Each temperature solves what the other does not: the pair is best, and half of each.
	q := [][]Count{{{40, 20}, {40, 0}}, {{40, 0}, {40, 20}}, {{40, 20}, {40, 0}}, {{40, 0}, {40, 20}}}
	got, err := Mixes(q, []float64{1, 1}, 16, 0.95, b())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Pair.Samples, []int{8, 8}) || !slices.Equal(got.Greedy.Samples, []int{8, 8}) || got.Pair.Gain < 0.4 {
		t.Errorf("%+v, want a pair of 8 and 8 that gains about a half", got)
	}
	// A temperature that costs four times as much buys a quarter of the samples.
	if got, err = Mixes(q, []float64{1, 4}, 16, 0.95, b()); err != nil || !slices.Equal(got.Pair.Samples, []int{8, 2}) {
		t.Errorf("%+v, %v, want 8 and 2", got.Pair, err)
	}
	for name, bad := range map[string]struct {
		q      [][]Count
		costs  []float64
		budget float64
	}{
		"too few samples": {q, []float64{1, 1}, 21},
		"nothing bought":  {q, []float64{1, 100}, 16},
		"no question":     {nil, []float64{1, 1}, 16},
	} {
		if _, err := Mixes(bad.q, bad.costs, bad.budget, 0.95, b()); !errors.Is(err, ErrUndefined) {
			t.Errorf("%s: %v, want ErrUndefined", name, err)
		}
	}
	if _, err := Mixes(q, []float64{1, 0}, 16, 0.95, b()); err == nil || errors.Is(err, ErrUndefined) {
		t.Errorf("a cost of 0: %v", err)
	}
}
