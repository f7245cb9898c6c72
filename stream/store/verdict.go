package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/link"
)

const (
	// verdictTTL is how long a verdict is kept for other evaluators: they meet the same
	// program within the hours in which a question's units are judged.
	verdictTTL = 24 * time.Hour
	// verdictsMost bounds the bucket, in bytes: a hundred thousand verdicts. Those who write
	// keep it: a limit of the server's own would reserve the bytes, and a store that is
	// served with a smaller budget than before could then not be declared again.
	verdictsMost = 64 << 20
	// verdictsAge is how old the known size of the bucket may get.
	verdictsAge = 10 * time.Second
)

// A VerdictKey says which program was judged on what, and under what.
type VerdictKey struct {
	Fingerprint string            `json:"fingerprint"` // of the judging environment
	Question    string            `json:"question"`    // digest of the tests and the entry point
	Program     [sha256.Size]byte `json:"-"`           // digest of the text
}

// name is the key's in the bucket. It holds nothing that a program's author chose.
func (k VerdictKey) name() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %x", k.Fingerprint, k.Question, k.Program))
	return hex.EncodeToString(sum[:])
}

// sharedVerdict is what the bucket holds. It names what it is about once more, so that an
// entry that was put under another's key is found out.
type sharedVerdict struct {
	VerdictKey
	Program   string           `json:"program"`
	Judgement stream.Judgement `json:"judgement"`
}

// SharesVerdicts reports whether the server has a bucket of verdicts. One of an earlier
// version has none.
func (s *Store) SharesVerdicts() bool { return s.verdicts != nil }

// ReadVerdictsOnly has PutVerdict store nothing: the caller may read what others found out, and is not trusted
// to tell them.
func (s *Store) ReadVerdictsOnly() { s.verdictsKept = true }

// Verdict returns what some evaluator found out about a program, or ErrNotFound. It
// returns ErrUnreadable for an entry that is not a verdict on this program, question and
// environment.
func (s *Store) Verdict(ctx context.Context, k VerdictKey) (stream.Judgement, error) {
	if s.verdicts == nil {
		return stream.Judgement{}, fmt.Errorf("read verdict: %w", ErrNotFound)
	}
	var v sharedVerdict
	if _, err := get(ctx, s.conn, s.verdicts, k.name(), &v); err != nil {
		return stream.Judgement{}, err
	}
	switch {
	case v.Fingerprint != k.Fingerprint, v.Question != k.Question, v.Program != hex.EncodeToString(k.Program[:]):
		return stream.Judgement{}, fmt.Errorf("read %s/%s: a verdict on another program, question or environment: %w", verdictsBucket, k.name(), ErrUnreadable)
	case !v.Judgement.Verdict.Scored(), !(v.Judgement.CPU >= 0 && v.Judgement.CPU < float64(24*time.Hour/time.Second)),
		v.Judgement.Slowdown != 0 && !(v.Judgement.Slowdown > 1 && v.Judgement.Slowdown <= math.MaxFloat64),
		(v.Judgement.Verdict == stream.Passed) != (v.Judgement.ErrorCode == nil),
		v.Judgement.Beyond() != (v.Judgement.Share > 0), !(v.Judgement.Draw >= 0 && v.Judgement.Draw < 1 && v.Judgement.Share <= 1):
		return stream.Judgement{}, fmt.Errorf("read %s/%s: verdict %s with %v s: %w", verdictsBucket, k.name(), v.Judgement.Verdict, v.Judgement.CPU, ErrUnreadable)
	}
	return v.Judgement, nil
}

// PutVerdict keeps a judgement for other evaluators, unless there is one already. It
// returns ErrFull, with nothing stored, if the bucket holds as much as it may.
func (s *Store) PutVerdict(ctx context.Context, k VerdictKey, j stream.Judgement) error {
	if s.verdicts == nil || s.verdictsKept {
		return nil
	}
	if err := s.verdictRoom(ctx); err != nil {
		return err
	}
	_, err := put(ctx, s.conn, s.verdicts, k.name(), sharedVerdict{k, hex.EncodeToString(k.Program[:]), j}, 0)
	if errors.Is(err, ErrChanged) {
		return nil // the first one stays
	}
	return err
}

// verdictRoom returns ErrFull if the bucket may hold no more.
func (s *Store) verdictRoom(ctx context.Context) error {
	s.mu.Lock()
	bytes, fresh := s.verdictBytes, time.Since(s.verdictLooked) < verdictsAge
	s.mu.Unlock()
	if !fresh {
		status, err := link.Once(ctx, s.conn, s.verdicts.Status)
		if err != nil {
			return fmt.Errorf("read bucket %s: %w", verdictsBucket, err)
		}
		bytes = status.Bytes()
		s.mu.Lock()
		s.verdictBytes, s.verdictLooked = bytes, time.Now()
		s.mu.Unlock()
	}
	if bytes > s.verdictMost {
		return fmt.Errorf("write bucket %s: %d MiB: %w", verdictsBucket, bytes>>20, ErrFull)
	}
	return nil
}
