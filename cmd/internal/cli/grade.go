package cli

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/lcbq/lcbq/cmd/internal/verdicts"
	"github.com/lcbq/lcbq/cmd/internal/window"
	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/engine/replay"
	"github.com/lcbq/lcbq/worker/evaluate"
	"github.com/lcbq/lcbq/worker/lcb"
	"github.com/lcbq/lcbq/worker/score"
)

// gradeCmd judges a file of completions without a server.
type gradeCmd struct {
	Problems           string            `required:"" placeholder:"FILE|sample|v1..v6" help:"problem set that the completions are for"`
	Completions        string            `required:"" type:"path" placeholder:"FILE" help:"JSON lines of {question_id, code or output}, a list of such rows or of LiveCodeBench's {question_id, code_list}, a list of lists of programs in the order of the ids, or an object of ids with programs; plain, gzip or zstd"`
	Output             string            `required:"" short:"o" type:"path" placeholder:"FILE" help:"JSONL file of verdicts, one row a completion, in input order; a half-written one is continued if its rows are of the same programs, tests and settings"`
	Overwrite          bool              `help:"judge everything anew, whatever the output holds"`
	Extract            string            `default:"lcb" enum:"lcb,first,last-closed,after-think,whole,robust" help:"how the program is taken from a completion: lcb is the official rule, robust finds what a person would copy"`
	Field              map[string]string `placeholder:"KEY=NAME" help:"names of the fields where they are others: id, completion_id, output (a text to take the program from) or code (a program)"`
	SkipBad            bool              `help:"leave bad rows out and count them, instead of refusing the file"`
	config.Window      `embed:"" group:"what"`
	config.Rules       `embed:"" group:"judging"`
	config.Interpreter `embed:"" group:"machine"`
	config.Programs    `embed:"" group:"machine"`
	config.Dataset     `embed:"" group:"hub"`
}

// Help describes the fields of a row, the output and the exit statuses.
func (c *gradeCmd) Help() string {
	return `The text of a completion is read from output, completion, generation or response, a program from code or solution; --field output=NAME says another name. Where a row has both, the program is taken from the text by --extract, and the end says in how many rows code holds another one. --extract whole takes nothing from a text, so rows with both are refused where code is not that text: --field code=code judges the programs, --field output=output the whole texts.

Examples:

  lcbq grade --problems v6 --completions run.jsonl -o verdicts.jsonl
  lcbq grade --problems mine.jsonl --completions answers.json.gz --field output=raw -o verdicts.jsonl
  lcbq grade --problems v6 --completions run.jsonl --extract robust -o robust.jsonl

Exit status: 0 all judged; 1 refused, nothing is judged or lost; 2 usage; 3 judged, but some could not be scored; 130 interrupted, the same command goes on.`
}

// Run judges every completion.
func (c *gradeCmd) Run(a *app) error {
	if err := errors.Join(c.Rules.Check(), strayShare(c.Rules, a.args)); err != nil {
		return usageError{err}
	}
	for key := range c.Field {
		if !slices.Contains(replay.FieldKeys, key) {
			return usageError{fmt.Errorf("--field %s=%s: want one of %s", key, c.Field[key], strings.Join(replay.FieldKeys, ", "))}
		}
	}
	share, err := shareOf(c.Programs, 0)
	if err != nil {
		return err
	}
	set, err := loadProblems(a.ctx, c.Problems, c.Dataset, a.log)
	if err != nil {
		return err
	}
	g := &grading{set: set, slots: share.Slots, extract: lcb.Extraction(c.Extract), questions: make(map[string]*evaluate.Question), log: a.log, every: plainEvery}
	if err := g.choose(c.Window); err != nil {
		return err
	}
	if err := g.check(a.ctx, c, a.log); err != nil {
		return err
	}
	judge := judgeOf(c.Rules)
	g.grader, err = newGrader(a.ctx, c.Interpreter, judge, share, a.log)
	if err != nil {
		return err
	}
	if g.pace, err = paceOf(a.ctx, c.Reference, g.grader); err != nil {
		return errors.Join(err, g.grader.Close())
	}
	if g.pace.Reference > 0 {
		a.log.Info("limits are in seconds of the reference", "reference_speed", g.pace.Reference, "speed", g.pace.Host)
	}
	g.audit = judge.AuditShare
	g.settings = fmt.Sprintf("%s,%s,%s,%s,env:%.12s", c.Judge, limitOf(judge), c.MemoryLimit, c.OutputLimit, g.grader.Host().Environment().Digest())
	err = g.run(a.ctx, c.Completions, c.Output, c.Overwrite)
	if errors.Is(err, verdicts.ErrStale) {
		return errors.Join(err, g.grader.Close())
	}
	ran, cached := g.grader.Counts()
	a.log.Info("graded", "rows", g.written, "passed", g.verdicts[stream.Passed], "kept_from_before", g.kept, "programs_run", ran, "answered_from_cache", cached, "run_again_near_the_limit", g.grader.Rejudged(),
		"sandbox_level", g.grader.Host().Level().String(), "judge", c.Judge)
	if errors.Is(err, context.Canceled) && a.ctx.Err() != nil {
		err = fmt.Errorf("%w: %d of %d rows are written, the same command goes on", errInterrupted, g.written, g.total)
	}
	if err == nil {
		err = g.sumUp(a, c.Output)
	}
	if n := g.verdicts[stream.JudgeFault]; err == nil && n > 0 {
		err = fmt.Errorf("%d of %d completions: %w", n, g.written, errUnscored)
	}
	return errors.Join(err, g.grader.Close())
}

