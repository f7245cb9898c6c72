package score

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// A world is a set of questions whose true pass rates are known. The referee draws
// samples from it and counts how often a statement about it is true.
type world struct {
	name string
	rate func(r *rand.Rand) float64
}

// worlds are the difficulties that benchmarks have, and some that they should not.
var worlds = []world{
	{"lcb", func(r *rand.Rand) float64 { // many hopeless questions, some in the middle, few easy ones
		switch u := r.Float64(); {
		case u < 0.2:
			return 0
		case u < 0.6:
			return 0.05 * r.Float64() * r.Float64()
		case u < 0.9:
			return 0.05 + 0.9*r.Float64()
		default:
			return 1 - 0.05*r.Float64()*r.Float64()
		}
	}},
	{"beta", func(r *rand.Rand) float64 { return betaDraw(r, 0.1, 0.4) }},
	{"uniform", func(r *rand.Rand) float64 { return r.Float64() }},
	{"log-uniform", func(r *rand.Rand) float64 { return math.Pow(10, -6*r.Float64()) }},
	{"saturated", func(r *rand.Rand) float64 { return 1 - 0.1*math.Pow(r.Float64(), 4) }},
	{"rare", func(*rand.Rand) float64 { return 1e-3 }},
	{"half", func(*rand.Rand) float64 { return 0.5 }},
}

// tried are all worlds, or three of them when quick.
func tried() []world {
	if quick() {
		return []world{worlds[0], worlds[2], worlds[6]} // lcb, uniform, half
	}
	return worlds
}

// betaDraw draws from a beta distribution by Jöhnk's method.
func betaDraw(r *rand.Rand, a, b float64) float64 {
	for {
		x, y := math.Pow(r.Float64(), 1/a), math.Pow(r.Float64(), 1/b)
		if s := x + y; s > 0 && s <= 1 {
			return x / s
		}
	}
}

func (w world) rates(r *rand.Rand, questions int) []float64 {
	out := make([]float64, questions)
	for i := range out {
		out[i] = w.rate(r)
	}
	return out
}

func draw(r *rand.Rand, rates []float64, n func(i int) int) []Count {
	out := make([]Count, len(rates))
	for i, p := range rates {
		out[i] = Count{N: n(i), C: binomial(r, n(i), p)}
	}
	return out
}

func trueMean(rates []float64, k int) float64 {
	total := 0.0
	for _, p := range rates {
		total -= math.Expm1(float64(k) * math.Log1p(-p))
	}
	return total / float64(len(rates))
}

// logits moves rates by a difference of logits.
func moved(rates []float64, by func() float64) []float64 {
	out := make([]float64, len(rates))
	for i, p := range rates {
		out[i] = p
		if p > 0 && p < 1 {
			out[i] = logistic(math.Log(p/(1-p)) + by())
		}
	}
	return out
}

// holds collects how often a statement was true.
type holds struct{ runs, held, low int }

func (h *holds) note(i Interval, truth float64) {
	h.runs++
	const hair = 1e-12
	switch {
	case truth < i.Low-hair:
		h.low++
	case truth <= i.High+hair:
		h.held++
	}
}

func (h *holds) share() float64 { return float64(h.held) / float64(max(1, h.runs)) }

// within fails unless the share is in the range, chance aside.
func (h *holds) within(t *testing.T, what string, low, high float64) {
	t.Helper()
	allowed := 3.5 * math.Sqrt(0.05*0.95/float64(h.runs))
	if s := h.share(); s < low-allowed || s > high+allowed {
		t.Errorf("%s: true in %.1f %% of %d runs, want %.1f to %.1f", what, 100*s, h.runs, 100*low, 100*high)
	}
}

