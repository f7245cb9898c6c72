package result

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkWriteCell writes a cell of 10,000 samples of 2 KB.
func BenchmarkWriteCell(b *testing.B) {
	benchmarkCell(b, CellPath)
}

func BenchmarkWriteCellZstd(b *testing.B) {
	benchmarkCell(b, CompressedCellPath)
}

func bigSamples() []Sample {
	all := samples(10_000)
	body := strings.Repeat("for i in range(n):\n    total += a[i] * \"x\"  # ünïcode\n", 16)
	for i := range all {
		all[i].Code = fmt.Sprintf("%s\nprint(%d)\n", body, i)
		all[i].Completion = "Here it is:\n```python\n" + all[i].Code + "```\n"
	}
	return all
}

func benchmarkCell(b *testing.B, place func(string, int, float64) string) {
	b.Helper()
	all := bigSamples()
	h := header(0, 0.5, all)
	path := place(b.TempDir(), 0, 0.5)
	b.ReportAllocs()
	for b.Loop() {
		b.SetBytes(writeCell(b, path, h, all).Bytes)
	}
}

func BenchmarkReadCell(b *testing.B) {
	all := bigSamples()
	path := CellPath(b.TempDir(), 0, 0.5)
	b.SetBytes(writeCell(b, path, header(0, 0.5, all), all).Bytes)
	b.ReportAllocs()
	for b.Loop() {
		c, err := OpenCell(path)
		if err != nil {
			b.Fatal(err)
		}
		for _, err := range c.Samples() {
			if err != nil {
				b.Fatal(err)
			}
		}
		if err := c.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
