package queue

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream"
)

// shares are the hundredths of a server's disk that a stage's stream may fill. The
// completions are stopped first, so that there is room left for their verdicts, and
// the verdicts before there is none to mark their cells done in, which is what
// makes room again.
//
// The publishers keep to the shares. A limit of the stream itself would reserve the bytes on
// the server, and a store could then not be declared again with a smaller budget.
var shares = map[stream.Stage]int64{stream.Evaluate: 50, stream.Combine: 40}

// allotted is the key of a stream's metadata that says how many bytes it may hold.
const allotted = "lcbq_max_bytes"

// sizeAge is how old a stream's known size may get. The stream may exceed its share by what
// other processes publish meanwhile.
const sizeAge = 500 * time.Millisecond

// A size is how much a stream held, and how much this process has added since or is about to add.
type size struct {
	at       time.Time
	bytes    int64
	allotted int64 // 0 for no limit
	open     int64 // of what is being published
	added    int64 // of all that was ever published
}

func (s *size) fits(bytes int64) bool { return s.allotted == 0 || s.bytes+s.open+bytes <= s.allotted }

const fullRemedy = "it goes on when units have been judged and written to result files; for more room use a larger --store-max, or a larger disk"

// room takes room for a message, so that no other that is published at the same time does, and returns ErrFull if the
// stream may not take it. The caller says to end whether the message was stored.
func (q *Queue) room(ctx context.Context, name string, bytes int) (end func(stored bool), err error) {
	if name != stream.Evaluate.Stream() && name != stream.Combine.Stream() {
		return func(bool) {}, nil
	}
	n := int64(bytes)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.sizes == nil {
		q.sizes = make(map[string]*size)
	}
	known := q.sizes[name]
	if known == nil {
		known = new(size)
		q.sizes[name] = known
	}
	if time.Since(known.at) > sizeAge || !known.fits(n) {
		before := known.added
		q.mu.Unlock()
		now, err := q.sizeOf(ctx, name)
		q.mu.Lock()
		if err != nil {
			return nil, err
		}
		// What was stored while the server was asked is counted twice at worst.
		known.at, known.allotted, known.bytes = now.at, now.allotted, now.bytes+known.added-before
	}
	if !known.fits(n) {
		return nil, fmt.Errorf("%w (%s holds %d MiB of the %d MiB that it may)\n%s", ErrFull, name, known.bytes>>20, known.allotted>>20, fullRemedy)
	}
	known.open += n
	return func(stored bool) {
		q.mu.Lock()
		defer q.mu.Unlock()
		known.open -= n
		if stored {
			known.bytes += n
			known.added += n
		}
	}, nil
}

// sizeOf asks the server for a stream's size.
func (q *Queue) sizeOf(ctx context.Context, name string) (now size, err error) {
	s, err := q.stream(ctx, name)
	if err != nil {
		return now, err
	}
	info, err := q.info(ctx, s, name)
	if err != nil {
		return now, err
	}
	now = size{at: time.Now(), bytes: int64(info.State.Bytes)} //nolint:gosec // a disk's size fits
	// A stream that lcbq did not declare names no share: only the server limits it.
	now.allotted, _ = strconv.ParseInt(info.Config.Metadata[allotted], 10, 64)
	return now, nil
}

// full reports whether err says that the server has no room: its disk budget or the
// account's is used up, or it cannot store the message. That last one's code is also
// that of a message per subject too many, which alreadyThere sees first.
func full(err error) bool {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return false
	}
	switch api.ErrorCode {
	case codeInsufficient, codeStoreFailed, codeStorageExceeded, codeAccountExceeded:
		return true
	default:
		return false
	}
}

// The server's error codes when it has no room.
const (
	codeAccountExceeded jetstream.ErrorCode = 10002
	codeInsufficient    jetstream.ErrorCode = 10023
	codeStorageExceeded jetstream.ErrorCode = 10047
	codeStoreFailed     jetstream.ErrorCode = 10077
)