// paceOf returns how fast this host is against the reference. The first host to judge is this one.
func paceOf(ctx context.Context, reference config.Speed, g *evaluate.Grader) (evaluate.Pace, error) {
	if reference.Value == 0 {
		return evaluate.Pace{}, nil
	}
	speed, err := g.Speed(ctx)
	if err != nil {
		return evaluate.Pace{}, fmt.Errorf("--reference-speed %s: %w", reference, err)
	}
	p := evaluate.Pace{Reference: reference.Value, Host: speed}
	if err := p.Check(); err != nil {
		return p, fmt.Errorf("--reference-speed %s: %w", reference, err)
	}
	return p, nil
}

// limitOf names a time limit without a space.
func limitOf(j store.Judge) string {
	limit := fmt.Sprintf("%gs", j.TimeLimit)
	if j.Reference != "" {
		limit += ":of:" + j.Reference
	}
	if j.AuditShare > 0 {
		limit += fmt.Sprintf(":audited:%g", j.AuditShare)
	}
	return limit
}

// A gradeSummary is what the rows of the output add up to.
type gradeSummary struct {
	Rows      int                    `json:"rows"`
	Passed    int                    `json:"passed"`
	Verdicts  map[stream.Verdict]int `json:"verdicts"`
	Questions int                    `json:"questions"`
	Kept      int                    `json:"kept"`    // rows of an output that was continued
	Skipped   int                    `json:"skipped"` // bad rows left out
	Extract   lcb.Extraction         `json:"extract"`
	Hidden    *int                   `json:"no_code_with_program,omitempty"` // texts without a program that hold one by the robust rule; of the rows judged now
	Other     int                    `json:"other_code,omitempty"`           // rows with a program in code that was not judged: their text gave another one, or none
	Output    string                 `json:"output"`
	Outside   int                    `json:"outside_window,omitempty"` // completions of questions that the window leaves out
	Windows   []store.Window         `json:"windows,omitempty"`
	Audit     *gradeAudit            `json:"audit,omitempty"` // with an audited time limit
}

// A gradeAudit is what an audited time limit did to the rows.
type gradeAudit struct {
	stream.Audit
	Corrected     float64        `json:"corrected"`      // of the rows that passed, the unbiased estimate of what the full limit gives
	StandardError float64        `json:"standard_error"` // of that number, by the audit
	FalseStops    float64        `json:"false_stops"`    // rows that were stopped and would have passed, estimated
	Interval      score.Interval `json:"false_stops_interval"`
}

// audited returns what an audited time limit did to the rows, nil for a full limit.
func (g *grading) audited() (*gradeAudit, error) {
	if g.audit == 0 {
		return nil, nil //nolint:nilnil // absent
	}
	out := &gradeAudit{Audit: stream.Audit{Share: g.audit}, Corrected: float64(g.verdicts[stream.Passed])}
	if a := g.audits.Audit(); a != nil {
		out.Audit = *a
	}
	a := score.Audit{Share: out.Share, Passed: out.PassedDraws, Draws: out.Draws, Stopped: out.Stopped}
	var err error
	if out.FalseStops, out.Interval, err = a.FalseStops(gradeLevel); err != nil {
		return nil, err
	}
	out.Corrected += out.FalseStops
	count := score.Count{N: g.written - g.verdicts[stream.JudgeFault], C: g.verdicts[stream.Passed]}
	if count.N == 0 {
		return out, nil
	}
	variance, err := a.Variance(count, 1)
	out.StandardError = math.Sqrt(variance) * float64(count.N)
	return out, err
}

// gradeLevel is that of the interval that grade tells.
const gradeLevel = 0.95

// sumUp prints how many completions got which verdict.
func (g *grading) sumUp(a *app, output string) error {
	s := gradeSummary{
		Rows: g.written, Passed: g.verdicts[stream.Passed], Verdicts: g.verdicts, Questions: len(g.asked), Kept: g.kept, Skipped: g.skipped,
		Extract: g.extract, Other: g.other, Output: output, Outside: g.outside, Windows: g.windows,
	}
	if g.extract != lcb.ExtractRobust {
		n := int(g.hidden.Load())
		s.Hidden = &n
	}
	var err error
	if s.Audit, err = g.audited(); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(s)
	}
	fmt.Fprintf(a.out, "completions: %d, questions: %d, verdicts in %s\n", s.Rows, s.Questions, output)
	for _, v := range stream.Verdicts() {
		if n := s.Verdicts[v]; n > 0 {
			fmt.Fprintf(a.out, "  %-14s %8d  %5.1f %%\n", v, n, 100*float64(n)/float64(s.Rows))
		}
	}
	if x := s.Audit; x != nil {
		fmt.Fprintf(a.out, "time limit audited at a share of %v: %d stopped at a soft limit, of which %.0f (%.0f to %.0f) would have passed; %d ran on, of which %d passed\n", x.Share, x.Stopped, x.FalseStops, x.Interval.Low, x.Interval.High, x.Audited, x.Passed)
		fmt.Fprintf(a.out, "passed, corrected: %.0f, standard error by the audit %.1f\n", x.Corrected, x.StandardError)
	}
	if len(s.Windows) > 0 {
		fmt.Fprintf(a.out, "%s; %d completions of other questions were not judged\n", window.Names(s.Windows), s.Outside)
	}
	if s.Skipped > 0 {
		fmt.Fprintf(a.out, "%d bad rows were left out\n", s.Skipped)
	}
	if s.Hidden != nil && *s.Hidden > 0 {
		fmt.Fprintf(a.out, "%d of those without a program hold one by --extract robust\n", *s.Hidden)
	}
	if s.Other > 0 {
		fmt.Fprintf(a.out, "%d rows hold a program in code that was not judged: their text gave another one, or none; --field code=code judges theirs\n", s.Other)
	}
	return nil
}
