package cli

import (
	"context"
	"log/slog"
	"testing"

	"github.com/lcbq/lcbq/stream/access"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest"
	"github.com/lcbq/lcbq/worker/background"
)

// TestBansReachEveryServer: a server refuses the token of a guest that a lender on another machine has found out.
func TestBansReachEveryServer(t *testing.T) {
	t.Parallel()
	env, dir := streamtest.New(t), t.TempDir()
	keys, err := access.Make(dir)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for range 2 {
		_, token, err := keys.Issue(access.Spec{Role: access.Guest, Share: 0.5})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, token.ID)
	}
	if err := env.Store.DeclareBans(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := env.Store.PutBan(t.Context(), store.Ban{ID: ids[0], At: 1}); err != nil {
		t.Fatal(err)
	}
	defer background.Start(t.Context(), func(ctx context.Context) { refuseBanned(ctx, env.Store, dir, slog.New(slog.DiscardHandler)) })()
	streamtest.WaitFor(t, "the banned token to be revoked", func(context.Context) (bool, error) {
		revoked, err := access.ReadRevocations(dir)
		_, other := revoked[ids[1]]
		if other {
			t.Error("a token that nobody has banned is revoked")
		}
		_, ok := revoked[ids[0]]
		return ok, err
	})
}
