package sim

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/lcbq/lcbq/worker/engine"
	"github.com/lcbq/lcbq/worker/lcb"
	"github.com/lcbq/lcbq/worker/lcb/sample"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func request(id string, t float64, first, n int) engine.Request {
	return engine.Request{Run: "r1", Seed: 7, QuestionID: id, First: first, N: n, Sampling: engine.Sampling{Temperature: t}}
}

func generate(tb testing.TB, cfg Config, r engine.Request) []engine.Completion {
	tb.Helper()
	e, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	out, err := e.Generate(tb.Context(), r)
	if err != nil || len(out) != r.N {
		tb.Fatalf("Generate = %d completions, %v, want %d", len(out), err, r.N)
	}
	return out
}

func TestSlicingDoesNotMatter(t *testing.T) {
	t.Parallel()
	whole := generate(t, Config{Unique: 0.5}, request("lcbq_a02", 1, 0, 300))
	var parts []engine.Completion
	for _, cut := range [][2]int{{0, 1}, {1, 99}, {100, 150}, {250, 50}} {
		parts = append(parts, generate(t, Config{Unique: 0.5}, request("lcbq_a02", 1, cut[0], cut[1]))...)
	}
	if !slices.Equal(whole, parts) {
		t.Error("samples depend on how they are cut into requests")
	}
	other := request("lcbq_a02", 1, 0, 300)
	other.Run, other.Question, other.Sampling.MaxTokens = "r2", 5, 9
	if !slices.Equal(whole, generate(t, Config{Unique: 0.5}, other)) {
		t.Error("samples depend on the run's name, the question's place or the token limit")
	}
}

func TestSamplesDiffer(t *testing.T) {
	t.Parallel()
	base := generate(t, Config{}, request("lcbq_a02", 1, 0, 200))
	seed := request("lcbq_a02", 1, 0, 200)
	seed.Seed = 8
	for name, other := range map[string][]engine.Completion{
		"seed":        generate(t, Config{}, seed),
		"temperature": generate(t, Config{}, request("lcbq_a02", 1.0000001, 0, 200)),
		"index":       generate(t, Config{}, request("lcbq_a02", 1, 200, 200)),
	} {
		if slices.Equal(base, other) {
			t.Errorf("another %s draws the same samples", name)
		}
	}
}

// TestFrequencies draws many samples of every question and holds the share of
// each class against its closed form: that of the passing ones inside its 99.9%
// interval, the others inside five standard deviations, as they are many.
func TestFrequencies(t *testing.T) {
	t.Parallel()
	const n = 5000
	for _, p := range sample.Problems() {
		names := byText(t, p.ID)
		for _, temperature := range []float64{0, 0.1, 0.7, 1.2, 1.4, 1.5, 1.7, 2} {
			counts := map[string]int{}
			for _, c := range generate(t, Config{}, request(p.ID, temperature, 0, n)) {
				class, ok := names[answerOf(t, c.Text)]
				if !ok {
					t.Fatalf("%s: no answer of the pool is %q", p.ID, c.Text)
				}
				counts[class]++
				if (c.FinishReason == "length") != (class == Truncated) || c.Tokens < 10 {
					t.Fatalf("%s: %+v is %s", p.ID, c, class)
				}
			}
			want, err := Distribution(p.ID, temperature)
			if err != nil {
				t.Fatal(err)
			}
			for _, class := range []string{Passed, WrongAnswer, TimeLimit, RuntimeError, CompileError, NoCode, Truncated} {
				share := want[class]
				got := float64(counts[class]) / n
				deviations := 5.0
				if class == Passed {
					deviations = 3.2905
				}
				if math.Abs(got-share) > deviations*math.Sqrt(share*(1-share)/n)+1e-12 {
					t.Errorf("%s at %v: %s %.4f, want %.4f", p.ID, temperature, class, got, share)
				}
			}
		}
	}
}

