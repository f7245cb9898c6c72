package chart

import "math"

// Pairs is a table drawn as fields that are coloured by how far, and which way, a value is
// from 0: every two of several things against each other.
type Pairs struct {
	Title, Desc string
	Columns     []string
	Rows        []PairRow
	Most        float64 // the distance from 0 of the strongest colour
}

// A PairRow is one row of a grid.
type PairRow struct {
	Name   string
	Fields []PairField
}

// A PairField is one field. Blank has neither colour nor text; what is not Sure is not coloured.
type PairField struct {
	Value float64
	Text  string
	Sure  bool
	Blank bool
	Tip   string
}

// Draw lays the grid out in a width; its height follows from the rows. Above 0 is blue, below
// it orange.
func (c Pairs) Draw(w float64) *Drawing {
	const pitch, top = 30, 24
	d := &Drawing{W: w, H: top + float64(len(c.Rows))*pitch + 6, Title: c.Title, Desc: c.Desc}
	left := 0.0
	for i := range c.Rows {
		left = max(left, textWidth(c.Rows[i].Name, normal, false)*spare)
	}
	left = min(left+12, w*0.36)
	slot := min((w-left)/float64(max(1, len(c.Columns))), 130)
	for j, name := range c.Columns {
		d.label(Muted, Point{left + (float64(j)+0.5)*slot, top - 9}, middle, small, shorten(name, small, slot-4))
	}
	for i, r := range c.Rows {
		y := top + float64(i)*pitch
		d.label(Text, Point{left - 9, y + pitch/2 + 4}, end, normal, shorten(r.Name, normal, left-12))
		for j, x := range r.Fields {
			if x.Blank {
				continue
			}
			at := left + float64(j)*slot
			d.box(Shade, at, y, slot-2, pitch-2, x.Tip)
			if x.Sure && c.Most > 0 {
				ink := Series(0)
				if x.Value < 0 {
					ink = Series(1)
				}
				d.add(shape{kind: kindArea, ink: ink, opacity: 0.15 + 0.4*min(1, math.Abs(x.Value)/c.Most), tip: x.Tip, points: []Point{{at, y}, {at + slot - 2, y}, {at + slot - 2, y + pitch - 2}, {at, y + pitch - 2}}})
			}
			d.add(shape{kind: kindText, ink: Text, points: []Point{{at + slot/2 - 1, y + pitch/2 + 3}}, anchor: middle, size: normal, bold: x.Sure, text: x.Text, tip: x.Tip})
		}
	}
	return d
}
