package result

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/lcbq/lcbq/stream"
)

// writeBuffer is how much text is gathered before it is hashed, compressed and
// handed to the kernel: large enough that none of these shows per call.
const writeBuffer = 256 << 10

// zstdWindow bounds what the compressor holds. Programs repeat within a cell at
// a short distance, so a larger window buys little: 1 MiB costs a few MiB.
const zstdWindow = 1 << 20

// A Digest identifies a cell's content: the uncompressed JSON, however stored.
type Digest struct {
	SHA256 string `json:"sha256"` // hex
	Bytes  int64  `json:"bytes"`  // length of the uncompressed JSON
}

// A CellWriter writes one cell's file as a stream: its memory does not grow with
// the number of samples. The document is one JSON object, the header's fields
// first, then "completions", one sample a line. If the path ends in .zst it is
// compressed.
//
// Since the header comes first the counts are needed first: the caller makes one
// pass over the samples with a Tally and a second to write them. Commit refuses
// a header that does not match what was written. A CellWriter is used by one
// goroutine; it must end in Commit or Abort.
type CellWriter struct {
	header Header
	seen   stream.Counts
	audit  stream.AuditTally
	next   int // index that Add expects
	file   *pending
	zstd   *zstd.Encoder // nil if uncompressed
	buf    *bufio.Writer // in front of sink
	sum    hash.Hash
	size   int64
	line   []byte // of the sample being written, reused
	err    error  // sticky
}

// CreateCell starts a cell's file at path. Nothing appears there before Commit.
func CreateCell(path string, h *Header) (*CellWriter, error) {
	return createCell(realDisk{}, path, h)
}

func createCell(d disk, path string, h *Header) (*CellWriter, error) {
	if err := h.Validate(); err != nil {
		return nil, fmt.Errorf("create cell %s: %w", path, err)
	}
	head, err := marshal(h, "")
	if err != nil {
		return nil, fmt.Errorf("create cell %s: %w", path, err)
	}
	file, err := createPending(d, path)
	if err != nil {
		return nil, fmt.Errorf("create cell: %w", err)
	}
	w := &CellWriter{header: *h, file: file, sum: sha256.New()}
	if strings.HasSuffix(path, zstdSuffix) {
		w.zstd, err = zstd.NewWriter(file, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(zstdWindow))
		if err != nil {
			return nil, fmt.Errorf("create cell %s: %w", path, errors.Join(err, file.abort()))
		}
	}
	w.buf = bufio.NewWriterSize(writerFunc(w.sink), writeBuffer)
	head = append(head[:len(head)-1], `,"completions":[`...) // in place of the closing brace
	w.put(head)
	return w, nil
}

// Add writes the cell's next sample. It refuses one that is not valid or not the
// next by index, and after any error every call returns that error.
func (w *CellWriter) Add(s *Sample) error {
	if w.err != nil {
		return w.err
	}
	if s.Index != w.next {
		return w.fail(fmt.Errorf("add sample: index = %d, want %d: samples come in order, each once", s.Index, w.next))
	}
	if err := s.Validate(); err != nil {
		return w.fail(fmt.Errorf("add sample: %w", err))
	}
	if err := w.header.fits(s); err != nil {
		return w.fail(fmt.Errorf("add sample: %w", err))
	}
	w.line = w.line[:0]
	if w.next > 0 {
		w.line = append(w.line, ',')
	}
	w.line = append(w.line, '\n')
	w.line = AppendSample(w.line, s)
	w.next++
	w.seen.Count(&s.Sample, &s.Judgement)
	w.audit.Count(&s.Judgement)
	w.put(w.line)
	return w.err
}

// Commit ends the document and makes it appear at its path, durably. It refuses
// a header whose counts are not those of the samples; then, and after any other
// error, nothing is left on disk, unless only the sync of the folder failed.
func (w *CellWriter) Commit() (Digest, error) {
	d, err := w.Seal()
	if err != nil {
		return Digest{}, err
	}
	return d, w.Appear()
}

// Seal ends the document and puts it on disk under its temporary name, Temp. It
// refuses what Commit refuses. What is sealed ends in Appear or Abort.
func (w *CellWriter) Seal() (Digest, error) {
	if w.err != nil {
		return Digest{}, errors.Join(w.err, w.Abort())
	}
	w.seen.Audit = w.audit.Audit()
	if diffs := disagreements(&w.header.Counts, &w.seen); len(diffs) > 0 {
		err := w.fail(fmt.Errorf("commit cell: header does not match: %s", strings.Join(diffs, "; ")))
		return Digest{}, errors.Join(err, w.Abort())
	}
	w.put([]byte("\n]}\n"))
	if w.err == nil {
		if err := w.buf.Flush(); err != nil {
			w.err = w.fail(err)
		}
	}
	if w.err == nil && w.zstd != nil {
		if err := w.zstd.Close(); err != nil {
			w.err = w.fail(err)
		}
	}
	if w.err != nil {
		return Digest{}, errors.Join(w.err, w.Abort())
	}
	w.err = fmt.Errorf("write cell %s: used after commit", w.file.path)
	if err := w.file.seal(); err != nil {
		return Digest{}, fmt.Errorf("commit cell %s: %w", w.file.path, err)
	}
	return Digest{hex.EncodeToString(w.sum.Sum(nil)), w.size}, nil
}

// Temp returns the name of the temporary file in the path's folder, "" once it has
// appeared. Whoever removes the file keeps it from appearing.
func (w *CellWriter) Temp() string {
	if w.file.temp == "" {
		return ""
	}
	return filepath.Base(w.file.temp)
}

// Appear gives a sealed file its name, durably. Its error wraps fs.ErrNotExist if
// the temporary file was removed.
func (w *CellWriter) Appear() error {
	if err := w.file.appear(); err != nil {
		return fmt.Errorf("commit cell %s: %w", w.file.path, err)
	}
	return nil
}

// Abort drops the file. It does nothing after Commit, so it may be deferred.
func (w *CellWriter) Abort() error {
	if w.err == nil {
		w.err = fmt.Errorf("write cell %s: used after abort", w.file.path)
	}
	if err := w.file.abort(); err != nil {
		return fmt.Errorf("abort cell: %w", err)
	}
	return nil
}

func (w *CellWriter) fail(err error) error {
	w.err = fmt.Errorf("cell %s: %w", w.file.path, err)
	return w.err
}

func (w *CellWriter) put(b []byte) {
	if _, err := w.buf.Write(b); err != nil && w.err == nil {
		w.err = w.fail(err)
	}
}

// sink takes the document's bytes, buffer by buffer.
func (w *CellWriter) sink(b []byte) (int, error) {
	w.sum.Write(b)
	w.size += int64(len(b))
	var out io.Writer = w.file
	if w.zstd != nil {
		out = w.zstd
	}
	return out.Write(b)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
