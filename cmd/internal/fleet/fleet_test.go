package fleet

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lcbq/lcbq/worker/engine/supervise"
	"github.com/lcbq/lcbq/worker/engine/supervise/supervisetest"
	"github.com/lcbq/lcbq/worker/gpu"
)

// TestMain is also the engines and their guardians: this program under other arguments.
func TestMain(m *testing.M) {
	if status, ok := supervise.Guardian(); ok {
		os.Exit(status) //nolint:forbidigo // this process is not the test
	}
	if status, ok := supervisetest.Main(os.Args[1:]); ok {
		os.Exit(status) //nolint:forbidigo // this process is not the test
	}
	goleak.VerifyTestMain(m)
}

// A script is a driver that shows one card after another reading, the last one for ever.
type script struct {
	used  []uint64
	reads int
}

const total = 80 << 30

func (s *script) Read(context.Context) ([]gpu.Reading, error) {
	s.reads++
	return []gpu.Reading{{Index: 3, UUID: "GPU-a", Name: "Card", Total: total, Used: s.used[min(s.reads, len(s.used))-1]}}, nil
}
func (*script) Name() string   { return "script" }
func (*script) Driver() string { return "1.2" }
func (*script) Slow() bool     { return false }
func (*script) Close() error   { return nil }

// newFleet returns a fleet of one engine on the script's card, and where it logs.
func newFleet(s *script) (*Fleet, *strings.Builder) {
	var log strings.Builder
	f := &Fleet{
		cfg:    Config{Log: slog.New(slog.NewTextHandler(&log, nil))},
		source: s, base: gpu.Baseline{"GPU-a": 1 << 30},
	}
	f.place(3, []gpu.Reading{{Index: 3, UUID: "GPU-a", Name: "Card", Total: total}}, 1)
	f.members[0].Engine = &supervise.Engine{}
	return f, &log
}

// TestMemoryFalls wants the fall of the memory shown, and its end awaited.
func TestMemoryFalls(t *testing.T) {
	t.Parallel()
	s := &script{used: []uint64{70 << 30, 70 << 30, 40 << 30, 1<<30 + 5<<20}}
	f, log := newFleet(s)
	if err := f.awaitFree(t.Context(), f.members[0]); err != nil {
		t.Fatal(err)
	}
	if s.reads != 4 {
		t.Errorf("the card was read %d times, want until it is free: 4", s.reads)
	}
	for _, want := range []string{`"waiting for GPU memory" gpu=3 used_gib=40 baseline_gib=1`, `"GPU memory is free" gpu=3 used_gib=1 total_gib=80`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
}

// TestMemoryStays wants memory that nobody lets go explained.
func TestMemoryStays(t *testing.T) {
	t.Parallel()
	f, _ := newFleet(&script{used: []uint64{20 << 30}})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := f.awaitFree(ctx, f.members[0])
	if !errors.Is(err, gpu.ErrHeld) || !strings.Contains(err.Error(), "GPU 3: 19.0 GiB in use that the driver lists no process for") {
		t.Errorf("awaitFree = %v, want who holds it", err)
	}
}

func TestShort(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		used  uint64
		share float64
		want  string
	}{
		{4 << 30, 0, ""},
		{5 << 30, 0, "GPU 3 (Card): 75.0 of 80.0 GiB are free, vllm wants 76.0"},
		{5 << 30, 0.9, ""},
	} {
		s := &script{used: []uint64{tt.used}}
		f, _ := newFleet(s)
		f.cfg.Engine.MemoryShare = tt.share
		all, err := s.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		short, _ := f.short(all)
		if (short == nil) != (tt.want == "") || short != nil && !strings.Contains(short.Error(), tt.want) {
			t.Errorf("short with %d GiB used and share %v = %v, want %q", tt.used>>30, tt.share, short, tt.want)
		}
	}
	f, _ := newFleet(&script{})
	if short, _ := f.short(nil); short == nil || !strings.Contains(short.Error(), "not there any more") {
		t.Errorf("short of a lost card = %v", short)
	}
}

