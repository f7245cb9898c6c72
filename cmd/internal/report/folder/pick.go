package folder

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// A Picked is a few samples of a cell, chosen for variety.
type Picked struct {
	Samples []Sample
	Looked  int // samples among which they were chosen
}

// A Sample is one of a cell with how often its program was met.
type Sample struct {
	result.Sample
	Seen int // samples with the same program and verdict among those looked at
}

// windows is into how many pieces a look at a part of a file is cut, so that
// samples come from all along it and not from its first units alone.
const windows = 8

// maxLine bounds one sample's JSON. A longer one is passed over.
const maxLine = 1 << 20

// Pick chooses at most want samples: one of each verdict, then further ones, of
// different programs. It reads at most about limit bytes of the cell, from all
// along its file, or from its beginning if that is compressed. A cell without a
// file gives none.
func (c *Cell) Pick(ctx context.Context, want int, limit int64) (*Picked, error) {
	p := &picker{want: want, seed: maphash.MakeSeed(), groups: make(map[stream.Verdict][]*candidate), known: make(map[uint64]*candidate)}
	if c.Path == "" || want < 1 {
		return &Picked{}, nil
	}
	f, err := os.Open(c.Path)
	if err != nil {
		return nil, fmt.Errorf("read samples: %w", err)
	}
	if strings.HasSuffix(c.Path, ".zst") {
		err = p.compressed(ctx, f, limit)
	} else {
		err = p.plain(ctx, f, limit)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("read samples of %s: %w", c.Path, err)
	}
	if p.looked == 0 && c.N+c.Unscored > 0 {
		if err := p.document(ctx, c.Path); err != nil {
			return nil, err
		}
	}
	return p.picked()
}

// A candidate is a sample that may be picked.
type candidate struct {
	raw  []byte
	seen int
}

type picker struct {
	want   int
	seed   maphash.Seed
	groups map[stream.Verdict][]*candidate
	known  map[uint64]*candidate // by hash of verdict and program
	looked int
	in     *bufio.Reader // reused
	line   []byte        // reused
}

func (p *picker) plain(ctx context.Context, f *os.File, limit int64) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	size := info.Size()
	if size <= limit {
		return p.lines(ctx, f, size)
	}
	each := limit / windows
	for i := range int64(windows) {
		from := i * (size - each) / (windows - 1)
		if err := p.lines(ctx, io.NewSectionReader(f, from, size-from), each); err != nil {
			return err
		}
	}
	return nil
}

func (p *picker) compressed(ctx context.Context, f *os.File, limit int64) error {
	d, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20))
	if err != nil {
		return err
	}
	defer d.Close()
	return p.lines(ctx, d, limit)
}

// lines looks at the samples in the first n bytes of r, which are one a line, and
// finishes the one that spans the end. What it finds before the first end of a
// line, or after the last one, may be part of a sample; look knows one by its
// ends. A file that ends within a sample is looked at up to there.
func (p *picker) lines(ctx context.Context, r io.Reader, n int64) error {
	if p.in == nil {
		p.in = bufio.NewReaderSize(r, 128<<10)
	}
	p.in.Reset(r)
	for read := int64(0); read < n; {
		p.line = p.line[:0]
		long := false
		for {
			part, err := p.in.ReadSlice('\n')
			read += int64(len(part))
			if long = long || len(p.line)+len(part) > maxLine; !long {
				p.line = append(p.line, part...)
			}
			if errors.Is(err, bufio.ErrBufferFull) {
				continue
			}
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				read = n
			} else if err != nil {
				return err
			}
			break
		}
		if long {
			continue
		}
		if p.looked%256 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		p.look(bytes.TrimRight(p.line, ", \t\r\n"))
	}
	return nil
}

// document reads a cell whose samples are not one a line, as another writer may
// have left it: its first ones.
func (p *picker) document(ctx context.Context, path string) error {
	const most = 1000
	cell, err := result.OpenCell(path)
	if err != nil {
		return err
	}
	for s, err := range cell.Samples() {
		if err != nil || ctx.Err() != nil || p.looked >= most {
			break // what came before a fault can be shown; the fault is verify's to tell
		}
		p.look(result.AppendSample(nil, &s))
	}
	return cell.Close()
}

var (
	verdictKey = []byte(`,"verdict":"`)
	codeKey    = []byte(`,"code":"`)
	passedKey  = []byte(`,"passed":`)
)

// look notes one sample by the bytes of its JSON. Within a JSON string a quote
// always follows a backslash, so that these keys are never a program's own text.
func (p *picker) look(raw []byte) {
	if !bytes.HasPrefix(raw, []byte(`{"index":`)) || raw[len(raw)-1] != '}' {
		return
	}
	_, rest, ok := bytes.Cut(raw, verdictKey)
	if !ok {
		return
	}
	verdict, _, ok := bytes.Cut(rest, []byte(`"`))
	if !ok {
		return
	}
	p.looked++
	_, code, _ := bytes.Cut(raw, codeKey)
	code, _, _ = bytes.Cut(code, passedKey)
	var h maphash.Hash
	h.SetSeed(p.seed)
	_, _ = h.Write(verdict) // a Hash takes everything
	_, _ = h.Write(code)
	key := h.Sum64()
	if c := p.known[key]; c != nil {
		c.seen++
		return
	}
	var v stream.Verdict
	if v.UnmarshalText(verdict) != nil || len(p.groups[v]) >= p.want {
		return
	}
	c := &candidate{raw: bytes.Clone(raw), seen: 1}
	p.known[key] = c
	p.groups[v] = append(p.groups[v], c)
}

// picked takes from each verdict in turn until there are enough.
func (p *picker) picked() (*Picked, error) {
	out := &Picked{Looked: p.looked}
	for round := 0; len(out.Samples) < p.want; round++ {
		some := false
		for _, v := range stream.Verdicts() {
			if round >= len(p.groups[v]) || len(out.Samples) >= p.want {
				continue
			}
			some = true
			c := p.groups[v][round]
			s, err := result.ParseSample(c.raw)
			if err != nil || s.Validate() != nil {
				continue // a damaged one; verify names it
			}
			out.Samples = append(out.Samples, Sample{s, c.seen})
		}
		if !some {
			break
		}
	}
	return out, nil
}
