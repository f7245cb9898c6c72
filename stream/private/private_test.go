package private_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/lcbq/lcbq/stream/private"
)

// TestWrite wants the owner alone to read what was written, also where others could read what was there before,
// and nothing to be left of a write that failed.
func TestWrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "keys")
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil { //nolint:gosec // that others can read it is the point
		t.Fatal(err)
	}
	if err := private.Write(path, []byte("new")); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	info, statErr := os.Stat(path)
	if err != nil || statErr != nil || string(text) != "new" || info.Mode().Perm() != 0o600 {
		t.Errorf("the file holds %q, %v, mode %v, %v, want new and 0600", text, err, info.Mode(), statErr)
	}
	folder := filepath.Join(dir, "folder")
	if err := os.MkdirAll(filepath.Join(folder, "in it"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := private.Write(folder, []byte("x")); err == nil {
		t.Error("a folder was replaced by a file")
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 2 {
		t.Errorf("the directory holds %v, %v, want the file and the folder", left, err)
	}
}
