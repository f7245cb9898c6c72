package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lcbq/lcbq/cmd/internal/bench/spent"
	"github.com/lcbq/lcbq/cmd/internal/snapshot"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/sweep"
	"github.com/lcbq/lcbq/worker/engine"
	"github.com/lcbq/lcbq/worker/lcb"
	"github.com/lcbq/lcbq/worker/lcb/result"
	"github.com/lcbq/lcbq/worker/lcb/sample"
)

// A SweepConfig says which whole sweep to send through the queue. Its texts are as short as programs can be,
// and nobody judges them: what is measured is what grows with the number of units, cells and samples.
type SweepConfig struct {
	Questions    int // at least 1
	Temperatures int // 1 to 16
	N            int // samples of each question and temperature
	UnitSize     int
	Every        time.Duration // between two readings
	Dir          string        // where the temporary folder is made; "" is the system's place for such
	Log          *slog.Logger
	Told         func(Reading) // is called with each reading; may be nil
}

// Validate reports all faults of c at once.
func (c SweepConfig) Validate() error {
	var errs []error
	check := func(ok bool, name string, value any, want string) {
		if !ok {
			errs = append(errs, fmt.Errorf("--%s = %v: want %s", name, value, want))
		}
	}
	check(c.Questions >= 1 && c.Questions <= 10_000, "questions", c.Questions, "1 to 10000")
	check(c.Temperatures >= 1 && c.Temperatures <= len(temperatures()), "temperatures", c.Temperatures, fmt.Sprintf("1 to %d", len(temperatures())))
	check(c.N >= 1 && c.N <= 10_000_000, "n", c.N, "1 to 10000000")
	check(c.UnitSize >= 1 && c.UnitSize <= 10_000, "unit-size", c.UnitSize, "1 to 10000")
	check(c.Every >= 10*time.Millisecond && c.Every <= time.Hour, "length", c.Every, "10ms to 1h")
	return errors.Join(errs...)
}

// A Reading is the state of a sweep at one time. Counts are of units.
type Reading struct {
	Seconds  float64 `json:"seconds"`  // since submitting began
	Generate uint64  `json:"generate"` // units in each stream
	Evaluate uint64  `json:"evaluate"`
	Combine  uint64  `json:"combine"`
	Cells    int     `json:"cells"` // written

	RSS        int64 `json:"rss_bytes"`
	Heap       int64 `json:"heap_bytes"` // of it, what is in use
	Goroutines int   `json:"goroutines"`
	Files      int   `json:"open_files"`
	Store      int64 `json:"store_bytes"` // on disk, of the queue
	Results    int64 `json:"results_bytes"`
}

// A SweepResult is what a whole sweep came to.
type SweepResult struct {
	Units     int     `json:"units"`
	Samples   int     `json:"samples"`
	Submit    float64 `json:"submit_s"` // until the last unit was published
	Seconds   float64 `json:"seconds"`  // until the last cell was on disk; submitting is part of it
	CPUs      int     `json:"processors"`
	CPUShare  float64 `json:"cpu_share"` // processor time of this process, of all processors, 0 to 1
	Verified  int     `json:"verified_samples"`
	VerifyFor float64 `json:"verify_s"`
	// Binds says which stage the others waited for: the last one before which units piled up.
	Binds    string        `json:"binds"`
	CPU      []spent.Stage `json:"cpu"`
	Readings []Reading     `json:"readings"`
}

// Sweep sends a whole simulated sweep through a server of its own: it is submitted, generated, passed by a null
// judge, combined, looked after and looked at as a real one is, all in this process. Then it proves the files as
// 'lcbq verify' does. What it wrote is gone when it returns.
func Sweep(ctx context.Context, cfg SweepConfig) (SweepResult, error) {
	if err := cfg.Validate(); err != nil {
		return SweepResult{}, err
	}
	dir, err := os.MkdirTemp(cfg.Dir, "lcbq-bench-")
	if err != nil {
		return SweepResult{}, fmt.Errorf("make folder for the benchmark: %w\nname another place with --dir", err)
	}
	r, err := sweepIn(ctx, cfg, dir)
	return r, errors.Join(err, os.RemoveAll(dir))
}

func sweepIn(ctx context.Context, cfg SweepConfig, dir string) (SweepResult, error) {
	h, err := startHost(filepath.Join(dir, "store"), cfg.Log) //nolint:contextcheck // the server outlives every context until it is closed
	if err != nil {
		return SweepResult{}, err
	}
	m := sweepManifest(cfg, filepath.Join(dir, "results"))
	r, err := h.sweep(ctx, cfg, m, dir)
	if err = errors.Join(err, h.close()); err != nil {
		return r, err
	}
	began := time.Now()
	proof, err := result.Verify(ctx, m.OutputDir, result.Expectation{N: cfg.N})
	if err != nil {
		return r, err
	}
	if !proof.OK() || proof.Cells != m.Cells() || proof.Samples != m.Samples() {
		return r, fmt.Errorf("the files of the sweep do not hold it: %d of %d cells, %d of %d samples, %v", proof.Cells, m.Cells(), proof.Samples, m.Samples(), proof.Findings)
	}
	r.Verified, r.VerifyFor = proof.Samples, time.Since(began).Seconds()
	return r, nil
}

