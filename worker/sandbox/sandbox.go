package sandbox

import (
	"errors"
	"log/slog"
	"syscall"
	"time"
)

// A Kind says how the questions's tests reach a program.
type Kind uint8

// The kinds of question.
const (
	Stdin      Kind = iota // the program reads standard input and prints
	Functional             // the program defines a function that is called
)

// A Mode says whose rules a stdin program runs by. It changes nothing for
// functional questions.
type Mode uint8

// The modes.
const (
	// LCB runs a program as LiveCodeBench's runner does: inside one process,
	// test after test, on a replaced sys.stdin and sys.stdout.
	LCB Mode = iota
	// Script runs a program as a real script, one process per test, on a real
	// standard input and output.
	Script
)

// String returns the name the fork server and its driver know m by.
func (m Mode) String() string {
	if m == Script {
		return "script"
	}
	return "lcb"
}

// Limits bound one test of a program; loading the program counts as a test of
// its own. A zero field stands for its default.
type Limits struct {
	// CPU is the processor time of the program, all its threads together.
	// Default 6 s.
	CPU time.Duration
	// Slack is how far beyond CPU a test is let run before it is stopped. It
	// passes no test: it tells a program that ends near its limit, whose verdict
	// a loaded machine could change, from one that never ends. Default 0.
	Slack time.Duration
	// Wall is elapsed time less the time the program was ready to run and had
	// no processor: what stops a sleeper, to about a tenth of a second. Default
	// 6 s.
	Wall time.Duration
	// Hard is elapsed time as it is. A program that reaches it without having
	// used up CPU or Wall says that the machine is overloaded, and Run returns
	// ErrOverloaded. Default 60 s, and never less than twice Wall.
	Hard time.Duration
	// Memory is the program's address space in bytes. Default 4 GiB.
	Memory int64
	// Output is what one test may print or return, in bytes. Default 16 MiB.
	Output int64

	by    float64       // of a program whose limits are scaled; else 0
	grace time.Duration // how far beyond CPU an answer counts, by the slot's Stretch
}

// withDefaults returns l with each zero field replaced.
func (l Limits) withDefaults() Limits {
	if l.CPU <= 0 {
		l.CPU = 6 * time.Second
	}
	if l.Wall <= 0 {
		l.Wall = 6 * time.Second
	}
	if l.Hard <= 0 {
		l.Hard = time.Minute
	}
	l.Hard = max(l.Hard, 2*l.Wall)
	if l.Memory <= 0 {
		l.Memory = 4 << 30
	}
	if l.Output <= 0 {
		l.Output = 16 << 20
	}
	return l
}

// Config describes the sandbox that Probe looks for.
type Config struct {
	// Python is the interpreter: a path, or a name looked up in PATH. A
	// version manager's shim is followed to the real binary. Default python3.
	Python string
	// Mode is the rules stdin programs run by.
	Mode Mode
	// Limits bound each test.
	Limits Limits
	// MinLevel is the least isolation to accept; Probe returns an error when
	// the host gives less. The zero value accepts every level.
	MinLevel Level
	// MaxLevel is the most isolation to try for; the zero value means all that
	// the host gives. It is for tests, and for hosts whose namespaces lie.
	MaxLevel Level
	// Recycle is the number of programs after which a fork server is replaced.
	// Default 2000.
	Recycle int
	// Slots is how many slots will be open at once: what this session may have of
	// processes and threads is shared out among them. Default 1.
	Slots int
	// CPUs are the processors that fork servers and programs run on, by the kernel's
	// numbers; nil is all that this process may use. Host.Pin changes them later.
	CPUs []int
	// NoNormalForm has no program's normal form made: Slot.Normal always says that there is none.
	NoNormalForm bool
	// Reference names the speed in whose seconds Limits are, see Slot.Scale; "" is this host's own,
	// whatever that is. It is part of the environment.
	Reference string
	// Log receives what an operator should know. Default: nothing is logged.
	Log *slog.Logger

	kernel  *kernel       // what to believe of the kernel instead of asking it; for tests
	control time.Duration // instead of controlTimeout; for tests
	normal  time.Duration // instead of normalLimits.CPU; for tests
	// patience is how long a program waits for a process of its own where there are
	// too many; shorter for tests.
	patience time.Duration
}

