package score

import (
	_ "embed"
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"
)

// The values of other people's code: ten data sets, made by testdata/reference.py with the
// versions and calls that the file names.
//
//go:embed testdata/reference.json
var reference []byte

// splitMix is SplitMix64 (Steele, Lea and Flood 2014), which is a line in any language: so the
// bootstraps of two of them can have the same resamples.
type splitMix uint64

func (s *splitMix) Uint64() uint64 {
	*s += 0x9e3779b97f4a7c15
	z := uint64(*s)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// TestReference compares Holm's correction, the exact form of McNemar's test, the beta
// quantiles that intervals are made of, and Student's and the bootstrap's intervals with those
// of scipy and statsmodels, to 1e-9. The bootstraps have the same 2,000 resamples.
func TestReference(t *testing.T) {
	t.Parallel()
	var all struct {
		Sets []struct {
			P, Holm   []float64
			Won, Lost int
			McNemar   float64
			Beta      [][4]float64 // a, b, p, quantile
			Scores    []float64
			Student   [2]float64
			BCa       [2]float64
		}
	}
	if err := json.Unmarshal(reference, &all); err != nil {
		t.Fatal(err)
	}
	if len(all.Sets) != 10 {
		t.Fatalf("%d data sets, want 10", len(all.Sets))
	}
	const near = 1e-9
	for i, s := range all.Sets {
		for j, got := range Holm(s.P) {
			if math.Abs(got-s.Holm[j]) > near {
				t.Errorf("set %d: Holm of %v is %v, statsmodels says %v", i, s.P[j], got, s.Holm[j])
			}
		}
		var a, b []Score
		for q := range s.Won + s.Lost {
			lost := Score{Value: 1, Pooled: true}
			won := Score{Pooled: true}
			if q < s.Won {
				lost, won = won, lost
			}
			a, b = append(a, lost), append(b, won)
		}
		if got := signP(a, b); math.Abs(got-s.McNemar) > near {
			t.Errorf("set %d: %d won and %d lost have P = %v, statsmodels says %v", i, s.Won, s.Lost, got, s.McNemar)
		}
		got, err := PopulationInterval(s.Scores, 0.95, Student, Bootstrap{})
		if err != nil || math.Abs(got.Low-s.Student[0]) > near || math.Abs(got.High-s.Student[1]) > near {
			t.Errorf("set %d: Student's interval is %v, %v, scipy says %v", i, got, err, s.Student)
		}
		source := splitMix(i) //nolint:gosec // 0 to 9
		got, err = PopulationInterval(s.Scores, 0.95, BCa, Bootstrap{Rounds: 2000, Rand: rand.New(&source)})
		if err != nil || math.Abs(got.Low-s.BCa[0]) > near || math.Abs(got.High-s.BCa[1]) > near {
			t.Errorf("set %d: the bootstrap's interval is %v, %v, scipy says %v", i, got, err, s.BCa)
		}
		for _, q := range s.Beta {
			if got := betaQuantile(q[0], q[1], q[2]); math.Abs(got-q[3]) > near*q[3] {
				t.Errorf("set %d: the quantile %v of beta(%v, %v) is %v, scipy says %v", i, q[2], q[0], q[1], got, q[3])
			}
		}
	}
}
