package evaluate

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/stream"
)

func sum(program string) [sha256.Size]byte { return sha256.Sum256([]byte(program)) }

func TestCacheForgetsByGenerations(t *testing.T) {
	t.Parallel()
	key := func(name string) cacheKey { return cacheKey{question: "q", program: sum(name)} }
	c := newCache(2)
	add := func(names string) {
		for n := range strings.SplitSeq(names, "") {
			c.put(key(n), finding{Judgement: stream.Judgement{Verdict: stream.Passed, Detail: n}})
		}
	}
	has := func(names, hasNot string) {
		t.Helper()
		for n := range strings.SplitSeq(names, "") {
			if j, ok := c.get(key(n)); !ok || j.Detail != n {
				t.Errorf("get %s = %+v, %v, want it", n, j, ok)
			}
		}
		for n := range strings.SplitSeq(hasNot, "") {
			if _, ok := c.get(key(n)); ok {
				t.Errorf("get %s found what should be forgotten", n)
			}
		}
	}
	add("abc") // a and b are the old generation
	has("c", "x")
	has("a", "") // asked for: young again, with c
	add("d")     // a and c are old now, b is gone
	has("d", "b")
	if len(c.young) > 2 || len(c.old) > 2 {
		t.Errorf("generations of %d and %d, want at most 2 each", len(c.young), len(c.old))
	}
	has("ac", "")
	if _, ok := c.get(cacheKey{question: "other", program: sum("a")}); ok {
		t.Error("a verdict of another question was found")
	}
}

// TestPoolPrefersALoadedSlot: a question goes to the slot that holds its inputs,
// a new one to the slot that was idle for longest.
func TestPoolPrefersALoadedSlot(t *testing.T) {
	t.Parallel()
	p := newGrader(t, 3).pool
	take := func(q string) *pooled {
		t.Helper()
		s, err := p.acquire(t.Context(), q, 0)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	a, b, c := take("a"), take("b"), take("c")
	if a == b || b == c || a == c {
		t.Fatal("one slot was handed out twice")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.acquire(ctx, "a", 0); !errors.Is(err, context.Canceled) {
		t.Errorf("acquire without a slot = %v, want to be interrupted", err)
	}
	p.release(a)
	p.release(b)
	p.release(c)
	if got := take("c"); got != c {
		t.Error("c went to a slot without its inputs")
	}
	p.release(c)
	if got := take("b"); got != b {
		t.Error("b went to a slot without its inputs")
	}
	if got := take("d"); got != a {
		t.Error("d did not go to the slot idle for longest")
	}
	if got := take("e"); got != c || got.question != "e" {
		t.Error("e did not go to the slot left")
	}
	for _, s := range []*pooled{a, b, c} {
		p.release(s)
	}
}
