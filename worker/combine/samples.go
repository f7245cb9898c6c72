package combine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// A visitor is called with each sample of a cell in index order.
type visitor func(s *result.Sample) error

// visit calls f with the cell's samples in index order: first those of the file
// that was written when the cell was done with fewer, then those of the units. It
// holds one unit in memory at a time. each, if not nil, is called with every unit.
func (c *cell) visit(ctx context.Context, each func(*stream.Scored) error, f visitor) error {
	if c.state.Held() > 0 {
		if err := c.visitFile(f); err != nil {
			return err
		}
	}
	for _, t := range c.m.Tasks(c.q, c.id.Temperature) {
		if t.First < c.state.Held() {
			continue
		}
		var s stream.Scored
		sequence, err := c.Queue.Read(ctx, stream.Combine, t.Unit, &s)
		poison := errors.Is(err, stream.ErrPoison)
		if err == nil || poison {
			issued, failed := c.issued(ctx, c.m, t.Unit, sequence, s.Receipt)
			if failed != nil {
				return failed
			}
			if !issued {
				return &forgedError{t, sequence, s.Evaluator}
			}
		}
		switch {
		case errors.Is(err, queue.ErrNotFound):
			return fmt.Errorf("unit %d of %s: %w", t.Index, c.id.Key(), errIncomplete)
		case poison:
			return &badUnitError{t.Unit, err}
		case err != nil:
			return err
		}
		if err := check(&s, t, c.m.Judge.AuditShare); err != nil {
			return err
		}
		if each != nil {
			if err := each(&s); err != nil {
				return err
			}
		}
		for i := range s.Samples {
			if err := f(result.Of(&s, i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// mostKept bounds the bytes of samples that are kept for a second pass over a cell: 10,000
// answers of a small model are less than half of it.
const mostKept = 64 << 20

// A keep holds the samples that were added, if they are not too many.
type keep struct {
	most    int64
	bytes   int64
	samples []*result.Sample
}

// add keeps s, or nothing any more once there is too much.
func (k *keep) add(s *result.Sample) {
	const beside = 256 // bytes of what is not text
	k.bytes += int64(len(s.Completion) + len(s.Code) + beside)
	if !k.whole() {
		k.samples = nil
		return
	}
	k.samples = append(k.samples, s)
}

// whole reports whether every sample is kept.
func (k *keep) whole() bool { return k.bytes <= k.most }

// visit calls f with the samples in the order in which they were added.
func (k *keep) visit(f visitor) error {
	for _, s := range k.samples {
		if err := f(s); err != nil {
			return err
		}
	}
	return nil
}

// visitFile calls f with the samples of the cell's present file, which must still
// be the one that was recorded.
func (c *cell) visitFile(f visitor) error {
	path := c.path(c.state.File)
	file, err := result.OpenCell(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("add to cell %s: its file %s is gone\nput it back, or start a new run with another --run id: %w", c.id.Key(), path, stream.ErrPoison)
	}
	if err != nil {
		return unreadable(c.id, path, err)
	}
	for s, err := range file.Samples() {
		if err != nil {
			return errors.Join(unreadable(c.id, path, err), file.Close())
		}
		if err := f(&s); err != nil {
			return errors.Join(fmt.Errorf("add to cell %s: %w", c.id.Key(), err), file.Close())
		}
	}
	if got := file.Digest().SHA256; got != c.state.Digest {
		return errors.Join(fmt.Errorf("add to cell %s: %s has changed since it was written (%.12s, recorded %.12s)\nput the file back, or start a new run with another --run id: %w",
			c.id.Key(), path, got, c.state.Digest, stream.ErrPoison), file.Close())
	}
	return file.Close()
}

// unreadable tells a disk that cannot be read now from a file that is no cell any more.
// Waiting helps with the first only.
func unreadable(c stream.Cell, path string, err error) error {
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("add to cell %s: %w", c.Key(), err)
	}
	return fmt.Errorf("add to cell %s: %s has changed since it was written: %w\nput the file back, or start a new run with another --run id: %w", c.Key(), path, err, stream.ErrPoison)
}
