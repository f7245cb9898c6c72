// Package window chooses the questions that results speak of: by contest date,
// platform and difficulty, and by a list of questions to leave out. It refuses a choice
// that cannot be made, or that leaves too little; it counts nothing.
package window

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/lcbq/lcbq/cmd/internal/report/folder"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
)

// A Window is a choice of questions. The zero value is all of them.
type Window struct {
	store.Window
	path   string         // of the list of exclusions
	lines  map[string]int // of the list, by question
	errata bool           // the benchmark's own too
}

// A Question is what a choice looks at.
type Question struct {
	ID, Title string
	stream.Origin
}

// New returns the window of a command line. from and to are days (2025-01-31) or months
// (2025-01), both included; list is a file of questions to leave out, errata leaves out those
// that LiveCodeBench itself names as faulty. "" and nil are no restriction. The errors name the flag, or the file and its line.
func New(from, to string, platforms, difficulties []string, list string, errata bool) (*Window, error) {
	w := &Window{errata: errata, Window: store.Window{Platforms: slices.Sorted(slices.Values(platforms)), Difficulties: slices.Sorted(slices.Values(difficulties))}}
	var err error
	if w.From, err = Day("from", from, false); err != nil {
		return nil, err
	}
	if w.To, err = Day("to", to, true); err != nil {
		return nil, err
	}
	if w.From != "" && w.To != "" && w.From > w.To {
		return nil, fmt.Errorf("--from = %s, --to = %s: no day is in between\nboth are included, so --to is the same day or a later one", w.From, w.To)
	}
	if list != "" {
		w.path, w.List = list, filepath.Base(list)
		if err := w.read(); err != nil {
			return nil, fmt.Errorf("--exclude: %w", err)
		}
	}
	if errata {
		if w.List != "" {
			w.List += " and "
		}
		w.List += errataName
	}
	return w, nil
}

// Day returns the day that a flag names as YYYY-MM-DD; of a month its first day, or the last
// where the flag is an end.
func Day(flag, text string, end bool) (string, error) {
	if text == "" {
		return "", nil
	}
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return t.Format(time.DateOnly), nil
	}
	t, err := time.Parse("2006-01", text)
	if err != nil {
		return "", fmt.Errorf("--%s = %q: want a day such as 2025-01-31, or a month such as 2025-01", flag, text)
	}
	if end {
		t = t.AddDate(0, 1, -1)
	}
	return t.Format(time.DateOnly), nil
}

// header is the line that a list may begin with.
var header = []string{"question_id", "reason"}

// read reads the list: CSV rows of an id and a reason.
func (w *Window) read() error {
	const hint = "a row is an id, a comma and the reason, such as abc301_a,several right answers; lines that begin with # are comments"
	f, err := os.Open(w.path)
	if err != nil {
		return fmt.Errorf("read list of questions: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	r := csv.NewReader(f)
	r.Comment, r.FieldsPerRecord, r.TrimLeadingSpace = '#', -1, true
	w.lines = make(map[string]int)
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read %s: %w\n%s", w.path, err, hint)
		}
		line, _ := r.FieldPos(0)
		if len(w.Excluded) == 0 && slices.Equal(row, header) {
			continue
		}
		if len(row) != 2 || row[0] == "" || strings.TrimSpace(row[1]) == "" {
			return fmt.Errorf("%s line %d: %q: want a question_id and a reason\n%s", w.path, line, strings.Join(row, ","), hint)
		}
		if before, ok := w.lines[row[0]]; ok {
			return fmt.Errorf("%s line %d: question %q stands on line %d already", w.path, line, row[0], before)
		}
		w.lines[row[0]] = line
		w.Excluded = append(w.Excluded, store.Exclusion{ID: row[0], Reason: strings.TrimSpace(row[1])})
	}
	if len(w.Excluded) == 0 {
		return fmt.Errorf("%s names no question\n%s", w.path, hint)
	}
	return nil
}

// Empty reports whether w is all questions.
func (w *Window) Empty() bool {
	return w.From == "" && w.To == "" && len(w.Platforms) == 0 && len(w.Difficulties) == 0 && len(w.Excluded) == 0
}

// Choose returns the places in all of the questions that w holds, ascending. known says of
// an id that is not among all whether it may stand in the list of exclusions all the same.
//
// It refuses a label that no question has, an exclusion that is unknown, a window of dates
// over questions without a date, and a choice that leaves none, or a single question of
// several: nothing could be said of how sure its numbers are.
func (w *Window) Choose(all []Question, known func(id string) bool) ([]int, error) {
	w.leaveErrata(all)
	if w.Empty() {
		return places(all, func(*Question) bool { return true }), nil
	}
	if err := w.check(all, known); err != nil {
		return nil, err
	}
	labelled := places(all, func(q *Question) bool {
		out := slices.ContainsFunc(w.Excluded, func(x store.Exclusion) bool { return x.ID == q.ID })
		return !out && (len(w.Platforms) == 0 || slices.Contains(w.Platforms, q.Platform)) && (len(w.Difficulties) == 0 || slices.Contains(w.Difficulties, q.Difficulty))
	})
	if err := w.dated(all, labelled); err != nil {
		return nil, err
	}
	out := slices.DeleteFunc(labelled, func(i int) bool {
		day, _ := ContestDay(all[i].ContestDate)
		return w.From != "" && day < w.From || w.To != "" && day > w.To
	})
	switch {
	case len(out) == 0:
		return nil, fmt.Errorf("no question of %d is left: %s\n%s", len(all), Words(&w.Window), span(all))
	case len(out) == 1 && len(all) > 1:
		return nil, fmt.Errorf("one question of %d is left, %s: %s\nits numbers would have no interval over questions: choose a wider window; %s", len(all), all[out[0]].ID, Words(&w.Window), span(all))
	}
	return out, nil
}

