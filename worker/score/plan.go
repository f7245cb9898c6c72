package score

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// An Outlook is what is known of questions before they are sampled: how wide the intervals
// for their mean pass@k will be with other numbers of samples and questions.
type Outlook struct {
	K         int
	Questions int
	Mean      float64 // pass@k
	Between   float64 // variance of the questions' true scores, 0 or more
	moments   []float64
	unsolved  float64 // share of the questions that may never pass
}

// PilotOutlook returns the outlook that samples already drawn give. Sampling and Between
// are unbiased: the variance of pass@k with n samples is the sum over j, the samples that
// two draws of k have in common, of the chance of j times (1-p)^(2k-j), less (1-p)^2k,
// and each of these powers has an unbiased estimate (Hoeffding 1948).
//
// The error is ErrUndefined for fewer than two questions, or fewer than 2k samples of one.
func PilotOutlook(questions []Count, k int) (*Outlook, error) {
	most := 0
	for i, c := range questions {
		if err := check(c, k); err != nil {
			return nil, fmt.Errorf("outlook on pass@%d of question %d: %w", k, i, err)
		}
		if c.N < 2*k {
			return nil, fmt.Errorf("outlook on pass@%d of question %d: %w: %d samples, want twice %d", k, i, ErrUndefined, c.N, k)
		}
		most = max(most, c.N)
	}
	f := logFactorials(most)
	unsolved := 0
	for _, c := range questions {
		if c.C == 0 {
			unsolved++
		}
	}
	return outlook(len(questions), k, unsolved, func(i, m int) float64 { return f.miss(questions[i], m) })
}

// WorldOutlook returns the outlook on as many questions with the given true pass rates.
func WorldOutlook(rates []float64, questions, k int) (*Outlook, error) {
	unsolved := 0
	for i, p := range rates {
		if !(p >= 0 && p <= 1) {
			return nil, fmt.Errorf("outlook: rate %d = %v, want 0 to 1", i, p)
		}
		if p == 0 {
			unsolved++
		}
	}
	if k < 1 || questions < 2 {
		return nil, fmt.Errorf("outlook: k = %d, %d questions: want k of 1 or more and 2 questions at least", k, questions)
	}
	o, err := outlook(len(rates), k, unsolved, func(i, m int) float64 { return math.Pow(1-rates[i], float64(m)) })
	if err == nil {
		o.Questions = questions
	}
	return o, err
}

// outlook takes the estimate of (1-p)^m of each question from miss.
func outlook(questions, k, unsolved int, miss func(i, m int) float64) (*Outlook, error) {
	if questions < 2 {
		return nil, fmt.Errorf("outlook on pass@%d: %w: %d questions, want at least 2", k, ErrUndefined, questions)
	}
	q := float64(questions)
	o := &Outlook{K: k, Questions: questions, moments: make([]float64, k+1), unsolved: float64(unsolved) / q}
	for j := range o.moments {
		var s sum
		for i := range questions {
			s.add(miss(i, 2*k-j))
		}
		o.moments[j] = s.value() / q
	}
	m := o.moments[k]
	var squares, scatter sum
	for i := range questions {
		x := miss(i, k)
		squares.add(x * x)
		scatter.add((x - m) * (x - m))
	}
	o.Mean = 1 - m
	o.Between = max(0, scatter.value()/(q-1)-squares.value()/q+o.moments[0])
	return o, nil
}

// variance is the mean over questions of the sampling variance of pass@k with n samples.
func (o *Outlook) variance(n int) float64 {
	k := o.K
	common := math.Exp(logMiss(n, k, k)) // the chance that two draws of k have no sample in common
	var s sum
	for j := 0; j <= k; j++ {
		s.add(common * (o.moments[j] - o.moments[0]))
		if n-2*k+j+1 > 0 {
			common *= float64(k-j) / float64(j+1) * float64(k-j) / float64(n-2*k+j+1)
		}
	}
	return max(0, s.value())
}

// Sampling returns half the width that SamplingInterval will have on average with n samples of
// each question, for n of 2k or more.
func (o *Outlook) Sampling(n int, level float64) float64 {
	q := float64(o.Questions)
	arm := normalQuantile((1+level)/2) * math.Sqrt(o.variance(n)/q)
	room := min(o.unsolved, -math.Log((1-level)/2)*float64(o.K)/float64(n)/q)
	return (arm + math.Hypot(arm, room)) / 2
}

