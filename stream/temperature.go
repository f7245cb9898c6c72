package stream

import (
	"fmt"
	"strconv"
	"strings"
)

// A Temperature is a sampling temperature in thousandths, 0 to MaxTemperature.
// It is an integer because it names cells, subjects and files: two spellings of
// one temperature must be one cell.
type Temperature int32

// MaxTemperature is the highest temperature a run may ask for, 5.0. Engines
// accept more, but softmax is flat long before.
const MaxTemperature Temperature = 5000

// ParseTemperature reads a decimal such as "0.7", "2" or "0.25". More than three
// decimals are refused rather than rounded: they would not name their own cell.
func ParseTemperature(s string) (Temperature, error) {
	whole, frac, _ := strings.Cut(strings.TrimSpace(s), ".")
	frac = strings.TrimRight(frac, "0")
	n, err := strconv.ParseUint(whole, 10, 16)
	if err != nil || len(frac) > 3 {
		return 0, fmt.Errorf("temperature %q: want a decimal from 0 to %s with at most three places", s, MaxTemperature)
	}
	t := Temperature(n) * 1000
	if frac != "" {
		f, err := strconv.ParseUint((frac + "00")[:3], 10, 16)
		if err != nil {
			return 0, fmt.Errorf("temperature %q: want a decimal from 0 to %s with at most three places", s, MaxTemperature)
		}
		t += Temperature(f)
	}
	if t > MaxTemperature {
		return 0, fmt.Errorf("temperature %q: want 0 to %s", s, MaxTemperature)
	}
	return t, nil
}

// Float returns t as a number.
func (t Temperature) Float() float64 { return float64(t) / 1000 }

// String returns t as a decimal with at least one place: "0.7", "2.0", "0.25".
func (t Temperature) String() string {
	frac := strings.TrimRight(fmt.Sprintf("%03d", t%1000), "0")
	if frac == "" {
		frac = "0"
	}
	return fmt.Sprintf("%d.%s", t/1000, frac)
}

// Token returns t as subjects and file names spell it: "t0_7", "t2_0".
func (t Temperature) Token() string { return "t" + strings.ReplaceAll(t.String(), ".", "_") }

// parseTemperatureToken is the inverse of Token; it accepts the canonical
// spelling only, so that a subject names one cell.
func parseTemperatureToken(s string) (Temperature, error) {
	rest, ok := strings.CutPrefix(s, "t")
	if !ok {
		return 0, fmt.Errorf("temperature token %q: want t{major}_{minor}", s)
	}
	t, err := ParseTemperature(strings.Replace(rest, "_", ".", 1))
	if err != nil {
		return 0, err
	}
	if t.Token() != s {
		return 0, fmt.Errorf("temperature token %q: want %q", s, t.Token())
	}
	return t, nil
}

// MarshalText writes t as its decimal.
func (t Temperature) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads what ParseTemperature reads.
func (t *Temperature) UnmarshalText(b []byte) error {
	v, err := ParseTemperature(string(b))
	if err != nil {
		return err
	}
	*t = v
	return nil
}
