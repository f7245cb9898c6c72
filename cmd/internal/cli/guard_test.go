package cli

import (
	"context"
	"log/slog"
	"strings"
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
	for _, id := range []string{"0-no-token", ids[0]} { // what cannot be revoked keeps nothing else from it
		if err := env.Store.PutBan(t.Context(), store.Ban{ID: id, At: 1}); err != nil {
			t.Fatal(err)
		}
	}
	var log reading
	defer background.Start(t.Context(), func(ctx context.Context) { refuseBanned(ctx, env.Store, dir, slog.New(slog.NewTextHandler(&log, nil))) })()
	streamtest.WaitFor(t, "the banned token to be revoked", func(context.Context) (bool, error) {
		revoked, err := access.ReadRevocations(dir)
		_, other := revoked[ids[1]]
		if other {
			t.Error("a token that nobody has banned is revoked")
		}
		_, ok := revoked[ids[0]]
		return ok, err
	})
	streamtest.WaitFor(t, "a word on the ban that cannot be", func(context.Context) (bool, error) {
		return strings.Contains(log.String(), "not refused here yet") && strings.Contains(log.String(), "0-no-token"), nil
	})
}
