package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/config"
)

func TestRedact(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"nats://127.0.0.1:4222":                        "nats://127.0.0.1:4222",
		"nats://u:pw@h:4222":                           "nats://u:REDACTED@h:4222",
		"nats://tok@h":                                 "nats://REDACTED@h",
		"u:pw@h:4222":                                  "u:REDACTED@h:4222",
		"nats://a:one@h1,nats://b:two@h2":              "nats://a:REDACTED@h1,nats://b:REDACTED@h2",
		"http://u:p%40w@h/v1?key=K&api-version=2&n=3":  "http://u:REDACTED@h/v1?key=REDACTED&api-version=2&n=3",
		"https://h/v1?api_key=K&x_token=T&Signature=S": "https://h/v1?api_key=REDACTED&x_token=REDACTED&Signature=REDACTED",
		"http://u:p/w@h:80/v1":                         "http://u:REDACTED@h:80/v1",
		"http://u:p@w@h":                               "http://u:REDACTED@h",
		"http://[::1]:80/a@b":                          "http://[::1]:80/a@b",
		"http://h:80/a@b?x=1":                          "http://h:80/a@b?x=1",
		"http://u:${PW}@h?key=${file:/run/key}":        "http://u:${PW}@h?key=${file:/run/key}",
		"http://u:%zz@h":                               "http://u:REDACTED@h",
		"":                                             "",
	} {
		if got := config.Redact(in); got != want {
			t.Errorf("Redact(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestMarshalRefersToSecrets(t *testing.T) {
	t.Parallel()
	var c config.Config
	c.NATS = "nats://u:natspw@h"
	c.Endpoint = []string{"http://a:one@h/v1?key=two", "http://h2/v1", "http://b:three@h3/v1"}
	c.HFEndpoint = "https://${OWN}@hub"
	c.APIKey, c.HFToken = "four", "five"
	b, err := c.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, s := range []string{"natspw", "one", "two", "three", "four", "five"} {
		if strings.Contains(strings.ReplaceAll(text, "${LCBQ_ENDPOINT_", ""), s) {
			t.Errorf("Marshal wrote the secret %q:\n%s", s, text)
		}
	}
	for _, s := range []string{"u:${LCBQ_NATS_PASSWORD}@h", "a:${LCBQ_ENDPOINT_PASSWORD}@h/v1?key=${LCBQ_ENDPOINT_KEY}", "b:${LCBQ_ENDPOINT_3_PASSWORD}@h3", "https://${OWN}@hub"} {
		if !strings.Contains(text, s) {
			t.Errorf("Marshal lacks %q:\n%s", s, text)
		}
	}
	path := filepath.Join(t.TempDir(), "run.toml")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.ReadFile(path); err != nil {
		t.Errorf("ReadFile of what Marshal wrote: %v", err)
	}
}

func TestResolve(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pw")
	if err := os.WriteFile(file, []byte("from a@file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LCBQ_TEST_PW", "p/w@1")
	for in, want := range map[string]string{
		"nats://u:plain@h":                "nats://u:plain@h",
		"nats://u:${LCBQ_TEST_PW}@h":      "nats://u:p%2Fw%401@h",
		"nats://u:${file:" + file + "}@h": "nats://u:from%20a%40file@h",
		"http://h/v1?key=${LCBQ_TEST_PW}": "http://h/v1?key=p%2Fw%401",
	} {
		if got, err := config.Resolve("nats", in); err != nil || got != want {
			t.Errorf("Resolve(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
	_, err := config.Resolve("nats", "nats://u:${LCBQ_TEST_MISSING}@h")
	if err == nil || !strings.Contains(err.Error(), "the variable LCBQ_TEST_MISSING is not set") || !strings.Contains(err.Error(), "--nats") {
		t.Errorf("Resolve with a variable that is not set = %v, want an error that names it", err)
	}
	if _, err := config.Resolve("nats", "nats://u:${file:/nonexistent/pw}@h"); err == nil || !strings.Contains(err.Error(), "/nonexistent/pw") {
		t.Errorf("Resolve with a file that is not there = %v, want an error that names it", err)
	}
	got := config.Secrets("nats://u:p%40w@h?key=${LCBQ_TEST_PW}")
	for _, want := range []string{"p%40w", "p@w", "p/w@1"} {
		if !slices.Contains(got, want) {
			t.Errorf("Secrets = %q, lacks %q", got, want)
		}
	}
}

// TestNATSScheme wants an address of another protocol refused with the one to write, and none of its secrets said.
func TestNATSScheme(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"", "host", "host:4222", "nats://u:p@host:4222", "TLS://host", "ws://host:8080/path", "wss://host", "nats://a:4222, nats://b:4222"} {
		if c, err := (config.Client{NATS: good}).Resolved(); err != nil || c.NATS != good {
			t.Errorf("%q = %q, %v, want it taken", good, c.NATS, err)
		}
	}
	for bad, want := range map[string]string{
		"http://host:8222":                           "begins with http://",
		"https://me:secret@host/x":                   "write --nats nats://host:4222",
		"nats://a:4222,http://secret@host:8222/live": "write --nats nats://host:4222",
		"redis://host":                               "begins with redis://",
	} {
		if _, err := (config.Client{NATS: bad}).Resolved(); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v, want %q and no secret", bad, err, want)
		}
	}
}
