package curve

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"
	"pgregory.net/rapid"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/score"
)

// sweepOf makes a sweep from pass counts by question and temperature, n samples each.
func sweepOf(n int, passed ...[]int) *Sweep {
	s := &Sweep{}
	for t := range passed[0] {
		s.Temperatures = append(s.Temperatures, float64(t+1)/10)
	}
	for q, row := range passed {
		x := Question{Index: q, ID: fmt.Sprintf("q%d", q), Origin: stream.Origin{Difficulty: []string{"easy", "hard"}[q%2]}}
		for _, c := range row {
			x.Cells = append(x.Cells, stream.Counts{N: n, Passed: c, Verdicts: map[stream.Verdict]int{stream.Passed: c, stream.WrongAnswer: n - c}, UniquePrograms: n / 2, UniquePassed: c / 2, Tokens: int64(10 * n)})
		}
		s.Questions = append(s.Questions, x)
	}
	return s
}

func analyse(t *testing.T, s *Sweep) *Analysis {
	t.Helper()
	a, err := Analyse(s, Options{Rounds: 300})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func codes(a *Analysis) []string {
	var out []string
	for _, n := range a.Notes {
		out = append(out, n.Code)
	}
	return out
}

// TestAnalyse holds every number of a small sweep against the functions of score.
func TestAnalyse(t *testing.T) {
	t.Parallel()
	s := sweepOf(100, []int{3, 90}, []int{0, 50}, []int{0, 0}, []int{100, 99})
	a := analyse(t, s)
	if a.Level != 0.95 || a.Questions != 4 || len(a.Temperatures) != 2 {
		t.Fatalf("level %v, %d questions, %d temperatures", a.Level, a.Questions, len(a.Temperatures))
	}
	for i := range a.Temperatures {
		x := &a.Temperatures[i]
		var counts []score.Count
		passed := 0
		for _, q := range s.Questions {
			counts = append(counts, score.Count{N: 100, C: q.Cells[i].Passed})
			passed += q.Cells[i].Passed
		}
		if x.Samples != 400 || x.Passed != passed || x.NMin != 100 || x.NMax != 100 || x.Questions != 4 || x.Missing != 0 || x.Tokens != 4000 || x.PerSample != 10 {
			t.Errorf("temperature %v: %+v", x.Temperature, x)
		}
		if x.UniquePrograms != 200 || x.UniqueShare != 0.5 || x.PerPass == nil || *x.PerPass != 4000/float64(passed) {
			t.Errorf("temperature %v: unique %d, share %v, tokens a pass %v", x.Temperature, x.UniquePrograms, x.UniqueShare, x.PerPass)
		}
		if want := []Class{{"passed", passed, float64(passed) / 400}, {"wrong_answer", 400 - passed, float64(400-passed) / 400}}; !slices.Equal(x.Verdicts, want) {
			t.Errorf("verdicts %v, want %v", x.Verdicts, want)
		}
		var ks []int
		for _, p := range x.Points {
			ks = append(ks, p.K)
			hat, _ := score.MeanPassHatK(counts, p.K)
			scores, _ := score.Scores(counts, p.K)
			value := score.MeanOf(scores)
			sampling, _ := score.SamplingInterval(counts, scores, p.K, 0.95)
			if p.Value != value || p.PassHatK != hat || p.Sampling != sampling || p.Questions != 4 || p.Partial || p.Reliable != score.Reliable(counts, p.K, sampling) {
				t.Errorf("pass@%d at %v: %+v, want %v, pass^k %v, sampling %v", p.K, x.Temperature, p, value, hat, sampling)
			}
			values := make([]float64, len(scores))
			for j := range scores {
				values[j] = scores[j].Value
			}
			beta, _ := score.PopulationInterval(values, 0.95, score.Beta, score.Bootstrap{})
			student, _ := score.PopulationInterval(values, 0.95, score.Student, score.Bootstrap{})
			beta.Low, beta.High = min(beta.Low, sampling.Low), max(beta.High, sampling.High)
			if p.Population == nil || p.Population.Interval != beta || p.Population.Student != student {
				t.Errorf("pass@%d at %v: population %+v, want %v and %v", p.K, x.Temperature, p.Population, beta, student)
			}
			if p.Population == nil || !p.Population.Contains(p.Value) || p.Population.Student.Width() == 0 || p.Population.Bootstrap.Width() == 0 {
				t.Errorf("pass@%d at %v: population %+v", p.K, x.Temperature, p.Population)
			}
		}
		if !slices.Equal(ks, []int{1, 2, 5, 10, 20, 50, 100}) {
			t.Errorf("k = %v", ks)
		}
		if x.AvgAtN == nil || *x.AvgAtN != x.Points[0].Value {
			t.Errorf("avg@n = %v", x.AvgAtN)
		}
		below, _ := score.UpperBound(100, 0, 0.95)
		if want := (Unsolved{[]int{2, 1}[i], 100, below}); x.Unsolved == nil || *x.Unsolved != want || x.Solved != 4-want.Questions {
			t.Errorf("unsolved %+v, want %+v", x.Unsolved, want)
		}
	}
	u := a.Union
	if u == nil || u.Solved != 3 || u.Complete != 4 || u.All != 2 || !slices.Equal(u.By, []Contributor{{0.1, 2, 0}, {0.2, 3, 1}}) {
		t.Fatalf("union %+v", u)
	}
	for _, p := range u.Points {
		want := 0.0
		for _, q := range s.Questions {
			v, err := score.UnionAtK([]score.Count{count(&q.Cells[0]), count(&q.Cells[1])}, 2*p.Each)
			if err != nil {
				t.Fatal(err)
			}
			want += v / 4
		}
		if math.Abs(p.Value-want) > 1e-15 || p.K != 2*p.Each || p.Questions != 4 {
			t.Errorf("union point %+v, want %v", p, want)
		}
		if (p.Single == nil) != (p.K > 50) {
			t.Errorf("union at %d: single %+v", p.K, p.Single)
		}
		if p.Single != nil && (p.Single.Temperature != 0.2 || math.Abs(p.Single.Gain-(p.Value-p.Single.Value)) > 0.05 || !p.Single.These.Contains(p.Single.Gain) || !p.Single.Interval.Contains(p.Single.Gain)) {
			t.Errorf("union at %d: single %+v", p.K, p.Single)
		}
	}
	if !slices.Equal(codes(a), []string{NoteFew, NoteUnreliable}) {
		t.Errorf("notes %v", a.Notes)
	}
}

func TestSplits(t *testing.T) {
	t.Parallel()
	a := analyse(t, sweepOf(10, []int{1, 5}, []int{0, 0}, []int{3, 10}, []int{0, 1}, []int{2, 0}))
	if len(a.Splits) != 2 { // platforms are unknown
		t.Fatalf("splits %+v", a.Splits)
	}
	easy, hard := a.Splits[0], a.Splits[1]
	if easy.By != "difficulty" || easy.Name != "easy" || easy.Questions != 3 || hard.Name != "hard" || hard.Questions != 2 {
		t.Fatalf("easy %+v, hard %+v", easy, hard)
	}
	if x := easy.Temperatures[0]; x.Questions != 3 || x.Solved != 3 || math.Abs(x.Points[0].Value-0.2) > 1e-15 || x.Points[0].Questions != 3 {
		t.Errorf("easy at 0.1: %+v", x)
	}
	if x := hard.Temperatures[1]; x.Solved != 1 || math.Abs(x.Points[0].Value-0.05) > 1e-15 || len(x.Points) != 3 || x.Points[2].Value != 0.5 {
		t.Errorf("hard at 0.2: %+v", x)
	}
}

// TestBest is a sweep whose middle temperature is far ahead on every question,
// with one that is nearly as good.
func TestBest(t *testing.T) {
	t.Parallel()
	var rows [][]int
	for q := range 40 {
		rows = append(rows, []int{100 + q + q%2, 5000 + q, 4990 + q + q%3})
	}
	a := analyse(t, sweepOf(10_000, rows...))
	b := a.Best[0]
	if b.K != 1 || b.Temperature != 0.2 || b.Questions != 40 || !b.Reliable || len(b.Standings) != 3 {
		t.Fatalf("best %+v", b)
	}
	if !slices.Equal(b.These, []float64{0.2, 0.3}) || !slices.Equal(b.Like, []float64{0.2, 0.3}) {
		t.Errorf("not told from the best: %v on these questions, %v on questions like these", b.These, b.Like)
	}
	far, near := b.Standings[0], b.Standings[2]
	if math.Abs(far.Difference+0.48995) > 1e-12 || far.Differ != 40 || far.These.P > 0.004 || far.Like.P > 0.004 || far.These.InSet || far.Like.InSet {
		t.Errorf("the far one %+v: %+v, %+v", far, far.These, far.Like)
	}
	for _, x := range []Standing{far, near} {
		for _, f := range []*Finding{x.These, x.Like} {
			if !f.Behind.Contains(-x.Difference) || f.InSet && f.Behind.Low != 0 || f.Behind.High <= -x.Difference {
				t.Errorf("T = %v is %v against the best, behind by %v", x.Temperature, x.Difference, f.Behind)
			}
		}
	}
	top := b.Standings[1]
	if top.Difference != 0 || top.Differ != 0 || top.These.P != 1 || top.These.First < 0.5 {
		t.Errorf("the best one %+v: %+v", top, top.These)
	}
	if last := a.Best[len(a.Best)-1]; last.K != 10_000 || last.Reliable {
		t.Errorf("last %+v", last)
	}
}

// TestNoBestOfNothing: where nothing passed, no temperature is the best.
func TestNoBestOfNothing(t *testing.T) {
	t.Parallel()
	if a := analyse(t, sweepOf(100, []int{0, 0}, []int{0, 0})); len(a.Best) != 0 {
		t.Errorf("best %+v", a.Best)
	}
}

// TestMissingCells: a temperature measured on easier questions than the others is not
// shown ahead of them.
func TestMissingCells(t *testing.T) {
	t.Parallel()
	s := sweepOf(100, []int{90, 80}, []int{85, 75}, []int{10, 5}, []int{5, 2})
	s.Questions[2].Cells[1], s.Questions[3].Cells[1] = stream.Counts{}, stream.Counts{}
	a := analyse(t, s)
	first, second := a.Temperatures[0].Points[0], a.Temperatures[1].Points[0]
	if first.Questions != 2 || second.Questions != 2 || math.Abs(first.Value-0.875) > 1e-12 || math.Abs(second.Value-0.775) > 1e-12 || !first.Partial || second.Partial {
		t.Errorf("pass@1 %+v and %+v, want both over the two questions that have samples at both", first, second)
	}
	if a.Best[0].Temperature != 0.1 || a.Union.Complete != 2 || a.Union.All != 2 {
		t.Errorf("best %v, %d complete, %d solved at every temperature", a.Best[0].Temperature, a.Union.Complete, a.Union.All)
	}
}

// TestRagged: cells of different n, and cells that are not there.
func TestRagged(t *testing.T) {
	t.Parallel()
	s := sweepOf(100, []int{10, 20, 5}, []int{0, 30, 6}, []int{50, 60, 7})
	s.Questions[0].Cells[0] = stream.Counts{N: 10, Passed: 1}
	s.Questions[1].Cells[1] = stream.Counts{}
	s.Questions[2].Cells[1] = stream.Counts{Unscored: 4, Verdicts: map[stream.Verdict]int{stream.JudgeFault: 4}}
	a := analyse(t, s)
	x := a.Temperatures[0]
	if x.NMin != 10 || x.NMax != 100 || x.Questions != 3 {
		t.Errorf("first temperature %+v", x)
	}
	// One question alone has samples at both temperatures: every value is over it.
	for _, p := range x.Points {
		if p.K > 10 || p.Questions != 1 || !p.Partial {
			t.Errorf("point %+v", p)
		}
	}
	alone := sweepOf(100, []int{10}, []int{0}, []int{50})
	alone.Questions[0].Cells[0] = stream.Counts{N: 10, Passed: 1}
	one := analyse(t, alone).Temperatures[0]
	for i, p := range slices.Concat(one.Points, one.Beyond) {
		beyond := i >= len(one.Points)
		if beyond != (p.K > 10) || p.Partial != beyond || p.Questions != map[bool]int{true: 2, false: 3}[beyond] {
			t.Errorf("beyond %v: %+v", beyond, p)
		}
	}
	below, _ := score.UpperBound(100, 0, 0.95)
	if want := (Unsolved{1, 100, below}); x.Unsolved == nil || *x.Unsolved != want {
		t.Errorf("unsolved %+v, want %+v", x.Unsolved, want)
	}
	y := a.Temperatures[1]
	if y.Questions != 1 || y.Missing != 2 || y.Unscored != 4 || y.Points[0].Value != 0.2 || y.Points[0].Population != nil {
		t.Errorf("second temperature %+v", y)
	}
	if b := a.Best[0]; b.Questions != 1 || b.These != nil || b.Like != nil || b.Standings[0].These != nil || b.Temperature != 0.2 {
		t.Errorf("best over one common question: %+v", b)
	}
	if p := a.Union.Points[0]; p.Questions != 1 || p.Population != nil {
		t.Errorf("union over one common question: %+v", p)
	}
	if got := codes(a); !slices.Equal(got, []string{NoteFew, NoteRagged, NoteMissing, NoteUnscored, NoteUnreliable}) {
		t.Errorf("notes %v", a.Notes)
	}
}

// TestUnsolvedIsBoundedByTheFewest: the bound holds for each question, so it is
// that of the question with the fewest samples.
func TestUnsolvedIsBoundedByTheFewest(t *testing.T) {
	t.Parallel()
	s := sweepOf(1000, []int{0}, []int{0}, []int{0}, []int{7})
	s.Questions[1].Cells[0].N, s.Questions[3].Cells[0].N = 50, 10
	below, _ := score.UpperBound(50, 0, 0.95)
	if got, want := analyse(t, s).Temperatures[0].Unsolved, (Unsolved{3, 50, below}); got == nil || *got != want {
		t.Errorf("unsolved %+v, want %+v", got, want)
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		s    *Sweep
		want map[string]string
	}{
		{"nothing there", &Sweep{Temperatures: []float64{0.1}}, map[string]string{NoteNoSamples: "no sample was scored"}},
		{"no temperatures", &Sweep{}, map[string]string{NoteNoSamples: "no sample"}},
		{"no samples", sweepOf(0, []int{0, 0}), map[string]string{NoteNoSamples: "no sample"}},
		{"none solved", sweepOf(10_000, []int{0}), map[string]string{NoteNothing: "below 0.03 % (95 %, one-sided)", NoteOneQuestion: "one question only", NoteUnreliable: "from k = 200 on"}},
		{"all passed", sweepOf(10, []int{10}, []int{10}), map[string]string{NoteEverything: "above 86.0 %", NoteFew: "2 questions", NoteUnreliable: "from k = 1 on"}},
		{"n of 5", sweepOf(5, []int{1}, []int{2}), map[string]string{NoteFew: "", NoteUnreliable: "from k = 1 on"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := analyse(t, tt.s)
			if len(a.Notes) != len(tt.want) {
				t.Errorf("notes %v, want %v", a.Notes, tt.want)
			}
			for _, n := range a.Notes {
				if want, ok := tt.want[n.Code]; !ok || !strings.Contains(n.Text, want) {
					t.Errorf("note %+v, want one with %q", n, want)
				}
			}
			if _, err := json.Marshal(a); err != nil {
				t.Error(err)
			}
		})
	}
	greedy := sweepOf(10, []int{1, 1}, []int{0, 10})
	greedy.Temperatures[0] = 0
	if a := analyse(t, greedy); !slices.Contains(codes(a), NoteGreedy) || !strings.Contains(a.Notes[len(a.Notes)-1].Text, "20 samples are 10 distinct programs") {
		t.Errorf("notes %v", a.Notes)
	}
}

// TestAlwaysJSON: whatever the counts, the result can be written, its shares are
// shares, and its intervals hold their values.
func TestAlwaysJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := &Sweep{}
		for i := range rapid.IntRange(0, 3).Draw(t, "temperatures") {
			s.Temperatures = append(s.Temperatures, float64(i))
		}
		for q := range rapid.IntRange(0, 4).Draw(t, "questions") {
			x := Question{Index: q, Origin: stream.Origin{Difficulty: rapid.SampledFrom([]string{"", "easy", "hard"}).Draw(t, "difficulty")}}
			for range s.Temperatures {
				n := rapid.SampledFrom([]int{0, 1, 2, 7, 100, 10_000}).Draw(t, "n")
				x.Cells = append(x.Cells, stream.Counts{N: n, Passed: rapid.IntRange(0, n).Draw(t, "passed"), Unscored: rapid.IntRange(0, 1).Draw(t, "unscored")})
			}
			s.Questions = append(s.Questions, x)
		}
		a, err := Analyse(s, Options{Rounds: 20})
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		var back Analysis
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatal(err)
		}
		for _, x := range a.Temperatures {
			last := -1.0
			for _, p := range x.Points {
				if !(p.Value >= 0 && p.Value <= 1) || !p.Sampling.Contains(p.Value) || p.Population != nil && !p.Population.Contains(p.Value) {
					t.Fatalf("point %+v", p)
				}
				if p.Value < last-1e-12 {
					t.Fatalf("pass@k falls: %+v", x.Points)
				}
				last = p.Value
			}
		}
		if rows, err := Rows(s, 0); err != nil {
			t.Fatal(err)
		} else if _, err := json.Marshal(rows); err != nil {
			t.Fatal(err)
		}
	})
}

