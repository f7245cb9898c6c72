package export

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lcbq/lcbq/cmd/internal/window"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/combine/summary"
	"github.com/lcbq/lcbq/worker/lcb/dataset"
	"github.com/lcbq/lcbq/worker/lcb/result"
	"github.com/lcbq/lcbq/worker/pyjson"
	"github.com/lcbq/lcbq/worker/score/curve"
)

// eeeVersion is the version of Every Eval Ever's eval.schema.json that is written.
const eeeVersion = "0.3.0"

// detailsVersion is that of the details, whose names the schema leaves to the writer; the README lists them. It grows when
// one of them goes or gets another meaning, or when results are added that a sum over all of them would count twice.
const detailsVersion = "2"

type object = map[string]any

// everyEvalEver writes the aggregate record: pass@k by temperature with intervals.
func (w *writer) everyEvalEver() error {
	s := &w.Summary
	developer, name := "unknown", s.Model
	if before, after, ok := strings.Cut(s.Model, "/"); ok {
		developer, name = before, after
	}
	if name == "" {
		name = s.Engine
	}
	id := developer + "/" + name
	finished := s.Finished
	if finished.IsZero() {
		finished = time.Unix(0, 0).UTC() // not known; the schema wants a number
	}
	stamp := strconv.FormatInt(finished.Unix(), 10)
	deployment := "unknown"
	if stream.Engine(s.Engine).Supervised() {
		deployment = "self_deployed"
	}
	details := object{"deployment_type": deployment, "model_availability": "unknown"}
	if s.Simulated {
		details["simulated"] = "true: no model was asked"
	}
	record := object{
		"schema_version": eeeVersion, "evaluation_id": "livecodebench/" + id + "/" + stamp, "retrieved_timestamp": stamp, "evaluation_timestamp": stamp,
		"source_metadata": object{
			"source_name": "lcbq run " + s.Run, "source_type": "evaluation_run", "source_organization_name": "unknown", "evaluator_relationship": "other",
			"additional_details": w.provenance(),
		},
		"eval_library":       object{"name": "lcbq", "version": orUnknown(s.LCBQ)},
		"model_info":         object{"name": name, "id": id, "developer": developer, "inference_engine": object{"name": s.Engine, "version": orUnknown(s.Provenance.EngineVersion)}, "additional_details": details},
		"evaluation_results": w.results(),
	}
	text, err := json.MarshalIndent(record, "", "  ")
	if err != nil {
		return err
	}
	return w.create(path.Join("data", "livecodebench", developer, name, uuid(s.Run, w.digest())+".json"), func(f *os.File) error {
		_, err := f.Write(append(text, '\n'))
		return err
	})
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

// provenance is what the record has no field of its own for, as it wants it: texts.
func (w *writer) provenance() object {
	s := &w.Summary
	return object{
		"judge": orUnknown(s.Judge), "judge_fingerprint": orUnknown(s.Fingerprint), "sandbox_level": orUnknown(s.Provenance.SandboxLevel),
		"dataset_digest": orUnknown(s.Problems.Digest), "prompt_style": orUnknown(s.Sampling.Prompt), "extraction": orUnknown(s.Sampling.Extract),
		"run": orUnknown(s.Run), "questions": window.Names(windowsOf(s)), "excluded_questions": excluded(s),
		"findings": findings(s), "time_limit": s.Judging.Limit(), "stopped_at_soft_limit": stopped(s),
		"all_temperatures_together": w.union(), "mix_of_temperatures": w.mixing(), "never_to_sometimes": w.flips(), "beyond_the_samples": w.beyond(),
		"details_version": detailsVersion,
	}
}

// stopped says what an audited time limit did, by temperature; "none" for nothing.
func stopped(s *summary.Run) string {
	if s.Analysis == nil || len(s.Analysis.Audited) == 0 {
		return "none"
	}
	var out []string
	for _, x := range s.Analysis.Audited {
		out = append(out, fmt.Sprintf("temperature %v: %d samples, of which %.0f (%.0f to %.0f) would have passed; scores are corrected, standard error of pass@1 by this %.2g", x.Temperature, x.Stopped, x.FalseStops, x.Interval.Low, x.Interval.High, x.StandardError))
	}
	return strings.Join(out, "; ")
}

// findings says what a reader must know of the answers; "none" for nothing.
func findings(s *summary.Run) string {
	var out []string
	for _, f := range s.Health {
		text := f.Text
		if f.Grave {
			text = "these numbers say nothing about the model: " + text
		}
		out = append(out, text)
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, "; ")
}

// windowsOf returns by what the questions were chosen: all of the set where nobody chose.
func windowsOf(s *summary.Run) []store.Window {
	if len(s.Windows) == 0 {
		return []store.Window{{}}
	}
	return s.Windows
}

// excluded names the questions that were left out, with the reasons; "none" for none.
func excluded(s *summary.Run) string {
	var out []string
	for _, w := range s.Windows {
		for _, x := range w.Excluded {
			out = append(out, x.ID+": "+x.Reason)
		}
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, "; ")
}

func (w *writer) results() []object {
	out := []object{}
	if w.Analysis == nil {
		return out
	}
	for i := range w.Analysis.Temperatures {
		t := &w.Analysis.Temperatures[i]
		headline := curve.Headline(t.NMax)
		for j := range t.Points {
			p := &t.Points[j]
			for _, k := range headline {
				if p.K == k {
					out = append(out, w.result(t, p))
				}
			}
		}
	}
	return slices.Concat(out, w.splits(), w.cutoff())
}

// result is one value of all questions, with what the analysis found of it.
func (w *writer) result(t *curve.Temperature, p *curve.Point) object {
	out, details := w.value(t.Temperature, p, group{})
	details["samples_per_question_min"], details["samples_per_question_max"] = strconv.Itoa(t.NMin), strconv.Itoa(t.NMax)
	for i := range w.Analysis.Best {
		if b := &w.Analysis.Best[i]; b.K == p.K && b.Temperature == t.Temperature && b.Selected != nil {
			details["selected_as_highest_of"] = strconv.Itoa(b.Selected.Of)
			details["selected_too_high_at_most_these_questions"], details["selected_too_high_at_most"] = number(b.Selected.These), number(b.Selected.Like)
		}
	}
	w.found(details, t, p)
	if u := w.Summary.Until; u != nil {
		details["samples_chosen_by_results"] = fmt.Sprintf("until half the anytime interval of pass@%d is at most %s, at most %d samples: read the anytime interval, the sampling interval takes the number of samples for given", u.K, number(u.Half), u.Most)
		for _, x := range u.Temperatures {
			if x.Temperature == t.Temperature {
				details["samples_chosen_half_width"], details["samples_chosen_reached"] = number(x.Half), strconv.FormatBool(x.Reached)
			}
		}
	}
	return out
}

// value is one value of a group of questions with its intervals, and the details of it, which the caller adds to.
func (w *writer) value(temperature float64, p *curve.Point, of group) (out, details object) {
	s := &w.Summary
	source := object{"dataset_name": orUnknown(s.Problems.Name), "source_type": "other"}
	if w.Release != "" {
		source = object{"dataset_name": "LiveCodeBench " + w.Release, "source_type": "hf_dataset", "hf_repo": dataset.Repository, "hf_split": "test", "samples_number": s.Problems.Count}
		if s.Problems.Revision != "" {
			source["additional_details"] = object{"revision": s.Problems.Revision}
		}
	}
	args := object{"temperature": temperature}
	if s.Sampling.MaxTokens > 0 {
		args["max_tokens"], args["top_p"], args["top_k"] = s.Sampling.MaxTokens, s.Sampling.TopP, s.Sampling.TopK
	}
	if s.Sampling.Thinking != nil {
		args["reasoning"] = *s.Sampling.Thinking
	}
	details = object{
		"questions": strconv.Itoa(p.Questions), "reliable": strconv.FormatBool(p.Reliable), "pass_hat_k": number(p.PassHatK),
		"sampling_interval_low": number(p.Sampling.Low), "sampling_interval_high": number(p.Sampling.High),
		"anytime_interval_low": number(p.Anytime.Low), "anytime_interval_high": number(p.Anytime.High),
	}
	score := object{"score": p.Value, "details": details}
	if p.Population != nil {
		if c := p.Population.Contest; c != nil {
			details["by_contest_interval_low"], details["by_contest_interval_high"] = number(c.Low), number(c.High)
		}
		score["uncertainty"] = object{
			"confidence_interval": object{
				"lower": p.Population.Low, "upper": p.Population.High, "confidence_level": w.Analysis.Level,
				"method": "over questions, beta with the variance of the question scores",
			},
			"num_samples": p.Questions,
		}
	}
	name := fmt.Sprintf("pass@%d", p.K)
	title, id := "LiveCodeBench code generation, "+name+", temperature "+number(temperature), result.TempName(temperature)+"/"+name
	parameters := object{"k": p.K}
	if of.by != "" {
		title, id = title+", "+of.words(), id+"/"+of.by+"/"+of.name
		parameters["split_by"], parameters["split"] = of.by, of.name
	}
	return object{
		"evaluation_name": title, "source_data": source, "evaluation_result_id": id,
		"metric_config": object{
			"evaluation_description": "unbiased estimate of the chance that one of k samples passes all tests, mean over questions",
			"metric_id":              "pass_at_k", "metric_name": name, "metric_kind": "pass_rate", "metric_unit": "proportion", "metric_parameters": parameters,
			"lower_is_better": false, "score_type": "continuous", "min_score": 0, "max_score": 1,
		},
		"score_details": score, "generation_config": object{"generation_args": args},
	}, details
}

// digest is of all that was counted, so that a record of the same results has the
// same name.
func (w *writer) digest() string {
	h := sha256.New()
	for _, c := range w.Cells {
		fmt.Fprintf(h, "%d %v %d %d\n", c.Question, c.Temperature, c.Counts.N, c.Counts.Passed)
	}
	return string(h.Sum(nil))
}

// uuid returns a UUID that is a function of its arguments, in the form of version 4.
func uuid(parts ...string) string {
	b := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// hub writes pass@1 as the hub shows it on a model's page, in percent, one file a
// temperature: several scores of one benchmark must not share a file.
func (w *writer) hub() error {
	s := &w.Summary
	switch {
	case s.Simulated:
		return fmt.Errorf("%w: the results are simulated, and a model's page is for a model's", ErrCannot)
	case w.Release == "":
		return fmt.Errorf("%w: problem set %q is no release of LiveCodeBench, and has no benchmark on the hub", ErrCannot, s.Problems.Name)
	case len(s.Windows) > 0:
		return fmt.Errorf("%w: these are some of the questions (%s), and the hub's benchmark is all of release %s", ErrCannot, window.Names(s.Windows), w.Release)
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
