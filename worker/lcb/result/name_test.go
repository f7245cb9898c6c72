package result

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestTempName(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		temperature float64
		want        string
	}{
		{0, "t0_0"},
		{0.1, "t0_1"},
		{0.25, "t0_25"},
		{0.7, "t0_7"},
		{1, "t1_0"},
		{1.6, "t1_6"},
		{2, "t2_0"},
		{10.125, "t10_125"},
		{1e-7, "t0_0000001"},
	} {
		if got := TempName(tt.temperature); got != tt.want {
			t.Errorf("TempName(%v) = %q, want %q", tt.temperature, got, tt.want)
		}
		if got, err := ParseTempName(tt.want); err != nil || got != tt.temperature {
			t.Errorf("ParseTempName(%q) = %v, %v, want %v", tt.want, got, err, tt.temperature)
		}
	}
}

func TestParseTempNameRefuses(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"", "t", "0_1", "t0", "t0.1", "t0_10", "t00_1", "t_1", "t1_", "t-1_0", "t+1_0",
		"t1e2_0", "tNaN_0", "tInf", "t0_1_2", "t0_1 ", "T0_1", "t0x1_0",
	} {
		if got, err := ParseTempName(name); err == nil {
			t.Errorf("ParseTempName(%q) = %v, want an error", name, got)
		}
	}
}

func TestTempNameRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.Float64Range(0, 1e6).Draw(t, "temperature")
		name := TempName(want)
		if got, err := ParseTempName(name); err != nil || got != want {
			t.Fatalf("ParseTempName(TempName(%v) = %q) = %v, %v", want, name, got, err)
		}
	})
}

// TestFolderBelowALinkToNowhere: the link's name is there, so that no folder can be
// made of it, and nothing is there below it.
func TestFolderBelowALinkToNowhere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink("nowhere", link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(link, "x", "y", "summary.json"), filepath.Join(link, "summary.json")} {
		err := WriteFileAtomic(path, []byte("{}"))
		if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
			t.Errorf("write %s = %v, want an error that names it", path, err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v, want the link alone", entries, err)
	}
}
