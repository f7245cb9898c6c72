package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