func TestRows(t *testing.T) {
	t.Parallel()
	s := sweepOf(10_000, []int{0, 171})
	s.Temperatures = append(s.Temperatures, 0.9)
	s.Questions[0].Cells = append(s.Questions[0].Cells, stream.Counts{})
	rows, err := Rows(s, 0.95)
	if err != nil {
		t.Fatal(err)
	}
	r := rows[0]
	want, _ := score.ClopperPearson(10_000, 171, 0.95)
	if r.Low[1] != want.Low || r.High[1] != want.High || r.Low[0] != 0 || math.Abs(r.Below[0]-2.9953e-4) > 1e-8 || r.High[0] < r.Below[0] ||
		r.Low[2] != 0 || r.High[2] != 1 || r.Below[2] != 1 || r.Solved != 1 || !slices.Equal(r.N, []int{10_000, 10_000, 0}) {
		t.Errorf("row %+v, want %v", r, want)
	}
}

func TestSameSeedSameResult(t *testing.T) {
	t.Parallel()
	s := sweepOf(100, []int{3, 90}, []int{0, 50}, []int{7, 0})
	text := func(seed uint64) string {
		a, err := Analyse(s, Options{Rounds: 200, Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	first, again, other := text(1), text(1), text(2)
	if first != again || first == other {
		t.Error("the result does not follow the seed")
	}
}

func TestRefuses(t *testing.T) {
	t.Parallel()
	twice := sweepOf(10, []int{1, 1})
	twice.Temperatures[1] = twice.Temperatures[0]
	short := sweepOf(10, []int{1, 1})
	short.Questions[0].Cells = short.Questions[0].Cells[:1]
	nan := sweepOf(10, []int{1})
	nan.Temperatures[0] = math.NaN()
	for name, tt := range map[string]struct {
		s    *Sweep
		o    Options
		want string
	}{
		"level":  {sweepOf(10, []int{1}), Options{Level: 1}, "level = 1"},
		"count":  {sweepOf(10, []int{11}), Options{}, "passed = 11 of n = 10"},
		"twice":  {twice, Options{}, "each once"},
		"short":  {short, Options{}, "has 1 cells"},
		"number": {nan, Options{}, "finite"},
	} {
		if a, err := Analyse(tt.s, tt.o); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, %v, want an error with %q", name, a, err, tt.want)
		}
	}
}

// benchSweep is the size lcbq is made for.
func benchSweep() *Sweep {
	r := rand.New(rand.NewPCG(31, 37))
	s := &Sweep{}
	for t := range 16 {
		s.Temperatures = append(s.Temperatures, float64(t+1)/10)
	}
	for q := range 175 {
		x := Question{Index: q, Origin: stream.Origin{Difficulty: []string{"easy", "medium", "hard"}[q%3], Platform: []string{"atcoder", "leetcode"}[q%2]}}
		base := math.Pow(r.Float64(), 6)
		if q%3 == 2 {
			base = 0
		}
		for t := range 16 {
			p := base * math.Exp(-0.1*math.Abs(float64(t-6)))
			c := 0
			if p > 0 {
				c = int(distuv.Binomial{N: 10_000, P: p, Src: r}.Rand())
			}
			x.Cells = append(x.Cells, stream.Counts{N: 10_000, Passed: c})
		}
		s.Questions = append(s.Questions, x)
	}
	return s
}

// BenchmarkAnalyse is a run of 175 questions, 16 temperatures and 10,000 samples.
func BenchmarkAnalyse(b *testing.B) {
	s := benchSweep()
	for b.Loop() {
		a, err := Analyse(s, Options{})
		if err != nil {
			b.Fatal(err)
		}
		text, err := json.Marshal(a)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(text))/1e6, "MB")
	}
}
