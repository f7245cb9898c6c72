package worker

import (
	"context"
	"sync/atomic"
)

// A Hurry lets a person cut waiting short: the grace of units in flight and that of an
// engine. It changes no order: what is to end first still ends first.
type Hurry struct {
	now    chan struct{}
	heeded atomic.Bool
}

// NewHurry returns one that nobody has called yet.
func NewHurry() *Hurry { return &Hurry{now: make(chan struct{})} }

// Call cuts all waiting short, now and later. It is called once at most, and reports
// whether anybody waits for it: if not, nothing comes of it.
func (h *Hurry) Call() (heeded bool) {
	close(h.now)
	return h.heeded.Load()
}

type hurryKey struct{}

// With returns a context that carries h to everything that drains under it.
func (h *Hurry) With(ctx context.Context) context.Context {
	return context.WithValue(ctx, hurryKey{}, h)
}

// Hurried returns what is closed when the caller is to wait no longer; nil, which never is,
// where ctx carries no Hurry. Asking says that the call is heeded.
func Hurried(ctx context.Context) <-chan struct{} {
	h, ok := ctx.Value(hurryKey{}).(*Hurry)
	if !ok {
		return nil
	}
	h.heeded.Store(true)
	return h.now
}
