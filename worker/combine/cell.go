package combine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// errIncomplete: a unit that the ledger counted is not in the stream. Another combiner has
// written and purged the cell, or is about to.
var errIncomplete = errors.New("cell is not complete")

// errOvertaken: another combiner has written the cell's state since this one read it. This
// one must read it again and decide again.
var errOvertaken = errors.New("another combiner was faster")

// A cell is one cell on its way from COMBINE into the results folder. One goroutine
// takes it through its steps, in this order:
//
//	look   reads the cell's state in the store
//	stage  writes the cell's next file under a temporary name, synced
//	claim  records in the state that this file is the next one
//	appear gives the file its name and syncs the folder
//	mark   records in the state that the cell holds these samples
//	purge  removes the cell's units from COMBINE
//
// A combiner may die between any two steps, lose power, or stand still there while another
// one takes the same steps. No sample is lost or doubled, because:
//
//  1. The units stay in COMBINE until purge, and purge comes only after a mark. So
//     after a crash before the mark the next combiner has all that stage needs.
//  2. mark comes only after appear returned, and appear syncs the file's folder after
//     stage synced the file. So a state never promises a file that a loss of power
//     takes back. A combiner that finds a claimed file under its name syncs the folder
//     again before it marks: the one that renamed the file may have died before its sync.
//  3. claim and mark are compare-and-set on the revision that look read. Of two
//     combiners that looked at the same state one goes on, the other gets errOvertaken
//     and looks again.
//  4. claim removes the temporary file of the claim before it, and only then replaces
//     that claim. So when a claim stands, no file but its own can be renamed, however
//     late: a slow combiner's rename fails, for its temporary file is gone.
//  5. A crash between claim and appear leaves a claim and its temporary file. The next
//     combiner stages again and claims (4). A crash between appear and mark leaves the
//     claim and its file under the cell's name. The next combiner knows it by its
//     digest and marks it, so that it is not taken for a file that somebody changed.
//  6. A crash between mark and purge leaves units of samples that the file holds. The
//     state's N decides, for ever, that they are dropped and not counted again.
//     purge goes by the units that m knows, not by the cell: units of a raise that m
//     does not know are in no file yet.
type cell struct {
	*Worker
	m  *store.Manifest
	q  store.Question
	id stream.Cell

	state    store.CellState // as look read it; the zero value if there was none
	revision uint64          // of state, for compare-and-set
	draft    draft
}

// A draft is a cell's next file under its temporary name, and what the cell will be
// once the file has its own.
type draft struct {
	file  *result.CellWriter
	state store.CellState
}

func (w *Worker) newCell(m *store.Manifest, q store.Question, id stream.Cell) *cell {
	return &cell{Worker: w, m: m, q: q, id: id}
}

// wanted returns how many samples m wants of the cell.
func (c *cell) wanted() int { return c.m.Wanted(c.q, c.id.Temperature) }

// write takes the cell through its steps, those that are not done yet.
func (c *cell) write(ctx context.Context) error {
	for {
		if err := c.look(ctx); err != nil {
			return err
		}
		if c.state.Held() >= c.wanted() {
			return c.purge(ctx)
		}
		if err := c.replace(ctx); err != nil && !errors.Is(err, errOvertaken) {
			return err
		}
	}
}

// replace brings the cell from the state that look read to the samples that m wants.
func (c *cell) replace(ctx context.Context) error {
	if claim := c.state.Claim; claim != nil {
		if claim.State.Held() > c.wanted() { // by a combiner that knows a later manifest
			return errIncomplete
		}
		if there, err := c.appeared(claim); err != nil || there {
			if err != nil {
				return err
			}
			return c.mark(ctx, claim.State)
		}
	}
	if err := c.stage(ctx); err != nil {
		return c.unlessOvertaken(ctx, err)
	}
	if err := c.claim(ctx); err != nil {
		return errors.Join(err, c.draft.file.Abort())
	}
	if err := c.appear(); err != nil {
		return err
	}
	return c.mark(ctx, c.draft.state)
}

// look reads the cell's state.
func (c *cell) look(ctx context.Context) error {
	var err error
	c.state, c.revision, err = c.Store.Cell(ctx, c.id)
	if errors.Is(err, store.ErrNotFound) {
		c.state, c.revision, err = store.CellState{}, 0, nil
	}
	return err
}

// unlessOvertaken returns errOvertaken instead of err if the cell was written by
// another combiner since look: its file was then replaced, not spoilt, and its units
// were removed, not lost.
func (c *cell) unlessOvertaken(ctx context.Context, err error) error {
	if !errors.Is(err, stream.ErrPoison) && !errors.Is(err, errIncomplete) {
		return err
	}
	_, now, failed := c.Store.Cell(ctx, c.id)
	switch {
	case failed != nil && !errors.Is(failed, store.ErrNotFound):
		return failed
	case now != c.revision:
		return errOvertaken
	default:
		return err
	}
}

// claim removes the draft of the claim before it and then records that this draft is the
// cell's next file.
func (c *cell) claim(ctx context.Context) error {
	if before := c.state.Claim; before != nil {
		if err := os.Remove(c.path(before.Temp)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("take cell %s over: %w", c.id.Key(), err)
		}
	}
	revision, err := c.Store.ClaimCell(ctx, c.id, c.state, store.Claim{State: c.draft.state, Temp: c.draft.file.Temp()}, c.revision)
	if errors.Is(err, store.ErrChanged) {
		return errOvertaken
	}
	c.revision = revision
	return err
}

