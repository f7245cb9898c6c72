package judging

import (
	"errors"
	"fmt"
	"math"
)

// A Sweep is what judging has to do, and what a program costs.
type Sweep struct {
	Questions    int     `json:"questions"`
	Temperatures int     `json:"temperatures"`
	N            int     `json:"n"`               // samples a question and temperature
	Distinct     float64 `json:"distinct"`        // share of the samples that are judged, above 0, at most 1: equal ones are judged once
	Timeouts     float64 `json:"timeouts"`        // share of those that run into the time limit, 0 to 1
	Fast         float64 `json:"fast_cpu_s"`      // processor time of a program that ends by itself
	Endless      float64 `json:"limit_cpu_s"`     // processor time of one that does not
	Limit        float64 `json:"limit_s"`         // the time limit that Endless was measured at
	Slots        int     `json:"slots"`           // programs judged at once, each on a processor of its own
	Generated    float64 `json:"generated_per_s"` // samples that the cards make a second; 0: nobody asks
}

// A Plan is what judging a sweep costs.
type Plan struct {
	Sweep
	Samples       float64 `json:"samples"`
	Programs      float64 `json:"programs"` // that are run
	CPUHours      float64 `json:"cpu_hours"`
	WallHours     float64 `json:"wall_hours"`
	TimeoutsShare float64 `json:"timeouts_cpu_share"` // of the processor time, 0 to 1
	// What halves WallHours, each alone. One that is 0 cannot: what is left costs more than half.
	HalfSlots    int     `json:"half_slots"`
	HalfN        int     `json:"half_n"`
	HalfTimeouts float64 `json:"half_timeouts"`
	HalfLimit    float64 `json:"half_limit_s"`

	// What waits between cards and judges, if both work at their pace from the first sample on; 0 where nobody asks.
	GenerateHours float64 `json:"generate_hours"`
	JudgedPerS    float64 `json:"judged_per_s"`     // samples
	Backlog       float64 `json:"backlog_samples"`  // when the last sample is made, the most there ever is
	LagHours      float64 `json:"lag_hours"`        // from the last sample to its verdict
	SlotsToKeepUp int     `json:"slots_to_keep_up"` // with which nothing waits
	// Simulated is the same with hard questions, sample by sample; none for a sweep that is too large for that.
	Simulated []Simulation `json:"simulated,omitempty"`
}

// Validate reports all faults of s at once.
func (s Sweep) Validate() error {
	var errs []error
	check := func(ok bool, name string, value any, want string) {
		if !ok {
			errs = append(errs, fmt.Errorf("--%s = %v: want %s", name, value, want))
		}
	}
	count := func(name string, v int) { check(v >= 1 && v <= 1_000_000_000, name, v, "1 to 1000000000") }
	share := func(name string, v float64) { check(v >= 0 && v <= 1, name, v, "0 to 1") }
	cost := func(name string, v float64) { check(v > 0 && v <= 86400, name, v, "more than 0 s and at most 24h") }
	count("questions", s.Questions)
	count("temperatures", s.Temperatures)
	count("n", s.N)
	count("slots", s.Slots)
	check(s.Distinct > 0 && s.Distinct <= 1, "distinct", s.Distinct, "more than 0 and at most 1")
	share("timeouts", s.Timeouts)
	check(s.Generated >= 0 && s.Generated <= 1e9, "generated", s.Generated, "0 to 1e9 samples a second")
	cost("fast-cpu", s.Fast)
	cost("limit-cpu", s.Endless)
	return errors.Join(errs...)
}

// Of works out what judging a sweep costs: samples x distinct x (timeouts x Endless +
// (1 - timeouts) x Fast). The wall time assumes that every slot has a processor and work
// at all times, and the backlog that time-outs are spread evenly over the sweep. s must be valid.
func Of(s Sweep) Plan {
	p := Plan{Sweep: s}
	p.Samples = float64(s.Questions) * float64(s.Temperatures) * float64(s.N)
	p.Programs = p.Samples * s.Distinct
	each := s.Timeouts*s.Endless + (1-s.Timeouts)*s.Fast
	p.CPUHours = p.Programs * each / 3600
	p.WallHours = p.CPUHours / float64(s.Slots)
	if each > 0 {
		p.TimeoutsShare = s.Timeouts * s.Endless / each
	}
	p.HalfSlots = 2 * s.Slots
	p.HalfN = s.N / 2
	// Solved for timeouts and for the time limit, which Endless is proportional to.
	if t := (each/2 - s.Fast) / (s.Endless - s.Fast); t > 0 && t < s.Timeouts {
		p.HalfTimeouts = t
	}
	if s.Timeouts > 0 {
		if endless := (each/2 - (1-s.Timeouts)*s.Fast) / s.Timeouts; endless > 0 {
			p.HalfLimit = math.Round(100*s.Limit*endless/s.Endless) / 100
		}
	}
	if s.Generated == 0 {
		return p
	}
	p.GenerateHours = p.Samples / s.Generated / 3600
	p.JudgedPerS = p.Samples / (3600 * p.WallHours)
	p.Backlog = p.Samples * max(0, 1-p.JudgedPerS/s.Generated)
	p.LagHours = max(0, p.WallHours-p.GenerateHours)
	p.SlotsToKeepUp = int(math.Ceil(p.CPUHours / p.GenerateHours))
	return p
}
