package chart

import (
	"encoding/xml"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// fonts is what text is set in where the reader's system decides.
const fonts = `system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif`

// SVG writes the drawing for use within a page that holds PageCSS. id must be
// unique in the page; class is set on the element.
func (d *Drawing) SVG(w io.Writer, id, class string) error {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg id="%s" class="%s" viewBox="0 0 %s %s" width="%s" height="%s" role="img" aria-labelledby="%s-t %s-d">`,
		escape(id), escape(class), num(d.W), num(d.H), num(d.W), num(d.H), escape(id), escape(id))
	d.words(&b, id)
	d.body(&b)
	b.WriteString("</svg>")
	_, err := io.WriteString(w, b.String())
	return err
}

// File writes the drawing as an SVG file of its own, on paper, with its title
// above the chart. It follows the reader's choice of light or dark.
func (d *Drawing) File(w io.Writer) error {
	d = d.titled()
	used := map[Ink]bool{Paper: true}
	for _, s := range d.shapes {
		used[s.ink] = true
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %s %s" width="%s" height="%s" role="img" aria-labelledby="c-t c-d">`,
		num(d.W), num(d.H), num(d.W), num(d.H))
	d.words(&b, "c")
	fmt.Fprintf(&b, "<style>text{font-family:%s;font-variant-numeric:tabular-nums}%s</style>\n", strings.ReplaceAll(fonts, `"`, "'"), fileCSS(used))
	fmt.Fprintf(&b, `<rect class="f-paper" width="%s" height="%s"/>`, num(d.W), num(d.H))
	d.body(&b)
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// titled returns the drawing with its title as the first line.
func (d *Drawing) titled() *Drawing {
	const head, margin = 34, 12
	out := &Drawing{W: d.W + 2*margin, H: d.H + head + margin, Title: d.Title, Desc: d.Desc}
	out.add(shape{kind: kindText, ink: Text, points: []Point{{margin, 24}}, size: 15, bold: true, text: shorten(d.Title, 15, d.W)})
	out.place(d, margin, head)
	return out
}

func (d *Drawing) words(b *strings.Builder, id string) {
	fmt.Fprintf(b, `<title id="%s-t">%s</title><desc id="%s-d">%s</desc>`, escape(id), escape(d.Title), escape(id), escape(d.Desc))
}

func (d *Drawing) body(b *strings.Builder) {
	for _, s := range d.shapes {
		s.svg(b)
		b.WriteByte('\n')
	}
}

func (s shape) svg(b *strings.Builder) {
	tip := ""
	if s.tip != "" {
		tip = fmt.Sprintf(` data-tip="%s"`, escape(s.tip))
	}
	if s.opacity != 0 {
		tip += fmt.Sprintf(` opacity="%s"`, strconv.FormatFloat(s.opacity, 'g', 3, 64))
	}
	switch s.kind {
	case kindLine:
		if s.dashed {
			tip += ` stroke-dasharray="4 4"`
		}
		fmt.Fprintf(b, `<path class="k-%s" fill="none" stroke-width="%s" stroke-linejoin="round" stroke-linecap="round"%s d="%s"/>`, s.ink, num(s.width), tip, path(s.points, false))
	case kindArea:
		fmt.Fprintf(b, `<path class="f-%s"%s d="%s"/>`, s.ink, tip, path(s.points, true))
	case kindDot:
		p := s.points[0]
		switch s.mark {
		case Circle:
			fmt.Fprintf(b, `<circle class="f-%s k-paper" stroke-width="1"%s cx="%s" cy="%s" r="%s"/>`, s.ink, tip, num(p.X), num(p.Y), num(s.size))
		case Hollow:
			fmt.Fprintf(b, `<circle class="f-paper k-%s" stroke-width="1.5"%s cx="%s" cy="%s" r="%s"/>`, s.ink, tip, num(p.X), num(p.Y), num(s.size))
		default:
			fmt.Fprintf(b, `<path class="f-%s k-paper" stroke-width="1"%s d="%s"/>`, s.ink, tip, path(s.outline(), true))
		}
	case kindText:
		p := s.points[0]
		if s.bold {
			tip += ` font-weight="600"`
		}
		if s.anchor != start {
			tip += fmt.Sprintf(` text-anchor="%s"`, [...]string{"start", "middle", "end"}[s.anchor])
		}
		if s.turned {
			tip += fmt.Sprintf(` transform="rotate(-90 %s %s)"`, num(p.X), num(p.Y))
		}
		fmt.Fprintf(b, `<text class="f-%s" font-size="%s"%s x="%s" y="%s">%s</text>`, s.ink, num(s.size), tip, num(p.X), num(p.Y), escape(s.text))
	}
}

func path(points []Point, closed bool) string {
	var b strings.Builder
	for i, p := range points {
		if i == 0 {
			b.WriteByte('M')
		} else {
			b.WriteByte('L')
		}
		b.WriteString(num(p.X))
		b.WriteByte(' ')
		b.WriteString(num(p.Y))
	}
	if closed {
		b.WriteByte('Z')
	}
	return b.String()
}

// num is a length with a tenth of a pixel.
func num(x float64) string {
	s := strconv.FormatFloat(x, 'f', 1, 64)
	return strings.TrimSuffix(s, ".0")
}

// escape makes any text fit for content and attributes of XML and HTML. What
// XML cannot hold at all becomes U+FFFD.
func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder takes everything
	return b.String()
}
