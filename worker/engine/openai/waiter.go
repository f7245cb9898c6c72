package openai

import (
	"slices"
	"time"
)

// A waiter is a request that waits for an endpoint.
type waiter struct {
	since time.Time     // when its unit came
	woken chan struct{} // holds a token when it is to look again
}

// enter puts a request behind those of its own and of older units. The pool is locked.
func (p *pool) enter(since time.Time) *waiter {
	w := &waiter{since, make(chan struct{}, 1)}
	at := len(p.waiting)
	for at > 0 && p.waiting[at-1].since.After(since) {
		at--
	}
	p.waiting = slices.Insert(p.waiting, at, w)
	return w
}

// leave takes a request out and lets the next one look: there may be room for it too. The
// pool is locked.
func (p *pool) leave(w *waiter) {
	at := slices.Index(p.waiting, w)
	p.waiting = slices.Delete(p.waiting, at, at+1)
	if at == 0 {
		p.wakeFirst()
	}
}

// wakeFirst has the first request look again. The others would find it before them. The
// pool is locked.
func (p *pool) wakeFirst() {
	if len(p.waiting) > 0 {
		p.waiting[0].wake()
	}
}

// wakeAll has every request look again. The pool is locked.
func (p *pool) wakeAll() {
	for _, w := range p.waiting {
		w.wake()
	}
}

func (w *waiter) wake() {
	select {
	case w.woken <- struct{}{}:
	default: // it has not looked since it was woken before
	}
}
