package combine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// errIncomplete: a unit that the ledger counted is not in the stream. Another
// combiner has written and purged the cell, or will.
var errIncomplete = errors.New("cell is not complete")

// write makes a cell's file durable, marks the cell done and removes its units.
// Called again after a crash it repeats what was not done.
func (w *Worker) write(ctx context.Context, m *store.Manifest, q store.Question, c stream.Cell) error {
	state, revision, err := w.Store.Cell(ctx, c)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if state.N < q.N() {
		fresh, err := w.writeFile(ctx, m, q, c, state)
		if err != nil {
			return err
		}
		switch err := w.Store.PutCell(ctx, c, fresh, revision); {
		case errors.Is(err, store.ErrChanged): // another combiner was first, with the same samples
		case err != nil:
			return err
		}
		w.Pulse.Samples.Add(int64(fresh.N - state.N))
	}
	return w.removeWritten(ctx, m, q, c)
}

// removeWritten removes from COMBINE the units of a cell that is done with the
// samples that m wants. It purges unit by unit, not the cell: the run may have
// been raised since m was read, and units beyond it are in no file yet.
func (w *Worker) removeWritten(ctx context.Context, m *store.Manifest, q store.Question, c stream.Cell) error {
	units, err := w.Queue.Units(ctx, stream.Combine, c)
	if err != nil {
		return err
	}
	for i := range m.Tasks(q, c.Temperature) {
		if !units[i] {
			continue
		}
		if err := w.Queue.Remove(ctx, stream.Combine, stream.Unit{Cell: c, Index: i}); err != nil {
			return err
		}
	}
	return nil
}

// A visitor is called with each sample of a cell in index order.
type visitor func(s *result.Sample) error

// writeFile writes the cell's file in two passes, since the counts stand before
// the samples. before is the cell's state if it was done with fewer samples.
func (w *Worker) writeFile(ctx context.Context, m *store.Manifest, q store.Question, c stream.Cell, before store.CellState) (store.CellState, error) {
	var tally result.Tally
	var pace pace
	generated, judged := before.Generated, before.Judged
	header := result.Header{
		QuestionIdx: q.Index, QuestionID: q.ID, QuestionTitle: q.Title, Temperature: c.Temperature.Float(),
		Engine: m.Model.Engine, Model: m.Model.Name, Simulated: m.Model.Engine == "sim",
		Judge: m.Judge.Mode, Fingerprint: m.Judge.Fingerprint,
	}
	var fingerprint string
	err := w.visit(ctx, m, q, c, before, func(s *stream.Scored) error {
		pace.add(s)
		generated.Add(s.Started, s.Ended, s.Attempts-1)
		judged.Add(s.JudgeStarted, s.JudgeEnded, s.JudgeAttempts-1)
		if fingerprint == "" {
			fingerprint = s.Fingerprint
		}
		return nil
	}, func(s *result.Sample) error {
		tally.Add(s)
		return nil
	})
	if err != nil {
		return store.CellState{}, err
	}
	if fingerprint != "" {
		header.Fingerprint = fingerprint
	}
	header.Counts = tally.Counts()
	header.GenTPS = pace.tokensPerSecond()

	path := result.CellPath(w.dir(m), q.Index, header.Temperature)
	if w.Compress {
		path = result.CompressedCellPath(w.dir(m), q.Index, header.Temperature)
	}
	if before.File != "" { // replaced in place: a second form beside it would be a second truth
		path = filepath.Join(result.QuestionDir(w.dir(m), q.Index), before.File)
	}
	file, err := result.CreateCell(path, &header)
	if err != nil {
		return store.CellState{}, err
	}
	if err := w.visit(ctx, m, q, c, before, nil, file.Add); err != nil {
		return store.CellState{}, errors.Join(err, file.Abort())
	}
	digest, err := file.Commit()
	if err != nil {
		return store.CellState{}, err
	}
	st := state(&header, digest, filepath.Base(path))
	st.Generated, st.Judged = generated, judged
	return st, nil
}

