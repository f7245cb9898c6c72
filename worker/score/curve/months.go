package curve

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/lcbq/lcbq/worker/score"
)

// ErrCutoff says that a cut-off leaves no question on one side of it. The command line
// turns it into an exit status of its own.
var ErrCutoff = errors.New("cut-off divides nothing")

// A Cutoff sets the questions of contests before a day beside those from it on: a model
// may have seen the former in training.
type Cutoff struct {
	Date         string              `json:"date"` // YYYY-MM-DD: the first day after
	Before       int                 `json:"before"`
	After        int                 `json:"after"`
	Unknown      int                 `json:"unknown"` // questions without a contest date: on neither side
	Temperatures []CutoffTemperature `json:"temperatures"`
}

// A CutoffTemperature is both sides at one temperature, at the headline k.
type CutoffTemperature struct {
	Temperature float64       `json:"temperature"`
	Points      []CutoffPoint `json:"points"`
}

// A CutoffPoint is pass@k before and after. The sides hold different questions, so that
// they are not paired.
type CutoffPoint struct {
	K          int             `json:"k"`
	Before     Point           `json:"before"`
	After      Point           `json:"after"`
	Difference float64         `json:"difference"`         // after less before
	Interval   *score.Interval `json:"interval,omitempty"` // of the difference, on questions like these; nil where a side has fewer than two
}

// day returns the day of a contest date as YYYY-MM-DD, "" where it is none.
func (q *Question) day() string {
	day := q.ContestDate[:min(len(q.ContestDate), len(time.DateOnly))]
	if _, err := time.Parse(time.DateOnly, day); err != nil {
		return ""
	}
	return day
}

// month returns the month of a contest date as YYYY-MM, "" where it is none.
func (q *Question) month() string {
	day := q.day()
	return day[:min(len(day), len("2006-01"))]
}

// cutoff fills in out.Cutoff where one is asked for.
func (a *analyser) cutoff(out *Analysis) error {
	if a.split == "" {
		return nil
	}
	c := &Cutoff{Date: a.split, Temperatures: []CutoffTemperature{}}
	var before, after []int
	first, last := "", ""
	for i := range a.Questions {
		day := a.Questions[i].day()
		if day != "" && (first == "" || day < first) {
			first = day
		}
		last = max(last, day)
		switch {
		case day == "":
			c.Unknown++
		case day < a.split:
			before = append(before, i)
		default:
			after = append(after, i)
		}
	}
	c.Before, c.After = len(before), len(after)
	if c.Before == 0 || c.After == 0 {
		remedy := fmt.Sprintf("choose a day after %s, %s at the latest", first, last)
		if first == last {
			remedy = "no day divides these questions: leave it out"
		}
		return fmt.Errorf("%w: %s: %d questions are of contests before it, %d of contests from it on, %d have no date\n%s", ErrCutoff, a.split, c.Before, c.After, c.Unknown, remedy)
	}
	for t, temperature := range a.Temperatures {
		x := CutoffTemperature{Temperature: temperature, Points: []CutoffPoint{}}
		for _, k := range Headline(a.most()) {
			p := CutoffPoint{K: k}
			var have [2]bool
			var err error
			if p.Before, have[0], err = a.point(t, k, before); err != nil {
				return err
			}
			if p.After, have[1], err = a.point(t, k, after); err != nil {
				return err
			}
			if !have[0] || !have[1] {
				continue
			}
			p.Difference = p.After.Value - p.Before.Value
			if p.Before.Population != nil && p.After.Population != nil {
				i := apart(p.Before.Value, p.After.Value, p.Before.Population.Interval, p.After.Population.Interval)
				p.Interval = &i
			}
			x.Points = append(x.Points, p)
		}
		c.Temperatures = append(c.Temperatures, x)
	}
	out.Cutoff = c
	return nil
}

// most is the largest k of the ladder, 0 without samples.
func (a *analyser) most() int {
	if len(a.ladder) == 0 {
		return 0
	}
	return a.ladder[len(a.ladder)-1]
}

// apart returns the interval of y - x for two values that are independent of each other,
// from the interval of each: the arms that face each other are added in quadrature, so
// that lopsided intervals stay so (Zou and Donner 2008).
func apart(x, y float64, of, other score.Interval) score.Interval {
	d := y - x
	return score.Interval{
		Low:  max(-1, d-math.Hypot(y-other.Low, of.High-x)),
		High: min(1, d+math.Hypot(other.High-y, x-of.Low)),
	}
}
