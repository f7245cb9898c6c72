package figure

import (
	"fmt"
	"math"

	"github.com/lcbq/lcbq/cmd/internal/report/chart"
)

// A Moment is how far a run was at a time.
type Moment struct {
	Seconds float64 // since the run was defined
	Samples int     // in cells finished by then
}

// paceSteps is into how many steps of equal time a run is cut: few enough that
// cells, which finish whole, do not make the line jump.
const paceSteps = 40

// paces returns samples per second at the middle of each step, the samples of a
// cell taken for evenly spread over the time since the one before.
func (s *Source) paces() (seconds, rates []float64) {
	if len(s.Timeline) < 2 {
		return nil, nil
	}
	last := s.Timeline[len(s.Timeline)-1].Seconds
	if !(last > 0) || math.IsInf(last, 0) {
		return nil, nil
	}
	steps := min(paceSteps, len(s.Timeline))
	before := 0.0
	for i := range steps {
		to := last * float64(i+1) / float64(steps)
		now := s.samplesAt(to)
		seconds = append(seconds, last*(float64(i)+0.5)/float64(steps))
		rates = append(rates, max(0, now-before)*float64(steps)/last)
		before = now
	}
	return seconds, rates
}

// samplesAt returns the samples that were finished by a time, between two moments
// in proportion.
func (s *Source) samplesAt(seconds float64) float64 {
	from := Moment{}
	for _, m := range s.Timeline {
		if m.Seconds >= seconds {
			if m.Seconds <= from.Seconds {
				return float64(m.Samples)
			}
			return float64(from.Samples) + float64(m.Samples-from.Samples)*(seconds-from.Seconds)/(m.Seconds-from.Seconds)
		}
		from = m
	}
	return float64(from.Samples)
}

// pace shows throughput over the run's time.
func (s *Source) pace() Figure {
	seconds, rates := s.paces()
	unit, name := 1.0, "seconds"
	switch last := s.Timeline[len(s.Timeline)-1].Seconds; {
	case last >= 3*3600:
		unit, name = 3600, "hours"
	case last >= 180:
		unit, name = 60, "minutes"
	}
	c := chart.Line{
		X:     chart.Axis{Label: name + " since the start", Min: 0, Max: s.Timeline[len(s.Timeline)-1].Seconds / unit},
		Y:     chart.Axis{Label: "samples in finished cells"},
		Title: s.titled("Throughput over time"), Desc: "Samples in finished cells, from the run's start to its last cell.",
	}
	t := chart.Track{Ink: chart.Series(0)}
	table := &Table{Name: "pace", Title: "Throughput over time", Columns: num("seconds since the start", "samples per second")}
	for i, x := range seconds {
		done := s.samplesAt(x)
		t.Values = append(t.Values, chart.Value{X: x / unit, Y: done, Tip: fmt.Sprintf("%.1f %s: %s samples, %.1f/s around it", x/unit, name, Count(int(done)), rates[i])})
		table.Rows = append(table.Rows, []Field{number(fmt.Sprintf("%.1f", x), x), number(fmt.Sprintf("%.1f", rates[i]), rates[i])})
	}
	c.Series = []chart.Track{t}
	c.Y.Min, c.Y.Max = chart.FromZero(s.samplesAt(s.Timeline[len(s.Timeline)-1].Seconds), 0)
	return Figure{
		Name: "pace", Short: "Pace", Title: "Throughput over time", Caption: "The steeper, the faster. Samples count when their cell is finished; pauses of the run are in it.", Table: table,
		Draw: func(w float64) *chart.Drawing { return c.Draw(w, height(w)) },
	}
}