// state returns what the store keeps of a written cell.
func state(h *result.Header, d result.Digest, file string) store.CellState {
	verdicts := make(map[string]int, len(h.Verdicts))
	for v, n := range h.Verdicts {
		verdicts[string(v)] = n
	}
	return store.CellState{
		N: h.N, Passed: h.Passed, Verdicts: verdicts, Tokens: h.Tokens, GenTPS: h.GenTPS,
		Unique: h.UniquePrograms, UniquePassed: h.UniquePassed, JudgeCPU: h.JudgeCPU, Fingerprint: h.Fingerprint,
		File: file, Digest: d.SHA256, Bytes: d.Bytes, DoneAt: time.Now().UnixMilli(),
	}
}

// visit calls f with the cell's samples in index order: first those of the file
// that was written when the cell was done with fewer, then those of the units. It
// holds one unit in memory at a time. each, if not nil, is called with every unit.
func (w *Worker) visit(ctx context.Context, m *store.Manifest, q store.Question, c stream.Cell, before store.CellState, each func(*stream.Scored) error, f visitor) error {
	if before.N > 0 {
		if err := w.visitFile(m, q, c, before, f); err != nil {
			return err
		}
	}
	for _, t := range m.Tasks(q, c.Temperature) {
		if t.First < before.N {
			continue
		}
		var s stream.Scored
		switch err := w.Queue.Get(ctx, stream.Combine, t.Unit, &s); {
		case errors.Is(err, queue.ErrNotFound):
			return fmt.Errorf("unit %d of %s: %w", t.Index, c.Key(), errIncomplete)
		case err != nil:
			return err
		}
		if len(s.Samples) != t.N || len(s.Judgements) != t.N {
			return fmt.Errorf("unit %s holds %d samples and %d judgements, want %d: %w",
				t.Subject(stream.Combine), len(s.Samples), len(s.Judgements), t.N, stream.ErrPoison)
		}
		if each != nil {
			if err := each(&s); err != nil {
				return err
			}
		}
		for i := range s.Samples {
			if got := s.Samples[i].Index; got != t.First+i {
				return fmt.Errorf("unit %s: sample %d says it is %d, want %d: %w", t.Subject(stream.Combine), i, got, t.First+i, stream.ErrPoison)
			}
			if err := f(sample(&s, i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// visitFile calls f with the samples of the cell's present file, which must still
// be the one that was recorded.
func (w *Worker) visitFile(m *store.Manifest, q store.Question, c stream.Cell, before store.CellState, f visitor) error {
	path := filepath.Join(result.QuestionDir(w.dir(m), q.Index), before.File)
	file, err := result.OpenCell(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("add to cell %s: its file %s is gone\nput it back, or start a new run with another --run id: %w", c.Key(), path, stream.ErrPoison)
	}
	if err != nil {
		return unreadable(c, path, err)
	}
	for s, err := range file.Samples() {
		if err != nil {
			return errors.Join(unreadable(c, path, err), file.Close())
		}
		if err := f(&s); err != nil {
			return errors.Join(fmt.Errorf("add to cell %s: %w", c.Key(), err), file.Close())
		}
	}
	if got := file.Digest().SHA256; got != before.Digest {
		return errors.Join(fmt.Errorf("add to cell %s: %s has changed since it was written (%.12s, recorded %.12s)\nput the file back, or start a new run with another --run id: %w",
			c.Key(), path, got, before.Digest, stream.ErrPoison), file.Close())
	}
	return file.Close()
}

// unreadable tells a disk that cannot be read now, which is waited for, from a
// file that was changed into something that is no cell, which no waiting cures.
func unreadable(c stream.Cell, path string, err error) error {
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("add to cell %s: %w", c.Key(), err)
	}
	return fmt.Errorf("add to cell %s: %s has changed since it was written: %w\nput the file back, or start a new run with another --run id: %w", c.Key(), path, err, stream.ErrPoison)
}

// sample returns sample i of a unit as the cell's file holds it.
func sample(u *stream.Scored, i int) *result.Sample {
	s, j := &u.Samples[i], &u.Judgements[i]
	return &result.Sample{
		Index: s.Index, Completion: s.Completion, Code: s.Code,
		Passed: j.Verdict == stream.Passed, Verdict: result.Verdict(j.Verdict.String()),
		ErrorCode: j.ErrorCode, Test: j.Test, Tokens: s.Tokens, FinishReason: s.FinishReason,
		CPUSeconds: j.CPU, Generator: u.Generator, Evaluator: u.Evaluator, Detail: j.Detail,
	}
}
