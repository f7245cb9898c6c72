// Package folder reads a results folder for people who want to see it: every count
// that is there, what is missing or damaged said in words, and a few samples of
// each cell. It computes no statistics and proves nothing; verify does that.
package folder

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/combine/summary"
	"github.com/lcbq/lcbq/worker/lcb/result"
	"github.com/lcbq/lcbq/worker/score/curve"
)

// ErrNotResults says that a folder is no results folder. The command line turns
// it into an exit status of its own.
var ErrNotResults = errors.New("not a results folder")

// A Question is what the folder says of one.
type Question struct {
	Index     int // place in the problem set
	ID, Title string
	stream.Origin
}

// A Cell is one question at one temperature.
type Cell struct {
	stream.Counts
	Path string // of its samples; "" if they are not there
	Note string // what is wrong with its file; "" if nothing is known to be
}

// Results is what a folder holds.
type Results struct {
	Dir          string
	Group        Group
	Run          *summary.Run   // nil if it is not there or cannot be read
	Raw          map[string]any // run_summary.json as it is, for what Run does not know
	Questions    []Question     // by Index
	Temperatures []float64      // ascending: those that the run wanted and those that are there
	Cells        [][]*Cell      // [question][temperature]; nil where a cell is not there
	Notes        []string       // what is missing, damaged or left out
	Windows      []store.Window // by which the questions were chosen: those of the run, then one asked for here
}

// Restrict leaves only the questions at the given places, ascending, in the results; w is
// what they were chosen by, and note says it.
func (r *Results) Restrict(kept []int, w store.Window, note string) {
	questions, cells := r.Questions, r.Cells
	r.Questions, r.Cells = nil, nil
	for _, i := range kept {
		r.Questions, r.Cells = append(r.Questions, questions[i]), append(r.Cells, cells[i])
	}
	r.Windows = append(slices.Clone(r.Windows), w)
	r.Notes = append([]string{note}, r.Notes...)
}

// Cell returns a cell, nil if it is not there.
func (r *Results) Cell(question, temperature int) *Cell { return r.Cells[question][temperature] }

// Sweep returns the counts, for an analysis.
func (r *Results) Sweep() *curve.Sweep {
	s := &curve.Sweep{Temperatures: r.Temperatures}
	for i, q := range r.Questions {
		x := curve.Question{Index: q.Index, ID: q.ID, Title: q.Title, Origin: q.Origin, Cells: make([]stream.Counts, len(r.Temperatures))}
		for t := range r.Temperatures {
			if c := r.Cell(i, t); c != nil {
				x.Cells[t] = c.Counts
			}
		}
		s.Questions = append(s.Questions, x)
	}
	return s
}

// Open reads the folder. group chooses one of several results that lie in it,
// from 1 on; 0 expects a single one and returns a MixedError otherwise. The other
// errors are ErrNotResults and those of reading dir itself; what is wrong with
// single files is in Notes.
func Open(dir string, group int) (*Results, error) {
	questions, err := questionsOf(dir)
	if err != nil {
		return nil, err
	}
	l := &loader{dir: dir, ids: make(map[string]int)}
	for _, q := range questions {
		l.question(q)
	}
	l.readRun()
	if err := l.choose(group); err != nil {
		return nil, err
	}
	return l.results()
}

func questionsOf(dir string) ([]int, error) {
	const hint = "name the folder that 'lcbq run' or 'lcbq combine' wrote: it holds q0, q1, ..."
	questions, err := result.Questions(dir)
	if err != nil {
		return nil, fmt.Errorf("read results: %w: %w\n%s", ErrNotResults, err, hint)
	}
	if len(questions) == 0 {
		return nil, fmt.Errorf("read results: %s: %w: no question has a folder in it\n%s", dir, ErrNotResults, hint)
	}
	return questions, nil
}

// found is a cell before its group is known to be the one asked for.
type found struct {
	question    int // position in loader.questions
	temperature float64
	group       Group
	cell        *Cell
}

type loader struct {
	dir       string
	questions []Question
	ids       map[string]int // question_id -> index of the folder that was first
	cells     []found
	group     Group
	run       *summary.Run
	raw       map[string]any
	notes     []string

	unsummarised, noSamples int // cells
}

