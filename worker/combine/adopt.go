package combine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// Adopt marks the cells done that the run's results folder holds whole and the server knows nothing of: the run was
// begun on another server. Their units are then not made again. It returns how many cells these are. A file that
// cannot be read, or is of other questions, another model, judge or fewer samples, is left to be made anew. Call it
// before the run's first unit is published.
func Adopt(ctx context.Context, s *store.Store, m *store.Manifest, dir string) (int, error) {
	if m.Until != nil { // how many samples a cell gets is decided while it runs
		return 0, nil
	}
	n := 0
	for _, q := range m.Questions {
		files, err := result.Cells(dir, q.Index)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return n, err
		}
		for _, t := range m.Temperatures {
			id := stream.Cell{Run: m.ID, Question: q.Index, Temperature: t}
			for _, f := range files {
				if f.Temperature != t.Float() {
					continue
				}
				state, ok := stateOf(f.Path, m, q, t)
				if !ok {
					continue
				}
				_, _, err := s.Cell(ctx, id)
				if errors.Is(err, store.ErrNotFound) {
					if err = s.PutCell(ctx, id, state, 0); err == nil {
						n++
					}
				}
				if err != nil && !errors.Is(err, store.ErrChanged) {
					return n, fmt.Errorf("take over %s: %w", f.Path, err)
				}
				break
			}
		}
	}
	return n, nil
}

// stateOf reads a cell's file to its end, and reports whether it is what m wants of the cell.
func stateOf(path string, m *store.Manifest, q store.Question, t stream.Temperature) (st store.CellState, ok bool) {
	file, err := result.OpenCell(path)
	if err != nil {
		return st, false
	}
	defer func() { ok = file.Close() == nil && ok }()
	h := file.Header()
	if h.QuestionIdx != q.Index || h.QuestionID != q.ID || h.Temperature != t.Float() || h.Engine != string(m.Model.Engine) ||
		h.Model != m.Model.Name || h.Judge != m.Judge.Mode || h.Held() != m.Wanted(q, t) {
		return st, false
	}
	for _, err := range file.Samples() { // to the end, where the counts are compared with the samples
		if err != nil {
			return st, false
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		return st, false
	}
	digest := file.Digest()
	return store.CellState{
		Counts: h.Counts, Fingerprint: h.Fingerprint, File: filepath.Base(path), Digest: digest.SHA256, Bytes: digest.Bytes,
		DoneAt: info.ModTime().UnixMilli(),
	}, true
}
