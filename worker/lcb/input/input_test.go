package input

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

func gz(t *testing.T, parts ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, p := range parts { // members, as `cat a.gz b.gz` makes them
		w := gzip.NewWriter(&b)
		if _, err := io.WriteString(w, p); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func zst(t *testing.T, parts ...string) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	for _, p := range parts {
		out = w.EncodeAll([]byte(p), out)
	}
	return out
}

func TestOpen(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file       []byte
		want       string
		mark       int64
		compressed bool
	}{
		"plain":        {[]byte("{}\n"), "{}\n", 0, false},
		"nothing":      {nil, "", 0, false},
		"mark":         {[]byte("\uFEFF{}"), "{}", 3, false},
		"mark alone":   {[]byte("\uFEFF"), "", 3, false},
		"gzip":         {gz(t, "\uFEFF{}\r\n", "[]"), "{}\r\n[]", 3, true},
		"zstd":         {zst(t, "{}", "[]"), "{}[]", 0, true},
		"zstd, a skip": {append([]byte{0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 'x'}, zst(t, "{}")...), "{}", 0, true},
	} {
		text, err := Open(bytes.NewReader(c.file))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := io.ReadAll(text)
		if err != nil || string(got) != c.want || text.Mark != c.mark || text.Compressed != c.compressed {
			t.Errorf("%s: %q, %v, mark %d, compressed %v, want %+v", name, got, err, text.Mark, text.Compressed, c)
		}
		text.Close()
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	whole := gz(t, strings.Repeat("completion ", 1000))
	broken := bytes.Clone(zst(t, strings.Repeat("completion ", 1000)))
	broken[len(broken)-1] ^= 1
	for want, file := range map[string][]byte{
		"zip archive":         []byte("PK\x03\x04 and more"),
		"Parquet":             []byte("PAR1..."),
		"bzip2":               []byte("BZh91AY"),
		"UTF-16":              {0xff, 0xfe, '{', 0},
		"compressed twice":    gz(t, string(whole)),
		"end too early":       whole[:len(whole)-9],
		"zstd data are broke": broken,
		"gzip data":           {0x1f, 0x8b, 0xff},
	} {
		text, err := Open(bytes.NewReader(file))
		if err == nil {
			_, err = io.Copy(io.Discard, text)
			text.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// TestBomb wants data that expand out of proportion refused soon after the size that any ratio may have.
func TestBomb(t *testing.T) {
	t.Parallel()
	// A frame of a window of 128 KiB and blocks that repeat one byte as often, 8 GiB in all.
	b := bytes.NewBuffer([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38})
	for i := range 64 << 10 {
		last := 0
		if i == 64<<10-1 {
			last = 1
		}
		head := last | 1<<1 | (128<<10)<<3
		b.Write([]byte{byte(head), byte(head >> 8), byte(head >> 16), '\n'})
	}
	text, err := Open(b)
	if err != nil {
		t.Fatal(err)
	}
	defer text.Close()
	if n, err := io.Copy(io.Discard, text); !errors.Is(err, errBomb) || n > 1<<30 {
		t.Errorf("%d bytes came, %v, want the refusal of a bomb", n, err)
	}
}
