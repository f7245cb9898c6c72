// Package result is the results folder of a run: the formats of its files, how
// they are written so that a crash leaves no half file behind, and how their
// counts are proved afterwards. It knows no queue and no worker, and it judges
// nothing: what it writes was decided elsewhere.
package result

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"math"
	"slices"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/lcb"
)

// A Sample is one completion of a cell with what the judge said of it: the fields
// of stream.Sample and stream.Judgement, and the workers' names. See pyjson.Append for
// what files keep of broken Unicode.
type Sample struct {
	stream.Sample
	stream.Judgement
	Generator string `json:"generator"` // name of the worker that generated it
	Evaluator string `json:"evaluator"` // name of the worker that judged it
}

// Of returns sample i of a judged unit.
func Of(u *stream.Scored, i int) *Sample {
	return &Sample{Sample: u.Samples[i], Judgement: u.Judgements[i], Generator: u.Generator, Evaluator: u.Evaluator}
}

// Passed reports whether all tests passed.
func (s *Sample) Passed() bool { return s.Verdict == stream.Passed }

// Validate reports what makes s unfit for a file.
func (s *Sample) Validate() error {
	bad := func(field string, got any, want string) error {
		return fmt.Errorf("sample %d: %s = %v, want %s", s.Index, field, got, want)
	}
	var errs []error
	if s.Index < 0 {
		errs = append(errs, bad("index", s.Index, "0 or more"))
	}
	if !s.Verdict.Known() {
		errs = append(errs, bad("verdict", s.Verdict, "a known verdict"))
	}
	if c := s.ErrorCode; c != nil && (*c < -5 || *c > -2) {
		errs = append(errs, bad("error_code", *c, "null or -5 to -2"))
	}
	if t := s.Test; t != nil && *t < -1 {
		errs = append(errs, bad("test", *t, "null, -1 or an index"))
	}
	if s.Tokens < 0 {
		errs = append(errs, bad("tokens", s.Tokens, "0 or more"))
	}
	if !finite(s.CPU) || s.CPU < 0 {
		errs = append(errs, bad("cpu_s", s.CPU, "a finite number, 0 or more"))
	}
	if s.Slowdown != 0 && !(finite(s.Slowdown) && s.Slowdown > 1) {
		errs = append(errs, bad("slowdown", s.Slowdown, "a finite number above 1"))
	}
	switch {
	case s.Draw == 0 && s.Share == 0: // not beyond a soft limit
	case !(s.Draw > 0 && s.Draw < 1):
		errs = append(errs, bad("audit_draw", s.Draw, "above 0 and below 1, beside audit_share"))
	case !(s.Share > 0 && s.Share <= 1):
		errs = append(errs, bad("audit_share", s.Share, "above 0, at most 1, beside audit_draw"))
	case s.Stopped() && s.Verdict != stream.TimeLimit && s.Verdict != stream.JudgeFault:
		errs = append(errs, bad("verdict", s.Verdict, "time_limit: audit_draw says that the program was stopped"))
	}
	return errors.Join(errs...)
}