// answerOf is what a sample took from the pool, as the official rule finds it.
func answerOf(t *testing.T, text string) string {
	t.Helper()
	if code := extracted(t, text); code != "" {
		return code
	}
	if _, code, cut := strings.Cut(text, "```python\n"); cut {
		return code
	}
	return strings.TrimSpace(text)
}

// byText returns the class of every answer of a pool by its text.
func byText(tb testing.TB, id string) map[string]string {
	tb.Helper()
	out := map[string]string{}
	for _, a := range load().pools[id] {
		out[strings.TrimSpace(a.body)] = a.class
	}
	return out
}

func TestShares(t *testing.T) {
	t.Parallel()
	p := pool{{weight: 1, class: Passed}, {weight: 3, class: WrongAnswer}, {weight: 3, class: Passed}, {weight: -2, class: NoCode}}
	sum := math.Exp(0.5) + 2*math.Exp(1.5) + math.Exp(-1)
	for _, c := range []struct {
		t    float64
		want []float64
	}{
		{0, []float64{0, 0.5, 0.5, 0}},
		{2, []float64{math.Exp(0.5) / sum, math.Exp(1.5) / sum, math.Exp(1.5) / sum, math.Exp(-1) / sum}},
		{1e-3, []float64{0, 0.5, 0.5, 0}},
		{1e12, []float64{0.25, 0.25, 0.25, 0.25}},
	} {
		got := p.shares(c.t)
		for i := range got {
			if math.Abs(got[i]-c.want[i]) > 1e-9 {
				t.Errorf("shares at %v = %v, want %v", c.t, got, c.want)
				break
			}
		}
	}
}

// TestCurves holds the shapes that the pools were weighted for.
func TestCurves(t *testing.T) {
	t.Parallel()
	at := func(id string, temperature float64) float64 {
		p, err := PassProbability(id, temperature)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, id := range []string{"lcbq_a02", "lcbq_a05", "lcbq_a07", "lcbq_a10"} {
		if at(id, 0.1) < at(id, 1)+0.02 || at(id, 1) < at(id, 2) {
			t.Errorf("%s does not decline: %.3f %.3f %.3f", id, at(id, 0.1), at(id, 1), at(id, 2))
		}
	}
	for _, id := range []string{"lcbq_a03", "lcbq_a08", "lcbq_a11", "lcbq_a12"} {
		if at(id, 0.1)+0.05 > at(id, 1) && at(id, 0.1)+0.05 > at(id, 2) {
			t.Errorf("%s does not rise: %.3f %.3f %.3f", id, at(id, 0.1), at(id, 1), at(id, 2))
		}
	}
	if at("lcbq_a04", 0.1) > at("lcbq_a04", 0.3) || at("lcbq_a04", 2) > at("lcbq_a04", 0.3) {
		t.Errorf("lcbq_a04 has no hump: %.3f %.3f %.3f", at("lcbq_a04", 0.1), at("lcbq_a04", 0.3), at("lcbq_a04", 2))
	}
	for i := range 21 {
		temperature := float64(i) / 10
		if p := at("lcbq_a06", temperature); p != 0 {
			t.Errorf("lcbq_a06 at %v = %v, want never", temperature, p)
		}
		if p := at("lcbq_a01", temperature); p < 0.95 {
			t.Errorf("lcbq_a01 at %v = %v, want nearly always", temperature, p)
		}
	}
}

func TestUnique(t *testing.T) {
	t.Parallel()
	const n = 2000
	plain := generate(t, Config{}, request("lcbq_a01", 0.8, 0, n))
	some := generate(t, Config{Unique: 0.3}, request("lcbq_a01", 0.8, 0, n))
	seen := map[string]bool{}
	made := 0
	for i, c := range some {
		code := extracted(t, c.Text)
		before, comment, ok := strings.Cut(code, "\n# sample ")
		if original := extracted(t, plain[i].Text); before != original {
			t.Fatalf("sample %d is another program: %q, want %q", i, before, original)
		}
		if !ok {
			continue
		}
		if made++; seen[comment] {
			t.Errorf("%q comes twice", comment)
		}
		seen[comment] = true
	}
	if math.Abs(float64(made)/n-0.3) > 5*math.Sqrt(0.3*0.7/n) {
		t.Errorf("%d of %d are unique, want 30%%", made, n)
	}
}

func TestRejected(t *testing.T) {
	t.Parallel()
	e, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]engine.Request{
		"unknown question": request("abc387_b", 1, 0, 1), "no samples": request("lcbq_a01", 1, 0, 0), "negative index": request("lcbq_a01", 1, -1, 1),
		"temperature": request("lcbq_a01", -0.1, 0, 1), "no temperature": request("lcbq_a01", math.NaN(), 0, 1),
	} {
		if out, err := e.Generate(t.Context(), r); !errors.Is(err, engine.ErrRejected) || out != nil {
			t.Errorf("%s: %d completions, %v, want a refusal", name, len(out), err)
		}
	}
	for _, cfg := range []Config{{TPS: -1}, {TPS: math.Inf(1)}, {Unique: 1.5}, {Unique: math.NaN()}} {
		if _, err := New(cfg); err == nil {
			t.Errorf("New(%+v) is accepted", cfg)
		}
	}
	if _, err := PassProbability("lcbq_a01", math.NaN()); err == nil {
		t.Error("PassProbability at NaN is accepted")
	}
}

