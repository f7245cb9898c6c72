package sandbox

import "time"

// Scale has the slot's next programs run under limits of processor time that are the host's
// times by, above 0; 1 is as they are. It is for a host whose processors are slower or faster
// than those that the limits are meant for. What a program sleeps is not multiplied.
func (s *Slot) Scale(by float64) { s.scale = by }

// scaled returns l for a host on which by seconds are one of those that l is in.
func (l Limits) scaled(by float64) Limits {
	if by <= 0 || by == 1 {
		return l
	}
	l.CPU, l.Slack, l.Hard = times(l.CPU, by), times(l.Slack, by), times(l.Hard, max(by, 1))
	l.by = by
	return l
}

// meant returns processor time of this host in the seconds that l.Wall is in.
func (l Limits) meant(cpu time.Duration) time.Duration {
	if l.by == 0 {
		return cpu
	}
	return times(cpu, 1/l.by)
}

func times(d time.Duration, by float64) time.Duration { return time.Duration(float64(d) * by) }
