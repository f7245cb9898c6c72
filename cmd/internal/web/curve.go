package web

import (
	"strconv"
	"strings"

	"github.com/lcbq/lcbq/cmd/internal/report/chart"
	"github.com/lcbq/lcbq/cmd/internal/report/figure"
	"github.com/lcbq/lcbq/cmd/internal/snapshot"
)

// Widths at which the chart is drawn, so that its letters are as large as the text around them.
const (
	wideChart   = 1080
	narrowChart = 358 // a phone of 390 pixels less the margins
)

// curveOf draws pass@1 over temperature as far as it is known, for wide and for narrow screens; "" while there is
// nothing. Temperatures whose cells are not all there are dashed: their questions are not those of the others.
func curveOf(s *snapshot.Snapshot) (wide, narrow string, err error) {
	c, ok := lineOf(s)
	if !ok {
		return "", "", nil
	}
	const flat = 0.3 // of the width: the page has more to show
	for _, v := range []struct {
		to    *string
		width float64
		class string
	}{{&wide, wideChart, "wide"}, {&narrow, narrowChart, "narrow"}} {
		var b strings.Builder
		if err := c.Draw(v.width, max(230, v.width*flat)).SVG(&b, "curve-"+v.class, v.class); err != nil {
			return "", "", err
		}
		*v.to = b.String()
	}
	return wide, narrow, nil
}

func lineOf(s *snapshot.Snapshot) (chart.Line, bool) {
	if len(s.Temperatures) < 2 {
		return chart.Line{}, false
	}
	first, last := s.Temperatures[0].Temperature, s.Temperatures[len(s.Temperatures)-1].Temperature
	x := chart.Axis{Label: "temperature", Min: first, Max: last}
	track := chart.Track{Name: "pass@1", Ink: chart.Series(0), Marks: true, Faint: true}
	highest := 0.0
	for i := range s.Temperatures {
		t := &s.Temperatures[i]
		x.Ticks = append(x.Ticks, chart.Tick{At: t.Temperature, Text: figure.Temperature(t.Temperature)})
		if t.PassAt1 < 0 {
			continue
		}
		highest = max(highest, t.High)
		track.Faint = track.Faint && !t.Complete
		track.Values = append(track.Values, chart.Value{X: t.Temperature, Y: t.PassAt1, Narrow: &[2]float64{t.Low, t.High}, Faint: !t.Complete, Tip: tipOf(t)})
	}
	if len(track.Values) == 0 {
		return chart.Line{}, false
	}
	y := chart.Axis{Label: "pass@1, %", Percent: true}
	y.Min, y.Max = chart.FromZero(highest, 1)
	return chart.Line{
		Title: "pass@1 over temperature, so far", Desc: "The mean over the questions whose cells are finished, with 95 % intervals if the same questions were sampled again.",
		X: x, Y: y, Series: []chart.Track{track},
	}, true
}

func tipOf(t *snapshot.Temperature) string {
	text := "T = " + figure.Temperature(t.Temperature) + ": " + percent(t.PassAt1) + " (" + percent(t.Low) + " to " + percent(t.High) + "), " + strconv.Itoa(t.Samples) + " samples"
	if !t.Complete {
		text += ", " + strconv.Itoa(t.Cells.Done) + " of " + strconv.Itoa(t.Cells.All) + " questions"
	}
	return text
}

func percent(share float64) string { return strconv.FormatFloat(100*share, 'f', 1, 64) + " %" }
