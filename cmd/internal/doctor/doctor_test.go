package doctor

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/lcbq/lcbq/stream/streamtest"
	"github.com/lcbq/lcbq/worker/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	goleak.VerifyTestMain(m)
}

func finds(fs ...Finding) Check { return func(context.Context) []Finding { return fs } }

func TestExamine(t *testing.T) {
	t.Parallel()
	good, bad := Finding{Check: "a", Result: Pass}, Finding{Check: "b", Result: Fail}
	got, err := Examine(t.Context(), finds(good), finds(Finding{Check: "w", Result: Warn}))
	if err != nil || len(got) != 2 {
		t.Errorf("Examine = %v, %v, want two findings and no error: a warning is none", got, err)
	}
	got, err = Examine(t.Context(), finds(bad, good), finds(good))
	if !errors.Is(err, ErrFails) || !strings.HasSuffix(err.Error(), ": b") || len(got) != 3 {
		t.Errorf("Examine = %v, %v, want three findings and an error that names b", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	got, err = Examine(ctx, func(context.Context) []Finding { cancel(); return []Finding{good} }, finds(bad))
	if !errors.Is(err, context.Canceled) || len(got) != 1 {
		t.Errorf("Examine, interrupted = %v, %v, want one finding", got, err)
	}
}

// TestWriteFits wants lines of at most 80 columns, nothing of the text lost, the remedy below.
func TestWriteFits(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	says := strings.Repeat("twelve words ", 12)
	if err := Write(&b, []Finding{{Check: "check", Result: Warn, Says: says, Remedy: "do this"}, {Check: "other", Result: Pass, Says: "ü " + strings.Repeat("x", 90)}}); err != nil {
		t.Fatal(err)
	}
	var words []string
	for line := range strings.Lines(b.String()) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 80 && !strings.Contains(line, "xxx") {
			t.Errorf("%d columns: %q", n, line)
		}
		words = append(words, strings.Fields(line)...)
	}
	want := append([]string{"warn", "check"}, strings.Fields(says+"do this")...)
	want = append(want, "pass", "other", "ü", strings.Repeat("x", 90))
	if strings.Join(words, " ") != strings.Join(want, " ") {
		t.Errorf("words %q, want %q", words, want)
	}
}

func TestMemory(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text string
		want Result
		says string
	}{
		{"MemTotal: 99 kB\nMemAvailable:    2097152 kB\n", Pass, "2.0 GiB"},
		{"MemAvailable:    1048575 kB\n", Warn, "1.0 GiB"},
		{"MemTotal: 99 kB\n", Warn, "no MemAvailable"},
		{"MemAvailable: -1 kB\n", Warn, "read free memory"},
	} {
		root := t.TempDir()
		if err := os.MkdirAll(filepath.Join(root, "proc"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, "proc/meminfo"), []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		f := Memory(root)(t.Context())[0]
		if f.Result != tt.want || !strings.Contains(f.Says, tt.says) || (f.Remedy == "") != (f.Result == Pass) {
			t.Errorf("%q: %+v, want %s and %q", tt.text, f, tt.want, tt.says)
		}
	}
	if f := Memory(t.TempDir())(t.Context())[0]; f.Result != Warn {
		t.Errorf("no /proc: %+v, want a warning", f)
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		f    Finding
		want Result
		says string // in the finding or its remedy
	}{
		"files":          {filesFinding(4096), Pass, "4096"},
		"few files":      {filesFinding(4095), Warn, "ulimit -Hn"},
		"files, no end":  {filesFinding(^uint64(0)), Pass, "no limit"},
		"disk":           {diskFinding("d", 10<<30, 20*time.Millisecond), Pass, "10.0 GiB free"},
		"small disk":     {diskFinding("d", 10<<30-1, time.Millisecond), Warn, "make room"},
		"slow disk":      {diskFinding("d", 10<<30, 21*time.Millisecond), Warn, "--store-dir"},
		"clock":          {clockFinding(time.Unix(1e9, 0), time.Unix(1e9+3600, 0)), Pass, "2001-09-09"},
		"clock far back": {clockFinding(time.Unix(1e9, 0), time.Unix(1e9+3601, 0)), Warn, "set-ntp"},
		"numpy":          {packageFinding("numpy", "2.0"), Pass, "2.0"},
		"no numpy":       {packageFinding("numpy", ""), Warn, "--python"},
		"no skew":        {skewFinding(time.Unix(1000, 0), time.Unix(1030, 0), 0), Pass, "as this host's"},
		"behind":         {skewFinding(time.Unix(1000, 0), time.Unix(1031, 0), 0), Warn, "31s behind"},
		"ahead":          {skewFinding(time.Unix(1000, 0), time.Unix(969, 0), 0), Warn, "31s ahead of"},
		"slow answer":    {skewFinding(time.Unix(1000, 0), time.Unix(990, 0), 20*time.Second), Pass, "as this host's"},
		"untold":         {skewFinding(time.Time{}, time.Unix(1000, 0), 0), Pass, "not told"},
	} {
		if tt.f.Result != tt.want || !strings.Contains(tt.f.Says+tt.f.Remedy, tt.says) {
			t.Errorf("%s: %+v, want %s and %q", name, tt.f, tt.want, tt.says)
		}
	}
}

func TestDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if f := Disk(dir)(t.Context())[0]; f.Result == Fail || !strings.Contains(f.Says, "a sync takes") {
		t.Errorf("a folder: %+v", f)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
	if f := Disk(filepath.Join(dir, "none"))(t.Context())[0]; f.Result != Fail || f.Remedy == "" {
		t.Errorf("no folder: %+v, want it to fail with a remedy", f)
	}
}

func TestHost(t *testing.T) {
	t.Parallel()
	for _, check := range []Check{Processors(), OpenFiles(), Clock(time.Now), Queue(), Port("127.0.0.1", 0)} {
		for _, f := range check(t.Context()) {
			if f.Result == Fail || f.Says == "" || f.Check == "" {
				t.Errorf("%+v, want it to pass here", f)
			}
		}
	}
	if f := Port("192.0.2.1", 4222)(t.Context())[0]; f.Result != Fail {
		t.Errorf("an address of another host: %+v, want it to fail", f)
	}
}

// TestHub asks a hub that answers, one that is broken, one that never does, and none.
func TestHub(t *testing.T) {
	t.Parallel()
	status := http.StatusOK
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	defer http.DefaultClient.CloseIdleConnections()
	defer hub.Close()
	if f := Hub(hub.URL, false)(t.Context())[0]; f.Result != Pass {
		t.Errorf("%+v, want it to pass", f)
	}
	status = http.StatusBadGateway
	if f := Hub(hub.URL, false)(t.Context())[0]; f.Result != Warn || !strings.Contains(f.Says, "502") {
		t.Errorf("%+v, want a warning with 502", f)
	}
	for _, url := range []string{"http://127.0.0.1:1", ":"} {
		if f := Hub(url, false)(t.Context())[0]; f.Result != Warn || !strings.Contains(f.Remedy, "--hf-endpoint") {
			t.Errorf("%s: %+v, want a warning", url, f)
		}
	}
	if f := Hub("http://127.0.0.1:1", true)(t.Context())[0]; f.Result != Pass {
		t.Errorf("offline: %+v, want it to pass unasked", f)
	}
}

func TestServer(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	closed := 0
	dial := func(context.Context) (jetstream.JetStream, string, func(), error) {
		return env.JS, "nats://here", func() { closed++ }, nil
	}
	got := Server(dial)(t.Context())
	if len(got) != 2 || got[0].Result != Pass || got[1].Result != Pass || closed != 1 {
		t.Errorf("%+v, closed %d times, want two that pass, and once", got, closed)
	}
	if err := env.JS.DeleteStream(t.Context(), "GENERATE"); err != nil {
		t.Fatal(err)
	}
	if got := Server(dial)(t.Context()); len(got) != 1 || got[0].Result != Fail || !strings.Contains(got[0].Remedy, "lcbq submit") {
		t.Errorf("no streams: %+v, want it to fail", got)
	}
	refused := func(context.Context) (jetstream.JetStream, string, func(), error) {
		return nil, "", nil, errors.New("connect to x: refused\nstart one")
	}
	if got := Server(refused)(t.Context()); len(got) != 1 || got[0].Result != Fail || got[0].Says != "connect to x: refused" || got[0].Remedy != "start one" {
		t.Errorf("no server: %+v", got)
	}
}
