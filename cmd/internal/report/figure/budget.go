package figure

import (
	"fmt"
	"math"
	"strings"

	"github.com/lcbq/lcbq/cmd/internal/report/chart"
	"github.com/lcbq/lcbq/worker/score"
	"github.com/lcbq/lcbq/worker/score/curve"
)

// behind is what each temperature loses against the best one, with its intervals.
func (s *Source) behind() Figure {
	c := chart.Panels{Title: s.titled("What a temperature costs against the best"), Desc: "One panel for each k; 0 is the best temperature.", Narrowest: 200, Height: 230}
	for i, k := range s.Headline() {
		b := s.BestAt(k)
		if b == nil || b.Choice == nil {
			continue
		}
		highest := 0.0
		track := chart.Track{Ink: chart.Series(i), Mark: marks[i%len(marks)], Marks: true, Small: true, Faint: !b.Reliable}
		for _, x := range b.Standings {
			v := chart.Value{X: x.Temperature, Y: -100 * x.Difference, Faint: !b.Reliable}
			v.Narrow, v.Wide = ends(100*x.These.Behind.Low, 100*x.These.Behind.High), ends(100*x.Like.Behind.Low, 100*x.Like.Behind.High)
			v.Tip = fmt.Sprintf("T = %s, pass@%d: %.2f points behind the highest\n%s, all temperatures at once: %.2f to %.2f on these questions, %.2f to %.2f on questions like these",
				Temperature(x.Temperature), k, v.Y, s.level(), v.Narrow[0], v.Narrow[1], v.Wide[0], v.Wide[1])
			highest = max(highest, v.Wide[1], v.Narrow[1])
			track.Values = append(track.Values, v)
		}
		y := chart.Axis{Label: fmt.Sprintf("pass@%d, points lost", k)}
		y.Min, y.Max = chart.FromZero(highest, 0)
		c.Charts = append(c.Charts, chart.Line{X: s.temperatureAxis(), Y: y, Series: []chart.Track{track}})
	}
	return Figure{
		Name: "behind", Short: "Cost of T", Full: true, Title: "What a temperature costs", Table: s.Behind(),
		Caption: fmt.Sprintf("How far pass@k at each temperature is behind that of the best one, paired by question. Bands are %s intervals for all temperatures at once: dark on these questions, light on questions like these. The upper end is the most that choosing this temperature loses; a band that begins above 0 is a temperature that is not the best. Each panel has its own scale.", s.level()),
		Draw:    c.Draw,
	}
}

// halves says in words how wide the two intervals of pass@1 are.
func (s *Source) halves() string {
	at := s.shownAt()
	for _, x := range s.Analysis.Temperatures {
		p := At(x.Points, 1)
		if x.Temperature != at || p == nil || p.Population == nil {
			continue
		}
		text := fmt.Sprintf(" The interval of pass@1 at T = %s is %s points wide by sampling and %s by questions", Temperature(at), Percent(p.Sampling.Width()), Percent(p.Population.Width()))
		if p.Population.Contest != nil {
			text += fmt.Sprintf(", or %s where questions of one contest are taken for alike", Percent(p.Population.Contest.Width()))
		}
		return text + "."
	}
	return ""
}

// union is what spreading samples over all temperatures gains.
func (s *Source) union() Figure {
	c := chart.Line{Title: s.titled("All temperatures together"), Desc: "What samples spread evenly over all temperatures gain against as many at the best one."}
	gain := chart.Track{Name: "gain", Ink: chart.Series(0), Mark: chart.Circle, Marks: true, Thick: true}
	lowest, highest, low, high := 0.0, 0.0, math.MaxInt, 2
	for _, p := range s.Analysis.Union.Points {
		x := p.Single
		if x == nil {
			continue
		}
		v := chart.Value{X: float64(p.K), Y: 100 * x.Gain, Faint: !p.Reliable, Tip: fmt.Sprintf("%s samples of a question over all temperatures: %s %%, %+.2f points against as many at the best one", Count(p.K), Percent(p.Value), 100*x.Gain)}
		for _, b := range []struct {
			of *[2]float64
			to **[2]float64
		}{{percents(x.These), &v.Narrow}, {percents(x.Interval), &v.Wide}} {
			if *b.to = b.of; b.of != nil {
				lowest, highest = min(lowest, b.of[0]), max(highest, b.of[1])
			}
		}
		lowest, highest, low, high = min(lowest, v.Y), max(highest, v.Y), min(low, p.K), max(high, p.K)
		gain.Values = append(gain.Values, v)
	}
	c.Series = []chart.Track{gain}
	if low == math.MaxInt {
		low = 1
	}
	c.X = chart.Axis{Label: "samples of a question in all", Log: true, Min: float64(low), Max: float64(max(high, 2*low))}
	c.Y = chart.Axis{Label: "gain, points", Min: -math.Ceil(-lowest), Max: max(1, math.Ceil(highest))}
	u := s.Analysis.Union
	return Figure{
		Name: "union", Short: "Union", Title: "Union over temperatures", Table: s.Union(),
		Caption: fmt.Sprintf("Different temperatures solve different questions: is it better to spread a budget over all of them? Above 0: spread. Dark band: these questions (%s); light: questions like these. The temperature that the spread is compared with is chosen on other samples than it is scored on. %d of %d questions are solved at some temperature; of the %d that have samples at every one, %d are solved at every one.",
			s.level(), u.Solved, s.Analysis.Questions, u.Complete, u.All),
		Draw: func(w float64) *chart.Drawing { return c.Draw(w, height(w)) },
	}
}

