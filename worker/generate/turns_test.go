package generate

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/lcbq/lcbq/worker"
)

// TestTurns has units ask for a turn in another order than they came in.
func TestTurns(t *testing.T) {
	t.Parallel()
	begun := time.Now()
	q := turns{free: 1}
	if err := q.take(begun.Add(time.Hour), nil); err != nil { // the one free turn
		t.Fatal(err)
	}
	asked := []time.Duration{3, 1, 4, 0, 2}
	waiting := make(map[time.Duration]*turn)
	for _, came := range asked {
		waiting[came] = q.enter(begun.Add(came))
	}
	drained := make(chan struct{})
	close(drained)
	if err := q.take(begun.Add(-time.Hour), drained); !errors.Is(err, worker.ErrDrained) {
		t.Fatalf("take = %v, want %v: all turns are taken", err, worker.ErrDrained)
	}
	var got []time.Duration
	for range asked {
		q.leave()
		for came, w := range waiting {
			select {
			case <-w.given:
				got = append(got, came)
				delete(waiting, came)
			default:
			}
		}
	}
	if want := []time.Duration{0, 1, 2, 3, 4}; !slices.Equal(got, want) {
		t.Errorf("turns went to %v, want %v", got, want)
	}
	if q.leave(); q.free != 1 {
		t.Errorf("%d turns are free after the last one, want 1", q.free)
	}
}

// TestTurnsLostToADrain wants a turn that was given while its unit was drained to be handed on.
func TestTurnsLostToADrain(t *testing.T) {
	t.Parallel()
	now := time.Now()
	q := turns{free: 1}
	first, second := q.enter(now), q.enter(now)
	q.drop(first) // given, and not wanted any more
	select {
	case <-second.given:
	default:
		t.Error("the second unit has no turn, want it handed on")
	}
	if q.leave(); q.free != 1 {
		t.Errorf("%d turns are free, want 1", q.free)
	}
}