func TestInfo(t *testing.T) {
	t.Parallel()
	e, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	const ofNothing = "e3b0c44298fc" // SHA-256 of no pools
	if i := e.Info(); i.Name != "sim" || !i.Simulated || len(i.Version) != 12 || i.Version == ofNothing || i.Model == "" {
		t.Errorf("Info() = %+v", i)
	}
}

func TestPace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, err := New(Config{TPS: 1000})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		tokens := make(chan int)
		for i := range 2 {
			go func() {
				out, err := e.Generate(t.Context(), request("lcbq_a01", 1, 50*i, 50))
				if err != nil {
					t.Error(err)
				}
				n := 0
				for _, c := range out {
					n += c.Tokens
				}
				tokens <- n
			}()
		}
		want := time.Duration(<-tokens+<-tokens) * time.Millisecond
		if got := time.Since(start); got.Round(time.Millisecond) != want {
			t.Errorf("two requests at once took %v, want %v", got, want)
		}
	})
}

func TestPaceStops(t *testing.T) {
	t.Parallel()
	e, err := New(Config{TPS: 1e-9})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("enough")
	time.AfterFunc(10*time.Millisecond, func() { cancel(stop) })
	if _, err := e.Generate(ctx, request("lcbq_a01", 1, 0, 1)); !errors.Is(err, stop) {
		t.Errorf("Generate = %v, want the cause", err)
	}
}

// TestPinned holds one drawn sample: a recorded sweep can be drawn again only
// as long as it stands.
func TestPinned(t *testing.T) {
	t.Parallel()
	var names []string
	byBody := map[string]string{}
	for _, a := range load().pools["lcbq_a02"] {
		byBody[strings.TrimSpace(a.body)] = a.name
	}
	for _, c := range generate(t, Config{}, request("lcbq_a02", 2, 0, 8)) {
		names = append(names, byBody[answerOf(t, c.Text)])
	}
	if got, want := fmt.Sprint(names), "[joins_twice ordered_dict empty_line_for_none set_forgets_order list ordered_dict cut_off ordered_dict]"; got != want {
		t.Errorf("samples = %s, want %s", got, want)
	}
}

func BenchmarkGenerate(b *testing.B) {
	e, err := New(Config{Unique: 0.5})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := e.Generate(b.Context(), request("lcbq_a08", 0.7, 0, 100)); err != nil {
			b.Fatal(err)
		}
	}
}

// extracted returns what the official rule finds in text.
func extracted(t *testing.T, text string) string {
	t.Helper()
	code, err := lcb.Extract(text, lcb.ExtractLCB)
	if err != nil {
		t.Fatal(err)
	}
	return code
}
