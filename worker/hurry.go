package worker

import "sync/atomic"

// A Hurry lets a person cut waiting short: the grace of units in flight and the grace of an
// engine. The order in which things end stays the same. A nil Hurry is never called.
type Hurry struct {
	now     chan struct{}
	awaited atomic.Bool
	called  atomic.Bool
}

// NewHurry returns a Hurry that has not been called.
func NewHurry() *Hurry { return &Hurry{now: make(chan struct{})} }

// Call cuts all waiting short, now and later. A second call does nothing.
func (h *Hurry) Call() {
	if !h.called.Swap(true) {
		close(h.now)
	}
}

// Called reports whether Call was called.
func (h *Hurry) Called() bool { return h != nil && h.called.Load() }

// Wait returns a channel that Call closes. It also records that somebody drains.
func (h *Hurry) Wait() <-chan struct{} {
	if h == nil {
		return nil
	}
	h.awaited.Store(true)
	return h.now
}

// Watch returns the same channel and records nothing.
func (h *Hurry) Watch() <-chan struct{} { return h.now }

// Awaited reports whether somebody has called Wait. If nobody has, Call has no effect.
func (h *Hurry) Awaited() bool { return h.awaited.Load() }
