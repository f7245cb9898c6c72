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

// sealedFile returns a descriptor from which data can be read and through
// which nobody can ever change it. Where the kernel has no memfd, or forbids
// it, the descriptor is the end of a pipe that a goroutine feeds; stop ends
// that goroutine and must be called once the reader is done.
func sealedFile(data []byte) (fd int, stop func(), err error) {
	fd, err = unix.MemfdCreate("lcbq-inputs", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return feedPipe(data)
	}
	if err := fillMemfd(fd, data); err != nil {
		unix.Close(fd)
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

// feedPipe returns the reading end of a pipe that carries data.
func feedPipe(data []byte) (fd int, stop func(), err error) {
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
	stop = func() {
		_ = w.Close()
		<-fed
	}
	if err != nil {
		stop()
		return -1, nil, fmt.Errorf("open pipe for inputs: %w", err)
	}
	return fd, stop, nil
}
