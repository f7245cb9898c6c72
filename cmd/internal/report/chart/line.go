package chart

import (
	"cmp"
	"slices"
)

// A Line is a chart of one or several series over a quantity.
type Line struct {
	Title, Desc string
	X, Y        Axis
	Series      []Track
	Wary        *Span // part of x where values are less certain
	Zero        bool  // a stroke where y is 0, for differences
}

// A Span is a part of the x axis with the reason why it is shaded.
type Span struct {
	From, To float64
	Text     string
}

// A Track is one line of a chart, in the order in which they are painted.
type Track struct {
	Name   string // shown at its end; "" for none
	Tip    string // shown to who points at it; Name if ""
	Ink    Ink
	Mark   Mark
	Marks  bool // a mark at each value
	Thick  bool
	Small  bool // small marks
	Faint  bool // less certain: grey and dashed
	Values []Value
}

// A Value is one point of a series. Wide and Narrow are bands around it, nil for
// none.
type Value struct {
	X, Y         float64
	Wide, Narrow *[2]float64
	Faint        bool // from here on the line is dashed
	Tip          string
}

// spare is how much wider letters may be in a reader's font than in ours.
const spare = 1.15

// Draw lays the chart out in a width and height.
func (c Line) Draw(w, h float64) *Drawing {
	d := &Drawing{W: w, H: h, Title: c.Title, Desc: c.Desc}
	names := 0.0
	c.Series = slices.Clone(c.Series)
	for i := range c.Series {
		s := &c.Series[i]
		s.Name = shorten(s.Name, normal, w/3)
		names = max(names, textWidth(s.Name, normal, true)*spare)
	}
	if names > 0 {
		names += 10
	}
	f := &field{d: d, x: c.X, y: c.Y, left: leftMargin(c.Y), top: marginTop, right: w - max(names, 14), bottom: h - marginBottom}
	if c.Wary != nil && c.Wary.To > c.Wary.From {
		from, to := f.px(c.Wary.From), f.px(c.Wary.To)
		d.box(Shade, from, f.top, to-from, f.bottom-f.top, c.Wary.Text)
		if textWidth(c.Wary.Text, small, false) < to-from-8 {
			d.label(Muted, Point{to - 5, f.bottom - 7}, end, small, c.Wary.Text)
		}
	}
	f.axes()
	if c.Zero {
		d.hairline(Muted, Point{f.left, f.py(0)}, Point{f.right, f.py(0)})
	}
	for _, s := range c.Series {
		s.band(f, func(v Value) *[2]float64 { return v.Wide }, 0.13)
	}
	for _, s := range c.Series {
		s.band(f, func(v Value) *[2]float64 { return v.Narrow }, 0.38)
	}
	for _, s := range c.Series {
		s.draw(f)
	}
	endLabels(f, c.Series)
	return d
}

func (s Track) ink() Ink {
	if s.Faint {
		return Muted
	}
	return s.Ink
}

func (s Track) band(f *field, of func(Value) *[2]float64, opacity float64) {
	var low, high []Point
	flush := func() {
		slices.Reverse(low)
		switch {
		case len(high) > 1:
			f.d.add(shape{kind: kindArea, ink: s.ink(), opacity: opacity, points: append(high, low...)})
		case len(high) == 1: // a single value has a bar
			f.d.add(shape{kind: kindLine, ink: s.ink(), opacity: opacity, width: 6, points: []Point{high[0], low[0]}})
		}
		low, high = nil, nil
	}
	for _, v := range s.Values {
		b := of(v)
		if b == nil {
			flush()
			continue
		}
		low, high = append(low, f.at(v.X, b[0])), append(high, f.at(v.X, b[1]))
	}
	flush()
}

func (s Track) draw(f *field) {
	width := 1.75
	if s.Thick {
		width = 2.5
	}
	var run []Point
	dashed := s.Faint
	flush := func() {
		if len(run) > 1 {
			f.d.add(shape{kind: kindLine, ink: s.ink(), width: width, dashed: dashed, points: run, tip: cmp.Or(s.Tip, s.Name)})
		}
	}
	for i, v := range s.Values {
		p := f.at(v.X, v.Y)
		if i > 0 && (v.Faint || s.Faint) != dashed {
			if v.Faint { // the stretch that leads to a less certain value is one
				flush()
				run = run[len(run)-1:]
			} else {
				run = append(run, p)
				flush()
				run = nil
			}
			dashed = v.Faint || s.Faint
		}
		run = append(run, p)
	}
	flush()
	if !s.Marks {
		return
	}
	for _, v := range s.Values {
		mark, size := s.Mark, 3.5
		if s.Small {
			size = 2.2
		}
		if v.Faint || s.Faint {
			mark, size = Hollow, min(size, 3)
		}
		f.d.add(shape{kind: kindDot, ink: s.ink(), points: []Point{f.at(v.X, v.Y)}, mark: mark, size: size, tip: v.Tip})
	}
}

// endLabels names each series to the right of its last value.
func endLabels(f *field, all []Track) {
	type named struct {
		Track
		y float64
	}
	var list []named
	for _, s := range all {
		if s.Name != "" && len(s.Values) > 0 {
			list = append(list, named{s, f.py(s.Values[len(s.Values)-1].Y)})
		}
	}
	slices.SortStableFunc(list, func(a, b named) int { return cmp.Compare(a.y, b.y) })
	at := make([]float64, len(list))
	for i, l := range list {
		at[i] = l.y
	}
	apart(at, 14, f.top, f.bottom)
	for i, l := range list {
		last := l.Values[len(l.Values)-1]
		place := Point{f.px(last.X) + 9, at[i] + 4}
		if place.X < f.right-20 { // others go on to its right: below its own end nothing is written over
			place = Point{place.X - 5, f.py(last.Y) + 20}
		}
		f.d.add(shape{kind: kindText, ink: l.ink(), points: []Point{place}, size: normal, bold: true, text: l.Name})
	}
}