// disagreements compares the counts that a file or summary claims with those of the
// samples: the fields that follow from the samples alone, without a hash of every
// program.
func disagreements(claimed, samples *stream.Counts) []string {
	var out []string
	differ := func(field string, said, is any) {
		if said != is {
			out = append(out, fmt.Sprintf("%s says %v, the samples %v", field, said, is))
		}
	}
	differ("n", claimed.N, samples.N)
	differ("passed", claimed.Passed, samples.Passed)
	differ("unscored", claimed.Unscored, samples.Unscored)
	differ("completion_tokens", claimed.Tokens, samples.Tokens)
	if want := samples.Rate(); math.Abs(claimed.PassRate-want) > 1e-9 {
		out = append(out, fmt.Sprintf("pass_rate says %v, the samples %v", claimed.PassRate, want))
	}
	out = append(out, audits(claimed.Audit, samples.Audit)...)
	for _, v := range stream.Verdicts() {
		differ("verdicts."+v.String(), claimed.Verdicts[v], samples.Verdicts[v])
	}
	a, b := claimed.Answers, samples.Answers
	if a == nil || b == nil { // files of an lcbq that did not count them
		return out
	}
	differ("answers.empty", a.Empty, b.Empty)
	for _, m := range []struct {
		name     string
		said, is map[string]int
	}{
		{"finish_reasons", a.Finish, b.Finish},
		{"left_out", a.LeftOut, b.LeftOut},
		{"redrawn", a.Redrawn, b.Redrawn},
		{"answered_as", a.AnsweredAs, b.AnsweredAs},
	} {
		both := maps.Clone(m.is)
		if both == nil {
			both = make(map[string]int)
		}
		maps.Copy(both, m.said)
		for _, key := range slices.Sorted(maps.Keys(both)) {
			differ("answers."+m.name+"."+key, m.said[key], m.is[key])
		}
	}
	return out
}

// audits is disagreements for the audit of a time limit.
func audits(claimed, samples *stream.Audit) (out []string) {
	a, b := cmp.Or(claimed, &stream.Audit{}), cmp.Or(samples, &stream.Audit{})
	for _, f := range []struct {
		name     string
		said, is any
	}{
		{"share", a.Share, b.Share},
		{"stopped", a.Stopped, b.Stopped},
		{"audited", a.Audited, b.Audited},
		{"passed", a.Passed, b.Passed},
		{"draws", fmt.Sprint(a.Draws), fmt.Sprint(b.Draws)}, // maps are printed in order
		{"passed_draws", fmt.Sprint(a.PassedDraws), fmt.Sprint(b.PassedDraws)},
	} {
		if f.said != f.is {
			out = append(out, fmt.Sprintf("audit.%s says %v, the samples %v", f.name, f.said, f.is))
		}
	}
	return out
}

// A Header is what a cell's file says before its samples.
type Header struct {
	QuestionIdx   int     `json:"question_idx"`
	QuestionID    string  `json:"question_id"`
	QuestionTitle string  `json:"question_title"`
	Temperature   float64 `json:"temperature"`
	stream.Counts
	Engine      string `json:"engine"`              // vllm, openai, replay or sim
	Model       string `json:"model,omitempty"`     // as the engine names it
	Simulated   bool   `json:"simulated,omitempty"` // no real model made these samples
	Judge       string `json:"judge"`               // lcb or script
	Fingerprint string `json:"fingerprint"`         // digest of the environment that judged
}

