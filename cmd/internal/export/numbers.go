package export

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path"
	"strconv"
	"time"

	"github.com/lcbq/lcbq/cmd/internal/export/record"
	"github.com/lcbq/lcbq/cmd/internal/window"
	"github.com/lcbq/lcbq/worker/lcb/dataset"
	"github.com/lcbq/lcbq/worker/lcb/result"
	"github.com/lcbq/lcbq/worker/pyjson"
)

// everyEvalEver writes the aggregate record.
func (w *writer) everyEvalEver() error {
	r := record.Run{Summary: &w.Summary, Analysis: w.Analysis, Release: w.Release, Counted: w.counted()}
	name, text, err := r.Make()
	if err != nil {
		return err
	}
	return w.create(name, func(f *os.File) error {
		_, err := f.Write(text)
		return err
	})
}

// counted is a digest of all that was counted.
func (w *writer) counted() string {
	h := sha256.New()
	for _, c := range w.Cells {
		fmt.Fprintf(h, "%d %v %d %d\n", c.Question, c.Temperature, c.Counts.N, c.Counts.Passed)
	}
	return string(h.Sum(nil))
}

// hub writes pass@1 as the hub shows it on a model's page, in percent, one file a
// temperature: several scores of one benchmark must not share a file.
func (w *writer) hub() error {
	s := &w.Summary
	switch {
	case s.Simulated:
		return fmt.Errorf("%w: the results are simulated, and a model's page is for a model's\nexport a run of a model, or choose another --format", ErrCannot)
	case w.Release == "":
		return fmt.Errorf("%w: problem set %q is no release of LiveCodeBench, and has no benchmark on the hub\nexport a run with --problems v1 to v6, or choose another --format", ErrCannot, s.Problems.Name)
	case len(s.Windows) > 0:
		return fmt.Errorf("%w: these are some of the questions (%s), and the hub's benchmark is all of release %s\nexport all of the questions, or choose another --format", ErrCannot, window.Names(s.Windows), w.Release)
	case w.Analysis == nil:
		return fmt.Errorf("%w: there is no analysis", ErrCannot)
	}
	for i := range w.Analysis.Temperatures {
		t := &w.Analysis.Temperatures[i]
		if len(t.Points) == 0 {
			continue
		}
		p := &t.Points[0] // k = 1
		notes := fmt.Sprintf("pass@1 at temperature %v, %d to %d samples a question, %d of %d questions, judge %s", t.Temperature, t.NMin, t.NMax, p.Questions, s.Problems.Count, s.Judge)
		if p.Population != nil {
			notes += fmt.Sprintf("; %v %% interval over questions %.2f to %.2f", 100*w.Analysis.Level, 100*p.Population.Low, 100*p.Population.High)
		}
		if s.Judging.AuditShare > 0 {
			notes += fmt.Sprintf("; time limit %s, value corrected", s.Judging.Limit())
		}
		var b bytes.Buffer
		fmt.Fprintf(&b, "- dataset:\n    id: %s\n    task_id: %s\n", quote(dataset.Repository), quote(w.Release))
		if s.Problems.Revision != "" {
			fmt.Fprintf(&b, "    revision: %s\n", quote(s.Problems.Revision))
		}
		fmt.Fprintf(&b, "  value: %s\n", strconv.FormatFloat(100*p.Value, 'f', -1, 64))
		if !s.Finished.IsZero() {
			fmt.Fprintf(&b, "  date: %s\n", quote(s.Finished.UTC().Format(time.DateOnly)))
		}
		fmt.Fprintf(&b, "  notes: %s\n", quote(notes))
		name := path.Join(".eval_results", "livecodebench_"+w.Release+"_"+result.TempName(t.Temperature)+".yaml")
		err := w.create(name, func(f *os.File) error {
			_, err := f.Write(b.Bytes())
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// quote writes a text as YAML in double quotes, of which JSON's are a part.
func quote(s string) string { return string(pyjson.Append(nil, s)) }
