package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// An object is what these tests read of one in a file for Kubernetes.
type object struct {
	Kind     string
	Metadata struct{ Name string }
	Spec     struct {
		Replicas    int
		ServiceName string `yaml:"serviceName"`
		Template    struct{ Spec podSpec }
		Ports       []struct {
			Name string
			Port int
		}
		Triggers []struct {
			Type, MetricType string
			Metadata         map[string]string
		}
	}
}

type podSpec struct {
	InitContainers []podContainer `yaml:"initContainers"`
	Containers     []podContainer
}

type podContainer struct {
	Name  string
	Args  []string
	Env   []struct{ Name, Value string }
	Ports []struct {
		Name          string
		ContainerPort int `yaml:"containerPort"`
	}
	StartupProbe, LivenessProbe, ReadinessProbe *podProbe `yaml:"-"`
}

type podProbe struct {
	HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
}

// UnmarshalYAML takes the names of probes as Kubernetes writes them.
func (c *podContainer) UnmarshalYAML(n *yaml.Node) error {
	type plain podContainer
	var probes struct {
		Startup   *podProbe `yaml:"startupProbe"`
		Liveness  *podProbe `yaml:"livenessProbe"`
		Readiness *podProbe `yaml:"readinessProbe"`
	}
	if err := errors.Join(n.Decode((*plain)(c)), n.Decode(&probes)); err != nil {
		return err
	}
	c.StartupProbe, c.LivenessProbe, c.ReadinessProbe = probes.Startup, probes.Liveness, probes.Readiness
	return nil
}

// objectsOf reads a file for Kubernetes.
func objectsOf(t *testing.T, text string) []object {
	t.Helper()
	var out []object
	for text := range strings.SplitSeq(text, "\n---\n") { // no anchor is known in another document
		var o object
		if err := yaml.Unmarshal([]byte(text), &o); err != nil {
			t.Fatal(err)
		}
		out = append(out, o)
	}
	return out
}

func containersOf(objects []object) []podContainer {
	var out []podContainer
	for _, o := range objects {
		out = append(append(out, o.Spec.Template.Spec.InitContainers...), o.Spec.Template.Spec.Containers...)
	}
	return out
}

// TestRecipeForKubernetes wants the servers of the StatefulSet to accept their settings, the workers to look for
// them where they are, and a server to answer the probes and KEDA as the file asks.
func TestRecipeForKubernetes(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(recipes, "kubernetes.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	objects := objectsOf(t, string(text))
	find := func(kind, name string) object {
		i := slices.IndexFunc(objects, func(o object) bool { return o.Kind == kind && o.Metadata.Name == name })
		if i < 0 {
			t.Fatalf("the file has no %s %s", kind, name)
		}
		return objects[i]
	}
	set := find("StatefulSet", "lcbq")
	server := set.Spec.Template.Spec.Containers[0]
	ports := make(map[string]int)
	for _, p := range server.Ports {
		ports[p.Name] = p.ContainerPort
	}
	for _, p := range find("Service", set.Spec.ServiceName).Spec.Ports {
		if ports[p.Name] != p.Port {
			t.Errorf("the service has the port %s at %d, the server at %d", p.Name, p.Port, ports[p.Name])
		}
	}
	var members, clients []string
	for i := range set.Spec.Replicas {
		host := fmt.Sprintf("%s-%d.%s", set.Metadata.Name, i, set.Spec.ServiceName)
		members = append(members, fmt.Sprintf("%s-%d=%s:%d", set.Metadata.Name, i, host, ports["route"]))
		clients = append(clients, fmt.Sprintf("tls://%s:%d", host, ports["client"]))
	}
	dir := t.TempDir()
	for i := range set.Spec.Replicas {
		var args []string
		for _, a := range server.Args {
			a = strings.ReplaceAll(a, "$(POD_NAME)", fmt.Sprintf("%s-%d", set.Metadata.Name, i))
			a = strings.ReplaceAll(a, "/data/lcbq", filepath.Join(dir, "none"))
			args = append(args, regexp.MustCompile(`=0\.0\.0\.0:[0-9]+$`).ReplaceAllString(a, "=127.0.0.1:0")) // those may be taken here
		}
		if !slices.Contains(args, "--cluster="+strings.Join(members, ",")) {
			t.Errorf("%v: the pods are %v", args, members)
		}
		// All that it lacks are the keys.
		if said := says(t, 1, args...); !strings.Contains(said, "no keys in the store") {
			t.Errorf("lcbq %v:\n%s", args, said)
		}
	}
	for _, c := range containersOf(objects) {
		for _, e := range c.Env {
			if e.Name == "LCBQ_NATS" && e.Value != strings.Join(clients, ",") {
				t.Errorf("%s looks for the servers at %s, they are at %v", c.Name, e.Value, clients)
			}
		}
	}

	// A server with the tokens that the secret would hold.
	const viewer = "a-token-of-the-secret-for-viewers"
	store := filepath.Join(dir, "store")
	if err := os.MkdirAll(store, 0o700); err != nil {
		t.Fatal(err)
	}
	tokens := fmt.Sprintf(`{"viewer_token":%q,"operator_token":"a-token-of-the-secret-for-operators"}`, viewer)
	if !strings.Contains(string(text), `--from-literal=http.json="{\"viewer_token\":\"$v\",\"operator_token\":\"$o\"}"`) {
		t.Error("the file makes other tokens")
	}
	if err := os.WriteFile(filepath.Join(store, "http.json"), []byte(tokens), 0o600); err != nil {
		t.Fatal(err)
	}
	f := newFleet(t, "")
	port, release := freePort(t)
	release()
	f.serve("--store-dir", store, "--http", "127.0.0.1:"+port)
	ask := func(path, token string) (int, []byte) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:"+port+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, nil
		}
		defer resp.Body.Close() //nolint:errcheck // only read
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, body
	}
	for _, probe := range []string{server.StartupProbe.HTTPGet.Path, server.LivenessProbe.HTTPGet.Path, server.ReadinessProbe.HTTPGet.Path} {
		waitUntil(t, probe+" says that the server is well", func() bool { status, _ := ask(probe, ""); return status == http.StatusOK })
	}
	trigger := find("ScaledObject", "lcbq-evaluate").Spec.Triggers[0]
	target, err := url.Parse(trigger.Metadata["url"])
	if err != nil || trigger.Metadata["authMode"] != "bearer" || target.Hostname() != find("Service", "lcbq-http").Metadata.Name || target.Port() != fmt.Sprint(ports["http"]) {
		t.Fatalf("the trigger asks %v: %v", trigger.Metadata, err)
	}
	if status, _ := ask(target.Path, ""); status != http.StatusUnauthorized {
		t.Errorf("%s without a token: %d, want it refused", target, status)
	}
	var body []byte
	waitUntil(t, "the backlog is known", func() bool {
		var status int
		status, body = ask(target.Path, viewer)
		return status == http.StatusOK
	})
	var at any
	if err := json.Unmarshal(body, &at); err != nil {
		t.Fatal(err)
	}
	for key := range strings.SplitSeq(trigger.Metadata["valueLocation"], ".") {
		m, _ := at.(map[string]any)
		at = m[key]
	}
	if seconds, ok := at.(float64); !ok || seconds != 0 {
		t.Errorf("%s of %s is %v, want the number 0 of a server without work", trigger.Metadata["valueLocation"], body, at)
	}
}
