// Package chart draws charts of measurements once and writes them as SVG, for a
// page or alone, or as PNG. It knows nothing of language models: who draws names
// axes, series and units. No script is needed to see a chart.
package chart

import (
	"cmp"
	"math"
	"strings"
)

// A Point is a place in a drawing, in pixels from its upper left corner.
type Point struct{ X, Y float64 }

// A Drawing is shapes in the order in which they are painted.
type Drawing struct {
	W, H   float64 // pixels
	Title  string  // what a screen reader says first
	Desc   string  // and then: what the chart shows, in a sentence
	shapes []shape
}

type kind uint8

const (
	kindLine kind = iota // open path, stroked
	kindArea             // closed path, filled
	kindDot              // marker at the first point
	kindText
)

// A Mark is the form of a point, so that series differ by more than colour.
type Mark uint8

// The marks.
const (
	Circle Mark = iota
	Square
	Diamond
	Triangle
	Cross
	Hollow
)

type anchor uint8

const (
	start anchor = iota
	middle
	end
)

// A shape is one thing to paint. Fields that its kind does not need are zero.
type shape struct {
	kind    kind
	points  []Point
	ink     Ink
	width   float64 // of the line
	opacity float64 // 0 means 1
	dashed  bool
	mark    Mark
	size    float64 // of the mark or the letters
	text    string
	bold    bool
	anchor  anchor
	turned  bool   // text runs upwards
	tip     string // shown to who points at the shape
}

func (s shape) solid() float64 { return cmp.Or(s.opacity, 1) }

// outline returns the corners of a mark that is not a circle.
func (s shape) outline() []Point {
	p, r := s.points[0], s.size
	at := func(dx, dy float64) Point { return Point{p.X + dx*r, p.Y + dy*r} }
	switch s.mark {
	case Square:
		return []Point{at(-.9, -.9), at(.9, -.9), at(.9, .9), at(-.9, .9)}
	case Diamond:
		return []Point{at(0, -1.3), at(1.3, 0), at(0, 1.3), at(-1.3, 0)}
	case Triangle:
		return []Point{at(0, -1.25), at(1.15, .85), at(-1.15, .85)}
	case Cross:
		const a, b = .35, 1.2
		return []Point{
			at(-a, -b), at(a, -b), at(a, -a), at(b, -a), at(b, a), at(a, a),
			at(a, b), at(-a, b), at(-a, a), at(-b, a), at(-b, -a), at(-a, -a),
		}
	default:
		return nil
	}
}

func (d *Drawing) add(s shape) { d.shapes = append(d.shapes, s) }

// hairline is a line of one pixel.
func (d *Drawing) hairline(ink Ink, from, to Point) {
	d.add(shape{kind: kindLine, ink: ink, width: 1, points: []Point{from, to}})
}

func (d *Drawing) box(ink Ink, x, y, w, h float64, tip string) {
	d.add(shape{kind: kindArea, ink: ink, points: []Point{{x, y}, {x + w, y}, {x + w, y + h}, {x, y + h}}, tip: tip})
}

// Sizes of letters. Axis numbers are the smallest that a phone shows well.
const (
	small  = 11
	normal = 12
)

func (d *Drawing) label(ink Ink, at Point, a anchor, size float64, text string) {
	d.add(shape{kind: kindText, ink: ink, points: []Point{at}, anchor: a, size: size, text: text})
}

// apart moves positions, given in ascending order, so that neighbours are at
// least gap apart and all lie within low to high if there is room.
func apart(at []float64, gap, low, high float64) {
	for i := range at {
		at[i] = max(at[i], low)
		if i > 0 {
			at[i] = max(at[i], at[i-1]+gap)
		}
	}
	for i := len(at) - 1; i >= 0; i-- {
		limit := high
		if i < len(at)-1 {
			limit = at[i+1] - gap
		}
		at[i] = min(at[i], limit)
	}
}

// shorten cuts text to a width in pixels.
func shorten(text string, size, width float64) string {
	if textWidth(text, size, false) <= width {
		return text
	}
	letters := []rune(text)
	for len(letters) > 1 && textWidth(string(letters)+"…", size, false) > width {
		letters = letters[:len(letters)-1]
	}
	return strings.TrimRight(string(letters), " ") + "…"
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
