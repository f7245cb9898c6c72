package judging

import (
	"math"
	"math/rand/v2"
)

// mostSimulated bounds the samples of a simulation: one takes some tens of nanoseconds.
const mostSimulated = 100_000_000

// mostSlots bounds its slots: each takes 8 bytes.
const mostSlots = 10_000_000

// A Simulation is a sweep on a simulated clock: cards make samples at their pace, question by question, and slots
// judge their programs one by one, in the order in which they were made. Unlike what Of works out, it has hard
// questions: the shares of time-outs are spread exponentially over the questions, with the mean that was asked for.
type Simulation struct {
	Slots    int     `json:"slots"`
	Hours    float64 `json:"hours"`           // until the last verdict
	LagHours float64 `json:"lag_hours"`       // from the last sample to the last verdict
	Peak     float64 `json:"backlog_samples"` // most samples that were made and not begun
	PeakAt   float64 `json:"backlog_at_h"`    // when that was
	Busy     float64 `json:"busy"`            // share of the slots' time in which they judged, 0 to 1
}

// Simulate returns what a sweep comes to with so many slots, and false if it has too many samples or slots or nobody
// asks at which pace samples are made. It returns the same for the same sweep. s must be valid.
func Simulate(s Sweep, slots int) (Simulation, bool) {
	samples := float64(s.Questions) * float64(s.Temperatures) * float64(s.N)
	if s.Generated == 0 || samples > mostSimulated || slots > mostSlots {
		return Simulation{}, false
	}
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a simulation, not a secret
	shares := make([]float64, s.Questions)
	mean := 0.0
	for i := range shares {
		shares[i] = random.ExpFloat64()
		mean += shares[i] / float64(s.Questions)
	}
	var free clock = make([]float64, slots) // when each slot has judged what it was given, the first of them first
	r := Simulation{Slots: slots}
	work, last := 0.0, samples/s.Generated
	begun := 0.0 // samples
	for _, share := range shares {
		timeouts := s.Distinct * min(1, s.Timeouts*share/mean)
		for range s.Temperatures * s.N {
			made := (begun + 1) / s.Generated
			begins := max(made, free[0]) // a copy waits in line too
			// Programs begin in the order in which they were made, so that all that were made by now wait.
			if waits := math.Floor(min(begins, last)*s.Generated) - begun; waits > r.Peak {
				r.Peak, r.PeakAt = waits, begins/3600
			}
			begun++
			cost := 0.0
			switch u := random.Float64(); {
			case u < timeouts:
				cost = s.Endless
			case u < s.Distinct:
				cost = s.Fast
			}
			work += cost
			r.Hours = max(r.Hours, begins+cost)
			if cost > 0 {
				free.replace(begins + cost)
			}
		}
	}
	r.Busy = work / (r.Hours * float64(slots))
	r.LagHours = max(0, r.Hours-last) / 3600
	r.Hours /= 3600
	return r, true
}

// A clock holds times as a heap, the first of them first.
type clock []float64

// replace puts t in the place of the first time.
func (c clock) replace(t float64) {
	i := 0
	for {
		least := 2*i + 1
		if least >= len(c) {
			break
		}
		if least+1 < len(c) && c[least+1] < c[least] {
			least++
		}
		if c[least] >= t {
			break
		}
		c[i], i = c[least], least
	}
	c[i] = t
}
