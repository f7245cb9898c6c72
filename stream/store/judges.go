package store

import (
	"cmp"
	"slices"
)

// A JudgeHost is what the evaluators of one host judged.
type JudgeHost struct {
	Host    string  `json:"host"`
	Samples int     `json:"samples"`
	Slowest float64 `json:"speed_least,omitempty"` // of the host, as its evaluators measured it; 0 if none knew it
	Fastest float64 `json:"speed_most,omitempty"`
}

// mostJudges bounds a list of hosts: evaluators name theirs themselves. The samples of further ones count
// for a host without a name.
const mostJudges = 64

// sameSpeed is by how much two speeds differ that count as one: less cannot be measured beside
// neighbours.
const sameSpeed = 1.1

// SameSpeed reports whether two speeds differ by no more than neighbours make one differ.
func SameSpeed(a, b float64) bool { return a <= sameSpeed*b && b <= sameSpeed*a }

// mostSpeed is above that of any host.
const mostSpeed = 1e6

// Judges are the hosts that judged, in the order of their names.
type Judges []JudgeHost

// Add counts what one host judged.
func (j *Judges) Add(h JudgeHost) {
	i, found := slices.BinarySearchFunc(*j, h.Host, func(o JudgeHost, host string) int { return cmp.Compare(o.Host, host) })
	if !found && len(*j) >= mostJudges && h.Host != "" {
		h.Host = ""
		j.Add(h)
		return
	}
	if !found {
		*j = slices.Insert(*j, i, JudgeHost{Host: h.Host})
	}
	x := &(*j)[i]
	x.Samples += h.Samples
	if h.Slowest <= 0 || h.Fastest > mostSpeed {
		return
	}
	if x.Slowest == 0 || h.Slowest < x.Slowest {
		x.Slowest = h.Slowest
	}
	x.Fastest = max(x.Fastest, h.Fastest)
}
