package chart

// Dots is a chart of rows in each of which some of the columns are chosen: a set
// for each row. The best is solid, the others of the set are rings.
type Dots struct {
	Title, Desc string
	XLabel      string
	YLabel      string
	Columns     []string
	Rows        []Row // from the top down
}

// A Row is one set.
type Row struct {
	Name  string
	Best  int
	In    []bool // by column
	Faint bool
	Tips  []string // by column
}

// Draw lays the chart out in a width; its height follows from the rows.
func (c Dots) Draw(w float64) *Drawing {
	const pitch = 24
	h := marginTop + float64(len(c.Rows))*pitch + marginBottom
	d := &Drawing{W: w, H: h, Title: c.Title, Desc: c.Desc}
	f := &field{d: d, x: Axis{Min: -0.5, Max: float64(len(c.Columns)) - 0.5, Label: c.XLabel}, top: marginTop, right: w - 4, bottom: h - marginBottom}
	for i, name := range c.Columns {
		f.x.Ticks = append(f.x.Ticks, Tick{float64(i), name})
	}
	f.y = Axis{Min: 0, Max: float64(len(c.Rows)), Label: c.YLabel, Ticks: []Tick{}}
	for i, r := range c.Rows {
		f.y.Ticks = append(f.y.Ticks, Tick{float64(len(c.Rows)-i) - 0.5, r.Name})
	}
	f.left = leftMargin(f.y)
	f.axes()
	slot := (f.right - f.left) / float64(max(1, len(c.Columns)))
	size := min(5.5, slot*0.36)
	for i, r := range c.Rows {
		y := f.py(float64(len(c.Rows)-i) - 0.5)
		ink := Accent
		if r.Faint {
			ink = Muted
		}
		for j, in := range r.In {
			if in && j+1 < len(r.In) && r.In[j+1] {
				d.add(shape{kind: kindLine, ink: ink, width: 2, opacity: 0.35, points: []Point{{f.px(float64(j)), y}, {f.px(float64(j + 1)), y}}})
			}
		}
		for j, in := range r.In {
			p := []Point{{f.px(float64(j)), y}}
			switch {
			case j == r.Best:
				d.add(shape{kind: kindDot, ink: ink, points: p, mark: Circle, size: size + 1, tip: r.Tips[j]})
			case in:
				d.add(shape{kind: kindDot, ink: ink, points: p, mark: Hollow, size: size - 0.5, tip: r.Tips[j]})
			}
		}
	}
	return d
}