// percents returns the ends of an interval in points, nil for none.
func percents(i *score.Interval) *[2]float64 {
	if i == nil {
		return nil
	}
	return ends(100*i.Low, 100*i.High)
}

// diversity is how different the programs are, in measures that do not grow with the number
// of questions.
func (s *Source) diversity() Figure {
	c := chart.Line{X: s.temperatureAxis(), Title: s.titled("Distinct programs"), Desc: "How many different programs 100 samples are, and how many different ones 100 that passed."}
	unique := chart.Track{Name: "of all", Ink: chart.Series(0), Mark: chart.Circle, Marks: true}
	passed := chart.Track{Name: "of passed", Ink: chart.Series(2), Mark: chart.Triangle, Marks: true}
	for _, x := range s.Analysis.Temperatures {
		if x.UniquePrograms == 0 {
			continue
		}
		v := 100 * x.UniqueShare
		unique.Values = append(unique.Values, chart.Value{X: x.Temperature, Y: v, Tip: fmt.Sprintf("T = %s: %s distinct programs of %s samples", Temperature(x.Temperature), Count(x.UniquePrograms), Count(x.Samples))})
		if x.Passed > 0 {
			v := 100 * float64(x.UniquePassed) / float64(x.Passed)
			passed.Values = append(passed.Values, chart.Value{X: x.Temperature, Y: v, Tip: fmt.Sprintf("T = %s: %s distinct programs of %s that passed", Temperature(x.Temperature), Count(x.UniquePassed), Count(x.Passed))})
		}
	}
	c.Series = []chart.Track{unique, passed}
	c.Y = chart.Axis{Label: "distinct programs per 100", Min: 0, Max: 100}
	return Figure{
		Name: "diversity", Short: "Diversity", Title: "Diversity", Table: s.Diversity(),
		Caption: "Distinct programs, to the letter, per 100 samples and per 100 that passed. Where few are, many samples are repetitions; the share falls as a cell has more samples." + s.variety(),
		Draw:    func(w float64) *chart.Drawing { return c.Draw(w, height(w)) },
	}
}

// variety says how many distinct programs solve a question that is solved, at the ends of the sweep.
func (s *Source) variety() string {
	var parts []string
	for _, x := range []*curve.Temperature{&s.Analysis.Temperatures[0], &s.Analysis.Temperatures[len(s.Analysis.Temperatures)-1]} {
		if x.UniquePrograms > 0 && x.Solved > 0 {
			parts = append(parts, fmt.Sprintf("%.1f at T = %s", perSolved(x), Temperature(x.Temperature)))
		}
	}
	if len(parts) < 2 {
		return ""
	}
	return " A question that is solved has " + strings.Join(parts, " and ") + " distinct programs that passed."
}

// Choices is the temperature to use by k.
func (s *Source) Choices() *Table {
	t := &Table{Name: "choices", Title: "Which temperature to use", Columns: append(num("k", "use", "these questions, lost at most, points", "questions like these, lost at most, points"), text("reliable"))}
	t.Columns = append(t.Columns, num("highest of temperatures", "too high on average at most, these questions, points", "too high on average at most, questions like these, points")...)
	for i := range s.Analysis.Best {
		if b := &s.Analysis.Best[i]; b.Choice != nil {
			t.Rows = append(t.Rows, []Field{whole(b.K), number(Temperature(b.Choice.Temperature), b.Choice.Temperature), points(b.Choice.These), points(b.Choice.Like), yes(b.Reliable), whole(b.Selected.Of), points(b.Selected.These), points(b.Selected.Like)})
		}
	}
	return t
}

// Truncated is the share of samples that were cut off at the limit of tokens before a program.
func Truncated(t *curve.Temperature) float64 { return class(t, "truncated").Share }
