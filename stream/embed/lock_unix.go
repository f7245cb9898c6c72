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