// shortModel is the name of the model whose texts are short.
const shortModel = "short"

// A shortEngine writes the shortest programs that differ.
type shortEngine struct{}

func (shortEngine) Info() engine.Info {
	return engine.Info{Name: string(stream.EngineSim), Model: shortModel, Version: "1", Simulated: true}
}

func (shortEngine) Generate(_ context.Context, r engine.Request) ([]engine.Completion, error) {
	out := make([]engine.Completion, r.N)
	for i := range out {
		out[i] = engine.Completion{Text: fmt.Sprintf("```python\nprint(%d)\n```", r.First+i), Tokens: 12, FinishReason: "stop"}
	}
	return out, nil
}

// sweepManifest defines the run. Its questions are the built-in ones, over and over.
func sweepManifest(cfg SweepConfig, dir string) *store.Manifest {
	problems := sample.Problems()
	m := &store.Manifest{
		ID: "bench", LCBQ: "bench", OutputDir: dir, Temperatures: temperatures()[:cfg.Temperatures], UnitSize: cfg.UnitSize,
		Problems: store.ProblemSet{Name: "sample", Digest: lcb.Digest(problems), Count: cfg.Questions},
		Model:    store.Model{Engine: stream.EngineSim, Name: shortModel, TopP: 1, MaxTokens: 500, Prompt: "lcb", Extract: "lcb"},
		Judge:    store.Judge{Mode: nullMode},
	}
	for i := range cfg.Questions {
		p := problems[i%len(problems)]
		m.Questions = append(m.Questions, store.Question{Index: i, ID: p.ID, Title: p.Title, Cuts: []int{cfg.N}})
	}
	return m
}

// sweep works the run off and reads what it comes to.
func (h *host) sweep(ctx context.Context, cfg SweepConfig, m *store.Manifest, dir string) (r SweepResult, err error) {
	c, err := h.connect(ctx)
	if err != nil {
		return r, err
	}
	s := &stages{host: h, cfg: Config{GPUs: sweepGenerators, UnitSize: cfg.UnitSize}, dir: m.OutputDir, short: true}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.prepare(ctx); err != nil {
		return r, err
	}
	w := &watched{client: c, cfg: cfg, dir: dir, results: m.OutputDir, run: m.ID, began: time.Now()}
	w.looks = &snapshot.Reader{Queue: c.queue, Store: c.store, Only: m.ID}
	before, err := processorTime()
	if err != nil {
		return r, err
	}
	problems := sample.Problems()
	sweeper := sweep.Sweeper{Queue: c.queue, Store: c.store}
	steward := sweep.Steward{Sweeper: sweeper, Log: h.log}
	// A real sweep is submitted, looked after, and looked at once a second.
	s.works = append(s.works, work{"submit", func(ctx context.Context) error {
		_, err := sweeper.Submit(ctx, m, func(q int) []byte { return problems[q%len(problems)].Row() })
		r.Submit = time.Since(w.began).Seconds()
		if ctx.Err() != nil {
			return nil //nolint:nilerr // why it ended is known already
		}
		return err
	}}, work{"steward", func(ctx context.Context) error { steward.Run(ctx); return nil }}, work{"snapshots", func(ctx context.Context) error { w.looks.Run(ctx); return nil }})

	ended, err := s.run(ctx, w.until)
	if err != nil {
		return r, err
	}
	after, err := processorTime()
	if err != nil {
		return r, err
	}
	r.Units, r.Samples, r.CPUs = m.Units(), m.Samples(), runtime.GOMAXPROCS(0)
	r.Seconds = ended.Sub(w.began).Seconds()
	r.CPUShare = (after - before).Seconds() / r.Seconds / float64(r.CPUs)
	r.CPU, r.Readings, r.Binds = w.spent, w.readings, binds(w.readings, m.Units())
	return r, nil
}

// sweepGenerators is how many generators a sweep has: a host of eight cards.
const sweepGenerators = 8

// A watched is a sweep that is read again and again.
type watched struct {
	*client
	looks        *snapshot.Reader
	cfg          SweepConfig
	dir, results string
	run          string
	began        time.Time

	readings []Reading
	spent    []spent.Stage
}

