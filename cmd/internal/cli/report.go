package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/lcbq/lcbq/cmd/internal/report"
	"github.com/lcbq/lcbq/cmd/internal/report/folder"
	"github.com/lcbq/lcbq/cmd/internal/window"
	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/worker/lcb/result"
	"github.com/lcbq/lcbq/worker/score/curve"
)

// reportCmd writes a report of a results folder.
type reportCmd struct {
	Results string `arg:"" optional:"" default:"results" type:"path" help:"results folder"`
	Output  string `short:"o" placeholder:"FILE" help:"file to write; - is standard output; by default report.FORMAT in the results folder"`
	Format  string `default:"html" enum:"html,png,svg,csv,md" help:"html is the whole report in one file; png and svg are one chart, csv one table, md a summary for a README"`
	Part    string `placeholder:"NAME" help:"which chart of an svg or png, or table of a csv; a wrong name lists them"`
	Group   int    `default:"0" help:"which of several results that lie in the folder, from 1 on; they are never averaged"`
	Samples int    `default:"8" help:"most samples of a cell in the html, chosen for variety"`
	Cutoff  string `placeholder:"DATE" help:"the model's training cut-off: questions of contests before it and from it on are set side by side, and the chart by month marks it"`

	config.Window `embed:"" group:"what"`
}

// Run reads the folder, and only then writes.
func (c *reportCmd) Run(a *app) error {
	if c.Part != "" && (c.Format == "html" || c.Format == "md") {
		return usageError{fmt.Errorf("--part = %q: a part is chosen of svg, png and csv, not of %s", c.Part, c.Format)}
	}
	if c.Samples < 1 || c.Samples > 100 {
		return usageError{fmt.Errorf("--samples = %d: want 1 to 100", c.Samples)}
	}
	w, err := windowOf(c.Window)
	if err != nil {
		return err
	}
	cutoff, err := window.Day("cutoff", c.Cutoff, false)
	if err != nil {
		return usageError{err}
	}
	results, err := openWithin(c.Results, c.Group, w)
	if err != nil {
		return reportError(err)
	}
	r, err := report.New(results, report.Options{Version: Version(), Samples: c.Samples, Cutoff: cutoff})
	if err != nil {
		return reportError(err)
	}
	var buf bytes.Buffer
	if err := r.Write(a.ctx, &buf, c.Format, c.Part); err != nil {
		return reportError(err)
	}
	if c.Output == "-" {
		_, err := a.out.Write(buf.Bytes())
		return err
	}
	path := c.Output
	if path == "" {
		path = filepath.Join(c.Results, "report."+c.Format)
	}
	if err := result.WriteFileAtomic(path, buf.Bytes()); err != nil {
		return fmt.Errorf("write report: %w\nchoose another place with --output", err)
	}
	for _, n := range r.Notes {
		fmt.Fprintln(a.err, n)
	}
	if a.json {
		return a.printJSON(map[string]any{"file": path, "bytes": buf.Len(), "notes": append([]string{}, r.Notes...)})
	}
	fmt.Fprintf(a.out, "%s: %d questions, %d temperatures, %d bytes\n", path, len(r.Questions), len(r.Temperatures), buf.Len())
	return nil
}

// reportError sorts the caller's mistakes from the rest.
func reportError(err error) error {
	_, mixed := errors.AsType[*folder.MixedError](err)
	switch {
	case mixed, errors.Is(err, folder.ErrGroup):
		return usageError{fmt.Errorf("%w\nchoose one of them with --group 1 and so on", err)}
	case errors.Is(err, report.ErrPart), errors.Is(err, curve.ErrCutoff), errors.Is(err, folder.ErrNotResults):
		return usageError{err}
	}
	return err
}

// leaveReport writes report.html into a results folder, as every run does at its end. A failure
// is only logged: the results are complete without it.
func leaveReport(ctx context.Context, dir string, log *slog.Logger) {
	if err := writeReport(ctx, dir); err != nil {
		log.Warn("report not written", "folder", dir, "err", err)
	}
}

func writeReport(ctx context.Context, dir string) error {
	results, err := folder.Open(dir, 0)
	if err != nil {
		return err
	}
	r, err := report.New(results, report.Options{Version: Version()})
	if err != nil {
		return err
	}
	var buf bytes.Buffer
	if err := r.Write(ctx, &buf, "html", ""); err != nil {
		return err
	}
	return result.WriteFileAtomic(filepath.Join(dir, result.ReportName), buf.Bytes())
}
