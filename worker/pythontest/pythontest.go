// Package pythontest runs Python beside tests that compare Go code with it. It knows no
// script: each test has its own.
package pythontest

import (
	"io"
	"os"
	"os/exec"
	"testing"
)

// Find returns the interpreter: LCBQ_PYTHON if it is set, else the system's, else the first on
// PATH. It skips the test where there is none.
func Find(tb testing.TB) string {
	tb.Helper()
	if p, ok := os.LookupEnv("LCBQ_PYTHON"); ok && p != "" {
		return p
	}
	for _, p := range []string{"/usr/bin/python3", "python3"} {
		if path, err := exec.LookPath(p); err == nil {
			return path
		}
	}
	tb.Skip("no Python 3 found: set LCBQ_PYTHON to one")
	return ""
}

// Start runs the interpreter with arguments until the test ends, and returns its input and output.
// What it writes to stderr is the test's.
func Start(tb testing.TB, args ...string) (in io.Writer, out io.Reader) {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), Find(tb), args...)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait() // it ends with its input, at the latest with the test's context
	})
	return stdin, stdout
}