// before is how often in a hundred statements were true, or models that are alike were called different, when the
// rules were: a question's own variance only, one hidden bound for all questions, the union against the best one
// of the same samples, and no room for kinds of question not seen. An independent review measured it.
var before = map[string]float64{
	"sampling lcb q=175 n=1 k=1":              74.5,
	"sampling uniform q=175 n=1 k=1":          46.7,
	"sampling beta q=175 n=1 k=1":             81,
	"population uniform q=175 n=10000 k=1000": 53.3,
	"population uniform q=175 n=1000 k=100":   92.8,
	"population uniform q=12 n=100 k=10":      87.1,
	"one lcb q=175 n=1 these":                 55,
	"some of 16 lcb q=175 n=1 these":          100,
	"one lcb q=175 n=1 and 50 these":          25.8,
	"best 16 equal n=1 k=1 these":             28.7,
	"union equal K=16":                        68,
	"union equal K=160":                       69,
	"union interaction K=16":                  65,
	"union interaction K=160":                 77,
	"union curved K=160":                      85,
}

// was says what was true before of a row of a table.
func was(kind, what string) string {
	row := kind + " " + strings.ReplaceAll(strings.Join(strings.Fields(what), " "), "= ", "=")
	if b, ok := before[row]; ok {
		return fmt.Sprintf("; before: %s %.1f %%", kind, b)
	}
	return ""
}

// runs is how many runs each cell of the referee's tables gets: few by default, which show what is
// badly wrong; 600 with 2,000 simulations, for a table that can be quoted.
func runs() int { return max(20, *simulations*3/10) }

// TestRefereeSampling: how often the sampling interval holds the truth about the
// very questions that were asked.
func TestRefereeSampling(t *testing.T) {
	t.Parallel()
	var exact holds // of the cells in which neither whole numbers nor pooling widen the interval
	sizes := []int{1, 2, 10, 100}
	if *simulations > 200 {
		sizes = []int{1, 2, 3, 5, 10, 100, 1000}
	}
	for _, w := range tried() {
		for _, questions := range []int{12, 175} {
			for _, n := range sizes {
				var ks []int
				for _, k := range []int{1, n / 10, n / 2, n} {
					if k >= 1 && !slices.Contains(ks, k) {
						ks = append(ks, k)
					}
				}
				r := rand.New(rand.NewPCG(101, uint64(questions*n)))
				cells := make([]holds, len(ks))
				width, scatter := make([]float64, len(ks)), make([]float64, len(ks))
				for range runs() {
					rates := w.rates(r, questions)
					counts := draw(r, rates, func(int) int { return n })
					for j, k := range ks {
						scores, err := Scores(counts, k)
						if err != nil {
							t.Fatal(err)
						}
						got, err := SamplingInterval(counts, scores, k, 0.95)
						if err != nil {
							t.Fatal(err)
						}
						truth := trueMean(rates, k)
						off := MeanOf(scores) - truth
						scatter[j] += off * off
						width[j] += got.Width()
						cells[j].note(got, truth)
					}
				}
				for j, k := range ks {
					runs := float64(runs())
					what := fmt.Sprintf("%-12s q=%-3d n=%-5d k=%-5d", w.name, questions, n, k)
					t.Logf("%s holds in %5.1f %%, width %.4f, ideal %.4f%s", what, 100*cells[j].share(), width[j]/runs, 3.92*math.Sqrt(scatter[j]/runs), was("sampling", what))
					// Above a tenth of n a point is not called reliable.
					if k == 1 || 10*k <= n {
						cells[j].within(t, what, 0.935, 1)
					}
					if questions == 175 && n >= 10 && k == 1 && w.name != "rare" {
						exact.runs, exact.held = exact.runs+cells[j].runs, exact.held+cells[j].held
					}
				}
			}
		}
	}
	t.Logf("all cells with many samples: %.2f %% of %d", 100*exact.share(), exact.runs)
	exact.within(t, "all cells with many samples", 0.947, 0.958)
}

