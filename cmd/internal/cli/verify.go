package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// verifyCmd proves a results folder.
type verifyCmd struct {
	config.Server `embed:""`
	Results       string `arg:"" type:"existingdir" help:"results folder"`
	Recorded      bool   `help:"compare with what the combiner recorded too: on the server of --nats, or in the store of --store-dir, by default .lcbq in the folder"`
}

// Run reads every file of the folder and reports what does not add up.
func (c *verifyCmd) Run(a *app) error {
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
		fmt.Fprintf(a.out, "%d cells, %d samples, %d passed\n", proof.Cells, proof.Samples, proof.Passed)
	}
	switch {
	case !proof.OK():
		return fmt.Errorf("verify %s: %d findings", c.Results, len(proof.Findings))
	case proof.Cells == 0:
		return fmt.Errorf("verify %s: it holds no cell, so there is nothing to prove\nname a results folder, in which q0/t0_1_combined.json and the like lie", c.Results)
	}
	return nil
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
		c.StoreDir = storeDir(c.Server, c.Results)
	}
	err = attach(a, c.Server, "verify", func(s *session) error {
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
