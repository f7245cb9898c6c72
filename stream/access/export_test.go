package access

import "time"

// SetClock has certificates made by another clock.
func (k *Keys) SetClock(now func() time.Time) { k.clock = now }
