package sandbox

import "time"

// ServerCPU returns the processor time that the slot's fork servers have used since they
// started, their programs' not counted. The time of those that were replaced is not in it.
func (s *Slot) ServerCPU() (time.Duration, error) {
	var sum time.Duration
	for _, srv := range s.servers {
		if srv == nil {
			continue
		}
		used, err := cpuTime(srv.process.Pid)
		if err != nil {
			return 0, err
		}
		sum += used
	}
	return sum, nil
}

// Used returns the processor time that the slot's program has used so far, 0 while none runs.
// Unlike the rest of a Slot it may be called beside Run.
func (s *Slot) Used() time.Duration { return s.usedBy(s.now.Load()) }

// Spent is Used and the time for which the program was found asleep: what it would have taken so far
// on a machine of its own.
func (s *Slot) Spent() time.Duration {
	p := s.now.Load()
	used := s.usedBy(p)
	if p == nil {
		return 0
	}
	return used + time.Duration(p.slept.Load())
}

func (s *Slot) usedBy(p *running) time.Duration {
	if p == nil {
		return 0
	}
	pid := s.host.running.process(p)
	if pid == 0 {
		return 0
	}
	used, err := cpuTime(pid)
	if err != nil {
		return 0 // it has just ended
	}
	return used
}
