package chart

// Forest is a chart of values with their intervals, one below the other.
type Forest struct {
	Title, Desc string
	X           Axis
	Rows        []Estimate // from the top down
}

// An Estimate is one row of a forest.
type Estimate struct {
	Name  string
	Value float64
	Wide  *[2]float64 // nil for none
	Ink   Ink
	Faint bool
	Tip   string
}

// Draw lays the chart out in a width; its height follows from the rows.
func (c Forest) Draw(w float64) *Drawing {
	const pitch = 28
	d := &Drawing{W: w, H: marginTop + float64(len(c.Rows))*pitch + marginBottom, Title: c.Title, Desc: c.Desc}
	left := 0.0
	for i := range c.Rows {
		left = max(left, textWidth(c.Rows[i].Name, normal, false)*spare)
	}
	left = min(left+12, w*0.42)
	f := &field{d: d, x: c.X, y: Axis{Min: 0, Max: float64(max(1, len(c.Rows))), Ticks: []Tick{}}, left: left, top: marginTop, right: w - 14, bottom: d.H - marginBottom}
	for _, t := range c.X.ticks() {
		d.hairline(Grid, Point{f.px(t.At), f.top}, Point{f.px(t.At), f.bottom})
	}
	f.axes()
	for i, r := range c.Rows {
		y := f.py(float64(len(c.Rows)-i) - 0.5)
		ink, mark := r.Ink, Circle
		if r.Faint {
			ink, mark = Muted, Hollow
		}
		d.label(Text, Point{left - 9, y + 4}, end, normal, shorten(r.Name, normal, left-12))
		if r.Wide != nil {
			d.add(shape{kind: kindLine, ink: ink, width: 3, opacity: 0.45, points: []Point{{f.px(r.Wide[0]), y}, {f.px(r.Wide[1]), y}}, tip: r.Tip})
		}
		d.add(shape{kind: kindDot, ink: ink, points: []Point{{f.px(r.Value), y}}, mark: mark, size: 5, tip: r.Tip})
	}
	return d
}