// withDefaults returns c with each zero field replaced.
func (c Config) withDefaults() Config {
	c.Limits = c.Limits.withDefaults()
	if c.Recycle <= 0 {
		c.Recycle = 2000
	}
	if c.Slots <= 0 {
		c.Slots = 1
	}
	if c.patience <= 0 {
		c.patience = 10 * time.Second
	}
	if c.control <= 0 {
		c.control = controlTimeout
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// A Question is what the programs of one problem have in common.
type Question struct {
	// ID names the question: the fork server keeps the inputs by it, so the
	// same ID must mean the same Kind, Func and Inputs.
	ID   string
	Kind Kind
	// Func is the name of the function or method to call; Functional only.
	Func string
	// Inputs is one text per test.
	Inputs []string
}

// An Output is what a program gave for one test.
type Output struct {
	Text  []byte // Stdin: what it printed
	Value []byte // Functional: what it returned, in the driver's tagged encoding
}

// A Check looks at the output of a test and reports whether to go on with the
// next. The output is valid only during the call. A program may be started over
// (its fork server died, its time was unclear): then test 0 comes again.
type Check func(test int, out Output) (ok bool)

// An Outcome says how a program ended.
type Outcome uint8

// The outcomes. The zero value is none of them.
const (
	Accepted    Outcome = iota + 1 // every check said true
	Rejected                       // a check said false
	Exception                      // the program raised, or did not compile
	TimeLimit                      // over Limits.CPU or Limits.Wall
	MemoryLimit                    // over Limits.Memory
	OutputLimit                    // over Limits.Output
	Crashed                        // the process died, or spoke out of turn
	Stopped                        // beyond a time at which the slot's Soft said so
)

// String returns the outcome's name.
func (o Outcome) String() string {
	names := [...]string{"none", "accepted", "rejected", "exception", "time limit", "memory limit", "output limit", "crashed", "stopped"}
	if int(o) < len(names) {
		return names[o]
	}
	return "unknown"
}

// A Raised describes an exception that ended a program.
type Raised struct {
	Type    string `json:"type"`
	Message string `json:"message"`
	Line    int    `json:"line"`
	Where   string `json:"where"` // "load" or "test"
	Code    int    `json:"code"`  // as the official runner would report: -3, -4 or -5
}

// A Result is how one program fared.
type Result struct {
	Outcome Outcome
	// Test is the index of the test that ended the program; -1 if it ended
	// while it was compiled and loaded, and len(Inputs) if it was accepted.
	Test int
	// CPU is the processor time of the whole program, its start included.
	CPU time.Duration
	// TestCPU is the largest processor time of a single test, or of the load.
	// A value near Limits.CPU makes the outcome a matter of luck.
	TestCPU time.Duration
	// Cut says that a test that had not answered was stopped for its processor time: nobody knows how
	// much more it needed. False with TimeLimit and a TestCPU above Limits.CPU, it did answer.
	Cut bool
	// Times are the processor times of the tests that were answered and took longer than
	// worthTelling, by test; -1 is the load. Nil for none.
	Times map[int]time.Duration
	// PeakMemory is the largest resident size of the process in bytes.
	PeakMemory int64
	// Exception says what was raised: with Exception always, and with
	// MemoryLimit when the program saw a MemoryError.
	Exception *Raised
	// Chance says that another run of the program may end otherwise: its code names
	// the clock or a source of random numbers, or it ran threads at once. One that
	// hides what it does from its driver is not found.
	Chance bool
	// Signal is what killed the process, if a signal did and it was not ours.
	Signal syscall.Signal
	// Detail is one line for people: which limit, which status.
	Detail string
}

// ErrOverloaded is returned by Run when a program reached Limits.Hard without
// having been given the processor time to reach Limits.CPU, or when the host
// ran out of memory under it. The same program may well pass on a quiet
// machine, so the caller runs it again later.
var ErrOverloaded = errors.New("machine overloaded")

// ErrClosed is returned by a slot that was closed.
var ErrClosed = errors.New("slot closed")
