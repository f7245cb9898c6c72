package cli

import (
	"log/slog"
	"path/filepath"
	"sync"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/lcbq/lcbq/stream/access"
	"github.com/lcbq/lcbq/stream/private"
)

// TestShows has the file of a token replaced at every moment while a client connects: the token of somebody else is
// never shown, and what is shown is signed by its own key.
func TestShows(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keys, err := access.Make(filepath.Join(dir, "store"))
	if err != nil {
		t.Fatal(err)
	}
	issue := func(name string) ([]byte, access.Token) {
		text, token, err := keys.Issue(access.Spec{Role: access.Evaluator, Name: name})
		if err != nil {
			t.Fatal(err)
		}
		return text, token
	}
	mine, first := issue("mine")
	again, second := issue("mine")
	strangers, _ := issue("stranger")
	if first.Inbox != second.Inbox || first.ID == second.ID {
		t.Fatal("a second token of the same name is not another one with the same inbox")
	}
	file := filepath.Join(dir, "evaluator.creds")
	put := func(text []byte) {
		if err := private.Write(file, text); err != nil {
			t.Error(err)
		}
	}
	put(mine)
	var o nats.Options
	if err := shows(file, first, slog.New(slog.DiscardHandler))(&o); err != nil {
		t.Fatal(err)
	}
	over := make(chan bool)
	var writer sync.WaitGroup
	writer.Go(func() {
		for {
			for _, text := range [][]byte{strangers, again, mine} {
				select {
				case <-over:
					return
				default:
					put(text)
				}
			}
		}
	})
	taken, refused := 0, 0
	for taken < 100 || refused < 100 {
		text, err := o.UserJWT()
		if err != nil {
			refused++
			continue
		}
		taken++
		c, err := jwt.DecodeUserClaims(text)
		if err != nil {
			t.Fatal(err)
		}
		if c.Subject != first.ID && c.Subject != second.ID {
			t.Error("the token of somebody else is shown")
		}
		nonce := []byte("a server's challenge")
		signature, err := o.SignatureCB(nonce)
		if err != nil {
			t.Fatal(err)
		}
		holder, err := nkeys.FromPublicKey(c.Subject)
		if err != nil {
			t.Fatal(err)
		}
		if err := holder.Verify(nonce, signature); err != nil {
			t.Error("a token is signed by the key of another")
		}
	}
	close(over)
	writer.Wait()
	if _, err := o.SignatureCB(nil); err == nil {
		t.Error("the key is kept after it has signed")
	}
}
