package export

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/lcb/result"
	"github.com/lcbq/lcbq/worker/lcb/result/official"
	"github.com/lcbq/lcbq/worker/pyjson"
	"github.com/lcbq/lcbq/worker/score"
)

// liveCodeBench writes the three files of the official runner for each temperature.
func (w *writer) liveCodeBench() error {
	for _, t := range w.temperatures() {
		var cells []official.Cell
		n := 0
		for _, c := range w.at(t) {
			q := w.Questions[c.Question].Question
			if q.Content == "" {
				return fmt.Errorf("%w: the text of question %s is not known\nname the problem set with --problems", ErrCannot, q.ID)
			}
			if c.Path == "" {
				return fmt.Errorf("question %s at temperature %v: %w: its samples are not in the folder", q.ID, t, ErrCannot)
			}
			if err := unaudited(&c); err != nil {
				return err
			}
			n = c.Counts.N
			cells = append(cells, official.Cell{Question: q, Path: c.Path})
		}
		name := official.Name(n, t)
		base := strings.TrimSuffix(name, ".json")
		err := w.create(name, func(output *os.File) error {
			return w.create(base+"_eval.json", func(eval *os.File) error {
				return w.create(base+"_eval_all.json", func(all *os.File) error {
					return official.Export(official.Writers{Output: output, Eval: eval, EvalAll: all}, cells, score.PassAtK)
				})
			})
		})
		if errors.Is(err, official.ErrRagged) {
			err = fmt.Errorf("%w\nthe official files hold one number of samples: finish the run, or choose another format", err)
		}
		if err != nil {
			return fmt.Errorf("temperature %v: %w", t, err)
		}
	}
	return nil
}

// unaudited refuses a cell of which programs were stopped at a soft limit, for a format that
// counts such a program as failed.
func unaudited(c *Cell) error {
	if c.Counts.Audit == nil {
		return nil
	}
	return fmt.Errorf("%w: the time limit was audited, and the format has no place for the correction of what was stopped\nexport jsonl or parquet, whose rows hold audit_draw and audit_share", ErrCannot)
}

// evalPlus writes one line a sample, as EvalPlus' sample files are: task_id and
// solution, and beside them what its evaluator would have found.
func (w *writer) evalPlus() error {
	for i := range w.Cells {
		if err := unaudited(&w.Cells[i]); err != nil {
			return err
		}
	}
	for _, t := range w.temperatures() {
		err := w.lines(fmt.Sprintf("livecodebench_%s_temp_%s.jsonl", w.model(), decimal(t)), func(emit func([]byte) error) error {
			for _, c := range w.at(t) {
				id := w.Questions[c.Question].ID
				err := w.samples(c, func(s *result.Sample) error {
					line := append([]byte(`{"task_id":`), pyjson.Append(nil, "LiveCodeBench/"+id)...)
					line = append(line, `,"solution":`...)
					line = pyjson.Append(line, s.Code)
					line = fmt.Appendf(line, `,"base_status":%q,"temperature":%v,"index":%d,"verdict":%q}`, status(s), t, s.Index, s.Verdict)
					return emit(line)
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// status is the word of EvalPlus for a verdict.
func status(s *result.Sample) string {
	switch {
	case s.Passed():
		return "pass"
	case s.Verdict == stream.TimeLimit:
		return "timeout"
	default:
		return "fail"
	}
}

// jsonLines writes one line a sample with all that is known of it.
func (w *writer) jsonLines() error {
	return w.lines("samples.jsonl", func(emit func([]byte) error) error {
		for _, c := range w.Cells {
			q := &w.Questions[c.Question]
			head := append([]byte(`{"question_id":`), pyjson.Append(nil, q.ID)...)
			origin, err := json.Marshal(q.Origin())
			if err != nil {
				return err
			}
			if len(origin) > len("{}") {
				head = append(append(head, ','), origin[1:len(origin)-1]...)
			}
			head = fmt.Appendf(head, `,"temperature":%v,"completion_id":`, c.Temperature)
			err = w.samples(c, func(s *result.Sample) error {
				line := pyjson.Append(append([]byte(nil), head...), fmt.Sprintf("%s_%s_%d", q.ID, result.TempName(c.Temperature), s.Index))
				line = append(line, `,"output":`...)
				line = pyjson.Append(line, s.Completion)
				line = append(line, ',')
				// The rest is as in the cell's file, without what is above.
				rest := *s
				rest.Completion = ""
				text := result.AppendSample(nil, &rest)
				return emit(append(line, strings.Replace(string(text[1:]), `"completion":"",`, "", 1)...))
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// lines writes a file of lines.
func (w *writer) lines(name string, f func(emit func([]byte) error) error) error {
	return w.create(name, func(file *os.File) error {
		out := bufio.NewWriterSize(file, 256<<10)
		err := f(func(line []byte) error {
			if _, err := out.Write(line); err != nil {
				return err
			}
			return out.WriteByte('\n')
		})
		if err != nil {
			return err
		}
		return out.Flush()
	})
}
