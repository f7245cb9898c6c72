package store_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest"
)

func slow(detail string) stream.Judgement {
	code, test := -3, 4
	return stream.Judgement{Verdict: stream.TimeLimit, ErrorCode: &code, Test: &test, CPU: 7.8, Detail: detail}
}

// TestVerdicts wants the first verdict on a program to stay, and none to count for another
// program, question or environment.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	ctx := t.Context()
	k := store.VerdictKey{Fingerprint: "f", Question: "q", Program: [32]byte{1}}
	if _, err := env.Store.Verdict(ctx, k); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Verdict before there is one = %v, want ErrNotFound", err)
	}
	for _, detail := range []string{"first", "second"} {
		if err := env.Store.PutVerdict(ctx, k, slow(detail)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := env.Store.Verdict(ctx, k)
	if err != nil || got.Detail != "first" || got.Verdict != stream.TimeLimit || *got.ErrorCode != -3 || *got.Test != 4 || got.CPU != 7.8 {
		t.Errorf("Verdict = %+v, %v, want the first", got, err)
	}
	for what, other := range map[string]store.VerdictKey{
		"environment": {Fingerprint: "g", Question: "q", Program: [32]byte{1}},
		"question":    {Fingerprint: "f", Question: "r", Program: [32]byte{1}},
		"program":     {Fingerprint: "f", Question: "q", Program: [32]byte{2}},
	} {
		if _, err := env.Store.Verdict(ctx, other); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("Verdict for another %s = %v, want ErrNotFound", what, err)
		}
	}
}

// TestVerdictsOfOthersMaking puts into the bucket what no evaluator writes.
func TestVerdictsOfOthersMaking(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	ctx := t.Context()
	kv, err := env.JS.KeyValue(ctx, "lcbq_verdicts")
	if err != nil {
		t.Fatal(err)
	}
	mine := store.VerdictKey{Fingerprint: "mine", Question: "q"}
	if err := env.Store.PutVerdict(ctx, mine, slow("")); err != nil {
		t.Fatal(err)
	}
	keys, err := kv.Keys(ctx)
	if err != nil || len(keys) != 1 {
		t.Fatalf("Keys = %v, %v", keys, err)
	}
	good, err := kv.Get(ctx, keys[0])
	if err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string][2]string{
		"no JSON":             {"{", "["},
		"another environment": {`"mine"`, `"theirs"`},
		"another question":    {`"q"`, `"r"`},
		"another program":     {`"program":"00`, `"program":"01`},
		"a fault":             {`"time_limit"`, `"judge_fault"`},
		"an unknown verdict":  {`"time_limit"`, `"fine"`},
		"a pass with a code":  {`"time_limit"`, `"passed"`},
		"endless time":        {`"cpu_s":7.8`, `"cpu_s":1e300`},
		"negative time":       {`"cpu_s":7.8`, `"cpu_s":-1`},
		"a host that is fast": {`"cpu_s":7.8`, `"cpu_s":7.8,"slowdown":0.9`},
	} {
		bad := strings.Replace(string(good.Value()), change[0], change[1], 1)
		if bad == string(good.Value()) {
			t.Fatalf("%s: %q is not in %s", what, change[0], bad)
		}
		if _, err := kv.Put(ctx, keys[0], []byte(bad)); err != nil {
			t.Fatal(err)
		}
		if got, err := env.Store.Verdict(ctx, mine); !errors.Is(err, store.ErrUnreadable) {
			t.Errorf("Verdict of an entry with %s = %+v, %v, want ErrUnreadable", what, got, err)
		}
	}
}

func TestVerdictsAreBounded(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	ctx := t.Context()
	kv, err := env.JS.KeyValue(ctx, "lcbq_verdicts")
	if err != nil {
		t.Fatal(err)
	}
	if status, err := kv.Status(ctx); err != nil || status.TTL() <= 0 || status.History() != 1 {
		t.Errorf("the bucket keeps verdicts for %v, %v, want them to grow old", status.TTL(), err)
	}
	if err := env.Store.PutVerdict(ctx, store.VerdictKey{Question: "first"}, slow("")); err != nil {
		t.Fatal(err)
	}
	full, err := store.Open(ctx, env.JS)
	if err != nil {
		t.Fatal(err)
	}
	full.BoundVerdicts(10)
	k := store.VerdictKey{Question: "second"}
	if err := full.PutVerdict(ctx, k, slow("")); !errors.Is(err, store.ErrFull) {
		t.Errorf("PutVerdict into a full bucket = %v, want ErrFull", err)
	}
	if _, err := full.Verdict(ctx, k); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Verdict = %v, want nothing stored", err)
	}
}

// TestVerdictsOfAnOlderServer wants a server without the bucket served all the same.
func TestVerdictsOfAnOlderServer(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	if err := env.JS.DeleteKeyValue(t.Context(), "lcbq_verdicts"); err != nil {
		t.Fatal(err)
	}
	old, err := store.Open(t.Context(), env.JS)
	if err != nil || old.SharesVerdicts() {
		t.Fatalf("Open = %v, shares %v", err, old.SharesVerdicts())
	}
	if err := old.PutVerdict(t.Context(), store.VerdictKey{}, slow("")); err != nil {
		t.Errorf("PutVerdict = %v", err)
	}
	if _, err := old.Verdict(t.Context(), store.VerdictKey{}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Verdict = %v, want ErrNotFound", err)
	}
	// One that vanishes later is an error, not a wait.
	if _, err := env.Store.Verdict(t.Context(), store.VerdictKey{}); err == nil {
		t.Error("Verdict from a bucket that is gone succeeds")
	}
	var api *jetstream.APIError
	if err := env.Store.PutVerdict(t.Context(), store.VerdictKey{}, slow("")); err == nil || errors.As(err, &api) && api.Code == 200 {
		t.Errorf("PutVerdict into a bucket that is gone = %v", err)
	}
}
