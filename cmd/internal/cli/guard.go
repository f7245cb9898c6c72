package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream/access"
	"github.com/lcbq/lcbq/stream/embed"
	"github.com/lcbq/lcbq/stream/store"
)

// guard says how a server on a store directory knows its clients. Where there are keys it goes by tokens,
// beyond loopback by TLS too, and there it makes the keys that it lacks. Without keys it answers its own user
// alone. open reports that it asks nobody: beyond loopback with --insecure.
func guard(cfg config.Host, dir string, beyond bool, log *slog.Logger) (trust *embed.Trust, open bool, err error) {
	keys, err := access.Load(dir)
	none := errors.Is(err, access.ErrNoKeys)
	if err != nil && !none {
		return nil, false, err
	}
	if cfg.Insecure {
		if !none {
			log.Warn("the server does not use its keys: no token lets anybody in", "remedy", "leave --insecure out")
		}
		if beyond {
			log.Warn("the port asks for no password: whoever reaches it can read and change every run, and give programs to the evaluators", "listen", cfg.Listen,
				"remedy", "leave --insecure out, and make tokens with 'lcbq token'")
		}
		return nil, beyond, nil
	}
	if none && !beyond {
		return nil, false, nil
	}
	if none {
		if _, err := embed.OwnerOf(dir); !errors.Is(err, embed.ErrNotRunning) {
			return nil, false, errors.Join(embed.ErrStoreInUse, err)
		}
		if keys, err = access.Make(dir); errors.Is(err, access.ErrKeysExist) {
			keys, err = access.Load(dir)
		}
		if err != nil {
			return nil, false, err
		}
		log.Info("keys were made; workers of other users and hosts need tokens", "store", dir, "remedy", "lcbq token --role evaluator --ttl 48h --store-dir "+dir+" --to w.creds")
	}
	trust, err = trustIn(keys, beyond)
	return trust, false, err
}

// trustIn returns what a server needs to go by keys.
func trustIn(keys *access.Keys, beyond bool) (*embed.Trust, error) {
	born := time.Now().Add(-time.Second)
	t := &embed.Trust{System: keys.System(), Home: keys.Home(), Accounts: keys.Book(born), CA: keys.CA()}
	var err error
	if t.Operator, err = keys.Operator(); err != nil {
		return nil, err
	}
	if t.Creds, err = keys.Local(); err != nil {
		return nil, err
	}
	if beyond {
		t.TLS, err = keys.ServerTLS()
	}
	return t, err
}

// bansEvery is how often a server looks for guests that were found out.
const bansEvery = 10 * time.Second

// refuseBanned has the server on a store directory refuse the tokens of guests that were found out, until ctx is done.
// A lender writes that on its own machine alone, and a cluster has others.
func refuseBanned(ctx context.Context, s *store.Store, dir string, log *slog.Logger) {
	keys, err := access.Load(dir)
	if err != nil { // it goes by no tokens
		return
	}
	tick := time.NewTicker(bansEvery)
	defer tick.Stop()
	said := "" // what was last said to be in the way
	for {
		err := refuseThem(ctx, s, keys, dir, log)
		switch {
		case ctx.Err() != nil:
		case err == nil:
			said = ""
		case errors.Is(err, context.DeadlineExceeded):
			log.Debug("bans not read yet, trying again", "err", err)
		case err.Error() != said:
			said = err.Error()
			log.Warn("tokens of evaluators that gave false verdicts are not refused here yet, trying again", "err", err, "remedy", "lcbq token --revoke ID --store-dir "+dir)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// refuseThem revokes the tokens that are banned and not revoked yet. One that cannot be keeps none of the others.
func refuseThem(ctx context.Context, s *store.Store, keys *access.Keys, dir string, log *slog.Logger) error {
	bans, err := s.Bans(ctx)
	if err != nil {
		return err
	}
	revoked, err := access.ReadRevocations(dir)
	if err != nil {
		return err
	}
	var errs []error
	for i := range bans {
		if _, ok := revoked[bans[i].ID]; ok {
			continue
		}
		if err := keys.Revoke(bans[i].ID); err != nil {
			errs = append(errs, err)
			continue
		}
		log.Warn("the token of an evaluator that gave false verdicts is refused here too", "token", bans[i].ID)
	}
	return errors.Join(errs...)
}

// makeKeys is 'lcbq server init'.
func makeKeys(a *app, dir string) error {
	if _, err := embed.OwnerOf(dir); !errors.Is(err, embed.ErrNotRunning) {
		return fmt.Errorf("make keys: %w\na server runs there, and reads its keys when it starts: stop it first, with 'lcbq stop --store-dir %s'", errors.Join(embed.ErrStoreInUse, err), dir)
	}
	_, err := access.Make(dir)
	if errors.Is(err, access.ErrKeysExist) {
		return fmt.Errorf("%w\nthey are used again at each start; to void every token, remove %s there and begin anew", err, access.KeysName)
	}
	if err != nil {
		return err
	}
	a.log.Info("keys made", "store", dir, "remedy", "start the server: lcbq server --store-dir "+dir+"; make tokens: lcbq token --store-dir "+dir)
	return nil
}
