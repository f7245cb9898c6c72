package combine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
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

// errOvertaken: another combiner has written the cell's state since this one read
// it. What is to be done must be decided anew.
var errOvertaken = errors.New("another combiner was faster")

// write makes a cell's file durable, marks the cell done and removes its units.
// Called again after a crash it repeats what was not done.
func (w *Worker) write(ctx context.Context, m *store.Manifest, q store.Question, c stream.Cell) error {
	for {
		state, revision, err := w.Store.Cell(ctx, c)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if state.N >= q.N() {
			return w.removeWritten(ctx, m, q, c)
		}
		err = w.replace(ctx, m, q, c, state, revision)
		if err != nil && !errors.Is(err, errOvertaken) {
			return err
		}
	}
}

// replace brings a cell from the state that it had at revision to the samples that
// m wants.
func (w *Worker) replace(ctx context.Context, m *store.Manifest, q store.Question, c stream.Cell, state store.CellState, revision uint64) error {
	if claim := state.Claim; claim != nil {
		if claim.State.N > q.N() { // by a combiner that knows a later manifest
			return errIncomplete
		}
		if there, err := w.appeared(m, q, claim); err != nil || there {
			if err != nil {
				return err
			}
			return w.mark(ctx, c, claim.State, state.N, revision)
		}
	}
	d, err := w.stage(ctx, m, q, c, state)
	if err != nil {
		return w.unlessOvertaken(ctx, c, revision, err)
	}
	if revision, err = w.claim(ctx, m, q, c, state, revision, d); err != nil {
		return errors.Join(err, d.file.Abort())
	}
	if err := appear(d); err != nil {
		return err
	}
	return w.mark(ctx, c, d.state, state.N, revision)
}

// unlessOvertaken returns errOvertaken instead of err if the cell was written by
// another combiner since revision: its file was then replaced, not spoilt, and its
// units were removed, not lost.
func (w *Worker) unlessOvertaken(ctx context.Context, c stream.Cell, revision uint64, err error) error {
	if !errors.Is(err, stream.ErrPoison) && !errors.Is(err, errIncomplete) {
		return err
	}
	_, now, failed := w.Store.Cell(ctx, c)
	switch {
	case failed != nil && !errors.Is(failed, store.ErrNotFound):
		return failed
	case now != revision:
		return errOvertaken
	default:
		return err
	}
}

// A draft is a cell's next file under its temporary name, and what the cell will be
// once the file has its own.
type draft struct {
	file  *result.CellWriter
	state store.CellState
}

// claim records that the draft is the cell's next file. The file of a claim before
// it is removed first: once this claim stands, that one can no longer be renamed,
// by whomever and however late.
func (w *Worker) claim(ctx context.Context, m *store.Manifest, q store.Question, c stream.Cell, before store.CellState, revision uint64, d draft) (uint64, error) {
	if before.Claim != nil {
		old := filepath.Join(result.QuestionDir(w.dir(m), q.Index), filepath.Base(before.Claim.Temp))
		if err := os.Remove(old); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, fmt.Errorf("take cell %s over: %w", c.Key(), err)
		}
	}
	revision, err := w.Store.ClaimCell(ctx, c, before, store.Claim{State: d.state, Temp: d.file.Temp()}, revision)
	if errors.Is(err, store.ErrChanged) {
		return 0, errOvertaken
	}
	return revision, err
}

// appear gives the draft its name, unless another combiner has taken it away.
func appear(d draft) error {
	err := d.file.Appear()
	if errors.Is(err, fs.ErrNotExist) {
		return errOvertaken
	}
	return err
}

// appeared reports whether a claim's file has its name already: a combiner died
// between the rename and the mark.
func (w *Worker) appeared(m *store.Manifest, q store.Question, claim *store.Claim) (bool, error) {
	path := filepath.Join(result.QuestionDir(w.dir(m), q.Index), claim.State.File)
	file, err := result.OpenCell(path)
	if err != nil {
		return false, nil // no file that can be read is the claim's
	}
	for _, err := range file.Samples() {
		if err != nil {
			return false, file.Close()
		}
	}
	if err := file.Close(); err != nil || file.Digest().SHA256 != claim.State.Digest {
		return false, err
	}
	return true, syncFolder(filepath.Dir(path)) // who renamed may have died before he did
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// mark marks the cell done. had is how many samples it had before.
func (w *Worker) mark(ctx context.Context, c stream.Cell, state store.CellState, had int, revision uint64) error {
	switch err := w.Store.PutCell(ctx, c, state, revision); {
	case errors.Is(err, store.ErrChanged):
		return errOvertaken
	case err != nil:
		return err
	}
	w.Pulse.Samples.Add(int64(state.N - had))
	return nil
}

// removeWritten removes from COMBINE the units of a cell that is done with the
// samples that m wants, and takes them off the list of the dead. It goes unit by
// unit, not by cell: the run may have been raised since m was read, and units
// beyond it are in no file yet.
func (w *Worker) removeWritten(ctx context.Context, m *store.Manifest, q store.Question, c stream.Cell) error {
	units, err := w.Queue.Units(ctx, stream.Combine, c)
	if err != nil {
		return err
	}
	dead, err := w.Queue.DeadOf(ctx, c)
	if err != nil {
		return err
	}
	for i := range m.Tasks(q, c.Temperature) {
		u := stream.Unit{Cell: c, Index: i}
		if units[i] {
			if err := w.Queue.Remove(ctx, stream.Combine, u); err != nil {
				return err
			}
		}
		for _, stage := range dead[i] {
			if err := w.Queue.Forgive(ctx, stage, u); err != nil {
				return err
			}
		}
	}
	return nil
}

// A visitor is called with each sample of a cell in index order.
type visitor func(s *result.Sample) error

// stage writes the cell's next file under a temporary name, in two passes, since
// the counts stand before the samples. before is the cell's state if it was done
// with fewer samples.
func (w *Worker) stage(ctx context.Context, m *store.Manifest, q store.Question, c stream.Cell, before store.CellState) (draft, error) {
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
		return draft{}, err
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
		return draft{}, err
	}
	if err := w.visit(ctx, m, q, c, before, nil, file.Add); err != nil {
		return draft{}, errors.Join(err, file.Abort())
	}
	digest, err := file.Seal()
	if err != nil {
		return draft{}, err
	}
	st := state(&header, digest, filepath.Base(path))
	st.Generated, st.Judged = generated, judged
	return draft{file, st}, nil
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
