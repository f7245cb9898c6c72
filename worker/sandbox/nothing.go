package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// nothing returns files that give nothing and take everything, for a child's standard input and
// output: the null device, or pipes where a container has no such device.
func nothing(device string) (in, out *os.File, err error) {
	info, err := os.Stat(device)
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return deadPipe()
	}
	if in, err = os.OpenFile(device, os.O_RDONLY, 0); err != nil {
		return deadPipe()
	}
	if out, err = os.OpenFile(device, os.O_WRONLY, 0); err != nil {
		_ = in.Close()
		return deadPipe()
	}
	return in, out, nil
}

// deadPipe returns a pipe's end that reads as empty, and one whose other end is read and thrown
// away until the last process that can write to it has ended.
func deadPipe() (in, out *os.File, err error) {
	in, inWriter, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("stand in for the null device: %w", err)
	}
	outReader, out, err := os.Pipe()
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("stand in for the null device: %w", err), in.Close(), inWriter.Close())
	}
	if err := inWriter.Close(); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("stand in for the null device: %w", err), in.Close(), out.Close(), outReader.Close())
	}
	go func() {
		_, _ = io.Copy(io.Discard, outReader) // its end is all that counts
		_ = outReader.Close()
	}()
	return in, out, nil
}