func (l *loader) note(format string, args ...any) {
	l.notes = append(l.notes, fmt.Sprintf(format, args...))
}

func (l *loader) relative(path string) string {
	if rel, err := filepath.Rel(l.dir, path); err == nil {
		return filepath.ToSlash(rel)
	}
	return path
}

// question reads q's summary and the headers of cells that it does not name.
func (l *loader) question(q int) {
	files, err := result.Cells(l.dir, q)
	if err != nil {
		l.note("q%d cannot be listed: %v", q, err)
	}
	byTemperature := make(map[float64]result.CellFile, len(files))
	for _, f := range files {
		if _, ok := byTemperature[f.Temperature]; !ok { // the uncompressed one comes first
			byTemperature[f.Temperature] = f
		}
	}
	s, err := result.ReadSummary(l.dir, q)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s = nil
	case err != nil:
		l.note("%s cannot be read; the cells are counted from their own files: %v", l.relative(result.SummaryPath(l.dir, q)), err)
		s = nil
	}
	at := len(l.questions)
	if s != nil {
		l.questions = append(l.questions, Question{Index: q, ID: s.QuestionID, Title: s.QuestionTitle, Origin: s.Origin})
		l.summarised(at, s, byTemperature)
	}
	for _, f := range files {
		if byTemperature[f.Temperature].Path != f.Path {
			continue
		}
		h, err := header(f.Path)
		if err == nil && (h.QuestionIdx != q || h.Temperature != f.Temperature) {
			err = fmt.Errorf("it holds question %d at temperature %v", h.QuestionIdx, h.Temperature)
		}
		if err != nil {
			l.note("%s is left out: %v", l.relative(f.Path), err)
			continue
		}
		if at == len(l.questions) {
			l.questions = append(l.questions, Question{Index: q, ID: h.QuestionID, Title: h.QuestionTitle})
		}
		l.unsummarised++
		c := &Cell{Counts: h.Counts, Path: f.Path}
		if !ends(f.Path) {
			c.Note = "the file ends too early; the counts are its header's"
			l.note("%s ends too early: the counts are those that its header promises", l.relative(f.Path))
		}
		l.cells = append(l.cells, found{at, f.Temperature, Group{h.Engine, h.Model, h.Judge, h.Fingerprint, h.Simulated}, c})
	}
	if at == len(l.questions) {
		l.note("q%d holds no readable result and is left out", q)
		return
	}
	id := l.questions[at].ID
	if first, ok := l.ids[id]; ok {
		l.note("q%d and q%d hold the same question, %s: it counts twice", first, q, id)
	} else {
		l.ids[id] = q
	}
}

// summarised takes the cells that a summary names, and removes them from files.
func (l *loader) summarised(at int, s *result.Summary, files map[float64]result.CellFile) {
	group := Group{s.Engine, s.Model, s.Judge, s.Fingerprint, s.Simulated}
	path := l.relative(result.SummaryPath(l.dir, l.questions[at].Index))
	for i := range s.Results {
		r := &s.Results[i]
		h := result.Header{QuestionIdx: l.questions[at].Index, Temperature: r.Temperature, Counts: r.Counts}
		if err := h.Validate(); err != nil {
			l.note("%s at temperature %v is left out: %v", path, r.Temperature, err)
			delete(files, r.Temperature)
			continue
		}
		c := &Cell{Counts: r.Counts}
		if f, ok := files[r.Temperature]; ok {
			delete(files, r.Temperature)
			c.Path = f.Path
			c.Note = damage(f.Path, r)
			if c.Note != "" {
				l.note("%s: %s", l.relative(f.Path), c.Note)
			}
		} else {
			l.noSamples++
		}
		l.cells = append(l.cells, found{at, r.Temperature, group, c})
	}
}

// damage says in words if a cell's file is not as long as its summary says.
func damage(path string, r *result.CellSummary) string {
	if strings.HasSuffix(path, ".zst") || r.Bytes == 0 {
		return ""
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Sprintf("the samples cannot be read: %v", err)
	}
	if info.Size() != r.Bytes {
		return fmt.Sprintf("the file has %d bytes where the summary says %d: a half copy, or changed since; the counts are the summary's", info.Size(), r.Bytes)
	}
	return ""
}