// TestRefereePopulation: how often the interval over questions holds the mean of all
// questions of its world.
func TestRefereePopulation(t *testing.T) {
	t.Parallel()
	for _, tt := range several([]struct {
		world     string
		questions int
		n, k      int
	}{
		{"lcb", 175, 1, 1},
		{"lcb", 12, 100, 1},
		{"uniform", 175, 10_000, 1000},
		{"uniform", 12, 100, 10},
		{"saturated", 40, 100, 10},
		{"lcb", 175, 100, 1},
		{"lcb", 175, 100, 10},
		{"beta", 175, 100, 10},
		{"beta", 12, 100, 1},
		{"uniform", 175, 1000, 100},
		{"uniform", 12, 100, 1},
		{"log-uniform", 175, 1000, 100},
		{"saturated", 40, 100, 1},
		{"rare", 175, 100, 10},
	}, 5) {
		w := worlds[slices.IndexFunc(worlds, func(w world) bool { return w.name == tt.world })]
		truth := populationMean(population(w), tt.k)
		r := rand.New(rand.NewPCG(103, uint64(tt.questions*tt.n)))
		var h holds
		width := 0.0
		for range runs() {
			counts := draw(r, w.rates(r, tt.questions), func(int) int { return tt.n })
			scores, err := Scores(counts, tt.k)
			if err != nil {
				t.Fatal(err)
			}
			got, err := PopulationInterval(values(scores), 0.95, Beta, Bootstrap{})
			if err != nil {
				t.Fatal(err)
			}
			width += got.Width()
			h.note(got, truth)
		}
		what := fmt.Sprintf("%-12s q=%-3d n=%-5d k=%-5d", tt.world, tt.questions, tt.n, tt.k)
		t.Logf("%s holds in %5.1f %%, too high in %4.1f %%, width %.4f%s", what, 100*h.share(), 100*float64(h.low)/float64(h.runs), width/float64(h.runs), was("population", what))
		h.within(t, what, 0.94, 1)
	}
}

// TestRefereeCompare: how often two models that are alike are called different.
func TestRefereeCompare(t *testing.T) {
	t.Parallel()
	sizes := []struct {
		name string
		n    func(i int) int
	}{
		{"n=1", func(int) int { return 1 }},
		{"n=2", func(int) int { return 2 }},
		{"n=10", func(int) int { return 10 }},
		{"n=100", func(int) int { return 100 }},
		{"n=1 and 50", func(i int) int { return 1 + 49*(i%2) }},
	}
	const temperatures = 16
	for _, w := range tried() {
		if w.name == "rare" || w.name == "log-uniform" {
			continue
		}
		for _, size := range sizes {
			for _, questions := range []int{12, 175} {
				r := rand.New(rand.NewPCG(107, uint64(questions)))
				var one, some, power [2]holds
				for range max(10, runs()/4) {
					rates := w.rates(r, questions)
					for c, claim := range []Claim{TheseQuestions, QuestionsLike} {
						var p []float64
						for range temperatures {
							a, b := scoresOf(t, r, rates, size.n), scoresOf(t, r, rates, size.n)
							d, err := Compare(a, b, claim, 0.95)
							if err != nil {
								t.Fatal(err)
							}
							if (d.P > 0.05) != d.Interval.Contains(0) {
								t.Fatalf("%s, %s: P = %v of %v in %v", w.name, size.name, d.P, d.Mean, d.Interval)
							}
							one[c].runs++
							if d.P <= 0.05 {
								one[c].held++
							}
							p = append(p, d.P)
						}
						some[c].runs++
						if slices.Min(Holm(p)) <= 0.05 {
							some[c].held++
						}
						d, err := Compare(scoresOf(t, r, rates, size.n), scoresOf(t, r, moved(rates, func() float64 { return 0.4 }), size.n), claim, 0.95)
						if err != nil {
							t.Fatal(err)
						}
						power[c].runs++
						if d.P <= 0.05 {
							power[c].held++
						}
					}
				}
				for c, claim := range []string{"these", "like"} {
					what := fmt.Sprintf("%-10s q=%-3d %-10s %-5s", w.name, questions, size.name, claim)
					t.Logf("%s rejects one %4.1f %%, some of 16 %4.1f %%; a logit of 0.4 %5.1f %%%s%s", what, 100*one[c].share(), 100*some[c].share(), 100*power[c].share(), was("one", what), was("some of 16", what))
					one[c].within(t, what+" one", 0, 0.06)
					some[c].within(t, what+" some of 16", 0, 0.06)
				}
			}
		}
	}
}

