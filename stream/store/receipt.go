package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/link"
)

// receiptsBucket holds what makes the receipts of each run. No role but the operator's may read it. A key is what the
// manifest names, so two that make the same new run at once do not get into each other's way.
const receiptsBucket = "lcbq_receipts"

// GiveReceipts has the units of a new run carry receipts. On a server of an earlier version, whose workers know none, they
// carry none.
func (s *Store) GiveReceipts(ctx context.Context, m *Manifest) error {
	kv, err := open(ctx, s.conn, receiptsBucket, s.js.KeyValue)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", receiptsBucket, err)
	}
	issuer := stream.NewIssuer()
	ctx, cancel := writing(ctx, s.conn)
	defer cancel()
	_, err = link.Repeat(ctx, s.conn, func(ctx context.Context) (uint64, error) { return kv.Put(ctx, issuer.Public(), issuer.Secret()) })
	if err != nil {
		return fmt.Errorf("write %s/%s: %w", receiptsBucket, issuer.Public(), err)
	}
	m.Receipts = issuer.Public()
	return nil
}

// Issuer returns what makes the receipts of a run, nil where its units carry none.
func (s *Store) Issuer(ctx context.Context, m *Manifest) (*stream.Issuer, error) {
	if m.Receipts == "" {
		return nil, nil
	}
	s.mu.Lock()
	known := s.issuers[m.Receipts]
	s.mu.Unlock()
	if known != nil {
		return known, nil
	}
	issuer, err := s.readIssuer(ctx, m.Receipts)
	if err != nil {
		return nil, fmt.Errorf("make receipts for units of run %s: %w\nrestore the stream %s with the others, or finish the run's cells elsewhere with another --run id", m.ID, err, bucketPrefix+receiptsBucket)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.issuers == nil {
		s.issuers = make(map[string]*stream.Issuer)
	}
	s.issuers[m.Receipts] = issuer
	return issuer, nil
}

func (s *Store) readIssuer(ctx context.Context, public string) (*stream.Issuer, error) {
	kv, err := open(ctx, s.conn, receiptsBucket, s.js.KeyValue)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", receiptsBucket, err)
	}
	var issuer *stream.Issuer
	err = s.insist(ctx, func() error {
		e, err := link.Repeat(ctx, s.conn, func(ctx context.Context) (jetstream.KeyValueEntry, error) { return kv.Get(ctx, public) })
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			return fmt.Errorf("read %s/%s: %w", receiptsBucket, public, ErrNotFound)
		}
		if err != nil {
			return fmt.Errorf("read %s/%s: %w", receiptsBucket, public, err)
		}
		issuer, err = stream.ParseIssuer(e.Value())
		if err == nil && issuer.Public() != public {
			err = fmt.Errorf("read %s/%s: it holds another run's key: %w", receiptsBucket, public, ErrUnreadable)
		}
		return err
	})
	return issuer, err
}
