package cli

import (
	"github.com/lcbq/lcbq/cmd/internal/report/folder"
	"github.com/lcbq/lcbq/cmd/internal/window"
	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/lcb"
)

// windowOf reads the flags of a window. Its errors are the caller's mistakes.
func windowOf(c config.Window) (*window.Window, error) {
	w, err := window.New(c.From, c.To, c.Platform, c.Difficulty, c.Exclude, c.ExcludeErrata)
	if err != nil {
		return nil, usageError{err}
	}
	return w, nil
}

// openWithin opens a results folder and leaves only the questions of a window in it.
func openWithin(dir string, group int, w *window.Window) (*folder.Results, error) {
	r, err := folder.Open(dir, group)
	if err != nil {
		return nil, err
	}
	if err := w.Restrict(r); err != nil {
		return nil, usageError{err}
	}
	return r, nil
}

// A choice is the questions of a problem set that a command is about.
type choice struct {
	places  []int          // ascending
	windows []store.Window // that they were chosen by; nil for all, or a range of places
}

// choose returns the questions of [--start, --end) that the window holds.
func choose(cfg config.Definition, problems []*lcb.Problem) (*choice, error) {
	end := cfg.End
	if end == -1 {
		end = len(problems)
	}
	c, err := within(cfg.Window, problems, problems[cfg.Start:end])
	if err != nil {
		return nil, err
	}
	for i := range c.places {
		c.places[i] += cfg.Start
	}
	return c, nil
}

// within returns the places in part, a part of a problem set, of what the window holds.
func within(flags config.Window, set, part []*lcb.Problem) (*choice, error) {
	w, err := windowOf(flags)
	if err != nil {
		return nil, err
	}
	all := make([]window.Question, len(part))
	for i, p := range part {
		all[i] = window.Question{ID: p.ID, Title: p.Title, Origin: originOf(p)}
	}
	known := make(map[string]bool, len(set))
	for _, p := range set {
		known[p.ID] = true
	}
	c := &choice{}
	if c.places, err = w.Choose(all, func(id string) bool { return known[id] }); err != nil {
		return nil, usageError{err}
	}
	if !w.Empty() {
		c.windows = []store.Window{w.Window}
	}
	return c, nil
}
