package cli

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/lcbq/lcbq/cmd/internal/locate"
	"github.com/lcbq/lcbq/cmd/internal/snapshot"
	"github.com/lcbq/lcbq/cmd/internal/snapshot/screen"
	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream"
)

// printJSON writes v to stdout, for programs.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// statusCmd shows how far a run is.
type statusCmd struct {
	target `embed:""`
	Folder string        `arg:"" optional:"" type:"path" help:"results folder of the run, as -o"`
	Watch  bool          `short:"w" help:"look again until the run is over"`
	Every  time.Duration `default:"2s" help:"interval of --watch"`
	Long   bool          `help:"show every worker, engine, GPU and finding, however many lines that takes"`
}

// Run prints the state of a run, once or until it is over.
func (c *statusCmd) Run(a *app) error {
	if err := c.checkRun(); err != nil {
		return err
	}
	if _, err := c.findIn(c.Folder); err != nil && !errors.Is(err, locate.ErrNone) {
		return err
	}
	if c.Every <= 0 {
		return usageError{fmt.Errorf("--every = %v: want more than 0", c.Every)}
	}
	why := looks
	if c.Watch {
		why = watches
	}
	return attach(a, c.server, c.OutputDir, "status", why, func(s *session) error {
		r, err := c.reader(a, s)
		if err != nil {
			return err
		}
		for first := true; ; first = false {
			p, err := r.Look(a.ctx)
			switch {
			case a.ctx.Err() != nil:
				return errInterrupted
			case errors.Is(err, snapshot.ErrNoRun):
				return err
			case err != nil && !c.Watch:
				return err
			case err != nil: // it restarts; the client comes back to it
				fmt.Fprintf(a.err, "%s  the server does not answer, looking again: %v\n", time.Now().Format(time.TimeOnly), err)
			default:
				if err := c.print(a, p, first); err != nil || !c.Watch || p.Run.State == "finished" || p.Run.State == "cancelled" {
					return err
				}
			}
			select {
			case <-time.After(c.Every):
			case <-a.ctx.Done():
				return errInterrupted
			}
		}
	})
}

// checkRun refuses a --run that cannot be one.
func (t *target) checkRun() error {
	if t.RunID == "" {
		return nil
	}
	if err := stream.CheckRunID(t.RunID); err != nil {
		return usageError{fmt.Errorf("--run: %w", err)}
	}
	return nil
}

// reader returns what makes snapshots of the run that the flags mean, or of the server's unfinished one.
func (t *target) reader(a *app, s *session) (*snapshot.Reader, error) {
	id := cmp.Or(t.RunID, s.run)
	r := &snapshot.Reader{Queue: s.queue, Store: s.store, Only: id, Server: s.url, Reach: t.reach(), Idle: s.idle}
	if id != "" { // with what helps if there is no such run
		_, err := pickRun(a.ctx, s, id)
		return r, err
	}
	_, err := r.Look(a.ctx)
	if errors.Is(err, snapshot.ErrNoRun) {
		_, err = pickRun(a.ctx, s, "")
	}
	return r, err
}

// reach returns the flags by which another command finds the same server.
func (t *target) reach() string {
	cfg, err := t.Resolved()
	switch {
	case err == nil && cfg.NATS != "":
		return "--nats " + snapshot.Quote(config.Redact(cfg.NATS))
	case t.StoreDir != "":
		return "--store-dir " + snapshot.Quote(t.StoreDir)
	case t.OutputDir != "":
		return "-o " + snapshot.Quote(t.OutputDir)
	default:
		return ""
	}
}

// terminalSize returns the columns and rows of the terminal that a writes to, the usual ones where it is none.
func terminalSize(a *app) (columns, rows int) {
	if f, ok := innermost(a.out).(interface{ Fd() uintptr }); ok {
		if columns, rows, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 && rows > 0 {
			return columns, rows
		}
	}
	return screen.Columns, screen.Rows
}

func (c *statusCmd) print(a *app, s *snapshot.Snapshot, first bool) error {
	if a.json {
		return a.printJSON(s)
	}
	columns, rows := terminalSize(a)
	var out strings.Builder
	live := c.Watch && isTerminal(a.out)
	switch {
	case c.Long:
		rows = 1 << 20
	case live:
		rows-- // the cursor stands below
	}
	begin, end, after := "", "\n", ""
	switch {
	case live: // over the last picture, without a moment in which nothing is there
		begin, end, after = "\x1b[H", "\x1b[K\n", "\x1b[J"
		if first {
			begin += "\x1b[2J"
		}
	case c.Watch && !first:
		begin = "\n"
	}
	out.WriteString(begin)
	for _, line := range screen.Lines(s, columns, rows) {
		out.WriteString(line + end)
	}
	if c.Long {
		var long strings.Builder
		showEngines(&long, s)
		out.WriteString(strings.ReplaceAll(long.String(), "\n", end))
	}
	out.WriteString(after)
	_, err := fmt.Fprint(a.out, out.String())
	return err
}
