package gpu

import "time"

// A Usage sums up the readings of one card over a run. The zero value is ready.
type Usage struct {
	Seconds     float64 `json:"seconds"`          // time covered
	Utilization float64 `json:"utilization_mean"` // percent, mean over time
	Idle        float64 `json:"idle_share"`       // share of time at 0 percent, 0 to 1
	PeakMemory  uint64  `json:"memory_peak"`      // bytes
	Power       float64 `json:"power_mean_w"`     // watts, mean over the time in which it was known; 0 where never

	last            time.Time
	busy            float64 // percent x seconds
	idle            float64 // seconds
	joules, powered float64 // energy, and the seconds in which it was known
}

// Add takes a reading made at the given time; it stands for the time since the
// one before. Readings with unknown utilisation count for memory and power only.
func (u *Usage) Add(r Reading, at time.Time) {
	u.PeakMemory = max(u.PeakMemory, r.Used)
	dt := at.Sub(u.last).Seconds()
	first := u.last.IsZero()
	u.last = at
	if first || dt <= 0 {
		return
	}
	if r.Power != Unknown {
		u.joules += r.Power * dt
		u.powered += dt
		u.Power = u.joules / u.powered
	}
	if r.Utilization == Unknown {
		return
	}
	u.Seconds += dt
	u.busy += float64(r.Utilization) * dt
	if r.Utilization == 0 {
		u.idle += dt
	}
	u.Utilization, u.Idle = u.busy/u.Seconds, u.idle/u.Seconds
}
