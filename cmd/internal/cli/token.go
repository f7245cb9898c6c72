package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/lcbq/lcbq/cmd/internal/locate"
	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream/access"
	"github.com/lcbq/lcbq/stream/private"
)

// tokenCmd makes credentials for workers and viewers of other users and hosts, or revokes some.
type tokenCmd struct {
	config.Store `embed:"" group:"server"`
	OutputDir    string        `short:"o" type:"path" group:"server" placeholder:"DIR" help:"results folder whose .lcbq is the server's store; by default results, or .lcbq, here"`
	Role         string        `group:"server" placeholder:"ROLE" help:"what its holder may do: operator (everything), generator, evaluator, or viewer (status, top, runs); 'lcbq help access' has the table"`
	Trust        string        `group:"server" default:"full" placeholder:"full|sample[:SHARE]" help:"whether what an evaluator says is believed: all of it, or only as far as a share of its units, 0.02 unless another is said, is judged again and found right"`
	TTL          time.Duration `name:"ttl" group:"server" default:"48h" placeholder:"DURATION" help:"how long it is good; 0 is until it is revoked"`
	From         []string      `group:"server" placeholder:"CIDR" help:"networks from where alone it is good, such as 10.0.0.0/8"`
	Name         string        `group:"server" placeholder:"NAME" help:"whom it is for; a running worker goes on with a new token in its file's place if that has the same role and name"`
	To           string        `group:"server" type:"path" placeholder:"FILE" help:"file to write, readable by you alone; by default stdout"`
	Revoke       string        `group:"server" placeholder:"FILE|ID" help:"refuse this token from now on, and end its holder's connections; the ID is printed where a token is made"`
}

// Run makes a token, or revokes one. It needs no running server.
func (c *tokenCmd) Run(a *app) error {
	if (c.Role == "") == (c.Revoke == "") {
		return usageError{errors.New("say what to do: make a token with --role, or refuse one with --revoke")}
	}
	spec := access.Spec{Name: c.Name, TTL: c.TTL, From: c.From}
	if c.Role != "" {
		var err error
		if spec.Role, err = access.ParseRole(c.Role); err != nil {
			return usageError{fmt.Errorf("--role: %w", err)}
		}
		if err := trusted(&spec, c.Trust); err != nil {
			return usageError{err}
		}
	}
	dir, err := c.store()
	if err != nil {
		return err
	}
	keys, err := access.Load(dir)
	if errors.Is(err, access.ErrNoKeys) {
		return fmt.Errorf("%w\nthe server of this store answers its own user alone, who needs no token; for others stop it and make keys: lcbq server init --store-dir %s", err, dir)
	}
	if err != nil {
		return err
	}
	if c.Revoke != "" {
		return c.revoke(a, keys)
	}
	creds, t, err := keys.Issue(spec)
	if err != nil {
		return usageError{err}
	}
	if c.To == "" {
		_, err = a.out.Write(creds)
	} else {
		err = private.Write(c.To, creds)
	}
	if err != nil {
		return fmt.Errorf("write token: %w\nname with --to a file in a folder that is there, and that you may write to", err)
	}
	until := "it is revoked"
	if !t.Expires.IsZero() {
		until = t.Expires.Format(time.RFC3339)
	}
	a.log.Info("token made", "role", t.Role, "id", t.ID, "good_until", until)
	return nil
}

// usualShare is the share of an untrusted evaluator's units that is judged again.
const usualShare = 0.02

// trusted completes what a token is for by how far its holder is trusted.
func trusted(s *access.Spec, trust string) error {
	if trust == "full" && s.Role != access.Guest {
		return nil
	}
	kind, share, said := strings.Cut(trust, ":")
	if kind != "sample" && kind != "full" || kind == "full" && said {
		return fmt.Errorf("--trust = %q: want full, sample, or sample:SHARE", trust)
	}
	if s.Role != access.Evaluator && s.Role != access.Guest {
		return fmt.Errorf("--trust = %s: only what an evaluator says can be looked at again\nleave it out for role %s", trust, s.Role)
	}
	s.Role, s.Share = access.Guest, usualShare
	if said {
		var err error
		if s.Share, err = strconv.ParseFloat(share, 64); err != nil || s.Share <= 0 {
			return fmt.Errorf("--trust = %q: want a share above 0, at most 1, such as sample:0.05", trust)
		}
	}
	return nil
}

// store returns the server's store directory.
func (c *tokenCmd) store() (string, error) {
	if c.StoreDir != "" {
		return c.StoreDir, nil
	}
	var p locate.Place
	var err error
	if c.OutputDir != "" {
		p, err = locate.ByFolder(c.OutputDir)
	} else if p, err = locate.Here(); errors.Is(err, locate.ErrNone) {
		err = nil // keys are read in a store that nobody serves, too
	}
	return cmp.Or(p.Store, locate.StoreName), err
}

func (c *tokenCmd) revoke(a *app, keys *access.Keys) error {
	id := c.Revoke
	t, err := access.ReadToken(c.Revoke)
	switch {
	case err == nil:
		id = t.ID
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("read token %s: %w", c.Revoke, err)
	}
	if err := keys.Revoke(id); err != nil {
		return usageError{err}
	}
	a.log.Info("token revoked; a server that runs refuses it within seconds", "id", id)
	return nil
}
