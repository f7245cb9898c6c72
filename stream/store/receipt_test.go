package store_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest"
)

// TestIssuer: every new run has an issuer of its own, which whoever reads its manifest finds. One that is gone or is another
// run's is an error that says what to restore, and a run without receipts needs none.
func TestIssuer(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	unit := stream.Unit{Cell: stream.Cell{Run: "a", Temperature: 100}}
	a, b := &store.Manifest{ID: "a"}, &store.Manifest{ID: "b"}
	if err := errors.Join(env.Store.GiveReceipts(t.Context(), a), env.Store.GiveReceipts(t.Context(), b)); err != nil || a.Receipts == b.Receipts {
		t.Fatalf("GiveReceipts: %v, the same for both runs: %v", err, a.Receipts == b.Receipts)
	}
	fresh := func() *store.Store {
		s, err := store.Open(t.Context(), env.JS)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	issuer, err := fresh().Issuer(t.Context(), a)
	if err != nil || !a.Issued(unit, issuer.Receipt(unit)) || b.Issued(unit, issuer.Receipt(unit)) {
		t.Errorf("Issuer = %v, its receipt is good for its run %v, for another %v", err, a.Issued(unit, issuer.Receipt(unit)), b.Issued(unit, issuer.Receipt(unit)))
	}
	if issuer, err := env.Store.Issuer(t.Context(), new(store.Manifest)); issuer != nil || err != nil {
		t.Errorf("Issuer of a run without receipts = %v, %v", issuer, err)
	}
	kv, err := env.JS.KeyValue(t.Context(), "lcbq_receipts")
	if err != nil {
		t.Fatal(err)
	}
	other, err := kv.Get(t.Context(), b.Receipts)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(t.Context(), a.Receipts, other.Value()); err != nil {
		t.Fatal(err)
	}
	if _, err := fresh().Issuer(t.Context(), a); !errors.Is(err, store.ErrUnreadable) {
		t.Errorf("Issuer where another run's key lies = %v, want ErrUnreadable", err)
	}
	if err := kv.Delete(t.Context(), a.Receipts); err != nil {
		t.Fatal(err)
	}
	if _, err := fresh().Issuer(t.Context(), a); !errors.Is(err, store.ErrNotFound) || !strings.Contains(err.Error(), "restore the stream KV_lcbq_receipts") {
		t.Errorf("Issuer whose key is gone = %v, want ErrNotFound and a remedy", err)
	}
}

// TestReceiptsOnAnOlderServer: a server without the bucket has workers that know no receipts, and a new run there has none.
func TestReceiptsOnAnOlderServer(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	if err := env.JS.DeleteKeyValue(t.Context(), "lcbq_receipts"); err != nil {
		t.Fatal(err)
	}
	m := &store.Manifest{ID: "a"}
	if err := env.Store.GiveReceipts(t.Context(), m); err != nil || m.Receipts != "" {
		t.Errorf("GiveReceipts = %v, receipts %q, want none", err, m.Receipts)
	}
}
