package result

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"os"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/lcbq/lcbq/stream"
)

// maxSample bounds one sample's JSON, so that a damaged file cannot take all
// memory. The longest completion that a model can make is far below it.
const maxSample = 256 << 20

// maxHeader bounds the JSON in front of the samples.
const maxHeader = 1 << 20

// A Cell reads a cell's file as a stream, compressed or not. It is used by one
// goroutine and must be closed.
type Cell struct {
	path   string
	header Header
	seen   stream.Counts
	audit  stream.AuditTally
	next   int
	file   *os.File
	zstd   *zstd.Decoder // nil if uncompressed
	in     *bufio.Reader
	digest *digester
	raw    []byte // of the sample being read, reused
	done   bool
}

// OpenCell opens the cell's file at path and reads its header.
func OpenCell(path string) (*Cell, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open cell: %w", err)
	}
	c := &Cell{path: path, file: f}
	if err := c.readHeader(); err != nil {
		return nil, fmt.Errorf("open cell %s: %w", path, errors.Join(err, c.Close()))
	}
	return c, nil
}

func (c *Cell) readHeader() error {
	var in io.Reader = c.file
	if strings.HasSuffix(c.path, zstdSuffix) {
		dec, err := zstd.NewReader(c.file, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8*zstdWindow))
		if err != nil {
			return err
		}
		c.zstd, in = dec, dec
	}
	c.digest = &digester{in: in, sum: sha256.New()}
	c.in = bufio.NewReaderSize(c.digest, writeBuffer)

	head, err := readToCompletions(c.in)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(head, &c.header); err != nil {
		return fmt.Errorf("header: %w", err)
	}
	return c.header.Validate()
}

// Header returns what the file says before its samples.
func (c *Cell) Header() Header { return c.header }

// Samples returns the cell's samples in order. The sequence ends at the first
// error, which it yields last. An error is also: an index out of order, counts
// in the header that are not those of the samples, a document that does not end
// as it should. The samples are read once: a second call yields nothing.
func (c *Cell) Samples() iter.Seq2[Sample, error] {
	return func(yield func(Sample, error) bool) {
		for !c.done {
			s, err := c.nextSample()
			if errors.Is(err, io.EOF) {
				c.done = true
				return
			}
			if err != nil {
				c.done = true
				yield(Sample{}, fmt.Errorf("read cell %s: %w", c.path, err))
				return
			}
			if !yield(s, nil) {
				return
			}
		}
	}
}

// nextSample returns io.EOF, bare, after a good end.
func (c *Cell) nextSample() (Sample, error) {
	first, err := skipSpace(c.in)
	if err != nil {
		return Sample{}, unexpected(err)
	}
	if first == ']' {
		return Sample{}, c.end()
	}
	if c.next > 0 {
		if first != ',' {
			return Sample{}, fmt.Errorf("after sample %d: %q, want a comma or the end", c.next-1, first)
		}
		if first, err = skipSpace(c.in); err != nil {
			return Sample{}, unexpected(err)
		}
	}
	if first != '{' {
		return Sample{}, fmt.Errorf("sample %d: %q, want an object", c.next, first)
	}
	c.raw, err = readObject(c.raw[:0], c.in)
	if err != nil {
		return Sample{}, fmt.Errorf("sample %d: %w", c.next, unexpected(err))
	}
	s, err := ParseSample(c.raw)
	if err != nil {
		return Sample{}, fmt.Errorf("sample %d: %w", c.next, err)
	}
	if s.Index != c.next {
		return Sample{}, fmt.Errorf("sample %d: index = %d: samples come in order, each once", c.next, s.Index)
	}
	if err := s.Validate(); err != nil {
		return Sample{}, err
	}
	if err := c.header.fits(&s); err != nil {
		return Sample{}, err
	}
	c.next++
	c.seen.Count(&s.Sample, &s.Judgement)
	c.audit.Count(&s.Judgement)
	return s, nil
}

