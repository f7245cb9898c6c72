// Package screen writes a snapshot as lines of plain text that fit a terminal. It reads nothing but the snapshot.
package screen

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"

	"github.com/lcbq/lcbq/cmd/internal/snapshot"
)

// The size of a terminal that says nothing of its size, and the width below which nothing is left out any more.
const (
	Columns = 80
	Rows    = 24
)

// Plain returns what a server says of others without what a terminal would obey.
func Plain(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

// Lines returns a picture of a run of at most rows lines of at most columns characters. What matters most comes
// first, and is left out last.
func Lines(s *snapshot.Snapshot, columns, rows int) []string {
	p := newPage(s, columns, rows)
	p.workers()
	return p.text()
}

// Head is Lines without workers.
func Head(s *snapshot.Snapshot, columns, rows int) []string { return newPage(s, columns, rows).text() }

// newPage returns a page with all but the workers.
func newPage(s *snapshot.Snapshot, columns, rows int) *page {
	p := &page{s: s, columns: max(1, columns), rows: max(1, rows)}
	p.run()
	p.stages()
	p.others()
	temperatures := p.temperatures()
	// The findings take what the curve and two lines of workers leave, and room for one in any case.
	p.findings(max(6, p.left()-len(temperatures)-2))
	p.add(temperatures...)
	p.cards()
	return p
}

func (p *page) text() []string {
	lines := p.lines[:min(len(p.lines), p.rows)]
	for i, l := range lines {
		lines[i] = cut(Plain(l), p.columns)
	}
	return lines
}

// cut returns the beginning of a line that is too long.
func cut(line string, columns int) string {
	if r := []rune(line); len(r) > columns {
		return string(r[:columns])
	}
	return line
}

type page struct {
	s             *snapshot.Snapshot
	columns, rows int
	lines         []string
}

func (p *page) add(lines ...string) { p.lines = append(p.lines, lines...) }

func (p *page) left() int { return p.rows - len(p.lines) }

// number writes a count with its thousands apart.
func number(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// rate writes a number of units a second: 12.3, 0.04, - for none.
func rate(x float64) string {
	switch {
	case x == 0:
		return "-"
	case x >= 100:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	default:
		return fmt.Sprintf("%.2f", x)
	}
}

// Span writes a duration in one unit: 45 s, 12 min, 3.2 h, 4.1 days.
func Span(seconds float64) string {
	switch {
	case seconds < 0:
		return "-"
	case seconds < 100:
		return fmt.Sprintf("%.0f s", seconds)
	case seconds < 100*60:
		return fmt.Sprintf("%.0f min", seconds/60)
	case seconds < 48*3600:
		return fmt.Sprintf("%.1f h", seconds/3600)
	default:
		return fmt.Sprintf("%.1f days", seconds/86400)
	}
}

// when says how a run is and when: at the time of the look, or since it is over.
func when(r *snapshot.Run, at time.Time) string {
	switch {
	case r.Finished != 0:
		return r.State + " " + time.UnixMilli(r.Finished).Format(time.DateTime)
	case r.State == "cancelled": // nobody keeps the time of that
		return r.State
	default:
		return r.State + "  at " + at.Format(time.TimeOnly)
	}
}

// run writes which run it is and how far.
func (p *page) run() {
	s, r := p.s, &p.s.Run
	at := time.UnixMilli(s.At)
	p.add(fmt.Sprintf("run %s  %s  %s %s  judge %s", r.ID, when(r, at), r.Engine, r.Model, r.Judge))
	passed := "-"
	if r.Samples.Done > 0 {
		passed = fmt.Sprintf("%.1f%%", 100*float64(r.Passed)/float64(r.Samples.Done))
	}
	p.add(fmt.Sprintf("cells %s of %s  samples %s of %s  passed %s  given up %s", number(r.Cells.Done), number(r.Cells.All),
		number(r.Samples.Done), number(r.Samples.All), passed, number(r.Dead)))
	if r.State == "finished" || r.State == "cancelled" {
		return
	}
	p.add(fmt.Sprintf("units  %s of %s generated, %s judged, %s written", number(s.Units.Generated), number(s.Units.All), number(s.Units.Judged), number(s.Units.Written)))
	switch l := s.Left; {
	case l != nil:
		p.add(fmt.Sprintf("time left  %s (8 of 10 times %s to %s), until about %s", Span(l.Seconds), Span(l.Low), Span(l.High), at.Add(time.Duration(l.Seconds*float64(time.Second))).Format("Mon 15:04")))
	case r.State == "paused":
		p.add("time left  not while it is paused")
	case r.State == snapshot.Stopped:
		p.add("time left  not while no server runs")
	default:
		p.add("time left  not known yet")
	}
}

// trend says whether a backlog grows, in units a second.
func trend(x float64) string {
	if x > -0.005 && x < 0.005 {
		return "steady"
	}
	if x > 0 {
		return "+" + rate(x) + "/s"
	}
	return "-" + rate(-x) + "/s"
}

func (p *page) stages() {
	p.add(fmt.Sprintf("%-9s %9s %9s %8s %8s %9s %10s %8s", "stage", "waiting", "in flight", "/s 1min", "15min", "backlog", "grows", "workers"))
	for _, r := range p.s.Stages {
		p.add(fmt.Sprintf("%-9s %9s %9s %8s %8s %9s %10s %8d", r.Stream, number(r.Waiting), number(r.InFlight), rate(r.Rate), rate(r.Rate15), Span(r.Backlog), trend(r.Trend), r.Workers))
	}
}

// mostOthers is how many other runs have a line.
const mostOthers = 3

func (p *page) others() {
	for i, o := range p.s.Others {
		if i == mostOthers && len(p.s.Others) > mostOthers+1 {
			p.add(fmt.Sprintf("also %d more runs: lcbq runs", len(p.s.Others)-i))
			return
		}
		p.add(fmt.Sprintf("also run %s  %s  %s %s  %s cells  status --run %s", o.ID, o.State, o.Engine, o.Model, number(o.Cells.All), o.ID))
	}
}

// folded returns a text in lines that fit, the further ones indented.
func (p *page) folded(first, indent, text string) []string {
	line := first
	var out []string
	for i, word := range strings.Fields(text) {
		if i > 0 && len([]rune(line))+1+len([]rune(word)) > p.columns {
			out = append(out, line)
			line = indent
		} else if i > 0 {
			line += " "
		}
		line += word
	}
	return append(out, line)
}

// finding writes what is wrong, the remedy in words if whole, and what to type.
func (p *page) finding(f *snapshot.Finding, whole bool) []string {
	mark := "* "
	if f.Grave {
		mark = "! "
	}
	out := p.folded(mark, "  ", f.Text)
	if f.Remedy != "" && (whole || f.Command == "") {
		out = append(out, p.folded("  ", "  ", f.Remedy)...)
	}
	if f.Command != "" {
		out = append(out, p.folded("  type: ", "    ", f.Command)...)
	}
	return out
}

// findings writes the findings in at most so many lines: all of each, or no remedy in words where a command says it,
// or only the first ones.
func (p *page) findings(most int) {
	var lines []string
	for _, whole := range []bool{true, false} {
		lines = nil
		for i := range p.s.Findings {
			lines = append(lines, p.finding(&p.s.Findings[i], whole)...)
		}
		if len(lines) <= most {
			p.add(lines...)
			return
		}
	}
	lines = nil
	for i := range p.s.Findings {
		more := p.finding(&p.s.Findings[i], false)
		if i > 0 && len(lines)+len(more) > most-1 {
			lines = append(lines, fmt.Sprintf("* and %d more findings: lcbq status --long", len(p.s.Findings)-i))
			break
		}
		lines = append(lines, more...)
	}
	p.add(lines...)
}

// within writes pass@1 and its interval, in percent: 25.6+-0.3 where that reaches about as far on
// both sides, else its ends, 0-2.1.
func within(t *snapshot.Temperature) string {
	down, up := 100*(t.PassAt1-t.Low), 100*(t.High-t.PassAt1)
	if half := (down + up) / 2; math.Abs(up-down) <= half/4 {
		return fmt.Sprintf("%.1f+-%.1f", 100*t.PassAt1, half)
	}
	return fmt.Sprintf("%.1f-%.1f", 100*t.Low, 100*t.High)
}

// temperatures writes pass@1, several temperatures a line.
func (p *page) temperatures() []string {
	const width = 15
	each := max(1, (p.columns-7)/(width+1))
	var out []string
	missing := false
	line := ""
	n := 0
	for _, t := range p.s.Temperatures {
		if t.PassAt1 < 0 {
			continue
		}
		mark := ""
		if !t.Complete {
			mark, missing = "~", true
		}
		if n == each {
			out, line, n = append(out, line), "", 0
		}
		line += fmt.Sprintf(" %-*s", width, fmt.Sprintf("%.2f %s%s", t.Temperature, within(&t), mark))
		n++
	}
	if line == "" {
		return nil
	}
	out = append(out, line)
	for i := range out {
		head := "      "
		if i == 0 {
			head = "pass@1"
		}
		out[i] = strings.TrimRight(head+out[i], " ")
	}
	if missing {
		last := &out[len(out)-1]
		if note := "  ~ cells missing"; len(*last)+len(note) <= p.columns {
			*last += note
		}
	}
	return out
}

// manyCards is the number of cards from which they share a line.
const manyCards = 4

func (p *page) cards() {
	cards := p.s.Cards
	if len(cards) == 0 {
		return
	}
	if len(cards) > manyCards {
		busy, known, idle := 0, 0, 0
		for i := range cards {
			if u := cards[i].Utilization; u >= 0 {
				busy, known = busy+u, known+1
				if u == 0 {
					idle++
				}
			}
		}
		if known > 0 {
			p.add(fmt.Sprintf("GPUs %d, %d%% busy on average, %d idle now", len(cards), busy/known, idle))
		}
		return
	}
	for i := range cards {
		c := &cards[i]
		line := fmt.Sprintf("GPU %d on %s  %s  %s", c.Index, c.Host, c.Name, engines(c.Engines))
		if c.Utilization >= 0 {
			line += fmt.Sprintf("  %d%% busy", c.Utilization)
		}
		line += fmt.Sprintf("  %.1f of %.1f GiB", float64(c.MemoryUsed)/(1<<30), float64(c.MemoryTotal)/(1<<30))
		if c.Power >= 0 {
			line += fmt.Sprintf("  %.0f W", c.Power)
		}
		p.add(line)
	}
}

func engines(n int) string {
	if n == 1 {
		return "1 engine"
	}
	return fmt.Sprintf("%d engines", n)
}
