package summary

import (
	"flag"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/score"
)

// simulations is the flag of the tests of package score.
var simulations = flag.Int("simulations", 60, "simulated runs for each coverage")

// TestRefereeStopping draws runs whose temperatures end apart, by the rule that the combiner follows, and counts how often
// the interval of each holds its true mean where it ended, and how often those of all four do.
func TestRefereeStopping(t *testing.T) {
	t.Parallel()
	const questions, most = 30, 4000
	rounds := max(25, *simulations*3/10)
	for _, w := range []struct {
		name  string
		half  float64
		rates func(r *rand.Rand) float64
		shift []float64 // of each temperature, in logits
	}{
		{"near a half, all alike", 0.03, func(*rand.Rand) float64 { return 0.5 }, []float64{0, 0, 0, 0}},
		{"uniform, falling", 0.025, func(r *rand.Rand) float64 { return r.Float64() }, []float64{0, -1, -2.5, -5}},
		{"lcb, falling", 0.02, func(r *rand.Rand) float64 {
			switch u := r.Float64(); {
			case u < 0.6:
				return 0.05 * r.Float64() * r.Float64()
			case u < 0.9:
				return 0.05 + 0.9*r.Float64()
			default:
				return 1 - 0.05*r.Float64()
			}
		}, []float64{0.5, 0, -1, -3}},
	} {
		r := rand.New(rand.NewPCG(311, 7))
		held, one, all, looks := 0, 0, 0, 0
		least, largest := most, 0
		for range rounds {
			m := &store.Manifest{ID: "r", Until: &store.Until{Half: w.half, K: 1, Most: most}}
			for i := range w.shift {
				m.Temperatures = append(m.Temperatures, stream.Temperature(100*(i+1)))
			}
			rates := make(map[stream.Cell]float64)
			truth := make([]float64, len(w.shift))
			for q := range questions {
				m.Questions = append(m.Questions, store.Question{Index: q, Cuts: []int{16}})
				p := w.rates(r)
				for i, shift := range w.shift {
					c := stream.Cell{Run: "r", Question: q, Temperature: m.Temperatures[i]}
					rates[c] = p / (p + (1-p)*math.Exp(-shift))
					truth[i] += rates[c] / questions
				}
			}
			cells := make(map[stream.Cell]store.CellState)
			var u *Until
			for more := true; more; more = u.Raise(m) {
				looks++
				for _, q := range m.Questions {
					for _, at := range m.Temperatures {
						c := stream.Cell{Run: "r", Question: q.Index, Temperature: at}
						st := cells[c]
						if n := m.Wanted(q, at) - st.N; n > 0 {
							st.N, st.Passed = st.N+n, st.Passed+int(distuv.Binomial{N: float64(n), P: rates[c], Src: r}.Rand())
							cells[c] = st
						}
					}
				}
				var err error
				if u, err = UntilOf(m, cells); err != nil {
					t.Fatal(err)
				}
			}
			every := true
			for i, at := range m.Temperatures {
				var counts []score.Count
				for q := range questions {
					st := cells[stream.Cell{Run: "r", Question: q, Temperature: at}]
					counts = append(counts, score.Count{N: st.N, C: st.Passed})
				}
				scores, err := score.Scores(counts, 1)
				if err != nil {
					t.Fatal(err)
				}
				anytime, err := score.AnytimeInterval(counts, scores, 1, level)
				if err != nil {
					t.Fatal(err)
				}
				if !u.Temperatures[i].Reached || anytime.Width() > 2*w.half+1e-12 {
					t.Fatalf("%s: a temperature ended at %d samples with an interval of %v", w.name, counts[0].N, anytime)
				}
				plain, err := score.SamplingInterval(counts, scores, 1, level)
				if err != nil {
					t.Fatal(err)
				}
				if anytime.Contains(truth[i]) {
					held++
				} else {
					every = false
				}
				if plain.Contains(truth[i]) {
					one++
				}
				least, largest = min(least, counts[0].N), max(largest, counts[0].N)
			}
			if every {
				all++
			}
		}
		ended := float64(rounds * len(w.shift))
		share := float64(held) / ended
		t.Logf("stopping %-22s %d samples at a temperature to %d, %.1f looks: each holds in %5.1f %% of %.0f, all four in %5.1f %%; for one look %5.1f %%",
			w.name, least, largest, float64(looks)/float64(rounds), 100*share, ended, 100*float64(all)/float64(rounds), 100*float64(one)/ended)
		if share < 0.95-3.5*math.Sqrt(0.05*0.95/ended) {
			t.Errorf("%s: intervals hold the truth in %.1f %% where their temperature ended, want 95", w.name, 100*share)
		}
		if w.shift[3] != 0 && largest < 2*least {
			t.Errorf("%s: all temperatures end together, after %d to %d samples: the test is blind", w.name, least, largest)
		}
	}
}
