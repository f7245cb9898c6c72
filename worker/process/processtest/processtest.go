// Package processtest makes programs for tests to run.
package processtest

import (
	"os"
	"syscall"
	"testing"
)

// Write writes a program to path. This process starts no other one meanwhile: that would inherit the open file, and for as
// long as it held it the kernel would refuse to run the program (text file busy).
func Write(tb testing.TB, path string, text []byte) {
	tb.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, text, 0o755); err != nil { //nolint:gosec // a program, perhaps another user's
		tb.Fatal(err)
	}
}