// TestMeter wants readings counted from the start of the first unit to the end of the last.
func TestMeter(t *testing.T) {
	t.Parallel()
	m := meter{cards: []cardMeter{{now: gpu.Reading{UUID: "GPU-a"}}}}
	at := time.Unix(1000, 0)
	read := func(percent int) {
		at = at.Add(time.Second)
		m.add([]gpu.Reading{{UUID: "GPU-b", Utilization: 7}, {UUID: "GPU-a", Utilization: percent, Power: 100, Used: 9}}, at)
	}
	read(0) // it loads
	read(0)
	m.begin("one")
	read(100)
	read(100)
	read(0)
	m.end("one")
	m.begin("two")
	read(100)
	m.end("two")
	m.begin("one") // a unit that fails has no end
	read(0)        // nothing is left to do
	runs := m.readRuns()
	if one, two := runs["one"][0].Usage, runs["two"][0].Usage; len(runs) != 2 || one.Seconds != 2 || one.Idle != 0.5 || two.Seconds != 0 || two.PeakMemory != 9 {
		t.Errorf("measured by run %+v, want 2 s of the first, half of it idle, and one reading of the second", runs)
	}
	got := m.read()[0]
	if u := got.Usage; u.Seconds != 3 || u.Idle < 0.33 || u.Idle > 0.34 || u.Power != 100 || u.PeakMemory != 9 || got.Now.Utilization != 0 {
		t.Errorf("measured %+v, want 3 s, a third of it idle, 100 W", got)
	}
}

func TestCheckModel(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(parts ...string) string {
		path := filepath.Join(append([]string{dir}, parts...)...)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
		return filepath.Dir(path)
	}
	folder, mistral := write("folder", "config.json"), write("mistral", "params.json")
	empty := write("empty", "readme")
	write("home", "hub", "models--own--cached", "snapshots", "abc", "config.json")
	write("cache", "models--own--elsewhere", "snapshots", "abc", "config.json")
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method != http.MethodHead:
			w.WriteHeader(http.StatusMethodNotAllowed)
		case r.URL.Path == "/own/there/resolve/main/config.json":
			http.Redirect(w, r, "http://127.0.0.1:1/elsewhere", http.StatusFound) // must not be followed
		case r.URL.Path == "/own/gated/resolve/main/config.json" && r.Header.Get("Authorization") != "Bearer secret":
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/own/gated/resolve/main/config.json":
		case strings.HasPrefix(r.URL.Path, "/own/bare/"):
			w.Header().Set("X-Error-Code", "EntryNotFound")
			w.WriteHeader(http.StatusNotFound)
		case strings.HasPrefix(r.URL.Path, "/own/ill/"):
			w.WriteHeader(http.StatusBadGateway)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer hub.Close()
	online := Hub{Endpoint: hub.URL + "/", Home: filepath.Join(dir, "home")}
	offline := Hub{Home: filepath.Join(dir, "home"), Offline: true}
	for _, tt := range []struct {
		model string
		hub   Hub
		want  string
	}{
		{folder, offline, ""},
		{mistral, offline, ""},
		{empty, online, "neither config.json nor params.json"},
		{filepath.Join(dir, "nosuch"), online, "there is no such folder"},
		{"./nosuch", online, "there is no such folder"},
		{"a/b/c", online, "there is no such folder"},
		{"s3://bucket/model", offline, ""},
		{"own/cached", offline, ""},
		{"own/elsewhere", Hub{Cache: filepath.Join(dir, "cache"), Offline: true}, ""},
		{"own/elsewhere", offline, "connections are off"},
		{"own/there", online, ""},
		{"own/bare", online, ""},
		{"own/nosuch", online, "the hub has no such model"},
		{"own/gated", online, "set HF_TOKEN"},
		{"own/gated", Hub{Endpoint: hub.URL, Home: dir, Token: "secret"}, ""},
		{"own/ill", online, "502"},
		{"own/there", Hub{Endpoint: "http://127.0.0.1:1", Home: dir}, "the hub does not answer"},
	} {
		err := CheckModel(t.Context(), tt.model, tt.hub)
		if (err == nil) != (tt.want == "") || err != nil && (!strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "\n")) {
			t.Errorf("CheckModel(%q) = %v, want %q and a remedy", tt.model, err, tt.want)
		}
	}
}
