package embed

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// An Owner says who runs the server on a store directory, and where it listens.
type Owner struct {
	Process string // Config.Owner
	URL     string
}

// ErrNotRunning is returned by OwnerOf where no server runs.
var ErrNotRunning = errors.New("no server runs on this store directory")

// writeOwner writes o into the lock file.
func writeOwner(lock *os.File, o Owner) error {
	text, err := json.Marshal(o)
	if err == nil {
		err = lock.Truncate(0)
	}
	if err == nil {
		_, err = lock.WriteAt(append(text, '\n'), 0)
	}
	if err != nil {
		return fmt.Errorf("write owner of store directory: %w", err)
	}
	return nil
}

// OwnerOf returns who runs the server on a store directory of this machine. Its error wraps
// ErrNotRunning where nobody does.
func OwnerOf(dir string) (Owner, error) {
	var o Owner
	f, err := os.Open(filepath.Join(dir, LockName))
	if errors.Is(err, fs.ErrNotExist) {
		return o, fmt.Errorf("%s: %w", dir, ErrNotRunning)
	}
	if err != nil {
		return o, fmt.Errorf("look who runs on store directory: %w", err)
	}
	defer func() { _ = unlock(f) }() // nothing was written
	switch err := flock(f); {
	case err == nil: // nobody held the lock; unlock drops it
		return o, fmt.Errorf("%s: %w", dir, ErrNotRunning)
	case !errors.Is(err, ErrStoreInUse):
		return o, err
	}
	text, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err == nil {
		err = json.Unmarshal(text, &o)
	}
	if err != nil { // the server is starting and has not written its owner yet
		return o, fmt.Errorf("read owner of store directory %s: %w", dir, err)
	}
	return o, nil
}
