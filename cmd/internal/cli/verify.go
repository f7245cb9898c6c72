package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream/sweep"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// verifyCmd proves a results folder.
type verifyCmd struct {
	server   `embed:""`
	Results  string `arg:"" optional:"" type:"existingdir" help:"results folder"`
	Queues   bool   `help:"audit the queues instead: for each run of the server of --nats, or of the store of --store-dir, where its units are, and how many are nowhere"`
	Recorded bool   `help:"compare with what the combiner recorded too: on the server of --nats, or in the store of --store-dir, by default .lcbq in the folder"`
}

// Run reads every file of the folder and reports what does not add up.
func (c *verifyCmd) Run(a *app) error {
	switch {
	case c.Queues:
		return c.queues(a)
	case c.Results == "":
		return usageError{errors.New("verify: name a results folder, or a server's queues with --queues")}
	}
	want := result.Expectation{}
	if c.Recorded {
		var err error
		if want, err = c.recorded(a); err != nil {
			return err
		}
	}
	proof, err := result.Verify(a.ctx, c.Results, want)
	if err != nil {
		return err
	}
	if a.json {
		if err := a.printJSON(proof); err != nil {
			return err
		}
	} else {
		for _, f := range proof.Findings {
			fmt.Fprintln(a.out, f)
		}
		fmt.Fprintln(a.out, c.summary(proof))
	}
	switch {
	case !proof.OK():
		return fmt.Errorf("verify %s: %d findings", c.Results, len(proof.Findings))
	case proof.Cells == 0:
		return fmt.Errorf("verify %s: it holds no cell, so there is nothing to prove\nname a results folder, in which q0/t0_1_combined.json and the like lie", c.Results)
	}
	return nil
}

// summary says in one line what was proved.
func (c *verifyCmd) summary(p *result.Proof) string {
	says := fmt.Sprintf("%d cells, ", p.Cells)
	all := config.Cells(filepath.Join(c.Results, result.ConfigName))
	missing := all > p.Cells
	if missing {
		says = fmt.Sprintf("%d of %d cells, ", p.Cells, all)
	}
	says += fmt.Sprintf("%d samples, %d passed", p.Samples, p.Passed)
	if (missing || p.Unfinished > 0) && p.OK() && p.Cells > 0 {
		says += ": counts good; the run is not finished"
	}
	return says
}

// queues looks for every unit of every run.
func (c *verifyCmd) queues(a *app) error {
	return attach(a, c.server, c.Results, "verify", looks, func(s *session) error {
		runs, unread, err := s.store.Runs(a.ctx)
		if err != nil {
			return err
		}
		for _, u := range unread {
			fmt.Fprintf(a.err, "run %s is not audited: %v\n", u.Key, u.Err)
		}
		audits := []sweep.Audit{}
		lost := 0
		for _, m := range runs {
			if !m.Published || m.Cancelled != 0 {
				continue // not all of it is to be there
			}
			audit, err := s.sweeper().Audit(a.ctx, m, nil)
			if err != nil {
				return err
			}
			audits = append(audits, audit)
			lost += audit.Lost
		}
		if a.json {
			if err := a.printJSON(audits); err != nil {
				return err
			}
		} else {
			fmt.Fprintf(a.out, "%-24s %8s %8s %9s %9s %8s %9s %8s\n", "run", "units", "done", "GENERATE", "EVALUATE", "COMBINE", "given up", "nowhere")
			for _, x := range audits {
				fmt.Fprintf(a.out, "%-24s %8d %8d %9d %9d %8d %9d %8d\n", x.Run, x.Units, x.Done, x.Generate, x.Evaluate, x.Combine, x.Dead, x.Lost)
			}
		}
		switch {
		case lost > 0:
			return fmt.Errorf("verify queues: %d units are in no queue, so that no worker will ever be handed them\ntype the same 'lcbq submit' or 'lcbq run' again: it publishes them, and nothing twice", lost)
		case len(unread) > 0:
			return fmt.Errorf("verify queues: %d runs cannot be read", len(unread))
		}
		return nil
	})
}

// recorded returns the cells that the combiner marked done, and their digests.
func (c *verifyCmd) recorded(a *app) (result.Expectation, error) {
	want := result.Expectation{Digests: make(map[string]string)}
	path := filepath.Join(c.Results, result.ConfigName)
	values, err := config.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return want, fmt.Errorf("verify %s: it has no %s that names its run\nleave out --recorded", c.Results, result.ConfigName)
	}
	if err != nil {
		return want, fmt.Errorf("verify %s: %w", c.Results, err)
	}
	if c.NATS == "" {
		c.StoreDir = storeDir(c.Store, c.Results)
	}
	err = attach(a, c.server, c.Results, "verify", looks, func(s *session) error {
		m, err := pickRun(a.ctx, s, fmt.Sprint(values["run"]))
		if err != nil {
			return err
		}
		cells, err := s.store.Cells(a.ctx, m.ID, -1)
		if err != nil {
			return err
		}
		for cell, st := range cells {
			t := cell.Temperature.Float()
			want.Cells = append(want.Cells, result.CellID{Question: cell.Question, Temperature: t})
			file, err := filepath.Rel(c.Results, filepath.Join(result.QuestionDir(c.Results, cell.Question), st.File))
			if err != nil {
				return err
			}
			want.Digests[filepath.ToSlash(file)] = st.Digest
		}
		return nil
	})
	return want, err
}