// path returns the path of a file of the cell. The name comes from the store, which others
// can write: only its last part is used.
func (c *cell) path(name string) string {
	return filepath.Join(result.QuestionDir(c.dir(c.m), c.q.Index), filepath.Base(name))
}

// appear gives the draft its name, unless another combiner has taken it away.
func (c *cell) appear() error {
	err := c.draft.file.Appear()
	if errors.Is(err, fs.ErrNotExist) {
		return errOvertaken
	}
	return err
}

// appeared reports whether a claim's file has its name already, and if so makes the
// name durable.
func (c *cell) appeared(claim *store.Claim) (bool, error) {
	path := c.path(claim.State.File)
	file, err := result.OpenCell(path)
	if err != nil {
		return false, nil // the file cannot be read, so it is not the claim's
	}
	for _, err := range file.Samples() {
		if err != nil {
			return false, file.Close()
		}
	}
	if err := file.Close(); err != nil || file.Digest().SHA256 != claim.State.Digest {
		return false, err
	}
	if c.syncDir == nil {
		return true, result.SyncDir(filepath.Dir(path))
	}
	return true, c.syncDir(filepath.Dir(path))
}

// mark records that the cell holds the samples of state.
func (c *cell) mark(ctx context.Context, state store.CellState) error {
	switch err := c.Store.PutCell(ctx, c.id, state, c.revision); {
	case errors.Is(err, store.ErrChanged):
		return errOvertaken
	case err != nil:
		return err
	}
	c.Pulse.Samples.Add(int64(state.Held() - c.state.Held()))
	return nil
}

// purge removes the units of the samples that m wants from COMBINE and from DEAD.
func (c *cell) purge(ctx context.Context) error {
	units, err := c.Queue.Units(ctx, stream.Combine, c.id)
	if err != nil {
		return err
	}
	dead, err := c.Queue.DeadOf(ctx, c.id)
	if err != nil {
		return err
	}
	for i := range c.m.Tasks(c.q, c.id.Temperature) {
		u := stream.Unit{Cell: c.id, Index: i}
		if units[i] {
			if err := c.Queue.Remove(ctx, stream.Combine, u); err != nil {
				return err
			}
		}
		for _, stage := range dead[i] {
			if err := c.Queue.Forgive(ctx, stage, u); err != nil {
				return err
			}
		}
	}
	return nil
}

// stage writes the cell's next file under a temporary name. It takes two passes because the
// counts stand before the samples: the second reads the units again only if the cell is too
// large to be kept in memory by the first.
func (c *cell) stage(ctx context.Context) error {
	var tally result.Tally
	var pace pace
	generated, judged, judges := c.state.Generated, c.state.Judged, slices.Clone(c.state.Judges)
	header := result.Header{
		QuestionIdx: c.q.Index, QuestionID: c.q.ID, QuestionTitle: c.q.Title, Temperature: c.id.Temperature.Float(),
		Engine: string(c.m.Model.Engine), Model: c.m.Model.Name, Simulated: c.m.Model.Engine.Simulated(),
		Judge: c.m.Judge.Mode, Fingerprint: c.m.Judge.Fingerprint,
	}
	var fingerprint string
	kept := keep{most: cmp.Or(c.mostKept, mostKept)}
	err := c.visit(ctx, func(s *stream.Scored) error {
		pace.add(s)
		generated.Add(s.Started, s.Ended, s.Attempts-1)
		judged.Add(s.JudgeStarted, s.JudgeEnded, s.JudgeAttempts-1)
		judges.Add(store.JudgeHost{Host: worker.HostOf(s.Evaluator), Samples: len(s.Samples), Slowest: s.JudgeSpeed, Fastest: s.JudgeSpeed})
		if fingerprint == "" {
			fingerprint = s.Fingerprint
		}
		return nil
	}, func(s *result.Sample) error {
		tally.Add(s)
		kept.add(s)
		return nil
	})
	if err != nil {
		return err
	}
	if fingerprint != "" {
		header.Fingerprint = fingerprint
	}
	header.Counts = tally.Counts()
	header.GenTPS = pace.tokensPerSecond()

	path := result.CellPath(c.dir(c.m), c.q.Index, header.Temperature)
	if c.Compress {
		path = result.CompressedCellPath(c.dir(c.m), c.q.Index, header.Temperature)
	}
	if c.state.File != "" { // keep the file's form: a compressed and a plain file of one cell could disagree
		path = c.path(c.state.File)
	}
	file, err := result.CreateCell(path, &header)
	if err != nil {
		return err
	}
	if kept.whole() {
		err = kept.visit(file.Add)
	} else {
		err = c.visit(ctx, nil, file.Add)
	}
	if err != nil {
		return errors.Join(err, file.Abort())
	}
	digest, err := file.Seal()
	if err != nil {
		return err
	}
	c.draft = draft{file, store.CellState{
		Counts: header.Counts, Fingerprint: header.Fingerprint,
		File: filepath.Base(path), Digest: digest.SHA256, Bytes: digest.Bytes, DoneAt: time.Now().UnixMilli(),
		Generated: generated, Judged: judged, Judges: judges,
	}}
	return nil
}
