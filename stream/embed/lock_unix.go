package embed

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// flock takes f's exclusive lock or returns ErrStoreInUse at once.
func flock(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrStoreInUse
	}
	if err != nil {
		return fmt.Errorf("flock: %w", err)
	}
	return nil
}

// unlock closes f and frees its lock at once. Closing alone would leave the lock to a process that is
// just being started, which has f until it runs its program.
func unlock(f *os.File) error {
	return errors.Join(unix.Flock(int(f.Fd()), unix.LOCK_UN), f.Close())
}
