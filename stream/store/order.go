package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ordersBucket holds what workers are told that hear no requests, because they are in an account of their own. Only an
// operator can write there.
const ordersBucket = "lcbq_orders"

// orderTTL is how long an order lies there.
const orderTTL = 3 * time.Minute

// orderKey returns where the orders for a worker lie: where its token lets it look, and for nobody who comes after it
// under its name.
func orderKey(w *Worker) string {
	return strings.Join([]string{w.OrdersAt, string(w.Stage), w.Name, strconv.FormatInt(w.Started, 36)}, ".")
}

// PutOrder leaves an order for a worker and returns its number, which grows with each. On a server of an earlier
// version it returns ErrNotFound.
func (s *Store) PutOrder(ctx context.Context, w *Worker, body []byte) (number uint64, err error) {
	kv, err := open(ctx, s.conn, ordersBucket, s.js.KeyValue)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return 0, fmt.Errorf("open bucket %s: %w", ordersBucket, ErrNotFound)
	}
	if err != nil {
		return 0, fmt.Errorf("open bucket %s: %w", ordersBucket, err)
	}
	ctx, cancel := writing(ctx, s.conn)
	defer cancel()
	key := orderKey(w)
	number, err = kv.Put(ctx, key, body)
	if errors.Is(err, jetstream.ErrInvalidKey) {
		return 0, fmt.Errorf("no worker looks for orders at %q: %w", key, ErrNotFound)
	}
	if err != nil {
		return 0, fmt.Errorf("write %s/%s: %w", ordersBucket, key, err)
	}
	return number, nil
}

// Order returns the order that was left for a worker last, and its number, or ErrNotFound. It asks for the one message
// alone, which is all that a worker may read there.
func (s *Store) Order(ctx context.Context, w *Worker) (body []byte, number uint64, err error) {
	key := orderKey(w)
	ctx, cancel := context.WithTimeout(ctx, orderWait)
	defer cancel()
	msg, err := s.conn.RequestWithContext(ctx, "$JS.API.DIRECT.GET."+bucketPrefix+ordersBucket+".$KV."+ordersBucket+"."+key, nil)
	switch {
	case errors.Is(err, nats.ErrNoResponders), err == nil && msg.Header.Get("Status") == "404":
		return nil, 0, fmt.Errorf("read %s/%s: %w", ordersBucket, key, ErrNotFound)
	case err != nil:
		return nil, 0, fmt.Errorf("read %s/%s: %w", ordersBucket, key, err)
	}
	if _, err := fmt.Sscan(msg.Header.Get("Nats-Sequence"), &number); err != nil {
		return nil, 0, fmt.Errorf("read %s/%s: the server says %q %s: %w", ordersBucket, key, msg.Header.Get("Status"), msg.Header.Get("Description"), ErrUnreadable)
	}
	return msg.Data, number, nil
}

// orderWait bounds one look for an order.
const orderWait = 5 * time.Second
