package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream/streamtest/patience"
)

// elsewhere returns an address of this machine that is not of its loopback.
func elsewhere(t *testing.T) string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() && !n.IP.IsLinkLocalUnicast() {
			return n.IP.String()
		}
	}
	t.Skip("this machine has no address besides its loopback")
	return ""
}

// says runs a command that has to end with a status, and returns what it wrote.
func says(t *testing.T, want int, args ...string) string {
	t.Helper()
	out, err := command(t, args...).CombinedOutput()
	code := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatalf("lcbq %v: %v", args, err)
	}
	if code != want {
		t.Errorf("lcbq %v ends with %d, want %d:\n%s", args, code, want, out)
	}
	return string(out)
}

// serveElsewhere starts a server beyond loopback and returns its address and its log.
func serveElsewhere(t *testing.T, store string, more ...string) (cmd *exec.Cmd, url string, log *said) {
	t.Helper()
	log = new(said)
	cmd = command(t, append([]string{"server", "--listen", net.JoinHostPort(elsewhere(t), "0"), "--store-dir", store, "--http", "none"}, more...)...)
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for wait := patience.Begin(time.Minute); ; {
		if _, rest, ok := strings.Cut(log.String(), `"serving","url":"`); ok {
			if url, _, ok = strings.Cut(rest, `"`); ok {
				return cmd, url, log
			}
		}
		if wait.Over() {
			t.Fatalf("the server does not serve:\n%s", log)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// TestRolesShareARun has a server listen beyond loopback and a run done by workers with tokens of their roles,
// and wants everybody else refused, with a word about what helps.
func TestRolesShareARun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store, out := filepath.Join(dir, "store"), filepath.Join(dir, "out")
	server, url, log := serveElsewhere(t, store)
	if !strings.HasPrefix(url, "tls://") || !strings.Contains(log.String(), "keys were made") {
		t.Errorf("the server is at %s and says\n%s", url, log)
	}
	creds := make(map[string]string)
	for _, role := range []string{"operator", "generator", "evaluator", "viewer"} {
		creds[role] = filepath.Join(dir, role+".creds")
		says(t, 0, "token", "--role", role, "--name", "test", "--ttl", "1h", "--store-dir", store, "--to", creds[role])
		if info, err := os.Stat(creds[role]); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v, want mode 0600", creds[role], info, err)
		}
	}
	wants := func(text string, words ...string) {
		t.Helper()
		for _, w := range words {
			if !strings.Contains(text, w) {
				t.Errorf("missing %q in\n%s", w, text)
			}
		}
	}
	work := []string{"--nats", url, "--until-idle", "1s"}
	wants(says(t, 1, append([]string{"evaluate"}, work...)...), "--creds")
	wants(says(t, 2, append([]string{"evaluate", "--creds", creds["viewer"]}, work...)...), "role viewer may not evaluate", "role evaluator or operator", "lcbq token --role evaluator")
	wants(says(t, 2, append([]string{"generate", "--creds", creds["evaluator"]}, work...)...), "needs a token of role generator")
	wants(says(t, 2, "submit", "--nats", url, "--creds", creds["generator"], "-o", out), "needs a token of role operator")
	wants(says(t, 2, "stop", "--nats", url, "--creds", creds["viewer"]), "needs a token of role operator")
	wants(says(t, 1, "runs", "--nats", url, "--creds", dir), "no file of credentials")
	wants(says(t, 1, "runs", "--nats", url, "--creds", filepath.Join(dir, "none.creds")), "no such file")
	other := filepath.Join(dir, "other")
	says(t, 0, "server", "init", "--store-dir", other)
	says(t, 1, "server", "init", "--store-dir", other)
	says(t, 1, "server", "init", "--store-dir", store)
	foreign := filepath.Join(dir, "foreign.creds")
	says(t, 0, "token", "--role", "viewer", "--store-dir", other, "--to", foreign)
	wants(says(t, 1, "runs", "--nats", url, "--creds", foreign), "another server answers than the one that the token is for")
	wants(says(t, 1, "runs", "--nats", url, "--creds", foreign, "--nats-ca", creds["viewer"]), "the server refuses the token")

	submit := []string{"submit", "--nats", url, "--creds", creds["operator"], "-o", out, "--end", "2", "--n", "40", "--unit-size", "10", "--temperatures", "0.2,0.7"}
	wants(says(t, 0, submit...), "160 samples in 4 cells")
	if err := os.Chmod(creds["evaluator"], 0o644); err != nil {
		t.Fatal(err)
	}
	logs := make(map[string]*said)
	begin := func(verb, role string, more ...string) *exec.Cmd {
		cmd := command(t, append([]string{verb, "--nats", url, "--creds", creds[role]}, more...)...)
		logs[verb] = new(said)
		cmd.Stderr = logs[verb]
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	workers := []*exec.Cmd{begin("combine", "operator"), begin("generate", "generator"), begin("evaluate", "evaluator", "--evaluators", "1")}
	wants(says(t, 0, "status", "--nats", url, "--creds", creds["viewer"], "--watch", "--every", "100ms"), "160 of 160", "4 of 4")
	wants(says(t, 0, "runs", "--nats", url, "--creds", creds["viewer"]), "finished")
	wants(says(t, 0, "status", "--store-dir", store), "160 of 160") // its own user needs no token
	wants(says(t, 0, "verify", out), "4 cells, 160 samples")
	wants(logs["evaluate"].String(), "other users can read the credentials", "chmod 600")

	// A worker whose token is revoked is told, and a new one in its file's place lets it in again.
	says(t, 0, "token", "--revoke", creds["evaluator"], "--store-dir", store)
	awaits(t, logs["evaluate"], "have a new one made on the server's machine")
	wants(says(t, 1, append([]string{"evaluate", "--creds", creds["evaluator"]}, work...)...), "the server refuses the token", "it was revoked")
	says(t, 0, "token", "--role", "evaluator", "--store-dir", store, "--to", creds["evaluator"])
	awaits(t, logs["evaluate"], "the new token is not taken")
	says(t, 0, "token", "--role", "evaluator", "--name", "test", "--store-dir", store, "--to", creds["evaluator"])
	awaits(t, logs["evaluate"], "connected to the server again")

	for _, w := range workers {
		interrupt(t, w)
	}
	interrupt(t, server)
	for verb, s := range logs {
		if strings.Contains(strings.ToLower(s.String()), "permissions violation") {
			t.Errorf("%s asked for what is not its role's:\n%s", verb, s)
		}
	}
	if strings.Contains(log.String(), "Violation") {
		t.Errorf("the server refused what a role needs:\n%s", log)
	}
	secrets := []string{log.String()}
	for _, s := range logs {
		secrets = append(secrets, s.String())
	}
	for _, file := range creds {
		seed := seedOf(t, file)
		for _, s := range secrets {
			if strings.Contains(s, seed) {
				t.Errorf("the key of %s is in a log", file)
			}
		}
	}
}

// awaits waits until a process has said something.
func awaits(t *testing.T, log *said, words string) {
	t.Helper()
	until(t, fmt.Sprintf("it says %q", words), func() bool { return strings.Contains(log.String(), words) }, log)
}

// TestKeysOnLoopback has a server with keys listen on loopback, without TLS, and a server that is told to be
// insecure: with keys that lets no token in, beyond loopback it lets in everybody, and the store stays the same.
func TestKeysOnLoopback(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store, out, viewer := filepath.Join(dir, "store"), filepath.Join(dir, "out"), filepath.Join(dir, "viewer.creds")
	says(t, 0, "server", "init", "--store-dir", store)
	server, url := startServer(t, store)
	says(t, 0, "submit", "--nats", url, "-o", out, "--end", "1", "--n", "10", "--temperatures", "0.2") // its own user
	says(t, 0, "token", "--role", "viewer", "--store-dir", store, "--to", viewer)
	for _, args := range [][]string{{"--nats", url, "--creds", viewer}, {"--store-dir", store}, {"--nats", url}} {
		if text := says(t, 0, append([]string{"runs"}, args...)...); !strings.Contains(text, "running") {
			t.Errorf("runs %v:\n%s", args, text)
		}
	}
	interrupt(t, server)
	open, url, log := serveElsewhere(t, store, "--insecure")
	for _, words := range []string{"no token lets anybody in", "the port asks for no password"} {
		if !strings.Contains(log.String(), words) {
			t.Errorf("missing %q in\n%s", words, log)
		}
	}
	if text := says(t, 0, "runs", "--nats", url); !strings.Contains(text, "running") {
		t.Errorf("runs of an open server:\n%s", text)
	}
	interrupt(t, open)
}