// Validate reports what makes h unfit for a file. The counts are compared with
// each other here, and with the samples when the cell is committed or read.
func (h *Header) Validate() error {
	var errs []error
	check := func(ok bool, field string, got any, want string) {
		if !ok {
			errs = append(errs, fmt.Errorf("cell header: %s = %v, want %s", field, got, want))
		}
	}
	check(h.QuestionIdx >= 0, "question_idx", h.QuestionIdx, "0 or more")
	check(finite(h.Temperature) && h.Temperature >= 0, "temperature", h.Temperature, "a finite number, 0 or more")
	check(h.N >= 0, "n", h.N, "0 or more")
	check(h.Passed >= 0 && h.Passed <= h.N, "passed", h.Passed, fmt.Sprintf("0 to n = %d", h.N))
	check(h.Unscored >= 0, "unscored", h.Unscored, "0 or more")
	if a := h.Audit; a != nil {
		check(a.Share > 0 && a.Share <= 1, "audit.share", a.Share, "above 0, at most 1")
		check(a.Stopped >= 0 && a.Stopped <= h.Verdicts[stream.TimeLimit], "audit.stopped", a.Stopped, fmt.Sprintf("0 to verdicts.time_limit = %d", h.Verdicts[stream.TimeLimit]))
		check(a.Audited >= 0 && a.Beyond() <= h.N, "audit.audited", a.Audited, "0 to n less audit.stopped")
		check(a.Passed >= 0 && a.Passed <= min(a.Audited, h.Passed), "audit.passed", a.Passed, "0 to audit.audited and passed")
	}
	check(finite(h.PassRate) && math.Abs(h.PassRate-h.Rate()) <= 1e-9, "pass_rate", h.PassRate, fmt.Sprint(h.Rate()))
	check(finite(h.GenTPS) && h.GenTPS >= 0, "gen_tps", h.GenTPS, "a finite number, 0 or more")
	check(finite(h.JudgeCPU) && h.JudgeCPU >= 0, "judge_cpu_s", h.JudgeCPU, "a finite number, 0 or more")
	sum := 0
	for v, n := range h.Verdicts {
		check(v.Known() && n > 0, "verdicts."+v.String(), n, "a known verdict with a count above 0")
		sum += n
	}
	check(sum == h.N+h.Unscored, "verdicts", sum, fmt.Sprintf("a sum of n + unscored = %d", h.N+h.Unscored))
	check(h.Verdicts[stream.Passed] == h.Passed, "verdicts.passed", h.Verdicts[stream.Passed], fmt.Sprintf("passed = %d", h.Passed))
	check(h.Verdicts[stream.JudgeFault] == h.Unscored, "verdicts.judge_fault", h.Verdicts[stream.JudgeFault], fmt.Sprintf("unscored = %d", h.Unscored))
	return errors.Join(errs...)
}

// fits refuses a sample that has another share of an audited time limit than its cell.
func (h *Header) fits(s *Sample) error {
	if !s.Beyond() || h.Audit != nil && s.Share == h.Audit.Share {
		return nil
	}
	of := "no audit"
	if h.Audit != nil {
		of = fmt.Sprint(h.Audit.Share)
	}
	return fmt.Errorf("sample %d: audit_share = %v, the cell has %s", s.Index, s.Share, of)
}

// A Tally counts a cell's samples one by one for its header, on the first of the
// two passes that writing a cell takes. Its memory is one hash for each distinct
// program, 32 bytes, and one for each distinct text, 8 bytes. The zero value is ready.
type Tally struct {
	counts stream.Counts
	texts  map[uint64]struct{}        // hashes of the texts
	unique map[[sha256.Size]byte]bool // program -> one of its samples passed
	audit  stream.AuditTally
}

// textSeed makes the hashes of texts those of this process.
var textSeed = maphash.MakeSeed()

// Add counts s. It looks at Completion, Code, Verdict, Tokens, FinishReason, LeftOut, Redrawn, AnsweredAs,
// CPU and the draw only.
func (t *Tally) Add(s *Sample) {
	t.counts.Count(&s.Sample, &s.Judgement)
	t.audit.Count(&s.Judgement)
	if s.Completion != "" {
		if t.texts == nil {
			t.texts = make(map[uint64]struct{})
		}
		t.texts[maphash.String(textSeed, s.Completion)] = struct{}{}
	}
	if s.Code == "" && s.Completion != "" {
		if code, err := lcb.Extract(s.Completion, lcb.ExtractRobust); err == nil && code != "" {
			t.counts.Answers.OtherRule++
		}
	}
	if !s.Verdict.Scored() || s.Code == "" {
		return
	}
	if t.unique == nil {
		t.unique = make(map[[sha256.Size]byte]bool)
	}
	key := sha256.Sum256([]byte(s.Code))
	t.unique[key] = t.unique[key] || s.Passed()
}

// Counts returns what was counted, GenTPS aside.
func (t *Tally) Counts() stream.Counts {
	c := t.counts.Clone()
	c.Audit = t.audit.Audit()
	c.PassRate = c.Rate()
	c.UniquePrograms = len(t.unique)
	if c.Answers != nil {
		c.Answers.Texts = len(t.texts)
	}
	for _, passed := range t.unique {
		if passed {
			c.UniquePassed++
		}
	}
	return c
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
