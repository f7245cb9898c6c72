package score

import (
	_ "embed"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

//go:embed testdata/discovery.json
var discovery []byte

// TestDiscoveryReference compares Benjamini and Hochberg's adjustment and Fisher's exact test
// with scipy's.
func TestDiscoveryReference(t *testing.T) {
	t.Parallel()
	var all struct {
		Sets []struct {
			P, BH  []float64
			Fisher [][5]float64 // samples and passes of a, of b, P
		}
	}
	if err := json.Unmarshal(discovery, &all); err != nil {
		t.Fatal(err)
	}
	if len(all.Sets) != 10 {
		t.Fatalf("%d data sets, want 10", len(all.Sets))
	}
	for i, s := range all.Sets {
		for j, got := range BenjaminiHochberg(s.P) {
			if math.Abs(got-s.BH[j]) > 1e-12 {
				t.Errorf("set %d: %v is adjusted to %v, scipy says %v", i, s.P[j], got, s.BH[j])
			}
		}
		for _, f := range s.Fisher {
			got, err := Rarer(Count{int(f[0]), int(f[1])}, Count{int(f[2]), int(f[3])})
			if err != nil || math.Abs(got-f[4]) > 1e-9 {
				t.Errorf("set %d: %v: P = %v, %v", i, f, got, err)
			}
		}
	}
	if _, err := Rarer(Count{}, Count{N: 3}); !errors.Is(err, ErrUndefined) {
		t.Errorf("no samples: %v, want ErrUndefined", err)
	}
}

// TestDiscoveriesAreSeldomFalse: where pass rates do not depend on the temperature, hardly a
// run confirms a question that flips; where some do, most of those confirmed are true.
func TestDiscoveriesAreSeldomFalse(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(173, 1))
	rounds := max(100, runs())
	alarms, found, wrong := 0, 0, 0
	for range rounds {
		var null, some []float64
		var flips []bool
		for q := range 60 {
			p := math.Pow(10, -4*r.Float64())
			cold, hot := Count{100, binomial(r, 100, p)}, Count{700, binomial(r, 700, p)}
			if cold.C+hot.C == 0 {
				continue
			}
			x, err := Rarer(cold, hot)
			if err != nil {
				t.Fatal(err)
			}
			null = append(null, x)
			if q%4 == 0 { // this one passes when hot only
				if x, err = Rarer(Count{100, 0}, Count{700, binomial(r, 700, 0.1)}); err != nil {
					t.Fatal(err)
				}
			}
			some, flips = append(some, x), append(flips, q%4 == 0)
		}
		for _, q := range BenjaminiHochberg(null) {
			if q <= 0.05 {
				alarms++
				break
			}
		}
		for i, q := range BenjaminiHochberg(some) {
			if q <= 0.05 {
				found++
				if !flips[i] {
					wrong++
				}
			}
		}
	}
	t.Logf("nothing flips: something is confirmed in %d of %d runs; a quarter does: %d confirmed, %d of them falsely", alarms, rounds, found, wrong)
	if float64(alarms) > 0.05*float64(rounds)+3.5*math.Sqrt(0.0475*float64(rounds)) {
		t.Errorf("something is confirmed in %d of %d runs where nothing flips", alarms, rounds)
	}
	if found < 10*rounds || float64(wrong) > 0.06*float64(found) {
		t.Errorf("%d confirmed in %d runs, %d of them falsely", found, rounds, wrong)
	}
}

// TestBeyondHolds: the band of the models holds the truth for up to a hundred times n, and its
// ends are what they say.
func TestBeyondHolds(t *testing.T) {
	t.Parallel()
	const n, questions = 100, 175
	ks := []int{100, 1000, 10_000}
	for _, w := range []int{0, 1, 2, 3} { // lcb, beta, uniform, log-uniform
		r := rand.New(rand.NewPCG(179, uint64(w)))
		held, looks := 0, 0
		for range max(10, runs()/6) {
			rates := worlds[w].rates(r, questions)
			counts := draw(r, rates, func(int) int { return n })
			got, err := Beyond(counts, ks, 0.95)
			if err != nil {
				t.Fatal(err)
			}
			for i, k := range ks {
				truth := trueMean(rates, k)
				low, high := 1.0, 0.0
				for _, m := range got {
					low, high = min(low, m.At[i]), max(high, m.At[i])
				}
				looks++
				if low <= truth+0.01 && truth <= high+0.01 { // the sampling of n aside
					held++
				}
				if at := got[len(got)-1].At[i]; at < got[0].At[i] {
					t.Fatalf("%s, k = %d: the last model says %v, the first %v", worlds[w].name, k, at, got[0].At[i])
				}
			}
			if at := got[1].At; at[2] < at[0]-1e-9 {
				t.Fatalf("%s: the beta falls: %v", worlds[w].name, at)
			}
		}
		t.Logf("%-12s the band holds the truth in %d of %d", worlds[w].name, held, looks)
		if held < looks*95/100 {
			t.Errorf("%s: the band holds the truth in %d of %d", worlds[w].name, held, looks)
		}
	}
	// Samples of a beta distribution are fitted by it.
	r := rand.New(rand.NewPCG(181, 1))
	rates := make([]float64, 4000)
	for i := range rates {
		rates[i] = betaDraw(r, 0.4, 1.2)
	}
	got, err := Beyond(draw(r, rates, func(int) int { return 50 }), []int{500}, 0.95)
	if err != nil {
		t.Fatal(err)
	}
	if at, want := got[1].At[0], trueMean(rates, 500); math.Abs(at-want) > 0.02 {
		t.Errorf("beta says pass@500 = %v of its own distribution, want %v", at, want)
	}
	for name, bad := range map[string][]Count{"one question": {{10, 3}}, "nothing passed": {{10, 0}, {10, 0}}, "all passed": {{10, 10}, {10, 10}}} {
		if _, err := Beyond(bad, ks, 0.95); !errors.Is(err, ErrUndefined) {
			t.Errorf("%s: %v, want ErrUndefined", name, err)
		}
	}
}