// end reads what follows the last sample and compares the counts.
func (c *Cell) end() error {
	if b, err := skipSpace(c.in); err != nil || b != '}' {
		return fmt.Errorf("after the samples: %q (%w), want the closing brace", b, unexpected(err))
	}
	if b, err := skipSpace(c.in); err == nil {
		return fmt.Errorf("after the document: %q, want the end of the file", b)
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	c.seen.Audit = c.audit.Audit()
	if diffs := disagreements(&c.header.Counts, &c.seen); len(diffs) > 0 {
		return fmt.Errorf("header does not match: %s", strings.Join(diffs, "; "))
	}
	return io.EOF
}

// Digest returns the digest of the content, once Samples has come to a good end.
func (c *Cell) Digest() Digest {
	return Digest{hex.EncodeToString(c.digest.sum.Sum(nil)), c.digest.size}
}

// Close releases the file.
func (c *Cell) Close() error {
	if c.zstd != nil {
		c.zstd.Close()
	}
	return c.file.Close()
}

// digester hashes what passes through it.
type digester struct {
	in   io.Reader
	sum  hash.Hash
	size int64
}

func (d *digester) Read(b []byte) (int, error) {
	n, err := d.in.Read(b)
	d.sum.Write(b[:n])
	d.size += int64(n)
	return n, err
}

// readToCompletions reads a document up to the opening bracket of its
// completions and returns what came before as an object of its own.
func readToCompletions(in *bufio.Reader) ([]byte, error) {
	var head []byte
	for {
		part, err := in.ReadSlice('[')
		if head = append(head, part...); len(head) > maxHeader {
			return nil, errors.New(`header: no "completions" in its first MiB`)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("header: %w", unexpected(err))
		}
		if object, ok := cutCompletions(head); ok {
			return object, nil
		}
	}
}

// cutCompletions turns `{"a":1,"completions":[` into `{"a":1}`. A title that only
// looks like the key does not parse, and the search goes on behind it.
func cutCompletions(head []byte) ([]byte, bool) {
	rest := bytes.TrimRight(head[:len(head)-1], " \t\r\n")
	rest, ok := bytes.CutSuffix(rest, []byte{':'})
	if !ok {
		return nil, false
	}
	rest, ok = bytes.CutSuffix(bytes.TrimRight(rest, " \t\r\n"), []byte(`"completions"`))
	if !ok {
		return nil, false
	}
	rest, _ = bytes.CutSuffix(bytes.TrimRight(rest, " \t\r\n"), []byte{','})
	object := append(bytes.Clone(rest), '}')
	return object, json.Valid(object)
}

func skipSpace(in *bufio.Reader) (byte, error) {
	for {
		b, err := in.ReadByte()
		if err != nil || (b != ' ' && b != '\n' && b != '\r' && b != '\t') {
			return b, err
		}
	}
}

// readObject appends to raw an object whose opening brace was read already.
func readObject(raw []byte, in *bufio.Reader) ([]byte, error) {
	raw = append(raw, '{')
	for depth, quoted, escaped := 1, false, false; ; {
		if _, err := in.Peek(1); err != nil {
			return raw, err
		}
		chunk, err := in.Peek(in.Buffered())
		if err != nil {
			return raw, err
		}
		end := -1
	scan:
		for i, b := range chunk {
			switch {
			case escaped:
				escaped = false
			case b == '"':
				quoted = !quoted
			case quoted:
				escaped = b == '\\'
			case b == '{' || b == '[':
				depth++
			case b == '}' || b == ']':
				if depth--; depth == 0 {
					end = i + 1
					break scan
				}
			}
		}
		if end >= 0 {
			chunk = chunk[:end]
		}
		raw = append(raw, chunk...)
		if _, err := in.Discard(len(chunk)); err != nil {
			return raw, err
		}
		if end >= 0 {
			return raw, nil
		}
		if len(raw) > maxSample {
			return raw, fmt.Errorf("more than %d bytes", maxSample)
		}
	}
}

// unexpected says that a file ended too early; other errors stay as they are.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
