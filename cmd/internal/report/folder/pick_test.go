package folder_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/lcbq/lcbq/cmd/internal/report/folder"
	"github.com/lcbq/lcbq/cmd/internal/report/reporttest"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// oneCell writes a cell of n samples and returns it.
func oneCell(t *testing.T, n int, alter func(*result.Sample)) (*folder.Cell, string) {
	t.Helper()
	dir := t.TempDir()
	s := &reporttest.Sweep{Questions: 1, Temperatures: []float64{0.5}, N: n, Rate: func(int, float64) float64 { return 0.5 }, Alter: func(_ int, _ float64, x *result.Sample) { alter(x) }}
	if err := s.Write(dir); err != nil {
		t.Fatal(err)
	}
	return open(t, dir).Cell(0, 0), dir
}

func pick(t *testing.T, c *folder.Cell, want int, limit int64) *folder.Picked {
	t.Helper()
	p, err := c.Pick(t.Context(), want, limit)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestPickPrefersVariety: a rare verdict is shown, and no program twice.
func TestPickPrefersVariety(t *testing.T) {
	t.Parallel()
	c, _ := oneCell(t, 300, func(s *result.Sample) {
		s.Code, s.Verdict, s.ErrorCode, s.Test = "print(1)", stream.Passed, nil, nil
		if s.Index == 150 {
			code := -3
			s.Verdict, s.ErrorCode, s.Code = stream.TimeLimit, &code, `while 1: ,"verdict":"passed"`
		}
	})
	p := pick(t, c, 5, 1<<30)
	if p.Looked != 300 || len(p.Samples) != 2 || p.Samples[0].Seen != 299 || p.Samples[1].Verdict != stream.TimeLimit || p.Samples[1].Index != 150 {
		t.Errorf("looked at %d, picked %+v", p.Looked, p.Samples)
	}
}

// TestPickReadsAllAlong: with less to read than there is, samples come from all
// along the file, whole.
func TestPickReadsAllAlong(t *testing.T) {
	t.Parallel()
	c, _ := oneCell(t, 3000, func(s *result.Sample) {
		s.Code, s.Verdict, s.ErrorCode, s.Test = fmt.Sprint("p", s.Index), stream.Passed, nil, nil
	})
	const limit = 256 << 10
	p := pick(t, c, 1000, limit)
	if p.Looked < 80 || p.Looked > 700 || len(p.Samples) != p.Looked {
		t.Fatalf("looked at %d, picked %d", p.Looked, len(p.Samples))
	}
	var first, last int
	for _, s := range p.Samples {
		if s.Code != fmt.Sprint("p", s.Index) {
			t.Errorf("sample %d has the program %q", s.Index, s.Code)
		}
		first, last = min(first, s.Index), max(last, s.Index)
	}
	if first > 10 || last < 2900 {
		t.Errorf("samples from %d to %d of 3000", first, last)
	}
}

func TestPickKeepsWithin(t *testing.T) {
	t.Parallel()
	c, _ := oneCell(t, 100, func(*result.Sample) {})
	for want := range 12 {
		if p := pick(t, c, want, 1<<30); len(p.Samples) != want {
			t.Errorf("picked %d, want %d", len(p.Samples), want)
		}
	}
}

func TestPickCompressed(t *testing.T) {
	t.Parallel()
	_, dir := oneCell(t, 200, func(*result.Sample) {})
	path := result.CellPath(dir, 0, 0.5)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	put(t, result.CompressedCellPath(dir, 0, 0.5), string(w.EncodeAll(content, nil)))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	remove(t, path)
	r := open(t, dir)
	if len(r.Notes) != 0 {
		t.Errorf("notes %q", r.Notes)
	}
	if p := pick(t, r.Cell(0, 0), 4, 1<<30); p.Looked != 200 || len(p.Samples) != 4 {
		t.Errorf("looked at %d, picked %d", p.Looked, len(p.Samples))
	}
	if p := pick(t, r.Cell(0, 0), 4, 16<<10); p.Looked == 0 || p.Looked > 60 {
		t.Errorf("looked at %d of 16 KiB", p.Looked)
	}
}

// TestPickOtherWriters: a file that another program has laid out its own way is
// read too.
func TestPickOtherWriters(t *testing.T) {
	t.Parallel()
	_, dir := oneCell(t, 30, func(*result.Sample) {})
	path := result.CellPath(dir, 0, 0.5)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	put(t, path, strings.ReplaceAll(string(content), "\n", ""))
	if p := pick(t, open(t, dir).Cell(0, 0), 4, 1<<30); p.Looked != 30 || len(p.Samples) != 4 {
		t.Errorf("looked at %d, picked %d", p.Looked, len(p.Samples))
	}
}

// TestPickHalf: a file that breaks off gives what it has.
func TestPickHalf(t *testing.T) {
	t.Parallel()
	_, dir := oneCell(t, 100, func(*result.Sample) {})
	halve(t, result.CellPath(dir, 0, 0.5))
	p := pick(t, open(t, dir).Cell(0, 0), 4, 1<<30)
	if p.Looked < 30 || p.Looked > 70 || len(p.Samples) != 4 {
		t.Errorf("looked at %d, picked %d", p.Looked, len(p.Samples))
	}
}
