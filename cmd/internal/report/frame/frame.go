// Package frame is what the pages of lcbq's reports share: their style, the script that every
// one of them needs, tables, and charts at the widths of a desktop and of a phone. It knows
// nothing of what a page says.
package frame

import (
	"crypto/sha256"
	_ "embed" // the parts of a page
	"encoding/base64"
	"fmt"
	"html/template"
	"strings"

	"github.com/lcbq/lcbq/cmd/internal/report/chart"
	"github.com/lcbq/lcbq/cmd/internal/report/figure"
)

var (
	//go:embed frame.html
	parts string
	//go:embed frame.css
	style string
	//go:embed frame.js
	script string
)

// Widths at which charts are drawn, so that their letters are as large as the text around
// them.
const (
	fullWidth   = 1080
	halfWidth   = 520
	narrowWidth = 358 // a phone of 390 pixels less the margins
)

// CSS returns the style of a page, with rules of its own.
func CSS(own string) string { return chart.PageCSS() + own + style }

// JS returns the script of a page, with a part of its own behind that of all pages.
func JS(own string) string {
	return "\"use strict\";\n(() => {\n" + script + own + "})();\n"
}

// Policy lets a browser run the page's own script and style and nothing else, whatever the
// texts in it say.
func Policy(css, js string) string {
	hash := func(s string) string {
		sum := sha256.Sum256([]byte(s))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	return "default-src 'none'; img-src data:; style-src " + hash(css) + "; script-src " + hash(js) + "; base-uri 'none'; form-action 'none'"
}

// Template parses the text of a page. It may use the templates "table", for a figure.Table,
// and "figures", for a slice of Shown.
func Template(text string) (*template.Template, error) {
	t, err := template.New("page").Parse(text)
	if err == nil {
		_, err = t.Parse(parts)
	}
	if err != nil {
		return nil, fmt.Errorf("parse page: %w", err)
	}
	return t, nil
}

// A Shown is a figure as a page holds it: its drawings for wide and narrow windows.
type Shown struct {
	figure.Figure
	Wide, Narrow template.HTML
	Tables       []*figure.Table
}

// Show draws a figure. Drawings escape their own texts and are not escaped again.
func Show(f figure.Figure, tables ...*figure.Table) (Shown, error) {
	s := Shown{Figure: f, Tables: tables}
	width := float64(fullWidth)
	if !f.Full {
		width = halfWidth
	}
	var err error
	if s.Wide, err = drawn(f, width, "wide"); err != nil {
		return Shown{}, err
	}
	s.Narrow, err = drawn(f, narrowWidth, "narrow")
	return s, err
}

func drawn(f figure.Figure, width float64, class string) (template.HTML, error) {
	var b strings.Builder
	if err := f.Draw(width).SVG(&b, f.Name+"-"+class, class); err != nil {
		return "", fmt.Errorf("draw %s: %w", f.Name, err)
	}
	return template.HTML(b.String()), nil
}
