package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A TimeLimit is how much processor time a program may use for one test. Its text is a number
// of seconds, "audited" for the default one, audited, or "audited:SECONDS".
type TimeLimit struct {
	Seconds float64
	Audited bool // programs beyond a soft limit are stopped, except a random share
}

// auditedWord is what an audited limit begins with.
const auditedWord = "audited"

// defaultTimeLimit is the official runner's, in seconds.
const defaultTimeLimit = 6

// UnmarshalText reads a limit such as 6, audited or audited:6.
func (l *TimeLimit) UnmarshalText(text []byte) error {
	word, seconds, both := strings.Cut(strings.TrimSpace(string(text)), ":")
	switch {
	case word == auditedWord && !both:
		*l = TimeLimit{defaultTimeLimit, true}
		return nil
	case word != auditedWord && !both:
		seconds = word
	}
	n, err := strconv.ParseFloat(seconds, 64)
	if err != nil || both && word != auditedWord || math.IsNaN(n) {
		return fmt.Errorf("time limit %q: want seconds, such as 6, or audited, or audited:SECONDS", text)
	}
	*l = TimeLimit{n, word == auditedWord}
	return nil
}

// MarshalText writes l as UnmarshalText reads it.
func (l TimeLimit) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// String returns l as UnmarshalText reads it.
func (l TimeLimit) String() string {
	seconds := strconv.FormatFloat(l.Seconds, 'g', -1, 64)
	switch {
	case !l.Audited:
		return seconds
	case l.Seconds == defaultTimeLimit:
		return auditedWord
	}
	return auditedWord + ":" + seconds
}

// LeastAuditShare is the smallest share of programs that may run beyond a soft limit: with fewer
// the results are little more than what they lack.
const LeastAuditShare = 0.01
