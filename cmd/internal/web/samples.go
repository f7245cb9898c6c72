package web

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/lcbq/lcbq/cmd/internal/report/folder"
	"github.com/lcbq/lcbq/cmd/internal/snapshot"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// Bounds of what is shown of a cell. Its file may hold ten thousand samples: a part of it is read, from all along
// it, and some of each verdict are shown.
const (
	mostSamples   = 24
	samplesLook   = 2 << 20 // bytes
	mostProgram   = 6000    // bytes
	mostDetail    = 1000
	sampleReaders = 2 // at once: whoever asks, the disk is the run's
)

// A cellSamples is some of a cell's samples.
type cellSamples struct {
	N       int           `json:"n"`      // samples of the cell
	Passed  int           `json:"passed"` // of them
	Looked  int           `json:"looked"` // samples among which those shown were chosen
	Samples []shownSample `json:"samples"`
	Note    string        `json:"note,omitempty"` // why there are none
}

// A shownSample is a sample as a person reads it.
type shownSample struct {
	Index   int     `json:"index"`
	Verdict string  `json:"verdict"`
	Passed  bool    `json:"passed"`
	Detail  string  `json:"detail,omitempty"`
	Test    *int    `json:"test"` // that failed first; null where none did
	CPU     float64 `json:"cpu_s"`
	Tokens  int     `json:"tokens"`
	Seen    int     `json:"seen"`  // samples with this program and verdict among those looked at
	Text    string  `json:"text"`  // the program, or the completion if there is no program
	Prose   bool    `json:"prose"` // it is a completion
	Cut     int     `json:"cut"`   // bytes of it that are not shown
}

// samples answers with some samples of a cell, which a question's index and a temperature name.
func (a *api) samples(w http.ResponseWriter, r *http.Request) {
	question, qerr := strconv.Atoi(r.URL.Query().Get("question"))
	temperature, terr := strconv.ParseFloat(r.URL.Query().Get("temperature"), 64)
	if qerr != nil || terr != nil {
		http.Error(w, "lcbq: want question=INDEX and temperature=T", http.StatusBadRequest)
		return
	}
	s, ok := a.look(w, r)
	if !ok {
		return
	}
	cell, ok := cellOf(s, question, temperature)
	if !ok {
		http.Error(w, fmt.Sprintf("lcbq: run %s has no question %d at temperature %g", s.Run.ID, question, temperature), http.StatusNotFound)
		return
	}
	select {
	case a.reading <- struct{}{}:
		defer func() { <-a.reading }()
	case <-r.Context().Done():
		return
	}
	writeJSON(w, samplesOf(r.Context(), s.Run.OutputDir, question, temperature, cell))
}

// cellOf returns what is known of a cell, false if the run has no such cell.
func cellOf(s *snapshot.Snapshot, question int, temperature float64) (snapshot.Cell, bool) {
	q := slices.IndexFunc(s.Questions, func(q snapshot.Question) bool { return q.Index == question })
	t := slices.IndexFunc(s.Temperatures, func(t snapshot.Temperature) bool { return t.Temperature == temperature })
	if q < 0 || t < 0 || t >= len(s.Questions[q].Cells) {
		return snapshot.Cell{}, false
	}
	return s.Questions[q].Cells[t], true
}

// samplesOf reads a cell's file in the results folder. What keeps it from that is a note: it says nothing of the run.
func samplesOf(ctx context.Context, dir string, question int, temperature float64, cell snapshot.Cell) cellSamples {
	out := cellSamples{N: cell.N, Passed: cell.Passed, Samples: []shownSample{}}
	if cell.N == 0 {
		out.Note = "no sample of this cell is written yet"
		return out
	}
	path := result.CellPath(dir, question, temperature)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		path = result.CompressedCellPath(dir, question, temperature)
	}
	picked, err := (&folder.Cell{Path: path}).Pick(ctx, mostSamples, samplesLook)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		out.Note = "the results folder " + dir + " is not on the server's machine: its samples are where the combiner writes, and 'lcbq report' shows them there"
		return out
	case err != nil:
		out.Note = err.Error()
		return out
	}
	out.Looked = picked.Looked
	for i := range picked.Samples {
		out.Samples = append(out.Samples, shownOf(&picked.Samples[i]))
	}
	slices.SortStableFunc(out.Samples, func(a, b shownSample) int { return a.Index - b.Index })
	return out
}

func shownOf(s *folder.Sample) shownSample {
	out := shownSample{
		Index: s.Index, Verdict: s.Verdict.String(), Passed: s.Passed(), Detail: s.Detail, Test: s.Test, CPU: s.CPU, Tokens: s.Tokens, Seen: s.Seen,
		Text: s.Code, Prose: strings.TrimSpace(s.Code) == "",
	}
	if out.Prose {
		out.Text = s.Completion
	}
	out.Text, out.Cut = beginning(out.Text, mostProgram)
	out.Detail, _ = beginning(out.Detail, mostDetail)
	return out
}

// beginning returns the beginning of a text that is too long, in whole characters, and how many bytes are gone.
func beginning(text string, most int) (string, int) {
	if len(text) <= most {
		return text, 0
	}
	kept := strings.ToValidUTF8(text[:most], "")
	return kept, len(text) - len(kept)
}
