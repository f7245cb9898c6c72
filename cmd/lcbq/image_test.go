package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/lcbq/lcbq/worker/sandbox/sandboxtest"
)

// An image is what the Containerfile makes, without its layers.
type image struct {
	root  string   // of the system with its packages, as debootstrap makes it
	lcbq  string   // the static binary
	runs  []string // commands besides that of the packages
	env   []string
	user  int
	entry []string
	cmd   []string
}

// readImage follows the Containerfile's last stage. Its system is assembled from packages here, once for all tests
// of this user, because registries may be out of reach.
func readImage(t *testing.T) image {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(recipes, "Containerfile"))
	if err != nil {
		t.Fatal(err)
	}
	var img image
	suite, packages := "", ""
	list := func(args string) (words []string) {
		if err := json.Unmarshal([]byte(args), &words); err != nil {
			t.Fatalf("%s: %v", args, err)
		}
		return words
	}
	install := regexp.MustCompile(`^apt-get update && apt-get install -y --no-install-recommends ([a-z0-9 -]+) && rm -rf /var/lib/apt/lists/\*$`)
	for line := range strings.Lines(string(text)) {
		word, args, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch word {
		case "FROM":
			img = image{}
			suite = strings.TrimSuffix(strings.TrimPrefix(args, "docker.io/library/debian:"), "-slim")
		case "RUN":
			if found := install.FindStringSubmatch(args); found != nil {
				packages = strings.ReplaceAll(found[1], " ", ",")
			} else {
				img.runs = append(img.runs, args)
			}
		case "ENV":
			img.env = append(img.env, args)
		case "USER":
			uid, _, _ := strings.Cut(args, ":")
			if img.user, err = strconv.Atoi(uid); err != nil {
				t.Fatalf("USER %s: want a number", args)
			}
		case "ENTRYPOINT":
			img.entry = list(args)
		case "CMD":
			img.cmd = list(args)
		}
	}
	if suite == "" || packages == "" || img.user == 0 || len(img.entry) != 1 {
		t.Fatalf("the Containerfile is read as %+v, %q, %q", img, suite, packages)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(packages))
	img.root = filepath.Join(cache, "lcbq", "images", suite+"-"+hex.EncodeToString(sum[:4]))
	if _, err := os.Stat(img.root); err != nil {
		if err := os.MkdirAll(filepath.Dir(img.root), 0o755); err != nil { //nolint:gosec // for the container's user
			t.Fatal(err)
		}
		half, err := os.MkdirTemp(filepath.Dir(img.root), "half-") //nolint:usetesting // renamed, so on the same disk
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.RemoveAll(half) }()
		out, err := exec.CommandContext(t.Context(), "debootstrap", "--variant=minbase", "--include="+packages, suite, half).CombinedOutput()
		if err != nil {
			t.Fatalf("debootstrap: %v\n%s", err, out[max(0, len(out)-2000):])
		}
		if err := os.Chmod(half, 0o755); err != nil { //nolint:gosec // the root of a system
			t.Fatal(err)
		}
		if err := os.Rename(half, img.root); err != nil {
			t.Fatal(err)
		}
	}
	img.lcbq = filepath.Join(t.TempDir(), "lcbq")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", img.lcbq, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return img
}

