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

// TestReference compares Holm's correction, the exact form of McNemar's test, the beta
// quantiles that intervals are made of, and Student's and the bootstrap's intervals with those
// of scipy and statsmodels: to 1e-9, and where both draw resamples to what their number leaves
// open.
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
		// 10,000 resamples leave about a hundredth of the width open, scipy's 200,000 little more.
		wide := 0.04 * (s.BCa[1] - s.BCa[0])
		got, err = PopulationInterval(s.Scores, 0.95, BCa, Bootstrap{Rand: rand.New(rand.NewPCG(20, uint64(i)))})
		if err != nil || math.Abs(got.Low-s.BCa[0]) > wide || math.Abs(got.High-s.BCa[1]) > wide {
			t.Errorf("set %d: the bootstrap's interval is %v, %v, scipy says %v", i, got, err, s.BCa)
		}
		for _, q := range s.Beta {
			if got := betaQuantile(q[0], q[1], q[2]); math.Abs(got-q[3]) > near*q[3] {
				t.Errorf("set %d: the quantile %v of beta(%v, %v) is %v, scipy says %v", i, q[2], q[0], q[1], got, q[3])
			}
		}
	}
}
