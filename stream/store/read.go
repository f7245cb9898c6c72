package store

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/lcbq/lcbq/stream/link"
)

// Everything is read by direct gets, many messages a request. Consumers would cost the server a write each,
// and could not deliver to a client whose account only imports what it may use.

// Names of the streams under buckets and object stores, as nats.go makes them.
const (
	bucketPrefix = "KV_"
	objectPrefix = "OBJ_"
)

// pageSize is how many messages one request asks for.
const pageSize = 512

// each calls f with the messages of a stream that match filter and have at least the sequence from, in their
// order. It returns an error unless the server has said that there are no more. A connection that is lost
// meanwhile is waited for.
//
// The next page is on its way while f works on one.
func each(ctx context.Context, js jetstream.JetStream, stream, filter string, from uint64, f func(*jetstream.RawStreamMsg) error) error {
	ctx, cancel := context.WithCancel(ctx)
	type answer struct {
		page []*jetstream.RawStreamMsg
		err  error
	}
	coming := make(chan answer, 1)
	ask := func(seq uint64) {
		page, err := link.Repeat(ctx, js.Conn(), func(ctx context.Context) ([]*jetstream.RawStreamMsg, error) {
			return getPage(ctx, js, stream, filter, seq)
		})
		coming <- answer{page, err}
	}
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	ask(max(from, 1))
	for {
		a := <-coming
		if a.err != nil {
			return a.err
		}
		more := len(a.page) > 0 && !lastOf(a.page)
		if more {
			next := a.page[len(a.page)-1].Sequence + 1
			asking.Go(func() { ask(next) })
		}
		for _, m := range a.page {
			if err := f(m); err != nil {
				return err
			}
		}
		if !more {
			return nil
		}
	}
}

// lastOf reports whether the server has said that no message follows a page's last one.
func lastOf(page []*jetstream.RawStreamMsg) bool {
	return page[len(page)-1].Header.Get("Nats-Num-Pending") == "0"
}

// getPage reads the next messages. A page that ends early has lost its rest on the way.
func getPage(ctx context.Context, js jetstream.JetStream, stream, filter string, seq uint64) ([]*jetstream.RawStreamMsg, error) {
	ctx, cancel := context.WithTimeout(ctx, js.Options().DefaultTimeout)
	defer cancel()
	messages, err := jetstreamext.GetBatch(ctx, js, stream, pageSize, jetstreamext.GetBatchSeq(seq), jetstreamext.GetBatchSubject(filter))
	if err != nil {
		return nil, err
	}
	var page []*jetstream.RawStreamMsg
	for m, err := range messages {
		if errors.Is(err, jetstreamext.ErrNoMessages) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		page = append(page, m)
	}
	if err := ctx.Err(); err != nil { // the library ends its answers then as if they were all
		return nil, err
	}
	if len(page) == 0 {
		return nil, nats.ErrTimeout
	}
	return page, nil
}

// A value is a key of a bucket with what it holds.
type value struct {
	*jetstream.RawStreamMsg
	key string
}

// values calls f with every key and value of kv that match filter and were written at the revision from or
// later.
func (s *Store) values(ctx context.Context, kv jetstream.KeyValue, filter string, from uint64, f func(value) error) error {
	prefix := "$KV." + kv.Bucket() + "."
	err := each(ctx, s.js, bucketPrefix+kv.Bucket(), prefix+filter, from, func(m *jetstream.RawStreamMsg) error {
		if m.Header.Get("KV-Operation") != "" || m.Header.Get("Nats-Marker-Reason") != "" {
			return nil // it was deleted
		}
		return f(value{m, strings.TrimPrefix(m.Subject, prefix)})
	})
	if err != nil {
		return fmt.Errorf("read %s/%s: %w", kv.Bucket(), filter, err)
	}
	return nil
}

// On a cluster any server that has a copy answers a direct get, and may be behind the one that took the write. Who
// reads in order to write loses nothing: writes name the revision that was read. But a run or a problem that is
// not found makes a unit poison, so that is said only after a while.
const (
	behindWait  = 3 * time.Second
	behindPause = 100 * time.Millisecond
)

// insist calls f again, on a cluster, while it returns ErrNotFound and the server may be behind.
func (s *Store) insist(ctx context.Context, f func() error) error {
	for end := time.Now().Add(behindWait); ; {
		err := f()
		if !errors.Is(err, ErrNotFound) || !link.Clustered(s.conn) || time.Now().After(end) {
			return err
		}
		select {
		case <-time.After(behindPause):
		case <-ctx.Done():
			return err
		}
	}
}

// object reads an object of the store of problems.
func (s *Store) object(ctx context.Context, name string) ([]byte, error) {
	info, err := link.Repeat(ctx, s.js.Conn(), func(ctx context.Context) (*jetstream.ObjectInfo, error) { return s.problems.GetInfo(ctx, name) })
	if err != nil {
		return nil, err
	}
	if info.NUID == "" || strings.ContainsAny(info.NUID, ".*> ") {
		return nil, fmt.Errorf("its description names the parts %q: %w", info.NUID, ErrUnreadable)
	}
	if info.Size == 0 {
		return nil, nil
	}
	var data []byte
	err = each(ctx, s.js, objectPrefix+problemsBucket, "$O."+problemsBucket+".C."+info.NUID, 1, func(m *jetstream.RawStreamMsg) error {
		if data = append(data, m.Data...); uint64(len(data)) > info.Size {
			return fmt.Errorf("more than the %d bytes that it should have: %w", info.Size, ErrUnreadable)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	if digest, ok := strings.CutPrefix(info.Digest, "SHA-256="); uint64(len(data)) != info.Size || !ok || digest != base64.URLEncoding.EncodeToString(sum[:]) {
		return nil, fmt.Errorf("%d bytes of %d, with another digest: %w", len(data), info.Size, ErrUnreadable)
	}
	return data, nil
}
