package forecast_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lcbq/lcbq/cmd/internal/snapshot/forecast"
)

// A sweep is a simulated run on a simulated clock: 175 questions at 16 temperatures, ten units a cell, whose questions
// cost very different things. Units are generated in order and judged in order by so many evaluators.
type sweep struct {
	name       string
	seed       uint64
	tokenSpeed float64 // tokens a second
	slots      float64 // processors that judge
	uneven     float64 // spread of the logarithm of what questions cost
	joins      bool    // as many processors again come after 30 % of the units
	pauses     bool    // for a day, after 50 %
}

const (
	questions    = 175
	temperatures = 16
	each         = 10 // units a cell
)

// A unit's times, in seconds from the start.
type unit struct{ generated, judged float64 }

type simulated struct {
	units  []unit
	cells  []forecast.Question
	done   []float64 // of each cell, in order
	tokens []float64
	cpu    []float64
}

func (s sweep) run() simulated {
	rng := rand.New(rand.NewPCG(s.seed, 7))
	var out simulated
	clock, free := 0., 0.
	all := questions * temperatures * each
	for range questions {
		kind := []string{"easy", "medium", "hard"}[rng.IntN(3)]
		harder := map[string]float64{"easy": 0.7, "medium": 1, "hard": 1.4}[kind]
		length := 400 * harder * math.Exp(s.uneven*0.5*rng.NormFloat64())
		work := 3 * harder * math.Exp(s.uneven*rng.NormFloat64())
		out.cells = append(out.cells, forecast.Question{Units: temperatures * each, Kind: kind})
		for t := range temperatures {
			tokens, cpu := 0., 0.
			for range each {
				i := len(out.units)
				x := 100 * length * (1 + 0.02*float64(t)) * (1 + 0.1*rng.NormFloat64())
				c := work * (0.5 + 0.07*float64(t)) * math.Exp(0.3*rng.NormFloat64())
				slots := s.slots
				if s.joins && i > all*3/10 {
					slots *= 2
				}
				if s.pauses && i == all/2 {
					clock += 86400
				}
				clock += x / s.tokenSpeed
				free = max(free, clock) + c/slots
				out.units = append(out.units, unit{clock, free})
				tokens, cpu = tokens+x, cpu+c
			}
			out.done, out.tokens, out.cpu = append(out.done, free), append(out.tokens, tokens), append(out.cpu, cpu)
		}
	}
	return out
}

// at returns what is known of the run at a moment.
func (r *simulated) at(now float64) forecast.Input {
	in := forecast.Input{Questions: slices.Clone(r.cells)}
	for _, u := range r.units {
		if u.generated > now {
			in.Ungenerated++
		}
		if u.judged > now {
			in.Unjudged++
		}
	}
	in.Backlog = in.Unjudged-in.Ungenerated > 50
	for i, d := range r.done {
		if d <= now {
			q := &in.Questions[i/temperatures]
			q.Cells = append(q.Cells, forecast.Cell{Temperature: i % temperatures, Units: each, Tokens: r.tokens[i], CPU: r.cpu[i], Done: time.Unix(0, int64(d*1e9))})
		}
	}
	return in
}

// TestTenSweeps prints and holds the table of estimates: from a tenth of the run on, 8 of 10 are right within a quarter, and
// the range that is given holds the time 8 of 10 times, give or take what ten runs can show.
func TestTenSweeps(t *testing.T) {
	t.Parallel()
	var table strings.Builder
	fmt.Fprintf(&table, "%-28s %9s %10s %9s   error at 10 %%, 30 %%, 50 %%, 70 %%, 90 %%\n", "simulated run", "hours", "within 25%", "in range")
	near, within, all := 0, 0, 0
	for _, s := range []sweep{
		{"generators decide", 1, 20_000, 64, 0.8, false, false},
		{"evaluators decide", 2, 60_000, 2, 0.8, false, false},
		{"both about as fast", 3, 20_000, 2, 0.8, false, false},
		{"even questions", 4, 20_000, 64, 0.1, false, false},
		{"very uneven, generators", 5, 20_000, 64, 1.2, false, false},
		{"very uneven, evaluators", 6, 80_000, 2, 1.2, false, false},
		{"evaluators join at 30 %", 7, 80_000, 2, 0.8, true, false},
		{"paused for a day at 50 %", 8, 20_000, 64, 0.8, false, true},
		{"evaluators decide, again", 9, 60_000, 2, 0.8, false, false},
		{"generators decide, again", 10, 20_000, 64, 0.8, false, false},
	} {
		r := s.run()
		end := r.units[len(r.units)-1].judged
		work := end // without the pause, of which no estimate can know
		if s.pauses {
			work -= 86400
		}
		ok, held, n := 0, 0, 0
		var errs []string
		for percent := 10; percent < 100; percent += 5 {
			now := work * float64(percent) / 100
			truth := work - now
			if s.pauses && now > work/2 {
				now += 86400
			}
			if s.pauses && now > r.units[len(r.units)/2-1].judged && now < r.units[len(r.units)/2].generated {
				continue // it is paused
			}
			left, known := forecast.Of(r.at(now))
			if !known {
				t.Fatalf("%s: nothing is known at %d %%", s.name, percent)
			}
			n++
			off := left.Seconds/truth - 1
			if math.Abs(off) <= 0.25 {
				ok++
			}
			if left.Low <= truth && truth <= left.High {
				held++
			}
			if percent%20 == 10 {
				errs = append(errs, fmt.Sprintf("%+4.0f%%", 100*off))
			}
		}
		fmt.Fprintf(&table, "%-28s %9.1f %6d/%d %7d/%d   %s\n", s.name, end/3600, ok, n, held, n, strings.Join(errs, " "))
		near, within, all = near+ok, within+held, all+n
	}
	fmt.Fprintf(&table, "%-28s %9s %9.0f%% %8.0f%%\n", "all", "", 100*float64(near)/float64(all), 100*float64(within)/float64(all))
	t.Log("\n" + table.String())
	if float64(near) < 0.8*float64(all) {
		t.Errorf("%d of %d estimates are within 25 %%, want 80 %%", near, all)
	}
	if float64(within) < 0.7*float64(all) {
		t.Errorf("%d of %d times lie in their range, want 80 %%", within, all)
	}
}