// Like returns half the width that PopulationInterval will have, about, with n samples of
// each of so many questions. n = 0 stands for more samples than anybody can draw.
func (o *Outlook) Like(n, questions int, level float64) float64 {
	v := o.Between
	if n > 0 {
		v += o.variance(n)
	}
	return studentQuantile((1+level)/2, float64(questions-1)) * math.Sqrt(v/float64(questions))
}

// Share returns how much of the variance over questions is chance of n samples of each, 0 to
// 1: what more samples can remove.
func (o *Outlook) Share(n int) float64 {
	v := o.variance(n)
	if v+o.Between == 0 {
		return 0
	}
	return v / (v + o.Between)
}

// mostPlanned is where a plan gives up: no sweep has more samples of a question, nor a set
// more questions.
const mostPlanned = 100_000_000

// SamplesFor returns the fewest samples of each question, 2k at least, with which Sampling is
// at most half. It reports false if none are enough.
func (o *Outlook) SamplesFor(half, level float64) (int, bool) {
	return fewest(max(2, 2*o.K), func(n int) bool { return o.Sampling(n, level) <= half })
}

// SamplesUntil is SamplesFor for who looks at the anytime interval while samples are drawn.
func (o *Outlook) SamplesUntil(half, level float64) (int, bool) {
	return fewest(max(2, 2*o.K), func(n int) bool { return o.Sampling(n, AnytimeLevel(n/o.K, level)) <= half })
}

// QuestionsFor returns the fewest questions, with n samples of each, with which Like is at
// most half. It reports false if none are enough.
func (o *Outlook) QuestionsFor(n int, half, level float64) (int, bool) {
	return fewest(2, func(q int) bool { return o.Like(n, q, level) <= half })
}

// fewest is the lowest number from low on for which enough is true, which stays true above it.
func fewest(low int, enough func(int) bool) (int, bool) {
	high := low
	for !enough(high) {
		if high >= mostPlanned {
			return 0, false
		}
		low, high = high+1, min(mostPlanned, 2*high)
	}
	for low < high {
		if mid := low + (high-low)/2; enough(mid) {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return high, true
}

// Worlds names the assumptions that World knows.
var Worlds = []string{"lcb", "uniform", "saturated"}

// World returns pass rates that stand for questions not yet asked: lcb has many that are
// hopeless, some in the middle and few that are easy, as a model finds LiveCodeBench that
// solves a quarter of it; uniform has all rates alike; saturated is nearly solved. The
// error names the worlds.
func World(name string) ([]float64, error) {
	const questions = 2000
	if !slices.Contains(Worlds, name) {
		return nil, fmt.Errorf("world %q: want one of %v", name, Worlds)
	}
	r := rand.New(rand.NewPCG(1, 1)) // the same at every call
	out := make([]float64, questions)
	for i := range out {
		u := (float64(i) + 0.5) / questions
		switch {
		case name == "uniform":
			out[i] = u
		case name == "saturated":
			out[i] = 1 - 0.1*math.Pow(u, 4)
		case u < 0.2:
			out[i] = 0
		case u < 0.6:
			out[i] = 0.05 * r.Float64() * r.Float64()
		case u < 0.9:
			out[i] = 0.05 + 0.9*(u-0.6)/0.3
		default:
			out[i] = 1 - 0.05*r.Float64()*r.Float64()
		}
	}
	return out, nil
}

// BetaWorld returns the pass rates of a beta distribution with the given mean and standard
// deviation over questions.
func BetaWorld(mean, deviation float64) ([]float64, error) {
	const questions = 400
	if !(mean > 0 && mean < 1) || !(deviation > 0 && deviation*deviation < mean*(1-mean)) {
		return nil, errors.New("rates with a mean of 0 to 1 cannot scatter more than mean*(1-mean), nor less than 0")
	}
	draws := mean*(1-mean)/(deviation*deviation) - 1
	out := make([]float64, questions)
	for i := range out {
		out[i] = betaQuantile(mean*draws, (1-mean)*draws, (float64(i)+0.5)/questions)
	}
	return out, nil
}
