package chart

// Panels is several charts on the same scale, beside each other and in rows.
type Panels struct {
	Title, Desc string
	Charts      []Line // their Y.Label is the heading
	Narrowest   float64
	Height      float64 // of one
}

// Draw lays the panels out in a width; the height follows from the rows.
func (c Panels) Draw(w float64) *Drawing {
	const gap = 22
	across := max(1, min(len(c.Charts), int((w+gap)/(c.Narrowest+gap))))
	if n := len(c.Charts); n > 0 { // rows as even as they can be
		rows := (n + across - 1) / across
		across = (n + rows - 1) / rows
	}
	each := (w - float64(across-1)*gap) / float64(across)
	d := &Drawing{W: w, Title: c.Title, Desc: c.Desc}
	for i, chart := range c.Charts {
		x, y := float64(i%across)*(each+gap), float64(i/across)*(c.Height+gap/2)
		d.place(chart.Draw(each, c.Height), x, y)
		d.H = y + c.Height
	}
	return d
}

// place paints another drawing with its upper left corner at x, y.
func (d *Drawing) place(other *Drawing, x, y float64) {
	for _, s := range other.shapes {
		moved := make([]Point, len(s.points))
		for i, p := range s.points {
			moved[i] = Point{p.X + x, p.Y + y}
		}
		s.points = moved
		d.add(s)
	}
}
