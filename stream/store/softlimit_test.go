package store_test

import (
	"errors"
	"reflect"
	"testing"

	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest"
)

// TestSoftLimit wants the first limit of a question to hold for its run, and for no other, and the
// runs to be read as before.
func TestSoftLimit(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	ctx := t.Context()
	if _, err := env.Store.SoftLimit(ctx, "r", 3); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a limit before there is one: %v", err)
	}
	first := &store.SoftLimit{Least: 1, Tests: map[int]float64{-1: 1.5, 7: 4.25}, Judged: 50, Passed: 20}
	for _, l := range []*store.SoftLimit{first, {Least: 2}} {
		if got, err := env.Store.PutSoftLimit(ctx, "r", 3, l); err != nil || !reflect.DeepEqual(got, first) {
			t.Errorf("put %+v: %+v, %v, want the first one", l, got, err)
		}
	}
	for _, other := range []struct {
		run      string
		question int
	}{{"r", 4}, {"r2", 3}} {
		if _, err := env.Store.SoftLimit(ctx, other.run, other.question); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the limit of question %d of run %s: %v", other.question, other.run, err)
		}
	}
	for _, l := range []*store.SoftLimit{{}, {Least: 0.9}, {Least: 1, Tests: map[int]float64{0: 0.5}}, {Least: 1, Tests: map[int]float64{-2: 3}}} {
		if _, err := env.Store.PutSoftLimit(ctx, "r", 9, l); !errors.Is(err, store.ErrUnreadable) {
			t.Errorf("put %+v: %v, want a refusal", l, err)
		}
	}
	for i, text := range []string{"no json", `{"least_s": 0}`, `{"least_s": 1, "tests": {"0": -1}}`} {
		if _, err := env.JS.Publish(ctx, store.JudgeSubject("r~q9"+string(rune('0'+i))), []byte(text)); err != nil {
			t.Fatal(err)
		}
		if _, err := env.Store.SoftLimit(ctx, "r", 90+i); !errors.Is(err, store.ErrUnreadable) {
			t.Errorf("%s: %v, want ErrUnreadable", text, err)
		}
	}
	if _, err := env.Store.PutRun(ctx, &store.Manifest{ID: "r"}, 0); err != nil {
		t.Fatal(err)
	}
	runs, unread, err := env.Store.Runs(ctx)
	if err != nil || len(runs) != 1 || len(unread) != 0 || runs[0].Judge.Fingerprint != "" {
		t.Errorf("runs %v, %v, %v", runs, unread, err)
	}
}
