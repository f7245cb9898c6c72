package report

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sync/errgroup"

	"github.com/lcbq/lcbq/cmd/internal/report/figure"
	"github.com/lcbq/lcbq/cmd/internal/report/folder"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// Bounds of what is shown of one sample. A longer program is cut, and says so.
const (
	mostProgram = 6000
	mostDetail  = 1500
)

// leastLook is how much of a cell is read even where there are very many.
const leastLook = 256 << 10

// A shownCell is one cell in the page's browser of samples.
type shownCell struct {
	T       string        `json:"t"`
	N       int           `json:"n"` // samples of the cell, scored or not
	Passed  int           `json:"p"`
	Looked  int           `json:"l"` // samples among which those shown were chosen
	Note    string        `json:"x,omitempty"`
	Samples []shownSample `json:"s"`
}

// A shownSample is a sample as files spell it, all its fields, with what the page
// leaves out of them.
type shownSample struct {
	folder.Sample
	prose bool // there was no program: the completion is shown
	cut   int  // bytes not shown
}

// MarshalJSON writes the fields of the cell's file and the page's own after them.
func (s *shownSample) MarshalJSON() ([]byte, error) {
	b := result.AppendSample(nil, &s.Sample.Sample)
	return fmt.Appendf(b[:len(b)-1], `,"prose":%v,"cut":%d,"seen":%d}`, s.prose, s.cut, s.Seen), nil
}

// A block is one question's cells, as the page carries them: gzip in base64, which
// holds no character that means anything to HTML whatever the programs say.
type block struct {
	Question int // position
	Data     string
}

// blocks picks samples question by question, within the room that is left: what one
// question does not use the next ones may. Memory holds one question at a time
// beside what goes into the page.
func (r *Report) blocks(ctx context.Context) ([]block, error) {
	cells := 0
	for q := range r.Questions {
		for t := range r.Temperatures {
			if c := r.Cell(q, t); c != nil && c.Path != "" {
				cells++
			}
		}
	}
	look := max(leastLook, r.opts.Look/int64(max(1, cells)))
	room := r.opts.Room
	var out []block
	for q := range r.Questions {
		shown, err := r.pick(ctx, q, look)
		if err != nil {
			return nil, err
		}
		share := room / (len(r.Questions) - q)
		data, err := fit(shown, share)
		if err != nil {
			return nil, fmt.Errorf("pack samples of question %d: %w", r.Questions[q].Index, err)
		}
		room -= len(data)
		out = append(out, block{q, data})
	}
	return out, nil
}

// readers is how many cells are read side by side: a disk far away answers several
// as fast as one.
const readers = 4

func (r *Report) pick(ctx context.Context, q int, look int64) ([]shownCell, error) {
	var out []shownCell
	var cells []*folder.Cell
	for t, temperature := range r.Temperatures {
		if c := r.Cell(q, t); c != nil {
			cells = append(cells, c)
			out = append(out, shownCell{T: figure.Temperature(temperature), N: c.N + c.Unscored, Passed: c.Passed, Note: c.Note, Samples: []shownSample{}})
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	for i, c := range cells {
		group.Go(func() error { return out[i].fill(ctx, c, r.opts.Samples, look) })
	}
	return out, group.Wait()
}

// fill picks the cell's samples. What cannot be read is noted; the error is ctx's.
func (s *shownCell) fill(ctx context.Context, c *folder.Cell, most int, look int64) error {
	if c.Path == "" {
		s.Note = "its samples are not in the folder"
		return nil
	}
	picked, err := c.Pick(ctx, most, look)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		s.Note = err.Error()
		return nil //nolint:nilerr // the reader of the page is told
	}
	s.Looked = picked.Looked
	for i := range picked.Samples {
		s.Samples = append(s.Samples, show(&picked.Samples[i]))
	}
	return nil
}

// show cuts a sample to what a person reads: its program, or its completion if there
// is none.
func show(s *folder.Sample) shownSample {
	out := shownSample{Sample: *s, prose: strings.TrimSpace(s.Code) == ""}
	if out.prose {
		out.Code = ""
		out.Completion, out.cut = cut(s.Completion, mostProgram)
	} else {
		out.Completion = ""
		out.Code, out.cut = cut(s.Code, mostProgram)
	}
	out.Detail, _ = cut(s.Detail, mostDetail)
	return out
}

// cut shortens a text at a boundary of characters and returns how many bytes
// are gone.
func cut(s string, most int) (string, int) {
	if len(s) <= most {
		return s, 0
	}
	kept := strings.ToValidUTF8(s[:most], "")
	return kept, len(s) - len(kept)
}

// fit packs cells with as many samples each as the room allows. At least the counts
// are always packed. Packing is most of a page's work, so what was too much says where
// to try next: the size is about in proportion to the samples.
func fit(cells []shownCell, room int) (string, error) {
	most := 0
	for _, c := range cells {
		most = max(most, len(c.Samples))
	}
	try := func(n int) (string, error) {
		some := slices.Clone(cells)
		for i := range some {
			some[i].Samples = some[i].Samples[:min(n, len(some[i].Samples))]
		}
		return pack(some)
	}
	fits, n := "", most // what fits so far
	for low, high := 0, most; low <= high; {
		data, err := try(n)
		if err != nil {
			return "", err
		}
		if len(data) <= room || n == 0 {
			fits, low = data, n+1
			n++
			continue
		}
		high = n - 1
		n = max(low, min(high, n*room/len(data)))
	}
	return fits, nil
}

// packing is the level of gzip: the highest of those that cost a fraction of the last ones' work.
const packing = 6

func pack(v any) (string, error) {
	var buf bytes.Buffer
	zip, err := gzip.NewWriterLevel(&buf, packing)
	if err != nil {
		return "", err
	}
	enc := json.NewEncoder(zip)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "", err
	}
	if err := zip.Close(); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(buf.Bytes()), nil
}
