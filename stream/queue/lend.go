package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream"
)

// Units are lent to guests in a work queue of their own, and what a guest says of them comes back in another one.
// Neither holds anything that is not in EVALUATE too, so both are emptied when a lender starts.

// lender is the durable consumer of the claims.
const lender = "lender"

// mostClaims bounds the bytes of the claims that no lender has read. Guests wait beyond it.
const mostClaims = 256 << 20

// ErrLending says that somebody else lends units of the same server.
var ErrLending = errors.New("another evaluator lends the units of this server")

// DeclareLending creates the streams by which units are lent, or empties those of an earlier lender. It returns
// ErrLending where that one still works: what it has lent would be lost to it.
func (q *Queue) DeclareLending(ctx context.Context, replicas int) error {
	if err := q.noLender(ctx); err != nil {
		return err
	}
	lent := streamConfig(stream.Lent.Stream(), everything(stream.Lent), jetstream.WorkQueuePolicy, replicas)
	lent.Description = descriptions[stream.Lent]
	lent.Metadata = q.metadata(stream.Lent)
	claims := streamConfig(stream.ClaimStream, "claims.>", jetstream.WorkQueuePolicy, replicas)
	claims.Description = "what evaluators that are not trusted say of the units that they were lent"
	claims.MaxBytes = mostClaims
	for _, cfg := range []jetstream.StreamConfig{lent, claims} {
		if err := q.declare(ctx, cfg); err != nil {
			return err
		}
		if err := q.purge(ctx, cfg.Name, ">"); err != nil {
			return err
		}
	}
	return q.makeConsumer(ctx, stream.ClaimStream, jetstream.ConsumerConfig{
		Durable: lender, AckPolicy: jetstream.AckExplicitPolicy, AckWait: 30 * time.Second,
	})
}

// noLender returns ErrLending while somebody waits for claims. A lender does so all the time but for moments, and what
// one that died has asked for is forgotten after claimWait.
func (q *Queue) noLender(ctx context.Context) error {
	const looks = 10
	for end, quiet := time.Now().Add(claimWait+time.Second), 0; ; {
		c, err := q.consumer(ctx, stream.ClaimStream, lender)
		switch {
		case errors.Is(err, jetstream.ErrConsumerNotFound), errors.Is(err, jetstream.ErrStreamNotFound):
			return nil
		case err != nil:
			return fmt.Errorf("look up consumer %s: %w", lender, err)
		case c.CachedInfo().NumWaiting > 0:
			quiet = 0
		default:
			if quiet++; quiet == looks {
				return nil
			}
		}
		if time.Now().After(end) && quiet == 0 {
			return ErrLending
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// ServeLent gives each of the runs a consumer of the units that are lent, and removes those of all other runs.
func (q *Queue) ServeLent(ctx context.Context, runs []string) error {
	have, ackWait, err := q.consumersOf(ctx, stream.Lent)
	if err != nil {
		return err
	}
	for name := range have {
		if slices.ContainsFunc(runs, func(run string) bool { return ConsumerName(stream.Lent, run) == name }) {
			continue
		}
		if err := q.deleteConsumer(ctx, stream.Lent, name); err != nil {
			return err
		}
	}
	for _, run := range runs {
		cfg := q.consumerConfig(stream.Lent, ackWait)
		cfg.Durable, cfg.FilterSubject = ConsumerName(stream.Lent, run), runFilter(stream.Lent, run)
		if have[cfg.Durable] != nil {
			continue
		}
		if err := q.makeConsumer(ctx, stream.Lent.Stream(), cfg); err != nil {
			return err
		}
	}
	return nil
}

// A Demand is what guests want.
type Demand struct {
	Asking  int // pulls that wait for a unit
	Waiting int // units that are lent and not handed out
	Judging int // units that guests hold
}

// LentDemand returns what guests want of all runs.
func (q *Queue) LentDemand(ctx context.Context) (d Demand, err error) {
	all, _, err := q.consumersOf(ctx, stream.Lent)
	for _, c := range all {
		d.Asking += c.NumWaiting
		d.Waiting += int(c.NumPending) //nolint:gosec // a count of messages fits
		d.Judging += c.NumAckPending
	}
	return d, err
}

// Lend hands a unit to the guests, without its receipt: they store nothing that needs one. One that is lent already stays
// lent.
func (q *Queue) Lend(ctx context.Context, b stream.Batch) error {
	b.Receipt = ""
	_, err := q.Publish(ctx, stream.Lent, b.Unit, b)
	return err
}

// PublishClaim stores what a guest says of a unit. It reports false if it has said something before.
func (q *Queue) PublishClaim(ctx context.Context, g stream.Guest, c stream.Claim) (fresh bool, err error) {
	subject := g.ClaimSubject(c.Unit)
	body, err := stream.Encode(c)
	if err != nil {
		return false, fmt.Errorf("publish %s: %w: %w", subject, ErrEncode, err)
	}
	return q.put(ctx, stream.ClaimStream, subject, body)
}

// A Claimed is one claim as the lender gets it.
type Claimed struct {
	stream.Guest
	stream.Claim

	Err error // what makes the claim none; Guest is who made it all the same
}

// claimsAtOnce bounds the claims that are held in memory before they are looked at.
const claimsAtOnce = 64

// Claims calls f with each claim that comes, after it has been taken from its queue, until ctx is done or the server
// fails it. A claim that is taken and not looked at costs its unit another judging.
func (q *Queue) Claims(ctx context.Context, f func(*Claimed)) error {
	c, err := q.consumer(ctx, stream.ClaimStream, lender)
	if err != nil {
		return fmt.Errorf("look up consumer %s: %w", lender, err)
	}
	for {
		wait, cancel := context.WithTimeout(ctx, claimWait)
		batch, err := c.Fetch(claimsAtOnce, jetstream.FetchContext(wait))
		if err == nil {
			for msg := range batch.Messages() {
				claimed := readClaim(msg)
				if err := msg.Ack(); err != nil {
					cancel()
					return fmt.Errorf("settle a claim: %w", err)
				}
				f(claimed)
			}
			err = batch.Error()
		}
		cancel()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, nats.ErrTimeout) && !errors.Is(err, jetstream.ErrNoMessages):
			return fmt.Errorf("pull from %s: %w", stream.ClaimStream, err)
		}
	}
}

// claimWait is how long one pull waits for claims.
const claimWait = 5 * time.Second

func readClaim(msg jetstream.Msg) *Claimed {
	c := new(Claimed)
	var u stream.Unit
	if c.Guest, u, c.Err = stream.ParseClaim(msg.Subject()); c.Err != nil {
		return c
	}
	if c.Err = stream.Decode(msg.Data(), &c.Claim); c.Err == nil && c.Unit != u {
		c.Err = fmt.Errorf("it is of unit %d of %s", c.Index, c.Key())
	}
	c.Unit = u
	return c
}
