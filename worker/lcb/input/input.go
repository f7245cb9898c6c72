// Package input opens text files as people have them: plain, gzip or zstd, with
// or without a byte order mark. It tells the form by the content, never by the
// name, and does not know what the text says.
package input

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// A Text is the plain text of a file.
type Text struct {
	*bufio.Reader
	Mark       int64 // bytes of the byte order mark that was left out
	Compressed bool  // the file's bytes are others: its text has no places in the file
	close      func()
}

// Close frees what decompressing needs. It closes no file.
func (t *Text) Close() { t.close() }

// The bounds of a compressed file. A few kilobytes can claim to hold terabytes;
// recorded completions shrink ten times, equal ones a thousand times.
const (
	freeBytes = 256 << 20 // below this any ratio is accepted
	maxRatio  = 10_000
	maxWindow = 512 << 20 // zstd's memory; `zstd --long=29` needs this much
)

var errBomb = fmt.Errorf("it expands to more than %d times its size, which no recording does\ndecompress it yourself if it is what you want", maxRatio)

// foreign are the starts of files that hold no text.
var foreign = []struct{ start, name string }{
	{"PK\x03\x04", "a zip archive, want the file in it"},
	{"\xfd7zXZ\x00", "xz data, want it decompressed (xz -d)"},
	{"BZh", "bzip2 data, want it decompressed (bunzip2)"},
	{"PAR1", "a Parquet file, want JSON"},
	{"SQLite format 3", "a SQLite database, want JSON"},
	{"\xff\xfe", "UTF-16 text, want UTF-8 (iconv -f UTF-16 -t UTF-8)"},
	{"\xfe\xff", "UTF-16 text, want UTF-8 (iconv -f UTF-16 -t UTF-8)"},
}

// Open returns the text that r holds. The caller closes it. A file that holds
// another kind of data is an error that says which.
func Open(r io.Reader) (*Text, error) {
	counted := &counter{r: r}
	in := bufio.NewReaderSize(counted, 64<<10)
	t := &Text{Reader: in, close: func() {}}
	head, err := in.Peek(16)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, fmt.Errorf("gzip data: %w", err)
		}
		t.Compressed, t.Reader = true, bufio.NewReaderSize(&expanded{r: z, from: counted, form: "gzip"}, 64<<10)
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}), len(head) > 4 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:4], []byte{0x2a, 0x4d, 0x18}):
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(1<<63))
		if err != nil {
			return nil, fmt.Errorf("zstd data: %w", err)
		}
		t.close = z.Close
		t.Compressed, t.Reader = true, bufio.NewReaderSize(&expanded{r: z, from: counted, form: "zstd"}, 64<<10)
	}
	if err := t.begin(); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// begin leaves the byte order mark out and refuses what is no text.
func (t *Text) begin() error {
	head, err := t.Peek(16)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for _, f := range foreign {
		if bytes.HasPrefix(head, []byte(f.start)) {
			return fmt.Errorf("the file is %s", f.name)
		}
	}
	if t.Compressed && bytes.HasPrefix(head, []byte{0x1f, 0x8b}) {
		return errors.New("the file is compressed twice, want it once at most")
	}
	if bytes.HasPrefix(head, []byte("\uFEFF")) {
		n, err := t.Discard(len("\uFEFF"))
		t.Mark = int64(n)
		return err
	}
	return nil
}

// A counter counts the bytes that are read.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// expanded is decompressed data, refused where it is out of proportion. It says
// of which form broken data are.
type expanded struct {
	r    io.Reader
	from *counter
	form string
	n    int64
}

func (e *expanded) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	if e.n += int64(n); e.n > freeBytes && e.n/maxRatio > e.from.n {
		return n, errBomb
	}
	switch {
	case err == nil, errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return n, err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return n, fmt.Errorf("%s data end too early: was the file cut?: %w", e.form, err)
	default:
		return n, fmt.Errorf("%s data are broken: %w", e.form, err)
	}
}
