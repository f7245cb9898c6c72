package screen

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/lcbq/lcbq/cmd/internal/snapshot"
)

// A Row is a line of workers: one, or all of a stage on a host.
type Row struct {
	Stage   string
	Name    string // of a single worker
	Host    string
	Workers int
	Slots   int
	Rate    float64 // units a second, of the last minute
	Sign    float64 // seconds since the last sign, the oldest
	Marks   string  // what is wrong with some of them
}

// Single returns a row for each worker.
func Single(workers []snapshot.Worker) []Row {
	out := make([]Row, len(workers))
	for i := range workers {
		w := &workers[i]
		out[i] = Row{Stage: string(w.Stage), Name: w.Name, Host: w.Host, Workers: 1, Slots: w.Slots, Rate: w.Rate, Sign: w.LastSign, Marks: strings.Join(marks(w), ", ")}
	}
	return out
}

func marks(w *snapshot.Worker) []string {
	var out []string
	switch w.State {
	case snapshot.Ended:
		out = append(out, "ENDED without a word")
	case snapshot.Silent:
		out = append(out, "NO SIGN")
	case snapshot.Starting:
		out = append(out, "starting or waiting")
	case snapshot.Working:
	}
	if w.Slow {
		out = append(out, "SLOW")
	}
	if w.Trouble != nil {
		out = append(out, strings.ReplaceAll(w.Trouble.Code, "_", " "))
	}
	if w.Clock != 0 {
		out = append(out, fmt.Sprintf("clock %+.0f s", w.Clock))
	}
	return out
}

// Hosts returns a row for the workers of each stage on each host, of those with the same marks.
func Hosts(workers []snapshot.Worker) []Row {
	type key struct{ stage, host, marks string }
	at := make(map[key]int)
	var out []Row
	for _, one := range Single(workers) {
		k := key{one.Stage, one.Host, one.Marks}
		i, ok := at[k]
		if !ok {
			i = len(out)
			at[k] = i
			out = append(out, Row{Stage: one.Stage, Host: one.Host, Marks: one.Marks})
		}
		r := &out[i]
		r.Workers++
		r.Slots += one.Slots
		r.Rate += one.Rate
		r.Sign = max(r.Sign, one.Sign)
	}
	return out
}

// Text writes a row.
func (r *Row) Text() string {
	name := r.Host
	if r.Name != "" {
		name = r.Name
	} else if r.Workers > 1 {
		name = fmt.Sprintf("%s, %d workers", r.Host, r.Workers)
	}
	if runes := []rune(Plain(name)); len(runes) > 26 { // the end tells them apart
		name = ".." + string(runes[len(runes)-24:])
	}
	line := fmt.Sprintf("%-9s %-26s %4d at once %7s/s %5s ago", r.Stage, name, r.Slots, rate(r.Rate), Span(r.Sign))
	if r.Marks != "" {
		line += "  " + r.Marks
	}
	return line
}

// workers writes those that need a look first. Where there is no room for each, those of a host share a line.
func (p *page) workers() {
	all := p.s.Workers
	rows := Single(all)
	if len(rows) > p.left() {
		rows = Hosts(all)
	}
	slices.SortStableFunc(rows, func(a, b Row) int { return cmp.Compare(min(1, len(b.Marks)), min(1, len(a.Marks))) })
	for i := range rows {
		if p.left() == 1 && i < len(rows)-1 {
			n := 0
			for _, r := range rows[i:] {
				n += r.Workers
			}
			p.add(fmt.Sprintf("and %d more workers: lcbq status --long", n))
			return
		}
		p.add(rows[i].Text())
	}
}
