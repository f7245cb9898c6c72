package sandbox

import (
	"encoding/binary"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// encodeInputs lays out a question's inputs as the fork server reads them:
// count u32, each length u64, then the texts.
func encodeInputs(inputs []string) []byte {
	size := 4 + 8*len(inputs)
	for _, in := range inputs {
		size += len(in)
	}
	buf := make([]byte, 0, size)
	buf = binary.LittleEndian.AppendUint32(buf, uint32(len(inputs)))
	for _, in := range inputs {
		buf = binary.LittleEndian.AppendUint64(buf, uint64(len(in)))
	}
	for _, in := range inputs {
		buf = append(buf, in...)
	}
	return buf
}

// A supply makes a descriptor from which data can be read. The caller closes
// it, and calls done once the reader is through with it.
type supply func(data []byte) (fd int, done func(), err error)

// sealedFile is a supply by a file in memory that nobody can ever change.
func sealedFile(data []byte) (fd int, done func(), err error) {
	fd, err = unix.MemfdCreate("lcbq-inputs", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return -1, nil, fmt.Errorf("make file for inputs: %w", err)
	}
	if err := fillMemfd(fd, data); err != nil {
		_ = unix.Close(fd)
		return -1, nil, err
	}
	return fd, func() {}, nil
}

// fillMemfd writes data to fd, seals it and rewinds it.
func fillMemfd(fd int, data []byte) error {
	for rest := data; len(rest) > 0; {
		n, err := unix.Write(fd, rest)
		if err != nil {
			return fmt.Errorf("write inputs of %d bytes: %w", len(data), err)
		}
		rest = rest[n:]
	}
	seals := unix.F_SEAL_WRITE | unix.F_SEAL_GROW | unix.F_SEAL_SHRINK | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return fmt.Errorf("seal inputs: %w", err)
	}
	if _, err := unix.Seek(fd, 0, unix.SEEK_SET); err != nil {
		return fmt.Errorf("rewind inputs: %w", err)
	}
	return nil
}

// feedPipe is a supply by a pipe and a goroutine that feeds it, for kernels
// that have no memfd, or forbid it.
func feedPipe(data []byte) (fd int, done func(), err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return -1, nil, fmt.Errorf("open pipe for inputs: %w", err)
	}
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		// A reader that stops early is no error of ours: it says what it
		// missed on the control socket.
		_, _ = w.Write(data)
		_ = w.Close()
	}()
	fd, err = unix.FcntlInt(r.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(fd, false)
	}
	_ = r.Close()
	done = func() {
		_ = w.Close()
		<-fed
	}
	if err != nil {
		done()
		return -1, nil, fmt.Errorf("open pipe for inputs: %w", err)
	}
	return fd, done, nil
}
