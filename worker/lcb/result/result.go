// Package result is the results folder of a run: the formats of its files, how
// they are written so that a crash leaves no half file behind, and how their
// counts are proved afterwards. It knows no queue and no worker, and it judges
// nothing: what it writes was decided elsewhere.
package result

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
)

// A Verdict is the judge's decision on one sample, by the name that files carry.
type Verdict string

// The verdicts a sample can carry.
const (
	Passed       Verdict = "passed"
	WrongAnswer  Verdict = "wrong_answer"
	TimeLimit    Verdict = "time_limit"
	MemoryLimit  Verdict = "memory_limit"
	OutputLimit  Verdict = "output_limit"
	RuntimeError Verdict = "runtime_error"
	CompileError Verdict = "compile_error"
	NoCode       Verdict = "no_code"
	Truncated    Verdict = "truncated"
	JudgeFault   Verdict = "judge_fault" // ours, not the model's: in no count
)

// Verdicts lists every verdict, in the order in which tables show them.
var Verdicts = []Verdict{
	Passed, WrongAnswer, TimeLimit, MemoryLimit, OutputLimit,
	RuntimeError, CompileError, NoCode, Truncated, JudgeFault,
}

// Scored reports whether v is a known verdict that counts towards pass@k.
func (v Verdict) Scored() bool { return v != JudgeFault && slices.Contains(Verdicts, v) }

// A Sample is one completion of a cell with what the judge said of it.
type Sample struct {
	Index        int     // 0-based place in the cell
	Completion   string  // the model's text; see AppendText for what is kept of broken Unicode
	Code         string  // the program extracted from it, "" if none
	Passed       bool    // the same as Verdict == Passed
	Verdict      Verdict // never empty
	ErrorCode    *int    // the official code -2 to -5, nil if there is none
	Test         *int    // index of the first failing test, nil if none; -1 while loading
	Tokens       int     // completion tokens
	FinishReason string  // as the engine said: stop, length, ...
	CPUSeconds   float64 // CPU time that judging took
	Generator    string  // name of the worker that generated it
	Evaluator    string  // name of the worker that judged it
	Detail       string  // for people; left out if empty
}

