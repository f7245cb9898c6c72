package evaluate

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest"
)

// sharing returns a grader that asks others soon, about texts alone, and what it logs.
func sharing(t *testing.T, s *store.Store) (*Grader, *bytes.Buffer) {
	t.Helper()
	g := newGrader(t, 1)
	g.forms = nil
	var log bytes.Buffer
	g.Share(s, slog.New(slog.NewTextHandler(&log, nil)))
	if g.shared != nil {
		g.shared.after = 30 * time.Millisecond
	}
	return g, &log
}

func endless(n int) string { return fmt.Sprintf("while True: pass\n# %d\n", n) }

// TestVerdictsAreShared has two evaluators judge the same endless programs, each of them
// twice: one after the other, and both at once from opposite ends.
func TestVerdictsAreShared(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	first, _ := sharing(t, env.Store)
	second, _ := sharing(t, env.Store)
	q := one("shared")
	const n = 3
	judge := func(g *Grader, from, step int) {
		for i := range 2 * n {
			j, _, err := g.Judge(t.Context(), q, code(endless(from+step*(i%n))))
			if err != nil || j.Verdict != stream.TimeLimit || *j.ErrorCode != codeTime || j.CPU < limits.CPU.Seconds() {
				t.Errorf("Judge = %+v, %v, want the time limit", j, err)
			}
		}
	}
	judge(first, 0, 1)
	judge(second, 0, 1)
	if ran, cached := first.Counts(); ran != n || cached != n {
		t.Errorf("the first ran %d and knew %d of %d programs and as many copies", ran, cached, n)
	}
	if ran, cached := second.Counts(); ran != 0 || cached != 2*n {
		t.Errorf("the second ran %d and knew %d, want none run", ran, cached)
	}
	var both sync.WaitGroup
	both.Go(func() { judge(first, n, 1) })
	both.Go(func() { judge(second, 2*n-1, -1) })
	both.Wait()
	a, knownA := first.Counts()
	b, knownB := second.Counts()
	overlap := a - n + b - n
	t.Logf("both at once: %d runs of %d programs", a-n+b, n)
	// They meet in the middle, where both may be at the same program.
	if overlap < 0 || overlap > 2 || knownA+knownB+a+b != 4*2*n {
		t.Errorf("both at once: %d programs were run twice, %d+%d known", overlap, knownA, knownB)
	}
}

// TestWhatIsNotShared wants quick programs, and those whose outcome depends on chance, to
// be told nobody.
func TestWhatIsNotShared(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	g, _ := sharing(t, env.Store)
	q := one("not shared")
	for _, p := range []string{"print(1)\n", "import random, time\nwhile time.process_time() < .1: random.random()\nprint(1)\n"} {
		if _, _, err := g.Judge(t.Context(), q, code(p)); err != nil {
			t.Fatal(err)
		}
		if j, err := env.Store.Verdict(t.Context(), g.keyOf(q, p)); err == nil {
			t.Errorf("%q is shared: %+v", p, j)
		}
	}
	slow := "t = 0\nfor i in range(3000000): t += i\nprint(1)\n"
	if _, _, err := g.Judge(t.Context(), q, code(slow)); err != nil {
		t.Fatal(err)
	}
	if j, err := env.Store.Verdict(t.Context(), g.keyOf(q, slow)); err != nil || j.Verdict == 0 {
		t.Errorf("a slow program is not shared: %+v, %v", j, err)
	}
}

// TestBadVerdictsCostNothing wants programs judged as without others where the bucket is
// gone or holds nonsense, and that said once.
func TestBadVerdictsCostNothing(t *testing.T) {
	t.Parallel()
	burnsSeconds(t)
	for what, spoil := range map[string]func(t *testing.T, env *streamtest.Env, g *Grader, q *Question){
		"a bucket that is gone": func(t *testing.T, env *streamtest.Env, _ *Grader, _ *Question) {
			t.Helper()
			if err := env.JS.DeleteKeyValue(t.Context(), "lcbq_verdicts"); err != nil {
				t.Fatal(err)
			}
		},
		"nonsense": func(t *testing.T, env *streamtest.Env, g *Grader, q *Question) {
			t.Helper()
			kv, err := env.JS.KeyValue(t.Context(), "lcbq_verdicts")
			if err != nil {
				t.Fatal(err)
			}
			for i := range 2 {
				if err := env.Store.PutVerdict(t.Context(), g.keyOf(q, endless(i)), stream.Judgement{Verdict: stream.Passed}); err != nil {
					t.Fatal(err)
				}
			}
			keys, err := kv.Keys(t.Context())
			if err != nil || len(keys) != 2 {
				t.Fatalf("Keys = %v, %v", keys, err)
			}
			for _, key := range keys {
				if _, err := kv.Put(t.Context(), key, []byte(`{"judgement":{"verdict":"passed"}}`)); err != nil {
					t.Fatal(err)
				}
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			env := streamtest.New(t)
			g, log := sharing(t, env.Store)
			q := one(what)
			spoil(t, env, g, q)
			for i := range 2 {
				j, known, err := g.Judge(t.Context(), q, code(endless(i)))
				if err != nil || known || j.Verdict != stream.TimeLimit {
					t.Errorf("Judge = %+v, %v, %v, want it judged here", j, known, err)
				}
			}
			if n := strings.Count(log.String(), "what=read"); n != 1 {
				t.Errorf("the log says it %d times:\n%s", n, log)
			}
		})
	}
}
