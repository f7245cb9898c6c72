package openai

import (
	"context"
	"time"
)

// Adapt keeps as many samples in flight as fill the servers, from the number
// that Config says up to most, by their own count of running and waiting
// sequences, until ctx is done. Servers that have no metrics are left as they
// are.
//
// A request holds all its samples until the last one is complete, so that fewer are
// with the server than are asked for. Where Config.Batch says how many it computes
// at once, running and waiting together are kept between 1.5 and 2 times as many: a
// place that becomes free is taken in the same step, and the queue is short.
//
// Else a server with nobody waiting may have room: a quarter more are sent. One where
// more wait than run gains nothing by them: one and a half times the running
// stay. One that throws sequences out of its batch for lack of memory computes
// them twice: an eighth fewer are sent.
func (c *Client) Adapt(ctx context.Context, every time.Duration, most int) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var before Load
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		l, err := c.Load(ctx)
		if err != nil {
			continue // a server that restarts; one without metrics costs one request a turn
		}
		share := float64(len(c.pool.ends)) // the bound is each endpoint's, the load is everybody's
		l.Running, l.Waiting = l.Running/share, l.Waiting/share
		now := c.InFlight()
		next := adapted(l, before, now, c.cfg.InFlight, most)
		if batch := float64(c.cfg.Batch); batch > 0 {
			next = aimed(l, before, now, c.pool.held()/share, batch, most)
		}
		before = l
		if next != now {
			c.pool.limit(next)
			c.cfg.Log.Debug("samples in flight", "now", next, "running", l.Running, "waiting", l.Waiting, "preemptions", l.Preemptions)
		}
	}
}

// InFlight returns the most samples that are asked for at once of one endpoint.
func (c *Client) InFlight() int {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	return c.pool.most
}

// Endpoints returns how many servers there are.
func (c *Client) Endpoints() int { return len(c.pool.ends) }

// aimed returns how many samples to have in flight so that 1.5 to 2 times a batch are
// with the server, from 1.5 times a batch to most. held is how many are in flight. Some
// of them are complete already and wait for the rest of their request; the share that is
// not is with the server, and the next samples are assumed to have the same share. The
// sum starts from held, not from the present bound: a change of the bound that has not
// taken effect yet is then not made a second time.
func aimed(l, before Load, now int, held, batch float64, most int) int {
	next := now
	there := l.Running + l.Waiting
	middle := now
	if there > 0 {
		middle = int(held * 1.75 * batch / there)
	}
	switch {
	case l.Preemptions > before.Preemptions && before.Generated > 0:
		next = now - now/8
	case there < 1.5*batch:
		next = min(max(middle, now), now+now/4+1)
	case there > 2*batch:
		next = min(middle, now)
	}
	return min(max(next, int(1.5*batch)), most)
}

// adapted returns how many samples to have in flight, between least and most.
func adapted(l, before Load, now, least, most int) int {
	next := now
	switch {
	case l.Preemptions > before.Preemptions && before.Generated > 0:
		next = now - now/8
	case l.Waiting > l.Running:
		next = min(now, int(1.5*l.Running))
	case l.Waiting == 0 && 4*l.Running > 3*float64(now): // nearly all that we sent runs
		next = now + now/4
	}
	return min(max(next, least), max(most, least))
}

// limit sets how many samples may be in flight.
func (p *pool) limit(most int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.most = most
	p.wakeAll()
}