func header(path string) (result.Header, error) {
	c, err := result.OpenCell(path)
	if err != nil {
		return result.Header{}, err
	}
	return c.Header(), c.Close()
}

// ends reports whether an uncompressed cell's file ends as a whole one does.
func ends(path string) bool {
	if strings.HasSuffix(path, ".zst") {
		return true // only reading all of it would tell
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	tail := make([]byte, 16)
	info, err := f.Stat()
	n := 0
	if err == nil {
		n, _ = f.ReadAt(tail, max(0, info.Size()-int64(len(tail)))) // a short read shows in n
	}
	_ = f.Close() // it was only read
	text := strings.Join(strings.Fields(string(tail[:n])), "")
	return strings.HasSuffix(text, "]}")
}

func (l *loader) readRun() {
	path := result.RunSummaryPath(l.dir)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		l.note("%s is not there: the run is not finished. Settings, durations and throughput are not known.", result.RunSummaryName)
		return
	}
	var run summary.Run
	if err == nil {
		err = json.Unmarshal(b, &run)
	}
	if err == nil {
		err = json.Unmarshal(b, &l.raw)
	}
	if err != nil {
		l.note("%s cannot be read: %v", result.RunSummaryName, err)
		l.raw = nil
		return
	}
	l.run = &run
	for _, f := range run.Health { // before all that the folder lacks: it is about every number
		mark := ""
		if f.Grave {
			mark = "The numbers say nothing about the model: "
		}
		l.notes = slices.Insert(l.notes, 0, strings.ReplaceAll(mark+f.String(), "\n", "; "))
	}
}

func (l *loader) results() (*Results, error) {
	r := &Results{Dir: l.dir, Group: l.group, Run: l.run, Raw: l.raw}
	seen := make(map[float64]bool)
	for _, c := range l.cells {
		seen[c.temperature] = true
	}
	if l.run != nil {
		for _, t := range l.run.Temperatures {
			seen[t] = true
		}
	}
	for t := range seen {
		r.Temperatures = append(r.Temperatures, t)
	}
	slices.Sort(r.Temperatures)
	rows := make(map[int]int)
	for _, c := range l.cells {
		if _, ok := rows[c.question]; !ok {
			rows[c.question] = len(r.Questions)
			r.Questions = append(r.Questions, l.questions[c.question])
			r.Cells = append(r.Cells, make([]*Cell, len(r.Temperatures)))
		}
		column, _ := slices.BinarySearch(r.Temperatures, c.temperature)
		r.Cells[rows[c.question]][column] = c.cell
	}
	if l.run != nil {
		r.Windows = l.run.Windows
	}
	l.gaps(r)
	r.Notes = l.notes
	return r, nil
}

// gaps notes the cells that are not there.
func (l *loader) gaps(r *Results) {
	missing, unscored, empty := 0, 0, 0
	for _, row := range r.Cells {
		for _, c := range row {
			switch {
			case c == nil:
				missing++
			case c.N == 0:
				empty++
			}
			if c != nil {
				unscored += c.Unscored
			}
		}
	}
	all := len(r.Questions) * len(r.Temperatures)
	// Questions without a cell have no folder yet: run.toml knows how many cells there will be.
	if n := config.Cells(filepath.Join(l.dir, result.ConfigName)); l.run == nil && n > all {
		missing, all = missing+n-all, n
	}
	if l.run != nil && l.run.Questions > len(r.Questions) {
		l.note("%d of %d questions have no result here", l.run.Questions-len(r.Questions), l.run.Questions)
	}
	if missing > 0 {
		l.note("%d of %d cells are missing. Each number is over the questions that have samples at its temperature, so temperatures may rest on different questions.", missing, all)
	}
	if empty > 0 {
		l.note("%d cells hold no scored sample", empty)
	}
	if unscored > 0 {
		l.note("%d samples could not be judged. They are in no count: they say something about the judge, not about the model.", unscored)
	}
	if l.unsummarised > 0 {
		l.note("%d cells belong to questions that are not finished; they are counted from the cells' own headers", l.unsummarised)
	}
	if l.noSamples > 0 {
		l.note("the samples of %d cells are not here; their counts are those of the summaries", l.noSamples)
	}
}
