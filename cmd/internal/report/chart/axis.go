package chart

import (
	"math"
	"strconv"
)

// An Axis maps a quantity to pixels.
type Axis struct {
	Label    string // the quantity with its unit
	Min, Max float64
	Log      bool
	Ticks    []Tick // nil for ticks at round numbers
	Percent  bool   // values are shares, numbers are percent
}

// A Tick is a number on an axis.
type Tick struct {
	At   float64
	Text string // "" for a hairline without a number
}

// share returns where x lies between the ends, 0 to 1 inside.
func (a Axis) share(x float64) float64 {
	lo, hi := a.Min, a.Max
	if a.Log {
		x, lo, hi = math.Log(x), math.Log(lo), math.Log(hi)
	}
	if hi == lo {
		return 0.5
	}
	return (x - lo) / (hi - lo)
}

func (a Axis) ticks() []Tick {
	switch {
	case a.Ticks != nil:
		return a.Ticks
	case a.Log:
		return decades(a.Min, a.Max)
	default:
		return a.round()
	}
}

// decades are the powers of ten between low and high, with twice and five times
// each where these are few.
func decades(low, high float64) []Tick {
	steps := []float64{1}
	if high < 200*low {
		steps = []float64{1, 2, 5}
	}
	var out []Tick
	for e := math.Floor(math.Log10(low) - 1e-9); e <= math.Log10(high)+1e-9; e++ {
		for _, step := range steps {
			if x := step * math.Pow(10, e); x > low*(1-1e-9) && x < high*(1+1e-9) {
				out = append(out, Tick{x, Number(x)})
			}
		}
	}
	return out
}

// round returns ticks at round numbers.
func (a Axis) round() []Tick {
	span := a.Max - a.Min
	if !(span > 0) {
		return []Tick{{a.Min, a.text(a.Min, 0)}}
	}
	step := niceStep(span / fields)
	digits := max(0, -int(math.Floor(math.Log10(step)+1e-9)))
	if a.Percent {
		digits = max(0, -int(math.Floor(math.Log10(100*step)+1e-9)))
	}
	var out []Tick
	for i := math.Ceil(a.Min/step - 1e-9); i*step <= a.Max+step*1e-9; i++ {
		at := i*step + 0 // never -0
		out = append(out, Tick{at, a.text(at, digits)})
	}
	return out
}

func (a Axis) text(x float64, digits int) string {
	if a.Percent {
		return strconv.FormatFloat(100*x, 'f', digits, 64) + "%"
	}
	if x >= 10000 {
		return Number(x)
	}
	return strconv.FormatFloat(x, 'f', digits, 64)
}

// fields is about how many steps a linear axis has.
const fields = 5

// niceStep rounds a step up to 1, 2 or 5 times a power of ten.
func niceStep(raw float64) float64 {
	base := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, f := range []float64{1, 2, 5} {
		if raw <= f*base*(1+1e-9) {
			return f * base
		}
	}
	return 10 * base
}

// FromZero returns the ends of a linear axis that holds the values: 0 and a round
// number above the highest, at most limit if limit is above 0.
func FromZero(highest, limit float64) (low, high float64) {
	if !(highest > 0) || !finite(highest) {
		if limit > 0 {
			return 0, limit
		}
		return 0, 1
	}
	step := niceStep(highest / fields)
	high = math.Ceil(highest/step-1e-9) * step
	if limit > 0 {
		high = min(high, limit)
	}
	return 0, high
}

// Around returns the ends of a linear axis that holds 0 and the values from lowest to highest,
// at round numbers.
func Around(lowest, highest float64) (low, high float64) {
	lowest, highest = min(0, lowest), max(0, highest)
	if lowest == highest || !finite(lowest) || !finite(highest) {
		return -1, 1
	}
	step := niceStep((highest - lowest) / fields)
	return math.Floor(lowest/step+1e-9)*step + 0, math.Ceil(highest/step-1e-9) * step
}

// Number writes a count shortly: 950, 1k, 2.5k, 28M.
func Number(x float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if math.Abs(x) >= unit.size {
			return strconv.FormatFloat(math.Round(10*x/unit.size)/10, 'f', -1, 64) + unit.name
		}
	}
	return strconv.FormatFloat(math.Round(100*x)/100, 'f', -1, 64)
}

// A field is the space between the axes.
type field struct {
	d                        *Drawing
	x, y                     Axis
	left, top, right, bottom float64
}

func (f *field) at(x, y float64) Point { return Point{f.px(x), f.py(y)} }
func (f *field) px(x float64) float64  { return f.left + f.x.share(x)*(f.right-f.left) }
func (f *field) py(y float64) float64  { return f.bottom - f.y.share(y)*(f.bottom-f.top) }

// axes draws hairlines, numbers and labels. Numbers on the x axis that would
// touch the one before are left out.
func (f *field) axes() {
	for _, t := range f.y.ticks() {
		y := f.py(t.At)
		f.d.hairline(Grid, Point{f.left, y}, Point{f.right, y})
		if t.Text != "" {
			f.d.label(Muted, Point{f.left - 7, y + 4}, end, small, t.Text)
		}
	}
	f.d.hairline(Muted, Point{f.left, f.bottom}, Point{f.right, f.bottom})
	free := math.Inf(-1)
	for _, t := range f.x.ticks() {
		x := f.px(t.At)
		f.d.hairline(Muted, Point{x, f.bottom}, Point{x, f.bottom + 4})
		half := textWidth(t.Text, small, false) / 2
		if t.Text == "" || x-half < free {
			continue
		}
		f.d.label(Muted, Point{x, f.bottom + 17}, middle, small, t.Text)
		free = x + half + 5
	}
	if f.x.Label != "" {
		f.d.label(Muted, Point{(f.left + f.right) / 2, f.bottom + 35}, middle, normal, f.x.Label)
	}
	if f.y.Label != "" {
		f.d.label(Muted, Point{0, 12}, start, normal, f.y.Label)
	}
}

// margins are what axes need around the field.
const (
	marginTop    = 26
	marginBottom = 44
)

// leftMargin is the room that the numbers of a y axis take.
func leftMargin(a Axis) float64 {
	widest := 0.0
	for _, t := range a.ticks() {
		widest = max(widest, textWidth(t.Text, small, false))
	}
	return widest + 10
}
