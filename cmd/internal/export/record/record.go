// Package record makes Every Eval Ever's aggregate record of a run: pass@k by temperature and by group of questions, with its
// intervals, and what the analysis found. It computes no number, reads no sample and writes no file.
package record

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/lcbq/lcbq/cmd/internal/window"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/combine/summary"
	"github.com/lcbq/lcbq/worker/score/curve"
)

// Version is that of Every Eval Ever's eval.schema.json that a record follows.
const Version = "0.3.0"

// detailsVersion is that of the details, whose names the schema leaves to the writer; the README lists them. It grows when
// one of them goes or gets another meaning, or when results are added that a sum over all of them would count twice.
const detailsVersion = "2"

type object = map[string]any

// A Run is what a record is of.
type Run struct {
	Summary  *summary.Run    // settings and provenance, as far as they are known
	Analysis *curve.Analysis // of the questions that are exported; nil if there is none
	Release  string          // of LiveCodeBench's problems, such as v6; "" for other problems
	Counted  string          // a digest of all that was counted: the same results make a record of the same name
}

// Make returns a record, and the name of its file in a folder of records.
func (r *Run) Make() (name string, text []byte, err error) {
	s := r.Summary
	developer, model := unknown, s.Model
	if before, after, ok := strings.Cut(s.Model, "/"); ok {
		developer, model = orUnknown(before), after
	}
	if model == "" {
		model = s.Engine
	}
	id := developer + "/" + model
	finished := s.Finished
	if finished.IsZero() {
		finished = time.Unix(0, 0).UTC() // not known; the schema wants a number
	}
	stamp := strconv.FormatInt(finished.Unix(), 10)
	deployment := unknown
	if stream.Engine(s.Engine).Supervised() {
		deployment = "self_deployed"
	}
	details := object{"deployment_type": deployment, "model_availability": unknown}
	if s.Simulated {
		details["simulated"] = "true: no model was asked"
	}
	record := object{
		"schema_version": Version, "evaluation_id": "livecodebench/" + id + "/" + stamp, "retrieved_timestamp": stamp, "evaluation_timestamp": stamp,
		"source_metadata": object{
			"source_name": "lcbq run " + s.Run, "source_type": "evaluation_run", "source_organization_name": unknown, "evaluator_relationship": "other",
			"additional_details": r.provenance(),
		},
		"eval_library":       object{"name": "lcbq", "version": orUnknown(s.LCBQ)},
		"model_info":         object{"name": model, "id": id, "developer": developer, "inference_engine": object{"name": s.Engine, "version": orUnknown(s.Provenance.EngineVersion)}, "additional_details": details},
		"evaluation_results": r.results(),
	}
	if text, err = json.MarshalIndent(record, "", "  "); err != nil {
		return "", nil, fmt.Errorf("encode the record: %w", err)
	}
	return path.Join("data", "livecodebench", folderOf(developer), folderOf(model), uuid(s.Run, r.Counted)+".json"), append(text, '\n'), nil
}

// folderOf returns a name, which may be a stranger's, as that of one folder.
func folderOf(name string) string {
	name = strings.Map(func(c rune) rune {
		if c < ' ' || strings.ContainsRune(`/\:*?"<>|`, c) {
			return '-'
		}
		return c
	}, name)
	if strings.Trim(name, ". ") == "" {
		return unknown
	}
	return name
}

func orUnknown(s string) string {
	if s == "" {
		return unknown
	}
	return s
}

// provenance is what the record has no field of its own for, as it wants it: texts.
func (r *Run) provenance() object {
	s := r.Summary
	return object{
		"judge": orUnknown(s.Judge), "judge_fingerprint": orUnknown(s.Fingerprint), "sandbox_level": orUnknown(s.Provenance.SandboxLevel),
		"dataset_digest": orUnknown(s.Problems.Digest), "prompt_style": orUnknown(s.Sampling.Prompt), "extraction": orUnknown(s.Sampling.Extract),
		"run": orUnknown(s.Run), "questions": window.Names(windowsOf(s)), "excluded_questions": excluded(s),
		"findings": findings(s), "time_limit": s.Judging.Limit(), "stopped_at_soft_limit": r.stopped(),
		"all_temperatures_together": r.union(), "mix_of_temperatures": r.mixing(), "never_to_sometimes": r.flips(), "beyond_the_samples": r.beyond(),
		"details_version": detailsVersion,
	}
}

// stopped says what an audited time limit did, by temperature; "none" for nothing.
func (r *Run) stopped() string {
	if r.Analysis == nil || len(r.Analysis.Audited) == 0 {
		return "none"
	}
	var out []string
	for _, x := range r.Analysis.Audited {
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

// uuid returns a UUID that is a function of its arguments, in the form of version 4.
func uuid(parts ...string) string {
	b := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}