// places returns the places of the questions that f holds for.
func places(all []Question, f func(*Question) bool) []int {
	var out []int
	for i := range all {
		if f(&all[i]) {
			out = append(out, i)
		}
	}
	return out
}

// check refuses labels and exclusions that no question answers to.
func (w *Window) check(all []Question, known func(id string) bool) error {
	for _, l := range []struct {
		flag  string
		asked []string
		of    func(*Question) string
	}{
		{"platform", w.Platforms, func(q *Question) string { return q.Platform }},
		{"difficulty", w.Difficulties, func(q *Question) string { return q.Difficulty }},
	} {
		var have []string
		for i := range all {
			have = append(have, l.of(&all[i]))
		}
		slices.Sort(have)
		have = slices.DeleteFunc(slices.Compact(have), func(s string) bool { return s == "" })
		for _, name := range l.asked {
			if !slices.Contains(have, name) {
				there := "no question says its " + l.flag
				if len(have) > 0 {
					there = "the questions have " + strings.Join(have, ", ")
				}
				return fmt.Errorf("--%s = %q: no question has it\n%s", l.flag, name, there)
			}
		}
	}
	ids := make(map[string]bool, len(all))
	for i := range all {
		ids[all[i].ID] = true
	}
	for _, x := range w.Excluded {
		if _, listed := w.lines[x.ID]; listed && !ids[x.ID] && !known(x.ID) {
			return fmt.Errorf("--exclude: %s line %d: question %q is not among these %d", w.path, w.lines[x.ID], x.ID, len(all))
		}
	}
	return nil
}

// dated refuses a window of dates over questions of which some have none.
func (w *Window) dated(all []Question, among []int) error {
	if w.From == "" && w.To == "" {
		return nil
	}
	without, first := 0, ""
	for _, i := range among {
		if _, ok := ContestDay(all[i].ContestDate); !ok {
			if without++; without == 1 {
				first = fmt.Sprintf("%s, contest_date %q", all[i].ID, all[i].ContestDate)
			}
		}
	}
	if without == 0 {
		return nil
	}
	return fmt.Errorf("--from, --to: %d of %d questions have no contest date (first: %s): whether they are in the window is not known\n"+
		"leave out --from and --to, or name these questions in --exclude FILE; results of an earlier lcbq, and questions that are not finished, have no dates", without, len(among), first)
}

// ContestDay returns the day of a contest date, false for one that is missing or no date.
func ContestDay(date string) (string, bool) {
	day := date[:min(len(date), len(time.DateOnly))]
	_, err := time.Parse(time.DateOnly, day)
	return day, err == nil
}

// span says which dates there are.
func span(all []Question) string {
	first, last := "", ""
	for i := range all {
		if day, ok := ContestDay(all[i].ContestDate); ok {
			if first == "" || day < first {
				first = day
			}
			last = max(last, day)
		}
	}
	if first == "" {
		return "none of the questions has a contest date"
	}
	return fmt.Sprintf("the contests are of %s to %s", first, last)
}

// Words says what a window is; "all questions" where it is none.
func Words(w *store.Window) string {
	var parts []string
	switch {
	case w.From != "" && w.To != "":
		parts = append(parts, "contests of "+w.From+" to "+w.To)
	case w.From != "":
		parts = append(parts, "contests from "+w.From+" on")
	case w.To != "":
		parts = append(parts, "contests up to "+w.To)
	}
	if len(w.Platforms) > 0 {
		parts = append(parts, "platform "+strings.Join(w.Platforms, ", "))
	}
	if len(w.Difficulties) > 0 {
		parts = append(parts, "difficulty "+strings.Join(w.Difficulties, ", "))
	}
	if n := len(w.Excluded); n > 0 {
		parts = append(parts, fmt.Sprintf("without %d of %s", n, w.List))
	}
	if len(parts) == 0 {
		return "all questions"
	}
	return strings.Join(parts, "; ")
}

// Names says what several windows are, of which each chose some of the questions.
func Names(all []store.Window) string {
	out := make([]string, len(all))
	for i := range all {
		out[i] = Words(&all[i])
	}
	return strings.Join(out, ", and ")
}

// Restrict leaves only the questions of w in a folder's results, notes it, and keeps w among
// their windows. A question that the run itself left out may stand in the list too.
func (w *Window) Restrict(r *folder.Results) error {
	if w.Empty() && !w.errata {
		return nil
	}
	all := make([]Question, len(r.Questions))
	for i := range r.Questions {
		all[i] = Question{r.Questions[i].ID, r.Questions[i].Title, r.Questions[i].Origin}
	}
	kept, err := w.Choose(all, func(id string) bool {
		return slices.ContainsFunc(r.Windows, func(x store.Window) bool {
			return slices.ContainsFunc(x.Excluded, func(e store.Exclusion) bool { return e.ID == id })
		})
	})
	if err != nil {
		return fmt.Errorf("results %s: %w", r.Dir, err)
	}
	if w.Empty() { // no question is among the errata
		return nil
	}
	r.Restrict(kept, w.Window, fmt.Sprintf("Only %d of the folder's %d questions are in the numbers: %s. Durations, throughput and what is said of the whole run are of all of them.", len(kept), len(all), Words(&w.Window)))
	return nil
}