func TestLittleKnown(t *testing.T) {
	t.Parallel()
	if _, ok := forecast.Of(forecast.Input{Unjudged: 5}); ok {
		t.Error("a time is told of a run of which nothing is known")
	}
	if l, ok := forecast.Of(forecast.Input{Unjudged: 100, Rate: 2, Questions: []forecast.Question{{Units: 100}}}); !ok || l.Seconds != 50 || l.Low >= 50 || l.High <= 50 {
		t.Errorf("100 units at 2 a second take %+v, want 50 s with a range", l)
	}
	if l, ok := forecast.Of(forecast.Input{}); !ok || l.Seconds != 0 {
		t.Errorf("nothing is left, and takes %+v", l)
	}
}

// TestWhoDecides has ten questions left that cost as much to generate as all before them and far more to judge. Where evaluators
// have no backlog they have time for that, and generating decides.
func TestWhoDecides(t *testing.T) {
	t.Parallel()
	in := forecast.Input{Ungenerated: 40, Unjudged: 40}
	for q := range 20 {
		one := forecast.Question{Units: 4, Kind: "easy"}
		cpu := 1.
		if q >= 9 {
			one.Kind, cpu = "hard", 50
		}
		for c := range 4 {
			if q < 10 {
				one.Cells = append(one.Cells, forecast.Cell{Temperature: c, Units: 1, Tokens: 100, CPU: cpu, Done: time.Unix(int64(40*q+10*c), 0)})
			}
		}
		in.Questions = append(in.Questions, one)
	}
	fast, _ := forecast.Of(in)
	if math.Abs(fast.Seconds-400) > 20 {
		t.Errorf("40 cells, of which one is generated every 10 s, take %+v, want about 400 s", fast)
	}
	in.Backlog = true
	if slow, _ := forecast.Of(in); slow.Seconds < 1.5*fast.Seconds {
		t.Errorf("with a backlog they take %+v, want far more than %+v", slow, fast)
	}
}

// TestPauseIsNoWork has nothing finished for a day in the midst of cells that take 10 s each.
func TestPauseIsNoWork(t *testing.T) {
	t.Parallel()
	in := forecast.Input{Ungenerated: 40, Unjudged: 40}
	for q := range 20 {
		one := forecast.Question{Units: 4}
		for c := range 4 {
			at := 40*q + 10*c
			if q >= 8 {
				at += 86400
			}
			if q < 10 {
				one.Cells = append(one.Cells, forecast.Cell{Temperature: c, Units: 1, Tokens: 100, CPU: 1, Done: time.Unix(int64(at), 0)})
			}
		}
		in.Questions = append(in.Questions, one)
	}
	if left, _ := forecast.Of(in); left.Seconds < 350 || left.Seconds > 700 {
		t.Errorf("40 cells of 10 s each take %+v, want about 400 s, or as much longer as the gap counts", left)
	}
}

// TestStandsStill: cells that were finished at a better pace do not hide that units hardly move now.
func TestStandsStill(t *testing.T) {
	t.Parallel()
	start := time.Unix(1_800_000_000, 0)
	in := forecast.Input{Ungenerated: 0, Unjudged: 34, Backlog: true, Rate: 0.07}
	for range 6 {
		in.Questions = append(in.Questions, forecast.Question{Units: 10})
	}
	for i := range 2 {
		in.Questions[i].Cells = []forecast.Cell{{Units: 5, CPU: 0.3, Done: start.Add(time.Duration(i) * time.Second)}}
	}
	got, ok := forecast.Of(in)
	if want := 34 / 0.07; !ok || math.Abs(got.Seconds-want) > 1 || got.Low > want/1.9 || got.High < want*1.9 {
		t.Errorf("%+v, %v, want about %.0f s", got, ok, want)
	}
	in.Rate = 5 // as the cells say
	if got, ok := forecast.Of(in); !ok || got.Seconds > 60 {
		t.Errorf("at a good pace %+v, %v", got, ok)
	}
}
