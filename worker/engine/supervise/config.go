package supervise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/lcbq/lcbq/worker/engine/openai"
)

// A Server is what tells one kind of server from another: how it is started, where it can be made
// to listen, and what the words of its log mean. It speaks OpenAI's protocol and answers /health with
// status 200 once its model is loaded.
type Server struct {
	Program []string // path of the program, and arguments before its own
	Args    []string // its arguments, the place where it listens aside
	Extra   []string // arguments behind that place
	Environ []string // its complete environment
	// Socket returns the arguments that make it listen at the socket; nil where it cannot.
	Socket func(path string) []string
	// Port returns the arguments that make it listen at a port of this machine's own address.
	// Anybody on this machine can connect to it.
	Port func(port string) []string
	// SocketName is the socket's name in its folder, default s.
	SocketName string
	// Titles are parts of what its processes call themselves, in lower case.
	Titles []string
	// Failures are the words of its log that say what a person must do, the most telling first.
	Failures []Failure
	// Steps are the words of its log that say what it does while it loads.
	Steps []Step
	// Client says how it is asked. Endpoints, Dial and Patience are filled in here.
	Client openai.Config
}

// A Life says how a server is kept running. The zero value of every field is its default.
type Life struct {
	Title   string // of the engine in errors, default engine
	LogFile string // where the server's output is appended; "" discards it
	State   string // file that remembers the running server, so that one left by a crash is found; "" remembers none

	Delay    time.Duration // before the first start, so that engines do not all load at once
	Ready    time.Duration // most time from start to answering, default 20 minutes: a cold start compiles
	Grace    time.Duration // between the polite signal and the kill, default 30 s
	Restarts int           // most restarts in a row, default 3; negative means none
	Uptime   time.Duration // of a server that ends the row, default 5 minutes
	Pause    time.Duration // before the first restart, default 1 s; doubles with each in a row
	Health   time.Duration // between looks at the server's health, default 5 s
	Tell     time.Duration // between the lines that say what a loading server does, default 15 s

	// Turn waits until the server may load where only one may at a time, and returns what ends its
	// turn: it is called once the server serves, or has ended. Nil does not wait.
	Turn func(context.Context) (release func(), err error)
	// Free waits until the card's memory is free. It is called before every start
	// and after the last stop; an error before a start counts as a failed start.
	// Nil does not wait.
	Free func(context.Context) error
	// FreeFor bounds Free, default 1 minute.
	FreeFor time.Duration
	// Hurry, once closed, cuts the grace short: a person is waiting.
	Hurry <-chan struct{}

	Log *slog.Logger // nil discards
}

// Stagger is the delay between the starts of engines on one machine.
const Stagger = 500 * time.Millisecond

// check reports all faults of s at once.
func (s Server) check() error {
	var errs []error
	if len(s.Program) == 0 {
		errs = append(errs, errors.New("no program to run"))
	}
	if s.Socket == nil && s.Port == nil {
		errs = append(errs, fmt.Errorf("%v can listen nowhere", s.Program))
	}
	return errors.Join(errs...)
}

// Filled returns l with its defaults in place.
func (l Life) Filled() Life {
	long := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	if l.Restarts == 0 {
		l.Restarts = 3
	}
	if l.Title == "" {
		l.Title = "engine"
	}
	long(&l.Ready, 20*time.Minute)
	long(&l.Grace, 30*time.Second)
	long(&l.Uptime, 5*time.Minute)
	long(&l.Pause, time.Second)
	long(&l.Health, 5*time.Second)
	long(&l.Tell, 15*time.Second)
	long(&l.FreeFor, time.Minute)
	if l.Log == nil {
		l.Log = slog.New(slog.DiscardHandler)
	}
	return l
}
