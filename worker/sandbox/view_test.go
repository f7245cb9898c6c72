package sandbox

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestViewOf(t *testing.T) {
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	at := func(path string) string { return filepath.Join(dir, path) }
	for _, sub := range []string{"usr/lib/python", "usr/lib/python/site", "opt"} {
		if err := os.MkdirAll(at(sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(at("opt/python3.11"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, link := range [][2]string{{"usr/lib", "lib"}, {at("opt/python3.11"), "python3"}, {"loop", "loop"}} {
		if err := os.Symlink(link[0], at(link[1])); err != nil {
			t.Fatal(err)
		}
	}
	got, err := viewOf([]string{at("python3"), at("lib/python"), at("usr/lib/python/site"), at("absent")})
	want := []fixture{
		{Path: at("lib"), Link: "usr/lib"},
		{Path: at("opt/python3.11")},
		{Path: at("python3"), Link: at("opt/python3.11")},
		{Path: at("usr/lib/python"), Dir: true},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("viewOf = %+v, %v, want %+v", got, err, want)
	}
	if _, err := viewOf([]string{at("loop")}); err == nil {
		t.Error("viewOf a loop of links = nil error")
	}
}

func TestIsLibraryDir(t *testing.T) {
	t.Parallel()
	for dir, want := range map[string]bool{
		"/usr/lib/x86_64-linux-gnu": true, "/lib64": true, "/opt/conda/lib": true, "/usr/lib/python3.11": true,
		"/v/site-packages/numpy/core": true, "/v/numpy.libs": true,
		"/root": false, "/home/u/project": false, "/": false, "/usr/bin": false,
	} {
		if got := isLibraryDir(dir); got != want {
			t.Errorf("isLibraryDir(%q) = %v, want %v", dir, got, want)
		}
	}
}
