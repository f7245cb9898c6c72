package judge

import (
	"fmt"
	"strings"
	"testing"
)

// texts returns two texts of about 5 MB, equal as numbers only.
func texts(b *testing.B) (got, want string) {
	b.Helper()
	var g, w strings.Builder
	for i := 0; g.Len() < 5<<20; i++ {
		fmt.Fprintf(&g, "%d %d.50 \n", i, i)
		fmt.Fprintf(&w, "%d %d.5\n", i, i)
	}
	return g.String(), w.String()
}

func BenchmarkLines(b *testing.B) {
	got, want := texts(b)
	for _, c := range []struct{ name, got, want string }{
		{"equal", want + "\n", want},
		{"lines", strings.ReplaceAll(want, "\n", " \n"), want},
		{"decimals", got, want},
		{"small", "3 \n4", "3\n4"},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.got)))
			b.ReportAllocs()
			for b.Loop() {
				if o, d := Lines(c.got, c.want); o != Equal {
					b.Fatal(o, d)
				}
			}
		})
	}
}

func BenchmarkValue(b *testing.B) {
	rows, floats := make([]string, 50_000), make([]string, 50_000)
	for i := range rows {
		rows[i], floats[i] = fmt.Sprintf("[%d,%d]", i, -i), fmt.Sprintf("[%d.0,%d]", i, -i)
	}
	list := func(items []string) string { return "[" + strings.Join(items, ",") + "]" }
	for _, c := range []struct{ name, got, want string }{
		{"equal", list(rows), list(rows)},
		{"walk", list(floats), list(rows)},
		{"small", "3.0", "3"},
	} {
		got, err := ParseExpected(c.got)
		if err != nil {
			b.Fatal(err)
		}
		want, err := ParseExpected(c.want)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.want)))
			b.ReportAllocs()
			for b.Loop() {
				if o, d := Value(got.enc, want); o != Equal {
					b.Fatal(o, d)
				}
			}
		})
	}
}

func BenchmarkParseExpected(b *testing.B) {
	json := "[" + strings.Repeat(`[1,-25,"abc",3.25],`, 1<<16) + "[]]"
	b.SetBytes(int64(len(json)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseExpected(json); err != nil {
			b.Fatal(err)
		}
	}
}
