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

// paceSteps is at how many times, evenly apart, a run is looked at.
const paceSteps = 40

// steps returns the seconds at which the run is looked at, the last of them at its last cell.
func (s *Source) steps() []float64 {
	if len(s.Timeline) < 2 {
		return nil
	}
	last := s.Timeline[len(s.Timeline)-1].Seconds
	if !(last > 0) || math.IsInf(last, 0) {
		return nil
	}
	out := make([]float64, min(paceSteps, len(s.Timeline)))
	for i := range out {
		out[i] = last * float64(i+1) / float64(len(out))
	}
	return out
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

// pace shows how many samples were finished by when. How many a second there were is said from the start on only: a cell
// counts when it is finished, so that in a short while there are none, and then those of all the time before.
func (s *Source) pace() Figure {
	last := s.Timeline[len(s.Timeline)-1].Seconds
	unit, name := 1.0, "seconds"
	switch {
	case last >= 3*3600:
		unit, name = 3600, "hours"
	case last >= 180:
		unit, name = 60, "minutes"
	}
	c := chart.Line{
		X:     chart.Axis{Label: name + " since the start", Min: 0, Max: last / unit},
		Y:     chart.Axis{Label: "samples in finished cells"},
		Title: s.titled("Samples over time"), Desc: "Samples in finished cells, from the run's start to its last cell.",
	}
	t := chart.Track{Ink: chart.Series(0), Values: []chart.Value{{}}}
	table := &Table{Name: "pace", Title: "Samples over time", Columns: num("seconds since the start", "samples in finished cells", "samples per second from the start on")}
	for _, x := range s.steps() {
		done := s.samplesAt(x)
		t.Values = append(t.Values, chart.Value{X: x / unit, Y: done, Tip: fmt.Sprintf("%.1f %s: %s samples, %.1f/s from the start on", x/unit, name, Count(int(done)), done/x)})
		table.Rows = append(table.Rows, []Field{number(fmt.Sprintf("%.1f", x), x), number(Count(int(done)), done), number(fmt.Sprintf("%.1f", done/x), done/x)})
	}
	c.Series = []chart.Track{t}
	c.Y.Min, c.Y.Max = chart.FromZero(s.samplesAt(last), 0)
	return Figure{
		Name: "pace", Short: "Pace", Title: "Samples over time", Caption: "The steeper, the faster. Samples count when their cell is finished; pauses of the run are in it.", Table: table,
		Draw: func(w float64) *chart.Drawing { return c.Draw(w, height(w)) },
	}
}
