package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTimeLimit: a limit is written as it is read, and files of an lcbq that knew numbers only
// are read too.
func TestTimeLimit(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]TimeLimit{
		"6": {6, false}, "0.5": {0.5, false}, "audited": {6, true}, "audited:6": {6, true}, "audited:2.5": {2.5, true}, "1e1": {10, false},
	} {
		var l TimeLimit
		if err := l.UnmarshalText([]byte(text)); err != nil || l != want {
			t.Errorf("%q is %+v, %v, want %+v", text, l, err, want)
		}
		var again TimeLimit
		if err := again.UnmarshalText([]byte(l.String())); err != nil || again != want {
			t.Errorf("%q is written %q", text, l)
		}
	}
	for _, text := range []string{"", "audit", "audited:", "audited:x", "6:audited", ":6", "six", "NaN", "audited:NaN"} {
		var l TimeLimit
		if err := l.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), "want seconds") {
			t.Errorf("%q is %+v, %v, want a refusal", text, l, err)
		}
	}
	path := filepath.Join(t.TempDir(), "run.toml")
	for _, text := range []string{"time-limit = 6", "time-limit = 6.0", "time-limit = '6'", "time-limit = 'audited'"} {
		if err := os.WriteFile(path, []byte(text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadFile(path); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	c := Config{}
	c.TimeLimit = TimeLimit{6, true}
	if b, err := c.Marshal(); err != nil || !strings.Contains(string(b), "time-limit = 'audited'") {
		t.Errorf("written %s, %v", b, err)
	}
}

// TestRulesOfAnAuditedLimit: what an audited limit cannot be combined with is refused.
func TestRulesOfAnAuditedLimit(t *testing.T) {
	t.Parallel()
	good := Rules{Judge: "lcb", TimeLimit: TimeLimit{6, true}, AuditShare: 0.1, MemoryLimit: 1 << 30, OutputLimit: 1 << 20}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Rules){
		"for --judge script": func(r *Rules) { r.Judge = "script" },
		"audit-share = 0:":   func(r *Rules) { r.AuditShare = 0 },
		"audit-share = 1.5":  func(r *Rules) { r.AuditShare = 1.5 },
		"0.1 to 3600":        func(r *Rules) { r.TimeLimit.Seconds = 0.01 },
	} {
		bad := good
		change(&bad)
		if err := bad.Check(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
