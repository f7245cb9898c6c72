package sandbox

import "fmt"

// A Level is how much the host lets us isolate a program. More is better, and
// the zero value is none at all: no program ever runs under it.
type Level uint8

// The levels. Each has the layers of those below it, except that a user of its
// own (B) is had at A only with the rights of root.
const (
	// C is what any user gets: no_new_privs, landlock, a system call
	// allow-list, limits, an empty environment, no descriptors.
	C Level = iota + 1
	// B adds a user of its own per slot: root in an unprivileged container.
	B
	// A adds namespaces: no network, no view of any file but the interpreter's,
	// a process tree of its own per program, control groups where writable.
	A
)

// String returns the level's letter.
func (l Level) String() string {
	switch l {
	case A:
		return "A"
	case B:
		return "B"
	case C:
		return "C"
	default:
		return "none"
	}
}

// ParseLevel reads a level's letter.
func ParseLevel(s string) (Level, error) {
	for _, l := range []Level{A, B, C} {
		if l.String() == s {
			return l, nil
		}
	}
	return 0, fmt.Errorf("sandbox level %q: want A, B or C", s)
}

// MarshalText returns the level's letter.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// A Layer is one of the things between a program and the host.
type Layer struct {
	Name string `json:"name"`
	On   bool   `json:"on"`
	// Why says what is missing and what would supply it; empty when On.
	Why string `json:"why,omitempty"`
}
