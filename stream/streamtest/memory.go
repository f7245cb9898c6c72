package streamtest

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// roomInMemory is the least that a file system in memory must have free for tests to use it.
const roomInMemory = 1 << 30

// Memory returns a folder for temporary ones that is held in memory, and whether there is one with room in which programs
// may be executed. A store makes many small files: on a disk that other tests keep busy, a test waits for most of its time.
func Memory() (dir string, ok bool) {
	dir = "/dev/shm"
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil || fs.Type != unix.TMPFS_MAGIC {
		return "", false
	}
	free := fs.Bavail * uint64(fs.Bsize) //nolint:gosec // a size
	return dir, free >= roomInMemory && fs.Flags&(unix.ST_NOEXEC|unix.ST_RDONLY) == 0 && unix.Access(dir, unix.W_OK) == nil
}

// storeDir returns a folder for a server's store that is gone when the test ends, in memory if possible.
func storeDir(tb testing.TB) string {
	tb.Helper()
	memory, ok := Memory()
	if !ok {
		return tb.TempDir()
	}
	dir, err := os.MkdirTemp(memory, "lcbq-test-") //nolint:usetesting // T.TempDir is on the disk
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	return dir
}
