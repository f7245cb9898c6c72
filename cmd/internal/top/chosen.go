package top

import (
	"context"
	"fmt"
	"slices"

	"github.com/lcbq/lcbq/cmd/internal/snapshot"
	"github.com/lcbq/lcbq/cmd/internal/snapshot/screen"
	"github.com/lcbq/lcbq/stream"
)

// mostPrograms is how many programs at once can be asked for.
const mostPrograms = 1024

// sorted returns a row for each worker, in the order that was chosen.
func (m *model) sorted() []screen.Row {
	rows := screen.Single(m.s.Workers)
	slices.SortStableFunc(rows, orders[m.order].compare)
	return rows
}

// at returns where the chosen worker is. It is the same worker when the order changes. Without one it is
// the worker in the place of the one before.
func (m *model) at(rows []screen.Row) int {
	if i := slices.IndexFunc(rows, func(r screen.Row) bool { return m.chosen != "" && r.Stage+"."+r.Name == m.chosen }); i >= 0 {
		m.place = i
	}
	return max(0, min(m.place, len(rows)-1))
}

// move chooses another worker.
func (m *model) move(by int) {
	if m.s == nil || len(m.s.Workers) == 0 {
		return
	}
	rows := m.sorted()
	m.place = max(0, min(m.at(rows)+by, len(rows)-1))
	m.chosen = rows[m.place].Stage + "." + rows[m.place].Name
}

// worker returns the chosen worker, false if there is none.
func (m *model) worker() (snapshot.Worker, bool) {
	if m.s == nil || len(m.s.Workers) == 0 {
		return snapshot.Worker{}, false
	}
	rows := m.sorted()
	row := rows[m.at(rows)]
	m.chosen = row.Stage + "." + row.Name
	i := slices.IndexFunc(m.s.Workers, func(w snapshot.Worker) bool { return string(w.Stage) == row.Stage && w.Name == row.Name })
	return m.s.Workers[i], true
}

// steer asks what a key is to do to the chosen worker.
func (m *model) steer(key string) {
	w, ok := m.worker()
	switch {
	case !ok:
		m.said = "there is no worker"
	case !w.State.Lives():
		m.said = w.Name + " is gone"
	case key == "x":
		m.asks = &action{
			question: fmt.Sprintf("drain %s: it finishes what it has and ends", w.Name),
			do:       func(ctx context.Context, _ string) (string, error) { return m.cfg.Drain(ctx, w) },
		}
	case w.Stage != stream.Evaluate:
		m.said = w.Name + " judges no programs: choose an evaluator"
	default:
		m.wish(w, w.Slots, key)
	}
}

// wish asks for one program more or fewer at once than n. Further keys change the number until it is
// said yes to.
func (m *model) wish(w snapshot.Worker, n int, key string) {
	if key == "-" {
		n--
	} else {
		n++
	}
	n = max(1, min(n, mostPrograms))
	m.asks = &action{
		question: fmt.Sprintf("%s: %d programs at once, now %d (+ - change it)", w.Name, n, w.Slots),
		do:       func(ctx context.Context, _ string) (string, error) { return m.cfg.Set(ctx, w, n) },
		again:    func(key string) { m.wish(w, n, key) },
	}
}
