package openai_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lcbq/lcbq/worker/engine"
	"github.com/lcbq/lcbq/worker/engine/openai"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	const (
		good   = `{"choices":[{"index":0,"message":{"content":"a"},"finish_reason":"length"}],"usage":{"completion_tokens":1}}`
		models = `{"data":[{"id":"m"},{"id":"qwen:latest"}]}`
	)
	for _, tt := range []struct {
		name, model string
		paths       map[string]string // path to body; a number in front is the status
		want        string            // "" means nil
		info        engine.Info
	}{
		{"all is well", "m", map[string]string{"/v1/models": models, "/v1/chat/completions": good, "/version": `{"version":"0.33.0"}`}, "", engine.Info{Name: "openai", Model: "m", Version: "0.33.0"}},
		{"the only model", "", map[string]string{"/v1/models": `{"data":[{"id":"only"}]}`, "/v1/chat/completions": good, "/api/version": `{"version":"0.17"}`}, "", engine.Info{Name: "openai", Model: "only", Version: "ollama 0.17"}},
		{"a tag of Ollama", "qwen", map[string]string{"/v1/models": models, "/v1/chat/completions": good, "/props": `{"build_info":"b7"}`}, "", engine.Info{Name: "openai", Model: "qwen", Version: "llama.cpp b7"}},
		{"no list of models", "m", map[string]string{"/v1/chat/completions": good}, "", engine.Info{Name: "openai", Model: "m"}},
		{"another model", "x", map[string]string{"/v1/models": models, "/v1/chat/completions": good}, "model \"x\" is not served\nserved are: m, qwen:latest", engine.Info{}},
		{"no choice of model", "", map[string]string{"/v1/models": models}, "no model is chosen\nname one with --model; served are: m, qwen:latest", engine.Info{}},
		{"wrong key for the list", "m", map[string]string{"/v1/models": `401{"error":"Unauthorized"}`}, "status 401: Unauthorized\nthe endpoint does not accept the key: set OPENAI_API_KEY", engine.Info{}},
		{"wrong key for samples", "m", map[string]string{"/v1/models": models, "/v1/chat/completions": `403{"error":{"message":"no"}}`}, "ask for one token: status 403: no\nthe endpoint does not accept the key", engine.Info{}},
		{"no such interface", "m", map[string]string{}, "not that of an OpenAI-compatible interface", engine.Info{}},
		{"no chat template", "m", map[string]string{"/v1/models": models, "/v1/chat/completions": `400{"message":"no chat template"}`}, "status 400: no chat template", engine.Info{}},
		{"broken server", "m", map[string]string{"/v1/models": models, "/v1/chat/completions": `500{"message":"dead"}`}, "status 500: dead", engine.Info{}},
		{"many models", "x", map[string]string{"/v1/models": `{"data":[` + strings.Repeat(`{"id":"a"},`, 30) + `{"id":"b"}]}`}, "a and 11 more", engine.Info{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, ok := tt.paths[r.URL.Path]
				code := 200
				if !ok {
					body, code = `{"detail":"Not Found"}`, 404
				} else if body[0] != '{' {
					_, _ = fmt.Sscan(body[:3], &code)
					body = body[3:]
				}
				if r.Header.Get("Authorization") != "Bearer secret" {
					t.Errorf("%s: Authorization = %q, want the key", r.URL, r.Header.Get("Authorization"))
				}
				w.WriteHeader(code)
				_, _ = io.WriteString(w, body)
			}))
			t.Cleanup(s.Close)
			c := newClient(t, func(cfg *openai.Config) {
				cfg.Endpoints, cfg.Key, cfg.Model, cfg.Attempts = []string{s.URL}, "secret", tt.model, 2
			})
			err := c.Check(t.Context())
			if tt.want == "" {
				if err != nil || c.Info() != tt.info {
					t.Errorf("Check = %v, Info = %+v, want nil, %+v", err, c.Info(), tt.info)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("Check = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestCheckDeadEndpoint(t *testing.T) {
	t.Parallel()
	f := newFake(t, nil)
	dead := closedPort(t)
	c := newClient(t, func(cfg *openai.Config) { cfg.Endpoints = []string{f.URL, dead} })
	err := c.Check(t.Context())
	want := "check endpoint " + dead + "/v1: "
	if err == nil || !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), "start the server, or correct the address") {
		t.Errorf("Check = %v, want %q and a remedy", err, want)
	}
}

func TestCheckWaitsWhileLoading(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	f := newFake(t, nil)
	f.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) < 3 {
			w.Header().Set("Retry-After", "0.001")
			http.Error(w, `{"error":{"message":"Loading model"}}`, http.StatusServiceUnavailable)
			return
		}
		f.ServeHTTP(w, r)
	})
	if err := newClient(t, nil, f).Check(t.Context()); err != nil {
		t.Errorf("Check = %v, want nil once the model is loaded", err)
	}
	never := newFake(t, nil)
	never.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	err := newClient(t, func(cfg *openai.Config) { cfg.Patience = time.Nanosecond }, never).Check(t.Context())
	if err == nil || !strings.Contains(err.Error(), "not ready after") {
		t.Errorf("Check = %v, want not ready", err)
	}
}

