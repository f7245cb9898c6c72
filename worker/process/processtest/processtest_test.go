package processtest

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// TestWrite has programs written and run beside each other.
func TestWrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for k := range 25 {
				path := filepath.Join(dir, fmt.Sprint(i, "-", k))
				Write(t, path, []byte("#!/bin/sh\nexit 7\n"))
				err := exec.CommandContext(t.Context(), path).Run()
				if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.ExitCode() != 7 {
					t.Errorf("run %s: %v, want status 7", path, err)
				}
			}
		})
	}
	all.Wait()
}
