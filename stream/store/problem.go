package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// PutProblem stores one problem row of a set, unless it is there already.
func (s *Store) PutProblem(ctx context.Context, setDigest string, question int, row []byte) error {
	name := problemName(setDigest, question)
	info, err := s.problems.GetInfo(ctx, name)
	if err == nil && info.Size == uint64(len(row)) {
		return nil
	}
	if err != nil && !errors.Is(err, jetstream.ErrObjectNotFound) {
		return fmt.Errorf("look up problem %s: %w", name, err)
	}
	if _, err := s.problems.PutBytes(ctx, name, row); err != nil {
		return fmt.Errorf("store problem %s: %w", name, err)
	}
	return nil
}

// Problem returns a stored problem row, or ErrNotFound.
func (s *Store) Problem(ctx context.Context, setDigest string, question int) ([]byte, error) {
	name := problemName(setDigest, question)
	var row []byte
	err := s.insist(ctx, func() (err error) {
		if row, err = s.object(ctx, name); errors.Is(err, jetstream.ErrObjectNotFound) {
			err = ErrNotFound
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read problem %s: %w", name, err)
	}
	return row, nil
}

func problemName(setDigest string, question int) string {
	return fmt.Sprintf("%s/q%d", setDigest, question)
}
