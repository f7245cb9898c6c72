package window

import (
	"slices"

	"github.com/lcbq/lcbq/stream/store"
)

// errataName names the list of the benchmark's own errata, with the version that it is of.
const errataName = "LiveCodeBench's ERRATA.md at 28fef95"

// The reasons that the errata give.
const (
	several     = "several outputs are right, the tests accept one"
	interactive = "interactive: no program can pass here"
	wrongTest   = "a test is wrong"
)

// errata are the questions that LiveCodeBench itself names as faulty, by id, or by title where
// its list has that. Source: https://github.com/LiveCodeBench/LiveCodeBench/blob/28fef95/ERRATA.md
var errata = map[string]string{
	"abc311_c":                        several,
	"abc326_d":                        several,
	"abc327_b":                        several,
	"abc333_e":                        several,
	"abc343_a":                        several,
	"abc343_e":                        several,
	"abc362_c":                        several,
	"arc185_c":                        several,
	"find-words-containing-character": several,
	"find-the-peaks":                  several,
	"generate-binary-strings-without-adjacent-zeros": several,
	"abc337_e":                              interactive,
	"abc355_e":                              interactive,
	"abc350_c":                              wrongTest,
	"arc189_a":                              wrongTest,
	"apply-operations-to-make-string-empty": wrongTest,
	"most-frequent-ids":                     wrongTest,
}

// leaveErrata excludes the questions that the errata name, where they are asked for.
func (w *Window) leaveErrata(all []Question) {
	if !w.errata {
		return
	}
	for i := range all {
		reason, ok := errata[all[i].ID]
		if !ok {
			reason, ok = errata[all[i].Title]
		}
		_, listed := w.lines[all[i].ID]
		if !ok || listed || slices.ContainsFunc(w.Excluded, func(x store.Exclusion) bool { return x.ID == all[i].ID }) {
			continue
		}
		w.Excluded = append(w.Excluded, store.Exclusion{ID: all[i].ID, Reason: reason + " (errata)"})
	}
	slices.SortFunc(w.Excluded, func(a, b store.Exclusion) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
}
