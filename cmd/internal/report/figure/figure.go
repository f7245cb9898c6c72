// Package figure turns the analysis of a sweep into the charts and tables that a
// report consists of. It reads no file and writes none, and computes no
// statistics: every number is the analysis' own.
package figure

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/lcbq/lcbq/cmd/internal/report/chart"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/score"
	"github.com/lcbq/lcbq/worker/score/curve"
)

// A Source is what figures are made from.
type Source struct {
	Analysis  *curve.Analysis
	Rows      []curve.Row // by question
	Subject   string      // what was measured, for titles
	Simulated bool
	Speeds    []float64 // completion tokens per second and GPU, by temperature; nil or 0 where unknown
	Timeline  []Moment  // ascending; nil where unknown
}

// A Figure is a chart under the name by which it is asked for.
type Figure struct {
	Name    string
	Short   string // its name among the page's links
	Title   string
	Full    bool                               // it needs the page's whole width
	Caption string                             // how to read it
	Draw    func(width float64) *chart.Drawing // at a width in pixels
	Table   *Table                             // the same as numbers
}

// ErrPart says that there is no chart or table of the name asked for.
var ErrPart = errors.New("no such part")

// Pick returns the figure of a name, or the first of all if it is "". Its error wraps ErrPart.
func Pick(all []Figure, name string) (Figure, error) {
	var names []string
	for i, f := range all {
		if f.Name == name || name == "" && i == 0 {
			return f, nil
		}
		names = append(names, f.Name)
	}
	return Figure{}, fmt.Errorf("%w: %q: these results have the charts %s", ErrPart, name, strings.Join(names, ", "))
}

// Headline returns the k of tables and of the chart over temperatures: those of
// the ladder's headline that some temperature has a point for.
func (s *Source) Headline() []int {
	most := 0
	for _, t := range s.Analysis.Temperatures {
		most = max(most, t.NMax)
	}
	ks := curve.Headline(most)
	if len(ks) > 5 { // 5 is near 1 and 10
		ks = slices.DeleteFunc(ks, func(k int) bool { return k == 5 })
	}
	return ks
}

// At returns the point at k of a temperature, nil if there is none.
func At(points []curve.Point, k int) *curve.Point {
	for i := range points {
		if points[i].K == k {
			return &points[i]
		}
	}
	return nil
}

// BestAt returns T*(k), nil if temperatures cannot be compared there.
func (s *Source) BestAt(k int) *curve.Best {
	for i := range s.Analysis.Best {
		if s.Analysis.Best[i].K == k {
			return &s.Analysis.Best[i]
		}
	}
	return nil
}

// Temperature writes a temperature with at least one decimal.
func Temperature(t float64) string {
	s := strconv.FormatFloat(t, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// Percent writes a share in percent, without the sign: with two decimals below
// 10, one above, and two digits where that would show nothing. What is not quite
// 0 or 100 never reads so.
func Percent(v float64) string {
	p := 100 * v
	switch {
	case p == 0 || p == 100:
		return strconv.FormatFloat(p, 'f', 0, 64)
	case p < 0.095:
		return strconv.FormatFloat(p, 'g', 2, 64)
	case p < 9.995:
		return strconv.FormatFloat(p, 'f', 2, 64)
	case p >= 99.95:
		return strconv.FormatFloat(math.Floor(p*100)/100, 'f', 2, 64)
	default:
		return strconv.FormatFloat(p, 'f', 1, 64)
	}
}

// Range writes an interval in percent.
func Range(i score.Interval) string { return Percent(i.Low) + "–" + Percent(i.High) }

// Several writes a number of things by the name of one.
func Several(n int, name string) string {
	if n == 1 {
		return "1 " + name
	}
	return Count(n) + " " + name + "s"
}

// Count writes a number with thousands apart.
func Count[T int | int64](n T) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Set writes temperatures shortly: neighbours in the sweep become a range.
func (s *Source) Set(set []float64) string {
	var parts []string
	all := s.Analysis.Temperatures
	for i := 0; i < len(all); i++ {
		if !slices.Contains(set, all[i].Temperature) {
			continue
		}
		j := i
		for j+1 < len(all) && slices.Contains(set, all[j+1].Temperature) {
			j++
		}
		text := Temperature(all[i].Temperature)
		switch {
		case j == i+1:
			text += ", " + Temperature(all[j].Temperature)
		case j > i:
			text += "–" + Temperature(all[j].Temperature)
		}
		parts = append(parts, text)
		i = j
	}
	return strings.Join(parts, ", ")
}

// VerdictName writes a verdict for people.
func VerdictName(v string) string { return strings.ReplaceAll(v, "_", " ") }

// present returns the verdicts that occur, in the order of tables, and any other
// name after them.
func (s *Source) present() []string {
	seen := make(map[string]bool)
	for _, t := range s.Analysis.Temperatures {
		for _, c := range t.Verdicts {
			if c.Samples > 0 {
				seen[c.Verdict] = true
			}
		}
	}
	var out []string
	for _, v := range stream.Verdicts() {
		if seen[v.String()] {
			out = append(out, v.String())
		}
	}
	return out
}

func class(t *curve.Temperature, verdict string) curve.Class {
	for _, c := range t.Verdicts {
		if c.Verdict == verdict {
			return c
		}
	}
	return curve.Class{Verdict: verdict}
}

func (s *Source) columns() []string {
	var out []string
	for _, t := range s.Analysis.Temperatures {
		out = append(out, Temperature(t.Temperature))
	}
	return out
}

// level is the confidence level in words.
func (s *Source) level() string {
	return strconv.FormatFloat(100*s.Analysis.Level, 'g', 4, 64) + " %"
}

// titled puts the subject behind a title, and says if no model was asked.
func (s *Source) titled(title string) string {
	switch {
	case s.Simulated:
		return title + " · SIMULATED, no model was asked"
	case s.Subject != "":
		return title + " · " + s.Subject
	default:
		return title
	}
}

func sampled(p *curve.Point, level string) string {
	tip := fmt.Sprintf("pass@%d = %s %%", p.K, Percent(p.Value))
	tip += fmt.Sprintf("\n%s interval, these questions: %s %%", level, Range(p.Sampling))
	if p.Population != nil {
		tip += fmt.Sprintf("\nquestions like these: %s %%", Range(p.Population.Interval))
	}
	if !p.Reliable {
		tip += "\nlittle known: read with care"
	}
	return tip
}