// Validate reports what makes s unfit for a file.
func (s *Sample) Validate() error {
	bad := func(field string, got any, want string) error {
		return fmt.Errorf("sample %d: %s = %v, want %s", s.Index, field, got, want)
	}
	var errs []error
	if s.Index < 0 {
		errs = append(errs, bad("index", s.Index, "0 or more"))
	}
	if !slices.Contains(Verdicts, s.Verdict) {
		errs = append(errs, bad("verdict", fmt.Sprintf("%q", s.Verdict), "a known verdict"))
	}
	if s.Passed != (s.Verdict == Passed) {
		errs = append(errs, bad("passed", s.Passed, fmt.Sprintf("what verdict %q says", s.Verdict)))
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
	if !finite(s.CPUSeconds) || s.CPUSeconds < 0 {
		errs = append(errs, bad("cpu_s", s.CPUSeconds, "a finite number, 0 or more"))
	}
	return errors.Join(errs...)
}

// Counts are what can be counted in one cell. Every field has a place in the
// cell's header and in its line of the question's summary.
type Counts struct {
	N              int             `json:"n"`                     // scored samples
	Passed         int             `json:"passed"`                // of those, the ones that passed
	PassRate       float64         `json:"pass_rate"`             // percent: PassRate(Passed, N)
	GenTPS         float64         `json:"gen_tps"`               // completion tokens per second per GPU while the cell was generated; 0 if unknown
	Unscored       int             `json:"unscored,omitempty"`    // samples in the file with verdict judge_fault, beyond N
	Verdicts       map[Verdict]int `json:"verdicts"`              // samples by verdict, zeros left out; they sum to N + Unscored
	UniquePrograms int             `json:"unique_programs"`       // distinct programs among the scored samples; 0 if not counted
	UniquePassed   int             `json:"unique_passed"`         // distinct programs among those that passed; 0 if not counted
	Tokens         int64           `json:"completion_tokens"`     // sum of the samples' tokens
	JudgeCPU       float64         `json:"judge_cpu_s,omitempty"` // sum of the samples' cpu_s, seconds; 0 if not counted
}

// PassRate returns the share of passed among n, in percent, and 0 if n is 0.
func PassRate(passed, n int) float64 {
	if n == 0 {
		return 0
	}
	return 100 * float64(passed) / float64(n)
}

// add counts one sample.
func (c *Counts) add(s *Sample) {
	if c.Verdicts == nil {
		c.Verdicts = make(map[Verdict]int)
	}
	c.Verdicts[s.Verdict]++
	c.Tokens += int64(s.Tokens)
	switch {
	case s.Verdict == JudgeFault:
		c.Unscored++
	case s.Passed:
		c.N++
		c.Passed++
	default:
		c.N++
	}
}

// disagreements compares what two sides say of the same samples: the fields
// that follow from the samples alone, without a hash of every program.
func (c *Counts) disagreements(samples *Counts) []string {
	var out []string
	differ := func(field string, said, is any) {
		if said != is {
			out = append(out, fmt.Sprintf("%s says %v, the samples %v", field, said, is))
		}
	}
	differ("n", c.N, samples.N)
	differ("passed", c.Passed, samples.Passed)
	differ("unscored", c.Unscored, samples.Unscored)
	differ("completion_tokens", c.Tokens, samples.Tokens)
	if want := PassRate(samples.Passed, samples.N); math.Abs(c.PassRate-want) > 1e-9 {
		out = append(out, fmt.Sprintf("pass_rate says %v, the samples %v", c.PassRate, want))
	}
	for _, v := range Verdicts {
		differ("verdicts."+string(v), c.Verdicts[v], samples.Verdicts[v])
	}
	for _, v := range slices.Sorted(maps.Keys(c.Verdicts)) {
		if !slices.Contains(Verdicts, v) {
			out = append(out, fmt.Sprintf("verdicts names %q, which is none", v))
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
	Counts
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
	check(finite(h.PassRate) && math.Abs(h.PassRate-PassRate(h.Passed, h.N)) <= 1e-9,
		"pass_rate", h.PassRate, fmt.Sprint(PassRate(h.Passed, h.N)))
	check(finite(h.GenTPS) && h.GenTPS >= 0, "gen_tps", h.GenTPS, "a finite number, 0 or more")
	check(finite(h.JudgeCPU) && h.JudgeCPU >= 0, "judge_cpu_s", h.JudgeCPU, "a finite number, 0 or more")
	sum := 0
	for v, n := range h.Verdicts {
		check(slices.Contains(Verdicts, v) && n > 0, "verdicts."+string(v), n, "a known verdict with a count above 0")
		sum += n
	}
	check(sum == h.N+h.Unscored, "verdicts", sum, fmt.Sprintf("a sum of n + unscored = %d", h.N+h.Unscored))
	check(h.Verdicts[Passed] == h.Passed, "verdicts.passed", h.Verdicts[Passed], fmt.Sprintf("passed = %d", h.Passed))
	check(h.Verdicts[JudgeFault] == h.Unscored, "verdicts.judge_fault", h.Verdicts[JudgeFault], fmt.Sprintf("unscored = %d", h.Unscored))
	return errors.Join(errs...)
}

// A Tally counts a cell's samples one by one for its header, on the first of the
// two passes that writing a cell takes. Its memory is one hash for each distinct
// program, 32 bytes. The zero value is ready.
type Tally struct {
	counts Counts
	unique map[[sha256.Size]byte]bool // program -> one of its samples passed
}

// Add counts s. It looks at Code, Verdict, Passed, Tokens and CPUSeconds only.
func (t *Tally) Add(s *Sample) {
	t.counts.add(s)
	t.counts.JudgeCPU += s.CPUSeconds
	if s.Verdict == JudgeFault || s.Code == "" {
		return
	}
	if t.unique == nil {
		t.unique = make(map[[sha256.Size]byte]bool)
	}
	key := sha256.Sum256([]byte(s.Code))
	t.unique[key] = t.unique[key] || s.Passed
}

// Counts returns what was counted, GenTPS aside.
func (t *Tally) Counts() Counts {
	c := t.counts
	c.Verdicts = maps.Clone(c.Verdicts)
	c.PassRate = PassRate(c.Passed, c.N)
	c.UniquePrograms = len(t.unique)
	for _, passed := range t.unique {
		if passed {
			c.UniquePassed++
		}
	}
	return c
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
