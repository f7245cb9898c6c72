package chart

// Bars is a chart of parts of a whole, one bar a category.
type Bars struct {
	Title, Desc string
	XLabel      string
	YLabel      string
	Categories  []string
	Parts       []Part // from the bottom up
}

// A Part is one class of the whole with its share, 0 to 1, in each category.
type Part struct {
	Name   string
	Ink    Ink
	Shares []float64
	Tips   []string
}

// Draw lays the chart out in a width and height, a legend at the right or, where
// that is narrow, below.
func (c Bars) Draw(w, h float64) *Drawing {
	d := &Drawing{W: w, H: h, Title: c.Title, Desc: c.Desc}
	beside := w >= 480
	legend := 0.0
	for _, p := range c.Parts {
		legend = max(legend, textWidth(p.Name, normal, false)+24)
	}
	f := &field{
		d: d, x: Axis{Min: 0, Max: float64(len(c.Categories)), Label: c.XLabel}, y: Axis{Min: 0, Max: 1, Percent: true, Label: c.YLabel},
		top: marginTop, right: w - 2, bottom: h - marginBottom,
	}
	f.left = leftMargin(f.y)
	if beside {
		f.right = w - legend - 14
	} else {
		f.bottom -= float64((len(c.Parts)+1)/2) * 17
	}
	for i, name := range c.Categories {
		f.x.Ticks = append(f.x.Ticks, Tick{float64(i) + 0.5, name})
	}
	f.axes()
	slot := (f.right - f.left) / float64(max(1, len(c.Categories)))
	width := min(slot*0.82, 64)
	for i := range c.Categories {
		x, below := f.px(float64(i)+0.5)-width/2, 0.0
		for _, p := range c.Parts {
			share := p.Shares[i]
			top, bottom := f.py(below+share), f.py(below)
			below += share
			if bottom-top < 0.05 {
				continue
			}
			// A line of paper between two parts tells them apart without colour.
			d.box(p.Ink, x, top, width, max(0.6, bottom-top-1), p.Tips[i])
		}
	}
	for i, p := range c.Parts {
		var at Point
		if beside { // in the order in which the parts are stacked
			at = Point{f.right + 14, f.bottom - 6 - float64(i)*19}
		} else {
			at = Point{f.left + float64(i%2)*(w-f.left)/2, f.bottom + 56 + float64(i/2)*17}
		}
		d.box(p.Ink, at.X, at.Y-9, 10, 10, "")
		d.label(Text, Point{at.X + 16, at.Y}, start, normal, p.Name)
	}
	return d
}
