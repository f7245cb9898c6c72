// Package report makes a results folder readable: one HTML page that needs no
// network, or single charts and tables for a slide, a paper or a README. What is
// measured is package folder's to read, what can be said of it package curve's to
// compute; this package arranges.
package report

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/lcbq/lcbq/cmd/internal/report/figure"
	"github.com/lcbq/lcbq/cmd/internal/report/folder"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/score/curve"
)

// Options are the settings of a report. The zero value is the default.
type Options struct {
	Cutoff  string // day from which questions are held apart, YYYY-MM-DD; "" for none
	Version string // of lcbq, for the foot of the page
	Samples int    // most samples to show of a cell; 0 means 8
	Look    int64  // most bytes of all cells to read in search of samples; 0 means 2 GiB
	Room    int    // bytes that samples may take in the page; 0 means 5 MB
}

const (
	defaultSamples = 8
	defaultLook    = 2 << 30
	// defaultRoom keeps a page of 175 questions and 16 temperatures under 8 MB.
	defaultRoom = 5 << 20
)

// A Report is a results folder with its analysis.
type Report struct {
	*folder.Results
	figure.Source
	opts Options
}

// New analyses results. The error is a cut-off that leaves nothing on one side of it, or
// results that are none.
func New(results *folder.Results, o Options) (*Report, error) {
	if o.Samples <= 0 {
		o.Samples = defaultSamples
	}
	if o.Look <= 0 {
		o.Look = defaultLook
	}
	if o.Room <= 0 {
		o.Room = defaultRoom
	}
	sweep := results.Sweep()
	analysis, err := curve.Analyse(sweep, curve.Options{Cutoff: o.Cutoff})
	if err != nil {
		return nil, fmt.Errorf("analyse results of %s: %w", results.Dir, err)
	}
	rows, err := curve.Rows(sweep, analysis.Level)
	if err != nil {
		return nil, fmt.Errorf("analyse results of %s: %w", results.Dir, err)
	}
	r := &Report{Results: results, opts: o}
	r.Source = figure.Source{Analysis: analysis, Rows: rows, Subject: r.subject(), Simulated: results.Group.Simulated, Speeds: speeds(results)}
	if results.Run != nil {
		for _, m := range results.Run.Provenance.Timeline {
			r.Timeline = append(r.Timeline, figure.Moment{Seconds: m.Seconds, Samples: m.Samples})
		}
	}
	return r, nil
}

// speeds returns the mean generation speed of the cells that know theirs.
func speeds(r *folder.Results) []float64 {
	out := make([]float64, len(r.Temperatures))
	for t := range r.Temperatures {
		sum, cells := 0.0, 0
		for q := range r.Questions {
			if c := r.Cell(q, t); c != nil && c.GenTPS > 0 {
				sum += c.GenTPS
				cells++
			}
		}
		if cells > 0 {
			out[t] = sum / float64(cells)
		}
	}
	return out
}

// subject is what was measured: the model, by its own name, or what stood for one.
func (r *Report) subject() string {
	switch {
	case r.Group.Simulated:
		return "Simulated model"
	case stream.Engine(r.Group.Engine).Recorded():
		if r.Group.Model == "" {
			return "Recorded completions"
		}
		return "Recorded completions (" + r.Group.Model + ")"
	case r.Group.Model != "":
		return r.Group.Model
	default:
		return r.Group.Engine
	}
}

// ErrPart says that the results have no chart or table of the name asked for.
var ErrPart = figure.ErrPart

// Formats lists what Write can make.
var Formats = []string{"html", "png", "svg", "csv", "md"}

// Write writes the report in one of Formats. part names the chart of an SVG or
// PNG, or the table of a CSV; "" is the most telling one.
func (r *Report) Write(ctx context.Context, w io.Writer, format, part string) error {
	switch format {
	case "html":
		return r.HTML(ctx, w)
	case "md":
		return r.Markdown(w)
	case "csv":
		t, err := r.table(part)
		if err != nil {
			return err
		}
		return t.CSV(w)
	case "svg", "png":
		f, err := r.figure(part)
		if err != nil {
			return err
		}
		if format == "svg" {
			return f.Draw(figureWidth).File(w)
		}
		return f.Draw(figureWidth).PNG(w, figureScale)
	default:
		return fmt.Errorf("format %q: want one of %s", format, strings.Join(Formats, ", "))
	}
}

// A chart of its own is as wide as a README's column, and its image sharp on a
// dense screen.
const (
	figureWidth = 860
	figureScale = 2
)

func (r *Report) figure(name string) (figure.Figure, error) {
	all := r.All()
	if len(all) == 0 {
		return figure.Figure{}, errors.New("draw chart: no sample was scored, so there is nothing to draw")
	}
	return figure.Pick(all, name)
}

// tables returns every table, the most telling first.
func (r *Report) tables() []*figure.Table {
	out := []*figure.Table{r.Curves(), r.Summary(), r.BestSets(), r.Standings(), r.Source.Cells(), r.Verdicts(), r.Diversity(), r.Solved(), r.Union(), r.Splits(), r.Months(), r.CutoffTable(), r.Choices(), r.Mixing(), r.Truncation(), r.Costs(), r.Flips(), r.Audited()}
	for _, f := range r.All() {
		if f.Table != nil && !slices.ContainsFunc(out, func(t *figure.Table) bool { return t.Name == f.Table.Name }) {
			out = append(out, f.Table)
		}
	}
	return out
}

func (r *Report) table(name string) (*figure.Table, error) {
	var names []string
	for i, t := range r.tables() {
		if t.Name == name || name == "" && i == 0 {
			return t, nil
		}
		names = append(names, t.Name)
	}
	return nil, fmt.Errorf("%w: %q: the tables are %s", ErrPart, name, strings.Join(names, ", "))
}
