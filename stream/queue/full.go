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
// other workers publish meanwhile.
const sizeAge = 500 * time.Millisecond

// A size is how much a stream held, and how much this process has added since.
type size struct {
	at       time.Time
	bytes    int64
	allotted int64 // 0 for no limit
}

const fullRemedy = "it goes on when units have been judged and written to result files; for more room use a larger --store-max, or a larger disk"

// room returns ErrFull if a stream may not take that many bytes more.
func (q *Queue) room(ctx context.Context, name string, bytes int) error {
	if name != stream.Evaluate.Stream() && name != stream.Combine.Stream() {
		return nil
	}
	q.mu.Lock()
	known, ok := q.sizes[name]
	q.mu.Unlock()
	fits := func() bool { return known.allotted == 0 || known.bytes+int64(bytes) <= known.allotted }
	if !ok || time.Since(known.at) > sizeAge || !fits() {
		s, err := q.stream(ctx, name)
		if err != nil {
			return err
		}
		info, err := q.info(ctx, s, name)
		if err != nil {
			return err
		}
		known = size{at: time.Now(), bytes: int64(info.State.Bytes)} //nolint:gosec // a disk's size fits
		// A stream that lcbq did not declare names no share: only the server limits it.
		known.allotted, _ = strconv.ParseInt(info.Config.Metadata[allotted], 10, 64)
	}
	enough := fits()
	if enough {
		known.bytes += int64(bytes)
	}
	q.mu.Lock()
	if q.sizes == nil {
		q.sizes = make(map[string]size)
	}
	q.sizes[name] = known
	q.mu.Unlock()
	if !enough {
		return fmt.Errorf("%w (%s holds %d MiB of the %d MiB that it may)\n%s", ErrFull, name, known.bytes>>20, known.allotted>>20, fullRemedy)
	}
	return nil
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
