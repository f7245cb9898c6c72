package evaluate

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/lcbq/lcbq/stream/store"
)

// A Pace says how fast a host is against the speed in whose seconds limits are. The zero value is
// that of limits in each host's own seconds.
type Pace struct {
	Reference float64 // the speed that limits are for; 0 for none
	Host      float64 // this host's
}

// mostPace is by how much a host may differ from the reference at all.
const mostPace = 8

// ErrPace says that a host cannot judge in seconds of the reference.
var ErrPace = errors.New("limits cannot be translated to this host")

// Check returns an error that wraps ErrPace if the two speeds cannot be compared.
func (p Pace) Check() error {
	switch {
	case p.Reference == 0:
		return nil
	case !isSpeed(p.Reference):
		return fmt.Errorf("reference speed %v: want a number above 0: %w", p.Reference, ErrPace)
	case !isSpeed(p.Host):
		return fmt.Errorf("the speed of this host is not known: %w\nsee the log for why it could not be measured; --reference-speed off judges in this host's own seconds", ErrPace)
	case p.ratio() > mostPace || p.ratio() < 1.0/mostPace:
		return fmt.Errorf("this host's speed is %.3g, the reference is %.3g: more than %d times apart: %w\nname a --reference-speed near that of the hosts; lcbq doctor says what it is", p.Host, p.Reference, mostPace, ErrPace)
	}
	return nil
}

func isSpeed(v float64) bool { return v > 0 && !math.IsInf(v, 1) } // false for NaN

func (p Pace) ratio() float64 { return p.Reference / p.Host }

// scale returns how many of this host's seconds are one of the reference: 1 for hosts of the same
// speed, so that a lone host's limits are what they are without a reference.
func (p Pace) scale() float64 {
	if p.Reference == 0 || store.SameSpeed(p.Reference, p.Host) {
		return 1
	}
	return p.ratio()
}

// here returns time of the reference in this host's.
func (p Pace) here(d time.Duration) time.Duration {
	return time.Duration(float64(d) * p.scale())
}

// meant returns time of this host in the reference's.
func (p Pace) meant(d time.Duration) time.Duration {
	return time.Duration(float64(d) / p.scale())
}

// meantAll is meant of each time.
func (p Pace) meantAll(times map[int]time.Duration) map[int]time.Duration {
	if p.scale() == 1 {
		return times
	}
	out := make(map[int]time.Duration, len(times))
	for test, took := range times {
		out[test] = p.meant(took)
	}
	return out
}

// key tells verdicts of one reference from those of another. Hosts of all speeds share those of one.
func (p Pace) key() string {
	if p.Reference == 0 {
		return ""
	}
	return " at speed " + strconv.FormatFloat(p.Reference, 'g', -1, 64)
}

// At returns q as a host judges it whose limits are in seconds of a reference. p.Check must
// have returned nil.
func (q *Question) At(p Pace) *Question {
	out := *q
	out.pace = p
	return &out
}