func TestConfigValidate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		cfg  openai.Config
		want string
	}{
		{openai.Config{}, "no endpoint"},
		{openai.Config{Endpoints: []string{"localhost:8000"}}, `endpoint "localhost:8000" is no http address`},
		{openai.Config{Endpoints: []string{"http://u:secret@[::1"}}, "endpoint address does not parse"},
		{openai.Config{Endpoints: []string{"ftp://u:secret@h"}}, `endpoint "ftp://u:xxxxx@h" is no http address`},
		{openai.Config{Endpoints: []string{"http://h"}, MaxN: -1, Attempts: -2}, "most choices of a request = -1, want at least 1, or 0 for the default\nattempts = -2"},
		{openai.Config{Endpoints: []string{"http://h"}, Key: "a\nb"}, "the key holds a line break"},
	} {
		_, err := openai.New(tt.cfg)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("New = %v, want %q", err, tt.want)
		}
	}
}

// TestEndpointForms wants the request where the server has it, however the
// address is written.
func TestEndpointForms(t *testing.T) {
	t.Parallel()
	for form, want := range map[string]string{
		"":                              "/v1/chat/completions",
		"/":                             "/v1/chat/completions",
		"/v1":                           "/v1/chat/completions",
		"/v1/":                          "/v1/chat/completions",
		"/v1/chat/completions":          "/v1/chat/completions",
		"/api/v1":                       "/api/v1/chat/completions",
		"/v1beta/openai/?key=1#x":       "/v1beta/openai/chat/completions",
		"/some%20where/v1/completions/": "/some where/v1/chat/completions",
	} {
		f := newFake(t, nil)
		f.spoil = func(x *exchange) bool {
			if x.r.URL.Path != want {
				t.Errorf("%q asks %q, want %q", form, x.r.URL.Path, want)
			}
			return false
		}
		c := newClient(t, func(cfg *openai.Config) { cfg.Endpoints = []string{f.URL + form} })
		generate(t, c, request(1), f)
	}
}

// TestCheckAsksAsTheRunWill refuses what would refuse every request of a run, and names
// the remedy, and waits out what passes.
func TestCheckAsksAsTheRunWill(t *testing.T) {
	t.Parallel()
	system := func(x *exchange) bool {
		all, _ := x.body["messages"].([]any)
		return len(all) > 1 && x.status(400, `{"message":"System role not supported"}`)
	}
	c := newClient(t, func(cfg *openai.Config) { cfg.System = true }, newFake(t, system))
	if err := c.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "--prompt-style single") {
		t.Errorf("Check = %v, want the remedy for a template without a system role", err)
	}
	blip := func(x *exchange) bool {
		if x.body["top_k"] == nil || x.body["return_token_ids"] == nil {
			t.Error("a refusal that passes cost the request a field")
		}
		return x.k < 4 && x.status(400, `{"error":{"message":"Provider returned error","code":400}}`)
	}
	f := newFake(t, blip)
	c = newClient(t, func(cfg *openai.Config) { cfg.InFlight = 8 }, f)
	if got, err := c.Generate(t.Context(), request(20)); err != nil || len(got) != 20 {
		t.Errorf("Generate gave %d samples, %v; want 20 after a refusal that passes", len(got), err)
	}
}

// TestCheckAsksByTheRunsFields wants a field of the run's sampling that the server does not take refused before
// any work starts, wherever the check is made.
func TestCheckAsksByTheRunsFields(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(x *exchange) bool {
		if x.body["top_k"] == nil {
			return false
		}
		return x.status(400, `{"error":{"message":"Unrecognized request argument supplied: top_k"}}`)
	})
	for topK, want := range map[int]string{0: "", 20: "the endpoint does not take top_k = 20"} {
		c := newClient(t, func(cfg *openai.Config) { cfg.Sampling = engine.Sampling{TopP: 0.9, TopK: topK} }, f)
		err := c.Check(t.Context())
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("Check with top_k %d = %v, want %q", topK, err, want)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, asked := range f.asked {
		if asked["top_p"] != 0.9 || asked["max_tokens"] != 1.0 {
			t.Errorf("Check asked %v, want the run's sampling and one token", asked)
		}
	}
}

// TestCheckAsksForChoices wants the check to ask for as many choices at once as the run will, and the run not to
// ask for more than the check found.
func TestCheckAsksForChoices(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		spoil func(*exchange) bool
		most  float64
	}{
		"all":     {func(*exchange) bool { return false }, 8},
		"refused": {func(x *exchange) bool { return x.n > 2 && x.status(400, "") }, 2},
		"ignored": {func(x *exchange) bool { x.texts = x.texts[:min(x.n, 2)]; return false }, 2},
		"passing": {func(x *exchange) bool { return x.k == 2 && x.status(500, "") }, 8},
	} {
		f := newFake(t, tt.spoil)
		c := newClient(t, func(cfg *openai.Config) { cfg.Choices = 8 }, f)
		if err := c.Check(t.Context()); err != nil {
			t.Errorf("%s: Check = %v", name, err)
		}
		before := f.requests()
		if before < 2 || f.asked[1]["n"] != 8.0 {
			t.Errorf("%s: Check asked %d times, at last for %v", name, before, f.asked)
		}
		generate(t, c, request(8), f)
		for _, asked := range f.asked[before:] {
			if asked["n"] != tt.most {
				t.Errorf("%s: the run asks for n = %v, want %v", name, asked["n"], tt.most)
			}
		}
	}
}
