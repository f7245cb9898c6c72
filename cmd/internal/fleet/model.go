package fleet

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A Hub says where models come from, as the hub's own tools are told.
type Hub struct {
	Endpoint string // address of the hub or a mirror; "" is the hub
	Token    string
	Home     string // HF_HOME; "" is ~/.cache/huggingface
	Cache    string // HF_HUB_CACHE; "" is hub in Home
	Offline  bool   // open no connection
}

// hubFor bounds one question to the hub.
const hubFor = 15 * time.Second

// CheckModel returns an error with a remedy if the model is neither a folder with a
// model in it, nor in the hub's cache, nor on the hub. A name of another form is left to
// vLLM: it loads from more places than these.
func CheckModel(ctx context.Context, model string, hub Hub) error {
	if info, err := os.Stat(model); err == nil {
		if info.IsDir() && !hasConfig(model) {
			return fmt.Errorf("use model %s: the folder holds neither config.json nor params.json\ngive the folder of a model with --model", model)
		}
		return nil
	}
	parts := strings.Split(model, "/")
	switch {
	case strings.ContainsAny(model, ":\\"):
		return nil // an object store, or a file within a repository
	case filepath.IsAbs(model), strings.HasPrefix(model, "."), strings.HasPrefix(model, "~"), len(parts) > 2:
		return fmt.Errorf("use model %s: there is no such folder\ngive the folder of a model, or its name on the hub such as Qwen/Qwen3-0.6B, with --model", model)
	}
	if cached(model, hub) {
		return nil
	}
	if hub.Offline {
		return fmt.Errorf("use model %s: it is not in the hub's cache, and connections are off\nfetch it where there is a network (hf download %s), give a folder with --model, or unset HF_HUB_OFFLINE", model, model)
	}
	return onHub(ctx, model, hub)
}

func hasConfig(dir string) bool {
	for _, name := range []string{"config.json", "params.json"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}

// cached reports whether the hub's cache holds a snapshot of the model.
func cached(model string, hub Hub) bool { return snapshot(model, hub) != "" }

// modelFolder returns the folder that holds the model, "" where it is not here yet.
func modelFolder(model string, hub Hub) string {
	if info, err := os.Stat(model); err == nil && info.IsDir() {
		return model
	}
	return snapshot(model, hub)
}

// snapshot returns the folder of the hub's cache that holds the model, "" where there is none.
func snapshot(model string, hub Hub) string {
	dir := hub.Cache
	if dir == "" {
		home := hub.Home
		if home == "" {
			user, err := os.UserHomeDir()
			if err != nil {
				return ""
			}
			home = filepath.Join(user, ".cache", "huggingface")
		}
		dir = filepath.Join(home, "hub")
	}
	found, err := filepath.Glob(filepath.Join(dir, "models--"+strings.ReplaceAll(model, "/", "--"), "snapshots", "*", "*.json"))
	if err != nil || len(found) == 0 {
		return ""
	}
	return filepath.Dir(found[len(found)-1])
}

// onHub asks the hub for the model's configuration, as vLLM will.
func onHub(ctx context.Context, model string, hub Hub) error {
	base := strings.TrimRight(hub.Endpoint, "/")
	if base == "" {
		base = "https://huggingface.co"
	}
	ctx, cancel := context.WithTimeoutCause(ctx, hubFor, fmt.Errorf("no answer within %v", hubFor))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, base+"/"+model+"/resolve/main/config.json", nil)
	if err != nil {
		return fmt.Errorf("use model %q: %w\ngive a name on the hub such as Qwen/Qwen3-0.6B with --model", model, err)
	}
	if hub.Token != "" {
		req.Header.Set("Authorization", "Bearer "+hub.Token)
	}
	// Where the file lies does not matter: a redirection says that it is there.
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return fmt.Errorf("use model %s: it is not in the hub's cache, and the hub does not answer: %w\nfetch it where there is a network (hf download %s), name a mirror with HF_ENDPOINT, or give a folder with --model", model, err, model)
	}
	if err := resp.Body.Close(); err != nil {
		return err
	}
	switch {
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		return fmt.Errorf("use model %s: the hub says %q: there is no such model, or it is gated\ncheck the name; for a gated one accept its licence on its page and set HF_TOKEN", model, resp.Status)
	case resp.StatusCode == http.StatusNotFound:
		if resp.Header.Get("X-Error-Code") == "EntryNotFound" {
			return nil // a repository without config.json: vLLM knows other forms
		}
		return fmt.Errorf("use model %s: the hub has no such model\ncheck the name, or give a folder with --model", model)
	case resp.StatusCode >= http.StatusInternalServerError:
		return errors.New("use model " + model + ": the hub says " + resp.Status + "\ntry again later, or give a folder with --model")
	}
	return nil
}
