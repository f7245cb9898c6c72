package embed_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"golang.org/x/sys/unix"

	"github.com/lcbq/lcbq/stream/embed"
)

// TestKey wants a server to answer those alone who can read its file: a client without the key, with a
// wrong one and with that of the server's former life is refused, and the log says so once.
func TestKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var log bytes.Buffer
	former := ""
	for range 2 {
		srv := start(t, embed.Config{Dir: dir, Log: slog.New(slog.NewTextHandler(&log, nil))})
		a, err := embed.ReadAccess(dir)
		if err != nil || a.URL != srv.URL() || len(a.Token) < 20 || a.Token == former {
			t.Fatalf("ReadAccess = %+v, %v, want %s and a new key", a, err, srv.URL())
		}
		info, err := os.Stat(filepath.Join(dir, embed.AccessName))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the key's file: %v, %v, want mode 0600", info.Mode(), err)
		}
		for name, opts := range map[string][]nats.Option{
			"no key": nil, "a wrong key": {nats.Token("x")}, "the former key": {nats.Token(former)}, "a user": {nats.UserInfo("somebody", a.Token)}, // names are logged, passwords are not
		} {
			nc, err := nats.Connect(a.URL, opts...)
			if err == nil {
				nc.Close()
			}
			if !errors.Is(err, nats.ErrAuthorization) {
				t.Errorf("Connect with %s = %v, want it refused", name, err)
			}
		}
		nc, err := nats.Connect(a.URL, nats.Token(a.Token))
		if err != nil {
			t.Fatalf("Connect with the key: %v", err)
		}
		nc.Close()
		former = a.Token
		stop(t, srv)
		if a, err := embed.ReadAccess(dir); !errors.Is(err, embed.ErrNotRunning) {
			t.Errorf("ReadAccess after the end = %+v, %v, want ErrNotRunning", a, err)
		}
	}
	if n := strings.Count(log.String(), "authentication error"); n != 2 {
		t.Errorf("the log speaks %d times of refused clients, want once a server:\n%s", n, log.String())
	}
	if strings.Contains(log.String(), former) {
		t.Error("the key is in the log")
	}
}

// TestAccessIsNotBelieved wants nothing read that another user could have laid there.
func TestAccessIsNotBelieved(t *testing.T) {
	t.Parallel()
	write := func(t *testing.T) (dir, path string) {
		t.Helper()
		dir = t.TempDir()
		path = filepath.Join(dir, embed.AccessName)
		if err := os.WriteFile(path, []byte(`{"url":"nats://127.0.0.1:9","token":"t"}`), 0o600); err != nil {
			t.Fatal(err)
		}
		return dir, path
	}
	dir, _ := write(t)
	if a, err := embed.ReadAccess(dir); err != nil || a.Token != "t" {
		t.Fatalf("ReadAccess = %+v, %v", a, err)
	}
	link := t.TempDir()
	if err := os.Symlink(filepath.Join(dir, embed.AccessName), filepath.Join(link, embed.AccessName)); err != nil {
		t.Fatal(err)
	}
	if a, err := embed.ReadAccess(link); err == nil {
		t.Errorf("ReadAccess through a link = %+v", a)
	}
	pipe := t.TempDir()
	if err := unix.Mkfifo(filepath.Join(pipe, embed.AccessName), 0o600); err != nil {
		t.Fatal(err)
	}
	if a, err := embed.ReadAccess(pipe); err == nil {
		t.Errorf("ReadAccess of a pipe = %+v", a)
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file to another user")
	}
	dir, path := write(t)
	if err := os.Chown(path, 12345, 12345); err != nil {
		t.Fatal(err)
	}
	if a, err := embed.ReadAccess(dir); !errors.Is(err, embed.ErrForeign) {
		t.Errorf("ReadAccess of another user's file = %+v, %v, want ErrForeign", a, err)
	}
}

// TestNatscli reads a stream of the server with natscli, which is given its file and nothing else.
func TestNatscli(t *testing.T) {
	t.Parallel()
	natscli, err := exec.LookPath("nats")
	if err != nil {
		t.Skip("the nats command is not in PATH: run `just tools`, and put .bin there")
	}
	dir := t.TempDir()
	srv := start(t, embed.Config{Dir: dir})
	defer stop(t, srv)
	run := func(args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), natscli, args...)
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run("--context", filepath.Join(dir, embed.AccessName), "stream", "ls"); err != nil || !strings.Contains(out, "No Streams defined") {
		t.Errorf("nats --context: %v\n%s", err, out)
	}
	if out, err := run("--server", srv.URL(), "stream", "ls"); err == nil || !strings.Contains(out, "Authorization Violation") {
		t.Errorf("nats without the file: %v, want it refused\n%s", err, out)
	}
}
