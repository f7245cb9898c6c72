package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSpeed: a speed is written as it is read, and what no host can have is refused.
func TestSpeed(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Speed{"off": {}, "first": {First: true}, "first\n": {First: true}, "9.75": {Value: 9.75}, "1e1": {Value: 10}, "0.1": {Value: .1}, "1000": {Value: 1000}} {
		var s, again Speed
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%q is %+v, %v, want %+v", text, s, err, want)
		}
		if err := again.UnmarshalText([]byte(s.String())); err != nil || again != want {
			t.Errorf("%q is written %q", text, s)
		}
	}
	for _, text := range []string{"", "0", "-1", "0.09", "1001", "NaN", "Inf", "-Inf", "1e-300", "on", "second", "1x"} {
		s := Speed{Value: 7}
		if err := s.UnmarshalText([]byte(text)); err == nil || s.Value != 7 || !strings.Contains(err.Error(), "want off, first, or a number of 0.1 to 1000") {
			t.Errorf("%q is %+v, %v, want a refusal", text, s, err)
		}
	}
	path := filepath.Join(t.TempDir(), "run.toml")
	for _, text := range []string{"reference-speed = 6", "reference-speed = 6.5", "reference-speed = '6.5'", "reference-speed = 'first'", "reference-speed = 'off'"} {
		if err := os.WriteFile(path, []byte(text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadFile(path); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}
