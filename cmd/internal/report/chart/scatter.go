package chart

// Scatter is a chart of points by two quantities of the same kind, with the line on which
// both are equal.
type Scatter struct {
	Title, Desc string
	X, Y        Axis
	Spots       []Spot // in the order in which they are painted
}

// A Spot is one point, or several at the same place.
type Spot struct {
	X, Y  float64
	Ink   Ink
	Mark  Mark
	Size  float64 // of the mark; 0 means 3.5
	Faint bool
	Tip   string
}

// mostSide is how large the field of a scatter gets: points need no more room.
const mostSide = 440

// Draw lays the chart out in a width; its field is a square.
func (c Scatter) Draw(w float64) *Drawing {
	left := leftMargin(c.Y)
	side := min(w-left-14, mostSide)
	d := &Drawing{W: w, H: marginTop + side + marginBottom, Title: c.Title, Desc: c.Desc}
	f := &field{d: d, x: c.X, y: c.Y, left: left, top: marginTop, right: left + side, bottom: marginTop + side}
	f.axes()
	low, high := max(c.X.Min, c.Y.Min), min(c.X.Max, c.Y.Max)
	d.add(shape{kind: kindLine, ink: Muted, width: 1, dashed: true, points: []Point{f.at(low, low), f.at(high, high)}})
	for _, s := range c.Spots {
		size, opacity := s.Size, 0.0
		if size == 0 {
			size = 3.5
		}
		if s.Faint {
			opacity = 0.45
		}
		d.add(shape{kind: kindDot, ink: s.Ink, points: []Point{f.at(s.X, s.Y)}, mark: s.Mark, size: size, opacity: opacity, tip: s.Tip})
	}
	return d
}
