package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/config"
)

func TestReadFileRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, text, want string }{
		{"unknown key", "n = 5\nunitsize = 3\n", `line 2: unknown key "unitsize"`},
		{"wrong type", "unit-size = \"many\"\n", "line 1: unit-size"},
		{"broken text", "n = \n", "line 1"},
		{"bad size", "memory-limit = \"4 gibberish\"\n", "want a number with a unit"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "lcbq.toml")
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := config.ReadFile(path)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("ReadFile = %v, want an error that names the file and says %q", err, tt.want)
			}
		})
	}
}

func TestMarshalIsReadBack(t *testing.T) {
	t.Parallel()
	var c config.Config
	c.N, c.OutputDir, c.MemoryLimit, c.APIKey = 7, "out", 4<<30, "secret"
	b, err := c.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), "secret") {
		t.Errorf("Marshal wrote the API key:\n%s", b)
	}
	path := filepath.Join(t.TempDir(), "run.toml")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := config.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got["n"] != int64(7) || got["output-dir"] != "out" || got["memory-limit"] != "4GiB" {
		t.Errorf("ReadFile after Marshal = %v", got)
	}
}

func TestCheckReportsEverything(t *testing.T) {
	t.Parallel()
	c := config.Sweep{Start: -1, End: -2, N: 0, UnitSize: 0}
	err := c.Check()
	for _, want := range []string{"--start = -1", "--end = -2", "--n = 0", "--unit-size = 0"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Check = %v, want it to say %q", err, want)
		}
	}
	if err := (config.Sweep{End: -1, N: 1, UnitSize: 1}).Check(); err != nil {
		t.Errorf("Check of the smallest sweep = %v, want nil", err)
	}
}

func TestBytes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]config.Bytes{
		"4GiB": 4 << 30, "500MB": 500e6, "65536": 65536, "1.5K": 1536, "0": 0, "2 MiB": 2 << 20,
	} {
		var got config.Bytes
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("UnmarshalText(%q) = %d, %v, want %d", text, got, err, want)
		}
		var again config.Bytes
		if err := again.UnmarshalText([]byte(want.String())); err != nil || again != want {
			t.Errorf("UnmarshalText(%q) = %d, %v, want %d", want.String(), again, err, want)
		}
	}
	for _, text := range []string{"", "-1", "4XB", "GiB", "1e30TB"} {
		var b config.Bytes
		if err := b.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("UnmarshalText(%q) = %d, want an error", text, b)
		}
	}
}

func TestSlots(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{"auto": 8, "3": 3, "x": -1, "3x": -1, "": -1, "+3": -1} {
		n, err := config.Programs{Evaluators: text}.Slots(8)
		if (err != nil) != (want < 0) || err == nil && n != want {
			t.Errorf("Slots with %q = %d, %v, want %d", text, n, err, want)
		}
	}
	if n, err := (config.Programs{Evaluators: "auto"}).Slots(0); err != nil || n != 1 {
		t.Errorf("Slots of a machine that is full = %d, %v, want 1", n, err)
	}
}

func TestReserve(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{"auto": 8, "0": 0, "3": 3, "x": -1, "": -1} {
		n, said, err := config.Programs{ReserveCPUs: text}.Reserve(8)
		if (err != nil) != (want < 0) || err == nil && (n != want || said != (text != "auto")) {
			t.Errorf("Reserve with %q = %d, %t, %v, want %d", text, n, said, err, want)
		}
	}
	for text, ok := range map[string]bool{"auto": true, "0": true, "8192": true, "8193": false, "-1": false, "x": false} {
		if err := (config.Programs{Evaluators: "auto", ReserveCPUs: text}).Check(); (err == nil) != ok {
			t.Errorf("Check with reserve-cpus %q = %v, want ok %t", text, err, ok)
		}
	}
}

// TestBetween: of two files only settings that define a run are compared, and each is named once.
func TestBetween(t *testing.T) {
	t.Parallel()
	a := map[string]any{"max-tokens": int64(160), "stop": []any{"###"}, "n": int64(10), "evaluators": "4", "top-p": 1.0}
	b := map[string]any{"max-tokens": int64(500), "stop": []any{}, "n": int64(20), "evaluators": "8", "top-p": 1.0}
	got, err := config.Between(a, b)
	want := []config.Difference{{"max-tokens", "160", "500"}, {"stop", `["###"]`, `""`}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("Between = %v, %v, want %v", got, err, want)
	}
}