// until reads the sweep until it is finished.
func (w *watched) until(ctx context.Context, failed <-chan error) error {
	var profile bytes.Buffer
	if err := pprof.StartCPUProfile(&profile); err != nil {
		return fmt.Errorf("measure processor time: %w", err)
	}
	defer pprof.StopCPUProfile()
	look, end := time.NewTicker(w.cfg.Every), time.NewTicker(min(w.cfg.Every, time.Second))
	defer look.Stop()
	defer end.Stop()
	var unread blindness
	for finished := false; !finished; {
		select {
		case <-end.C:
			m, _, err := w.store.Run(ctx, w.run)
			if errors.Is(err, store.ErrNotFound) { // not submitted yet
				err = nil
			}
			if err := w.bear(&unread, err); err != nil {
				return err
			}
			if err != nil || m == nil || m.Finished == 0 {
				continue
			}
			finished = true
		case <-look.C:
		case err := <-failed:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		// The profile is read in pieces: one of hours would be what grows.
		pprof.StopCPUProfile()
		stages, err := spent.Parse(profile.Bytes())
		if err != nil {
			return err
		}
		w.spent = spent.Sum(w.spent, stages)
		profile.Reset()
		if err := w.bear(&unread, w.read(ctx)); err != nil {
			return err
		}
		if err := pprof.StartCPUProfile(&profile); err != nil {
			return fmt.Errorf("measure processor time: %w", err)
		}
	}
	return nil
}

// mostBlind is for how long a sweep goes on that cannot be read: its server may be slow on a machine that has other
// things to do, and hours went into it.
const mostBlind = 15 * time.Minute

// A blindness is since when nothing could be read; the zero time if it could.
type blindness struct{ since time.Time }

// look returns err once it has come for mostBlind, without a nil between, and nil until then.
func (b *blindness) look(now time.Time, err error) error {
	if err == nil {
		b.since = time.Time{}
		return nil
	}
	if b.since.IsZero() {
		b.since = now
	}
	if now.Sub(b.since) < mostBlind {
		return nil
	}
	return fmt.Errorf("the sweep could not be read for %v: %w", mostBlind, err)
}

// bear is look, and logs what is borne.
func (w *watched) bear(b *blindness, err error) error {
	final := b.look(time.Now(), err)
	if err != nil && final == nil {
		w.cfg.Log.Warn("sweep not read, trying again", "err", err)
	}
	return final
}

// read takes a reading.
func (w *watched) read(ctx context.Context) error {
	r := Reading{Seconds: time.Since(w.began).Seconds(), Goroutines: runtime.NumGoroutine()}
	for stage, n := range map[stream.Stage]*uint64{stream.Generate: &r.Generate, stream.Evaluate: &r.Evaluate, stream.Combine: &r.Combine} {
		look, err := w.queue.Look(ctx, stage)
		if err != nil {
			return err
		}
		*n = look.Messages
	}
	if s, err := w.looks.Latest(); err == nil && s != nil {
		r.Cells = s.Run.Cells.Done
	}
	var heap runtime.MemStats
	runtime.ReadMemStats(&heap)
	r.Heap, r.RSS, r.Files = int64(heap.HeapInuse), resident(), openFiles() //nolint:gosec // far below
	var err error
	if r.Store, err = bytesIn(filepath.Join(w.dir, "store")); err != nil {
		return err
	}
	if r.Results, err = bytesIn(w.results); err != nil {
		return err
	}
	w.readings = append(w.readings, r)
	if w.cfg.Told != nil {
		w.cfg.Told(r)
	}
	return nil
}

// piled is the share of all units that must wait before a stage for it to hold up the others, and
// piledLeast the number of them: cells that are not whole wait in COMBINE too.
const (
	piled      = 0.05
	piledLeast = 500
)

// binds returns the stage that the others waited for.
func binds(readings []Reading, units int) string {
	bound := max(piledLeast, uint64(piled*float64(units)))
	name := string(stream.Generate)
	for _, r := range readings {
		if r.Combine > bound {
			return string(stream.Combine)
		}
		if r.Evaluate > bound {
			name = string(stream.Evaluate)
		}
	}
	return name
}

// processorTime returns what this process has used.
func processorTime() (time.Duration, error) {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return 0, fmt.Errorf("read the processor time of this process: %w", err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), nil
}

// resident returns the memory of this process in bytes, 0 where the system does not tell.
func resident() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// openFiles returns how many descriptors this process has, 0 where the system does not tell.
func openFiles() int {
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(all)
}

// bytesIn returns what the files of a folder hold. Files come and go meanwhile.
func bytesIn(dir string) (sum int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			var info fs.FileInfo
			if info, err = d.Info(); err == nil {
				sum += info.Size()
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return sum, err
}
