package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream/embed"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/sandbox"
)

// doctorCmd says what this machine can do.
type doctorCmd struct {
	config.Judge `embed:""`
	VLLM         string `name:"vllm" default:"vllm" placeholder:"PROGRAM" help:"the vllm to look for"`
	OutputDir    string `short:"o" default:"." type:"path" help:"folder whose disk to check"`
}

// A finding is one line of the doctor's report.
type finding struct {
	Check  string `json:"check"`
	OK     bool   `json:"ok"`
	Says   string `json:"says"`
	Remedy string `json:"remedy,omitempty"`
}

// Run checks what lcbq run needs, and says what to do about each gap. It fails if
// the machine cannot judge at all.
func (c *doctorCmd) Run(a *app) error {
	if err := c.Check(); err != nil {
		return usageError{err}
	}
	judges, judgeErr := c.judging(a.ctx, a)
	findings := append([]finding{machine(), diskWrites(c.OutputDir), queueWorks()}, judges...)
	findings = append(findings, graphics(a.ctx, c.VLLM)...)
	if a.json {
		if err := a.printJSON(findings); err != nil {
			return err
		}
	} else {
		for _, f := range findings {
			mark := "ok  "
			if !f.OK {
				mark = "gap "
			}
			fmt.Fprintf(a.out, "%s %-22s %s\n", mark, f.Check, f.Says)
			if f.Remedy != "" {
				fmt.Fprintf(a.out, "     %-22s %s\n", "", f.Remedy)
			}
		}
	}
	return judgeErr
}

func machine() finding {
	return finding{Check: "machine", OK: true, Says: fmt.Sprintf("%d cores, %s/%s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)}
}

// diskWrites proves that a results folder can be made durable here.
func diskWrites(dir string) finding {
	f := finding{Check: "results folder", Says: dir + " can be written", OK: true}
	tmp, err := os.CreateTemp(dir, ".lcbq-doctor-*")
	if err == nil {
		err = errors.Join(tmp.Sync(), tmp.Close(), os.Remove(tmp.Name()))
	}
	if err != nil {
		f.OK, f.Says, f.Remedy = false, err.Error(), "choose an --output-dir that you may write to"
	}
	return f
}

// queueWorks starts and stops an embedded server on a free port.
func queueWorks() finding {
	f := finding{Check: "queue", OK: true, Says: "the embedded server starts"}
	dir, err := os.MkdirTemp("", "lcbq-doctor-*")
	if err == nil {
		var srv *embed.Server
		if srv, err = embed.Start(embed.Config{Dir: dir}); err == nil {
			err = srv.Close()
		}
		err = errors.Join(err, os.RemoveAll(dir))
	}
	if err != nil {
		f.OK, f.Says, f.Remedy = false, err.Error(), "make room in the temporary folder, or name another with TMPDIR"
	}
	return f
}

// judging probes the interpreter and the sandbox.
func (c *doctorCmd) judging(ctx context.Context, a *app) ([]finding, error) {
	cfg, err := sandboxConfig(c.Judge, store.Judge{
		Mode: c.Judge.Judge, TimeLimit: c.TimeLimit, MemoryLimit: int64(c.MemoryLimit), OutputLimit: int64(c.OutputLimit),
	}, a.log)
	if err != nil {
		return nil, err
	}
	host, err := sandbox.Probe(ctx, cfg)
	if err != nil {
		says, remedy, _ := strings.Cut(err.Error(), "\n")
		return []finding{{Check: "judging", Says: says, Remedy: remedy}}, fmt.Errorf("this machine cannot judge: %w", err)
	}
	env := host.Environment()
	fs := []finding{
		{Check: "python", OK: true, Says: env.Interpreter},
		{Check: "sandbox level", OK: true, Says: host.Level().String() + ", fingerprint " + env.Digest()[:12]},
	}
	if env.Packages["numpy"] == "" {
		fs = append(fs, finding{
			Check: "numpy", Says: "not importable: programs that import numpy will fail, as they would not with the official judge",
			Remedy: "install numpy for this interpreter, or name one that has it with --python",
		})
	}
	for _, l := range host.Layers() {
		f := finding{Check: "layer " + l.Name, OK: l.On, Says: "on"}
		if !l.On {
			f.Says = l.Why
		}
		fs = append(fs, f)
	}
	return fs, nil
}