// container is a command in the image, by runc, with Docker's default profile, a read-only root, the host's network
// and the folder data. The image's user has no capabilities, root those that Docker leaves.
func (img image) container(t *testing.T, name string, uid int, data string, args ...string) *exec.Cmd {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "runc", "spec", "--bundle", dir).CombinedOutput(); err != nil {
		t.Fatalf("runc spec: %v: %s", err, out)
	}
	path := filepath.Join(dir, "config.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var spec map[string]any
	if err := json.Unmarshal(text, &spec); err != nil {
		t.Fatal(err)
	}
	caps := []string{}
	if uid == 0 {
		caps = sandboxtest.DockerCaps
	}
	spec["process"] = map[string]any{
		"user": map[string]any{"uid": uid, "gid": uid}, "cwd": "/data", "args": append(slices.Clone(img.entry), args...),
		"env":             append([]string{"PATH=/usr/local/bin:/usr/bin:/bin"}, img.env...),
		"capabilities":    map[string]any{"bounding": sandboxtest.DockerCaps, "effective": caps, "permitted": caps},
		"noNewPrivileges": uid != 0,
	}
	spec["root"] = map[string]any{"path": "rootfs", "readonly": true}
	mounts, _ := spec["mounts"].([]any)
	spec["mounts"] = append(mounts,
		map[string]any{"source": data, "destination": "/data", "type": "bind", "options": []string{"bind", "rw"}},
		map[string]any{"source": "/etc/hosts", "destination": "/etc/hosts", "type": "bind", "options": []string{"bind", "ro"}},
		map[string]any{"source": "tmpfs", "destination": "/tmp", "type": "tmpfs", "options": []string{"mode=1777"}})
	linux, _ := spec["linux"].(map[string]any)
	spaces, _ := linux["namespaces"].([]any)
	linux["namespaces"] = slices.DeleteFunc(spaces, func(s any) bool { m, _ := s.(map[string]any); return m["type"] == "network" })
	linux["seccomp"] = sandboxtest.DockerSeccomp(t)
	if text, err = json.Marshal(spec); err == nil {
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	script := "set -e\ncd " + dir + "\nmkdir up rootfs\nmount --make-rprivate /\nmount -t tmpfs -o mode=755 none up\nmkdir up/u up/w\n" +
		"mount -t overlay overlay -o lowerdir=" + img.root + ",upperdir=up/u,workdir=up/w rootfs\ninstall -m 0755 " + img.lcbq + " rootfs" + img.entry[0] + "\n"
	for _, run := range img.runs {
		script += "chroot rootfs " + run + "\n"
	}
	script += "exec runc --root " + dir + "/state run --bundle . " + name + "\n"
	cmd := exec.CommandContext(t.Context(), "unshare", "-m", "sh", "-c", script)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // runc hands it on, so that no program is left
	return cmd
}

// TestRecipeForImage assembles the image of the Containerfile and has it say what it can do, judge a file, and be
// the evaluator of a sweep, as its own user and as root.
func TestRecipeForImage(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	if os.Geteuid() != 0 {
		t.Skip("needs root, to run containers")
	}
	for _, name := range []string{"runc", "debootstrap", "unshare"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("needs %s", name)
		}
	}
	img := readImage(t)
	for _, tt := range []struct {
		name, level string
		uid         int
	}{{"its user", "C", img.user}, {"root", "B", 0}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir, err := os.MkdirTemp("", "lcbq-image-") //nolint:usetesting // T.TempDir is closed to other users
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = os.RemoveAll(dir) }()
			data := filepath.Join(dir, "data")
			own := func() {
				if out, err := exec.CommandContext(t.Context(), "chown", "-R", fmt.Sprintf("%d:%d", tt.uid, tt.uid), data).CombinedOutput(); err != nil {
					t.Fatalf("chown: %v\n%s", err, out)
				}
			}
			if err := os.Mkdir(data, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // for the container's user
				t.Fatal(err)
			}
			example, err := command(t, "dataset", "example").Output()
			if err != nil {
				t.Fatal(err)
			}
			for file, text := range map[string]string{
				"p.jsonl": string(example),
				"a.jsonl": `{"question_id": "own_sum", "code": "import numpy\nprint(int(numpy.sum(list(map(int, input().split())))))"}` + "\n",
			} {
				if err := os.WriteFile(filepath.Join(data, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			id := fmt.Sprintf("lcbq-%d-%d", os.Getpid(), tt.uid)
			own()
			out, err := img.container(t, id+"-doctor", tt.uid, data, append(slices.Clone(img.cmd), "--json")...).Output()
			var findings []struct{ Check, Says string }
			if err != nil || json.Unmarshal(out, &findings) != nil {
				t.Fatalf("doctor: %v\n%s", err, out)
			}
			if i := slices.IndexFunc(findings, func(f struct{ Check, Says string }) bool { return f.Check == "sandbox level" }); i < 0 || !strings.HasPrefix(findings[i].Says, tt.level+",") {
				t.Errorf("doctor: %s, want the sandbox level %s", out, tt.level)
			}
			heard, err := img.container(t, id+"-grade", tt.uid, data, "grade", "--problems", "p.jsonl", "--completions", "a.jsonl", "-o", "v.jsonl").CombinedOutput()
			verdicts, rerr := os.ReadFile(filepath.Join(data, "v.jsonl"))
			if err != nil || rerr != nil || !strings.Contains(string(verdicts), `"passed"`) {
				t.Errorf("a program with numpy: %v, %v\n%s\n%s", err, rerr, heard, verdicts)
			}

			store, results := filepath.Join(dir, "store"), filepath.Join(dir, "out")
			server, url, _ := serveElsewhere(t, store)
			defer func() { _ = server.Process.Kill() }()
			creds := filepath.Join(data, "w.creds")
			says(t, 0, "token", "--role", "evaluator", "--ttl", "1h", "--store-dir", store, "--to", creds)
			own()
			says(t, 0, "submit", "--store-dir", store, "-o", results, "--run", "image", "--end", "2", "--n", "40", "--unit-size", "10", "--temperatures", "0.2,0.7")
			log := new(said)
			evaluator := img.container(t, id+"-evaluate", tt.uid, data, "evaluate", "--nats", url, "--creds", "w.creds", "--evaluators", "2")
			evaluator.Stderr = log
			if err := evaluator.Start(); err != nil {
				t.Fatal(err)
			}
			generator := start(t, "generate", "--store-dir", store)
			says(t, 0, "combine", "--store-dir", store, "--run", "image")
			if text := says(t, 0, "verify", results); !strings.Contains(text, "4 cells, 160 samples") {
				t.Errorf("verify:\n%s", text)
			}
			if err := evaluator.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if status := wait(t, evaluator); status != 0 {
				t.Errorf("a container that SIGTERM ends: exit status %d, want 0\n%s", status, log)
			}
			interrupt(t, generator)
			interrupt(t, server)
		})
	}
}
