package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Bytes is an amount of memory or disk. Its text is a number with an optional
// unit: 4GiB, 500MB, 65536.
type Bytes int64

// units, the longest suffix first: "GiB" ends in "B" too.
var units = []struct {
	suffix string
	size   float64
}{
	{"KiB", 1 << 10},
	{"MiB", 1 << 20},
	{"GiB", 1 << 30},
	{"TiB", 1 << 40},
	{"KB", 1e3},
	{"MB", 1e6},
	{"GB", 1e9},
	{"TB", 1e12},
	{"K", 1 << 10},
	{"M", 1 << 20},
	{"G", 1 << 30},
	{"T", 1 << 40},
	{"B", 1},
	{"", 1},
}

// UnmarshalText reads a size such as 4GiB.
func (b *Bytes) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	for _, u := range units {
		digits, ok := strings.CutSuffix(s, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
		if err != nil || n < 0 || n*u.size > math.MaxInt64/2 {
			break
		}
		*b = Bytes(n * u.size)
		return nil
	}
	return fmt.Errorf("size %q: want a number with a unit, such as 4GiB", s)
}

// MarshalText writes b in the largest binary unit that divides it.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// String returns b in the largest binary unit that divides it.
func (b Bytes) String() string {
	for i := 3; i >= 0; i-- {
		if u := units[i]; b != 0 && int64(b)%int64(u.size) == 0 {
			return strconv.FormatInt(int64(b)/int64(u.size), 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(b), 10)
}
