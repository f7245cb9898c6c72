package evaluate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
)

// claim publishes what a guest found. The lender has the samples: it is told the judgements alone.
func (w *Worker) claim(ctx context.Context, s stream.Scored) error {
	c := stream.Claim{Unit: s.Unit, Judgements: s.Judgements, Fingerprint: s.Fingerprint, Started: s.JudgeStarted, Ended: s.JudgeEnded}
	if slices.ContainsFunc(c.Judgements, func(j stream.Judgement) bool { return !j.Verdict.Scored() }) {
		return errors.New("a sample could not be judged here: the unit is left to the lender")
	}
	pause := firstClaimPause
	for said := false; ; said = true {
		_, err := w.Queue.PublishClaim(ctx, *w.Guest, c)
		if err == nil || errors.Is(err, queue.ErrTooLarge) || errors.Is(err, queue.ErrEncode) || ctx.Err() != nil {
			return err
		}
		if !said {
			w.Log.Warn("claim not published, waiting", "unit", s.Subject(stream.Lent), "err", err)
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, mostClaimPause)
		case <-ctx.Done():
			return fmt.Errorf("claim %s: %w", s.Subject(stream.Lent), context.Cause(ctx))
		}
	}
}

// Pauses before a claim is published again that the server had no room for.
const (
	firstClaimPause = 500 * time.Millisecond
	mostClaimPause  = 10 * time.Second
)
