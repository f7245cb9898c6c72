package score

import (
	_ "embed"
	"encoding/json"
	"math"
	"testing"
)

// The values of other people's code: ten data sets, made with the versions and calls that the
// file names.
//
//go:embed testdata/reference.json
var reference []byte

// TestReference compares Holm's correction, the exact form of McNemar's test and the beta
// quantiles that intervals are made of with those of scipy and statsmodels.
func TestReference(t *testing.T) {
	t.Parallel()
	var all struct {
		Sets []struct {
			P, Holm   []float64
			Won, Lost int
			McNemar   float64
			Beta      [][4]float64 // a, b, p, quantile
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
		for _, q := range s.Beta {
			if got := betaQuantile(q[0], q[1], q[2]); math.Abs(got-q[3]) > near*q[3] {
				t.Errorf("set %d: the quantile %v of beta(%v, %v) is %v, scipy says %v", i, q[2], q[0], q[1], got, q[3])
			}
		}
	}
}
