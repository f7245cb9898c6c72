package web

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the page's parts
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"strings"

	"github.com/lcbq/lcbq/cmd/internal/report/chart"
	"github.com/lcbq/lcbq/cmd/internal/report/figure"
)

var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string
	//go:embed page.js
	pageJS string
)

// css is the page's style: the charts' inks, the grid's, and its own.
func css() string {
	var b strings.Builder
	b.WriteString(chart.PageCSS())
	for i := range chart.HeatSteps {
		fmt.Fprintf(&b, ".steps .h%d,#grid>.h%d{background:var(--%s)}", i, i, chart.Heat(i))
	}
	b.WriteString("\n" + pageCSS)
	return b.String()
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// shown is what the page's template fills in.
type shown struct {
	CSS      template.CSS
	JS       template.JS
	Operator bool
	Refused  bool // a token was given, and it is a wrong one
	Version  string
	File     string
	Steps    []string
}

// servePage answers with the page, or with the question for a token.
func servePage(g *gate, version string) http.HandlerFunc {
	style := css()
	t := template.Must(template.New("page").Parse(pageHTML))
	// The browser runs this page's own script and asks this server alone.
	policy := "default-src 'none'; img-src data:; connect-src 'self'; style-src " + hash(style) + "; script-src " + hash(pageJS) + "; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
	return func(w http.ResponseWriter, r *http.Request) {
		if g.admit(w, r) {
			return
		}
		is := g.of(r)
		p := shown{
			CSS: template.CSS(style), JS: template.JS(pageJS), Operator: is >= operator, Version: version, File: AccessName, Steps: figure.HeatSteps,
			Refused: r.URL.Query().Has(tokenParameter),
		}
		name, status := "page", http.StatusOK
		if is == nobody {
			name, status = "ask", http.StatusUnauthorized
		}
		var b bytes.Buffer
		if err := t.ExecuteTemplate(&b, name, p); err != nil {
			http.Error(w, "lcbq: draw page", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", policy)
		w.WriteHeader(status)
		_, _ = b.WriteTo(w) // who went away misses it
	}
}
