package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A smallDisk is a file system of the test's own that can be filled up. Only root
// may mount one.
type smallDisk struct{ dir string }

// mountDisk mounts a tmpfs of the given size until the test ends.
func mountDisk(t *testing.T, dir string, bytes int) (*smallDisk, error) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=755", bytes)); err != nil {
		return nil, fmt.Errorf("mount a tmpfs: %w", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return &smallDisk{dir}, nil
}

func (d *smallDisk) filler() string { return filepath.Join(d.dir, "filler") }

// fill takes what is free, to the last byte; empty gives it back.
func (d *smallDisk) fill() error {
	var st unix.Statfs_t
	if err := unix.Statfs(d.dir, &st); err != nil {
		return err
	}
	f, err := os.OpenFile(d.filler(), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	for left := int64(st.Bfree) * st.Bsize; left >= st.Bsize; { //nolint:gosec // a small disk
		at, err := f.Seek(0, 2)
		if err != nil {
			return errors.Join(err, f.Close())
		}
		switch err := unix.Fallocate(int(f.Fd()), 0, at, left); {
		case errors.Is(err, unix.ENOSPC): // others write too
			left /= 2
		case err != nil:
			return errors.Join(err, f.Close())
		}
	}
	return f.Close()
}

func (d *smallDisk) empty() error {
	err := os.Remove(d.filler())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// TestServerOnFullDisk wants a server that is started on a full disk to say so and what to do, with
// nothing left running.
func TestServerOnFullDisk(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	d, err := mountDisk(t, filepath.Join(f.dir, "disk"), 16<<20)
	if err != nil {
		t.Skip(err)
	}
	if err := d.fill(); err != nil {
		t.Fatal(err)
	}
	out, err := f.lcbq(t, nil, "server", "--listen", "127.0.0.1:0", "--store-dir", filepath.Join(d.dir, "store")).CombinedOutput()
	for _, want := range []string{"no space left on device", "make room there"} {
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("server on a full disk: %v, want %q in\n%s", err, want, out)
		}
	}
}
