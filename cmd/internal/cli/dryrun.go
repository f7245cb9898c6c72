package cli

import (
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/lcbq/lcbq/cmd/internal/report/figure"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// What a sample costs, as the README's table has it: measured on sweeps of LiveCodeBench.
const (
	bytesPerSample = 2000 // in the results folder; under a fifth with --compress zstd
	zstdShare      = 0.2
	judgingSeconds = 64 * 17 * 3600 / 28e6 // of a processor, at 2.5 % of time-outs
)

// A forecast is what a run would be: what 'lcbq run --dry-run' prints.
type forecast struct {
	Run          string               `json:"run"`
	Problems     string               `json:"problems"`
	Questions    int                  `json:"questions"`
	Temperatures []stream.Temperature `json:"temperatures"`
	Samples      int                  `json:"samples"`
	Until        bool                 `json:"until,omitempty"` // these are the most: --until-width may end it before
	Units        int                  `json:"units"`
	Engine       string               `json:"engine"`
	Simulated    bool                 `json:"simulated"`
	Model        string               `json:"model,omitempty"`
	Cards        int                  `json:"cards"`
	Programs     int                  `json:"programs_at_once"`
	Level        string               `json:"sandbox_level"`
	JudgingHours float64              `json:"judging_hours,omitempty"` // wall, if the programs are like LiveCodeBench's; of a simulated run nothing is known
	OutputDir    string               `json:"output_dir"`
	Resumes      bool                 `json:"resumes"` // the folder holds a run, which goes on
	DiskBytes    int64                `json:"disk_bytes"`
	DiskFree     int64                `json:"disk_free_bytes"`
}

// foretell prints what the run would be.
func (p *pipeline) foretell() error {
	m := p.def.manifest
	f := forecast{
		Run: m.ID, Problems: p.cfg.Problems, Questions: len(m.Questions), Temperatures: m.Temperatures, Samples: m.Samples(), Units: m.Units(),
		Engine: string(m.Model.Engine), Simulated: m.Model.Engine.Simulated(), Model: m.Model.Name, Cards: p.cards(p.app.ctx), Programs: p.share.Slots,
		Level: p.grader.Host().Level().String(), OutputDir: p.cfg.OutputDir, Resumes: exists(filepath.Join(p.cfg.OutputDir, result.ConfigName)),
	}
	f.Until = p.def.manifest.Until != nil
	f.DiskBytes = int64(f.Samples) * bytesPerSample
	if p.cfg.Compress == "zstd" {
		f.DiskBytes = int64(float64(f.DiskBytes) * zstdShare)
	}
	if !f.Simulated {
		f.JudgingHours = float64(f.Samples) * judgingSeconds / float64(f.Programs) / 3600
	}
	free, err := freeBytes(f.OutputDir)
	if err != nil {
		return err
	}
	f.DiskFree = free
	if p.app.json {
		return p.app.printJSON(f)
	}
	_, err = fmt.Fprint(p.app.out, f)
	return err
}

// String is the forecast for people, within 80 columns.
func (f forecast) String() string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-10s "+format+"\n", append([]any{name}, args...)...)
	}
	line("run", "%s", f.Run)
	most := ""
	if f.Until {
		most = "at most "
	}
	line("samples", "%s%d in %s: %s of %s x %s", most, f.Samples, figure.Several(f.Units, "unit"), figure.Several(f.Questions, "question"), f.Problems, figure.Several(len(f.Temperatures), "temperature"))
	engine := f.Engine
	switch {
	case f.Simulated:
		engine += ": the numbers are of no model"
	case f.Model != "":
		engine += ", " + f.Model
	}
	if f.Cards > 0 {
		engine += ", " + figure.Several(f.Cards, "GPU")
	}
	line("engine", "%s", engine)
	line("judging", "%d programs at once, sandbox level %s", f.Programs, f.Level)
	if f.JudgingHours > 0 {
		line("", "about %.1f hours here, if 2.5 %% of the programs reach the time limit", f.JudgingHours)
	}
	goes := "a new folder"
	if f.Resumes {
		goes = "it holds this run, which goes on: nothing finished is made again"
	}
	line("results", "%s, %s", f.OutputDir, goes)
	line("disk", "about %s of results, and what waits in the queue; %s are free", amount(f.DiskBytes), amount(f.DiskFree))
	if f.DiskBytes > f.DiskFree {
		line("", "TOO LITTLE: make room, choose another --output-dir, or --compress zstd")
	}
	line("", "nothing was made or started: the same command without --dry-run runs it")
	return b.String()
}

// amount writes bytes as a disk's maker does.
func amount(n int64) string {
	if n < 1e9 {
		return fmt.Sprintf("%.0f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}

// freeBytes returns the room on the disk that dir is on, or will be.
func freeBytes(dir string) (int64, error) {
	for !exists(dir) && filepath.Dir(dir) != dir {
		dir = filepath.Dir(dir)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("look at the disk of %s: %w", dir, err)
	}
	return int64(st.Bavail) * st.Bsize, nil //nolint:gosec // no disk has 2^63 bytes
}
