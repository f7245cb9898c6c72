package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream/link"
)

// bannedBucket is there once units have been lent.
const bannedBucket = "lcbq_banned"

// A Ban ends the membership of a guest for ever, and says why. The key is the ID of its token.
type Ban struct {
	ID     string `json:"id"`   // of the token
	Judge  string `json:"name"` // by which results call the guest as an evaluator
	At     int64  `json:"at_ms"`
	Run    string `json:"run"`
	Unit   string `json:"unit"`   // that was found false: its subject
	Reason string `json:"reason"` // what was claimed, and what is so
	Spared int    `json:"spared"` // units of it that had not counted yet

	// Set by the combiner, which has what the guest judged before judged again.
	Requeued int      `json:"requeued"`        // units that had counted already
	Cells    []string `json:"cells,omitempty"` // whose files held some of them, and are written anew
	Expelled int64    `json:"expelled_ms"`     // when nothing of it counted any more; 0 while some may
	revision uint64
}

// DeclareBans creates the bucket of the bans, or opens it.
func (s *Store) DeclareBans(ctx context.Context, replicas int) error {
	kv, err := link.Repeat(ctx, s.conn, func(ctx context.Context) (jetstream.KeyValue, error) {
		return s.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
			Bucket: bannedBucket, Description: "evaluators that gave false verdicts", Replicas: replicas,
		})
	})
	if err != nil {
		return fmt.Errorf("declare bucket %s: %w", bannedBucket, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.banned = kv
	return nil
}

// bans opens the bucket of the bans, nil where there is none.
func (s *Store) bans(ctx context.Context) (jetstream.KeyValue, error) {
	s.mu.Lock()
	kv := s.banned
	s.mu.Unlock()
	if kv != nil {
		return kv, nil
	}
	kv, err := open(ctx, s.conn, bannedBucket, s.js.KeyValue)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", bannedBucket, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.banned = kv
	return kv, nil
}

// Bans returns all bans, of which a server that has never lent units has none.
func (s *Store) Bans(ctx context.Context) ([]Ban, error) {
	kv, err := s.bans(ctx)
	if kv == nil || err != nil {
		return nil, err
	}
	var all []Ban
	err = s.values(ctx, kv, ">", 1, func(v value) error {
		var b Ban
		if err := json.Unmarshal(v.Data, &b); err != nil {
			return fmt.Errorf("decode %s/%s: %w: %w", bannedBucket, v.key, ErrUnreadable, err)
		}
		b.revision = v.Sequence
		all = append(all, b)
		return nil
	})
	return all, err
}

// PutBan writes a ban, a new one or one that Bans returned. Its error wraps ErrChanged where another one stands.
func (s *Store) PutBan(ctx context.Context, b Ban) error {
	kv, err := s.bans(ctx)
	if err != nil {
		return err
	}
	if kv == nil {
		return fmt.Errorf("write %s/%s: %w", bannedBucket, b.ID, jetstream.ErrBucketNotFound)
	}
	_, err = put(ctx, s.conn, kv, b.ID, b, b.revision)
	return err
}
