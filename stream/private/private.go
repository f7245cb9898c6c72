// Package private writes files that their owner alone can read: keys, tokens, and what says whose a store is.
package private

import (
	"errors"
	"os"
	"path/filepath"
)

// Write writes a file of mode 0600, whatever the umask, the directory's mode and what was there before. At each
// moment, after a crash too, the file holds all of the old text or all of the new.
func Write(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // its mode is 0600
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
