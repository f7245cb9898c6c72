package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A Speed names whose seconds limits of processor time are. Its text is "off" for each host's own, "first"
// for those of the host of the first evaluator, or a number, as lcbq doctor says it of a host.
type Speed struct {
	Value float64 // 0 where it is no number
	First bool
}

// The words for a speed that is no number.
const (
	offWord   = "off"
	firstWord = "first"
)

// UnmarshalText reads a speed such as off, first or 9.8.
func (s *Speed) UnmarshalText(text []byte) error {
	switch word := strings.TrimSpace(string(text)); word {
	case offWord:
		*s = Speed{}
	case firstWord:
		*s = Speed{First: true}
	default:
		n, err := strconv.ParseFloat(word, 64)
		if err != nil || math.IsNaN(n) || n < leastSpeed || n > mostSpeed {
			return fmt.Errorf("reference speed %q: want off, first, or a number of %v to %v, as lcbq doctor says it of a host", text, leastSpeed, mostSpeed)
		}
		*s = Speed{Value: n}
	}
	return nil
}

// No interpreter is slower or faster than these: a number beyond them is a mistake.
const (
	leastSpeed = 0.1
	mostSpeed  = 1000
)

// MarshalText writes s as UnmarshalText reads it.
func (s Speed) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String returns s as UnmarshalText reads it.
func (s Speed) String() string {
	switch {
	case s.First:
		return firstWord
	case s.Value == 0:
		return offWord
	}
	return strconv.FormatFloat(s.Value, 'g', -1, 64)
}