func scoresOf(t *testing.T, r *rand.Rand, rates []float64, n func(i int) int) []Score {
	t.Helper()
	out, err := Scores(draw(r, rates, n), 1)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestRefereeBest: how often the set holds a best temperature, how often the true lag
// of all sixteen is within their intervals, and whether what is open on these
// questions is open on others.
func TestRefereeBest(t *testing.T) {
	t.Parallel()
	peak := func(i int) float64 { return -0.08 * math.Abs(float64(i-7)) }
	same := func(int) float64 { return 0 }
	for _, tt := range several([]struct {
		name   string
		effect func(i int) float64
		n, k   int
	}{
		{"16 equal", same, 1, 1},
		{"16 equal", same, 100, 10},
		{"peak", peak, 100, 1},
		{"16 equal", same, 2, 2},
		{"16 equal", same, 100, 1},
		{"peak", peak, 1, 1},
		{"peak", peak, 1000, 10},
	}, 3) {
		r := rand.New(rand.NewPCG(109, uint64(tt.n)))
		var set, lag [2]holds
		size, regret := [2]float64{}, [2]float64{}
		runs := max(20, runs()/3)
		for range runs {
			rates := worlds[0].rates(r, 175)
			columns, truth := make([][]Score, 16), make([]float64, 16)
			for i := range columns {
				here := moved(rates, func() float64 { return tt.effect(i) })
				truth[i] = trueMean(here, tt.k)
				var err error
				if columns[i], err = Scores(draw(r, here, func(int) int { return tt.n }), tt.k); err != nil {
					t.Fatal(err)
				}
			}
			var sets [2]BestSet
			var err error
			if sets[0], sets[1], err = Best(columns, 0.95, Bootstrap{Rounds: 400, Rand: r}); err != nil {
				t.Fatal(err)
			}
			for c, got := range sets {
				set[c].runs++
				if got.In[7] {
					set[c].held++
				}
				lag[c].runs++
				all := true
				for i := range truth {
					all = all && got.Behind[i].Low <= truth[7]-truth[i]+1e-12 && truth[7]-truth[i] <= got.Behind[i].High+1e-12
					if got.In[i] {
						size[c]++
					}
					if got.In[i] && got.Behind[i].Low != 0 {
						t.Fatalf("%s: in the set %v, behind by %v", tt.name, got.In[i], got.Behind[i])
					}
				}
				if all {
					lag[c].held++
				}
				regret[c] += got.Behind[got.Best].High
			}
			for i := range columns {
				if sets[0].In[i] && !sets[1].In[i] {
					t.Fatalf("%s: column %d may be the best of these questions and not of questions like these", tt.name, i)
				}
			}
		}
		for c, claim := range []string{"these", "like"} {
			what := fmt.Sprintf("%-8s n=%-4d k=%-3d %-5s", tt.name, tt.n, tt.k, claim)
			t.Logf("%s holds the best in %5.1f %%, size %4.1f; all lags in %5.1f %%, the choice loses at most %.4f%s", what, 100*set[c].share(), size[c]/float64(runs), 100*lag[c].share(), regret[c]/float64(runs), was("best", what))
			set[c].within(t, what, 0.95, 1)
			lag[c].within(t, what+" lags", 0.94, 1)
		}
	}
}

// TestRefereeUnion: whether the gain of spreading samples over temperatures is right
// on average, and how often its interval holds it.
func TestRefereeUnion(t *testing.T) {
	t.Parallel()
	const temperatures, questions, n = 16, 175, 400
	for _, tt := range several([]struct {
		name   string
		effect func(i int) float64
		quirk  float64
		k      int
	}{
		{"equal", func(int) float64 { return 0 }, 0, 16},
		{"interaction", func(int) float64 { return 0 }, 0.7, 160},
		{"equal", func(int) float64 { return 0 }, 0, 160},
		{"interaction", func(int) float64 { return 0 }, 0.7, 16},
		{"curved", func(i int) float64 { return -0.02 * float64((i-6)*(i-6)) }, 0.2, 16},
		{"curved", func(i int) float64 { return -0.02 * float64((i-6)*(i-6)) }, 0.2, 160},
	}, 2) {
		r := rand.New(rand.NewPCG(113, uint64(tt.k)))
		var these, like holds
		off, scatter, width := 0.0, 0.0, 0.0
		// The truth over all questions like these, by a long draw.
		truths := 100 * runs()
		all := trueGain(worlds[0].rates(r, truths), temperatures, tt.k, func(i int) float64 { return tt.effect(i) + tt.quirk*r.NormFloat64() })
		runs := max(15, runs()/3)
		for range runs {
			rates := worlds[0].rates(r, questions)
			at := make([][]float64, temperatures)
			for i := range at {
				at[i] = moved(rates, func() float64 { return tt.effect(i) + tt.quirk*r.NormFloat64() })
			}
			counts := make([][]Count, questions)
			for q := range counts {
				for i := range at {
					counts[q] = append(counts[q], Count{N: n, C: binomial(r, n, at[i][q])})
				}
			}
			got, err := UnionGain(counts, tt.k, 0.95, Bootstrap{Rounds: 300, Rand: r})
			if err != nil {
				t.Fatal(err)
			}
			truth := gainOf(at, tt.k)
			off += got.Value - truth
			scatter += (got.Value - truth) * (got.Value - truth)
			width += got.These.Width()
			these.note(*got.These, truth)
			like.note(*got.Like, all)
		}
		m := float64(runs)
		bias, noise := off/m, math.Sqrt(scatter/m/m)
		what := fmt.Sprintf("%-12s K=%-4d", tt.name, tt.k)
		t.Logf("%s off by %+.4f (+-%.4f), these hold in %5.1f %% (width %.4f), like in %5.1f %%%s", what, bias, noise, 100*these.share(), width/m, 100*like.share(), was("union", what))
		these.within(t, what+" these", 0.93, 1)
		like.within(t, what+" like", 0.93, 1)
		if 10*tt.k <= n && math.Abs(bias) > 3*noise+0.002 {
			t.Errorf("%s: the gain is off by %+.4f on average", what, bias)
		}
	}
}

// gainOf is the true gain of k samples spread over the temperatures.
func gainOf(at [][]float64, k int) float64 {
	questions, each := len(at[0]), float64(k/len(at))
	union, best := 0.0, 0.0
	for _, rates := range at {
		best = max(best, trueMean(rates, k))
	}
	for q := range questions {
		miss := 0.0
		for i := range at {
			miss += each * math.Log1p(-at[i][q])
		}
		union -= math.Expm1(miss) / float64(questions)
	}
	return union - best
}

func trueGain(rates []float64, temperatures, k int, by func(i int) float64) float64 {
	at := make([][]float64, temperatures)
	for i := range at {
		at[i] = moved(rates, func() float64 { return by(i) })
	}
	return gainOf(at, k)
}

// TestBefore: each number of before stands beside a row that the referee prints.
func TestBefore(t *testing.T) {
	t.Parallel()
	rows := map[string]bool{}
	for _, w := range worlds {
		for _, q := range []int{12, 175} {
			for _, n := range []int{1, 10, 100, 1000, 10_000} {
				for _, k := range []int{1, n / 10} {
					what := fmt.Sprintf("%-12s q=%-3d n=%-5d k=%-5d", w.name, q, n, k)
					rows[was("sampling", what)], rows[was("population", what)] = true, true
				}
			}
			for _, size := range []string{"n=1", "n=1 and 50"} {
				what := fmt.Sprintf("%-10s q=%-3d %-10s %-5s", w.name, q, size, "these")
				rows[was("one", what)], rows[was("some of 16", what)] = true, true
			}
		}
	}
	rows[was("best", fmt.Sprintf("%-8s n=%-4d k=%-3d %-5s", "16 equal", 1, 1, "these"))] = true
	for _, name := range []string{"equal", "interaction", "curved"} {
		for _, k := range []int{16, 160} {
			rows[was("union", fmt.Sprintf("%-12s K=%-4d", name, k))] = true
		}
	}
	if delete(rows, ""); len(rows) != len(before) {
		t.Errorf("%d rows of the tables have a number of before, want %d: %v", len(rows), len(before), rows)
	}
}
