package result

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzOpenCell: no content of a file makes the reader panic, and what it reads
// without error keeps the format's promises.
func FuzzOpenCell(f *testing.F) {
	dir := f.TempDir()
	for n := range 3 {
		path := CellPath(dir, n, 0.5)
		all := samples(n)
		writeCell(f, path, header(n, 0.5, all), all)
		content, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	f.Add([]byte(`{"completions":[]}`))
	f.Add([]byte(`{"verdicts":{},"completions" : [ ] } `))
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(t.TempDir(), "t0_5_combined.json")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		h, all, digest, err := readCell(path)
		if err != nil {
			return
		}
		passed := 0
		for i, s := range all {
			if s.Index != i || s.Validate() != nil {
				t.Fatalf("sample %d is %+v", i, s)
			}
			if s.Passed() {
				passed++
			}
		}
		if h.N+h.Unscored != len(all) || h.Passed != passed || digest.Bytes != int64(len(content)) {
			t.Fatalf("header %+v for %d samples, %d passed, %d bytes", h, len(all), passed, digest.Bytes)
		}
	})
}
