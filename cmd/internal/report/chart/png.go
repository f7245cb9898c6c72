package chart

import (
	"fmt"
	"image/color"
	"io"
	"math"
	"sync"

	"git.sr.ht/~sbinet/gg"
	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/font/sfnt"
)

// faces are the embedded fonts (the Go fonts, BSD licence), read once.
var faces = sync.OnceValue(func() (f struct{ regular, bold *sfnt.Font }) {
	var err error
	if f.regular, err = opentype.Parse(goregular.TTF); err != nil {
		panic(err) // the fonts are constants
	}
	if f.bold, err = opentype.Parse(gobold.TTF); err != nil {
		panic(err)
	}
	return f
})

func face(size float64, bold bool) (font.Face, error) {
	f := faces().regular
	if bold {
		f = faces().bold
	}
	return opentype.NewFace(f, &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingNone})
}

// textWidth returns how wide text is in pixels, in the embedded font, which is a
// little wider than most that a browser would take.
func textWidth(text string, size float64, bold bool) float64 {
	f := faces().regular
	if bold {
		f = faces().bold
	}
	var buf sfnt.Buffer
	total := 0.0
	for _, r := range text {
		i, err := f.GlyphIndex(&buf, r)
		if err != nil {
			continue
		}
		if w, err := f.GlyphAdvance(&buf, i, 1<<16, font.HintingNone); err == nil {
			total += float64(w) / (1 << 16) * size
		}
	}
	return total
}

// PNG writes the drawing on light paper with its title above the chart, at scale
// pixels of the image for each of the drawing.
func (d *Drawing) PNG(w io.Writer, scale float64) error {
	d = d.titled()
	dc := gg.NewContext(int(math.Ceil(d.W*scale)), int(math.Ceil(d.H*scale)))
	_, tones := palette()
	pen := func(ink Ink, opacity float64) color.NRGBA {
		c := parse(tones[ink].light)
		c.A = uint8(255*opacity + 0.5)
		return c
	}
	dc.SetColor(pen(Paper, 1))
	dc.Clear()
	dc.SetLineCapRound()
	dc.SetLineJoinRound()
	for _, s := range d.shapes {
		if err := s.paint(dc, pen, scale); err != nil {
			return fmt.Errorf("draw chart: %w", err)
		}
	}
	if err := dc.EncodePNG(w); err != nil {
		return fmt.Errorf("write PNG: %w", err)
	}
	return nil
}

func (s shape) paint(dc *gg.Context, pen func(Ink, float64) color.NRGBA, scale float64) error {
	trace := func(points []Point, closed bool) {
		dc.NewSubPath()
		for _, p := range points {
			dc.LineTo(p.X*scale, p.Y*scale)
		}
		if closed {
			dc.ClosePath()
		}
	}
	dc.SetColor(pen(s.ink, s.solid()))
	switch s.kind {
	case kindLine:
		dc.SetDash()
		if s.dashed {
			dc.SetDash(4*scale, 4*scale)
		}
		dc.SetLineWidth(s.width * scale)
		trace(s.points, false)
		dc.Stroke()
	case kindArea:
		trace(s.points, true)
		dc.Fill()
	case kindDot:
		p := s.points[0]
		inside, edge, width := s.ink, Paper, 1.0
		if s.mark == Hollow {
			inside, edge, width = Paper, s.ink, 1.5
		}
		if s.mark == Circle || s.mark == Hollow {
			dc.DrawCircle(p.X*scale, p.Y*scale, s.size*scale)
		} else {
			trace(s.outline(), true)
		}
		dc.SetDash()
		dc.SetColor(pen(inside, s.solid()))
		dc.FillPreserve()
		dc.SetColor(pen(edge, s.solid()))
		dc.SetLineWidth(width * scale)
		dc.Stroke()
	case kindText:
		f, err := face(s.size*scale, s.bold)
		if err != nil {
			return err
		}
		dc.SetFontFace(f)
		p := s.points[0]
		dc.Push()
		if s.turned {
			dc.RotateAbout(-math.Pi/2, p.X*scale, p.Y*scale)
		}
		dc.DrawStringAnchored(s.text, p.X*scale, p.Y*scale, [...]float64{0, .5, 1}[s.anchor], 0)
		dc.Pop()
	}
	return nil
}
