package chart

// Matrix is a heat map: rows of fields whose strength is a step.
type Matrix struct {
	Title, Desc string
	XLabel      string
	Columns     []string
	Rows        []Strip
	Steps       []string // what each step of Heat means, from 0 on
}

// A Strip is one row of a heat map.
type Strip struct {
	Name   string
	Fields []int    // step of Heat by column, -1 for nothing there
	Tips   []string // by column
}

// Draw lays the map out in a width; its height follows from the rows.
func (c Matrix) Draw(w float64) *Drawing {
	const legend, top = 40, 20
	pitch := 16.0
	if len(c.Rows) > 60 {
		pitch = 11
	}
	d := &Drawing{W: w, H: legend + top + float64(len(c.Rows))*pitch + 24, Title: c.Title, Desc: c.Desc}
	left := min(220, w*0.34)
	slot := (w - left - 2) / float64(max(1, len(c.Columns)))
	c.legend(d, w)
	for j, name := range c.Columns {
		if textWidth(name, small, false) < slot*1.05 || j%2 == 0 {
			d.label(Muted, Point{left + (float64(j)+0.5)*slot, legend + top - 7}, middle, small, name)
		}
	}
	size := min(small, pitch-2)
	for i, r := range c.Rows {
		y := legend + top + float64(i)*pitch
		d.label(Text, Point{left - 8, y + pitch - 3.5}, end, size, shorten(r.Name, size, left-10))
		for j, step := range r.Fields {
			x := left + float64(j)*slot
			if step < 0 { // a stroke where nothing is
				d.hairline(Muted, Point{x + slot/2 - 3, y + pitch/2}, Point{x + slot/2 + 3, y + pitch/2})
				continue
			}
			d.box(Heat(step), x, y, slot-1, pitch-1, r.Tips[j])
		}
	}
	d.label(Muted, Point{left + (w-left)/2, d.H - 6}, middle, normal, c.XLabel)
	return d
}

func (c Matrix) legend(d *Drawing, w float64) {
	slot := min(92, w/float64(max(1, len(c.Steps))))
	for i, name := range c.Steps {
		x := float64(i) * slot
		d.box(Heat(i), x, 0, slot-1, 10, "")
		d.label(Muted, Point{x, 23}, start, small-1, shorten(name, small-1, slot-3))
	}
}
