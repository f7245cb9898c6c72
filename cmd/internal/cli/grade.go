package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/engine/replay"
	"github.com/lcbq/lcbq/worker/evaluate"
	"github.com/lcbq/lcbq/worker/lcb"
)

// gradeCmd judges a file of completions without a server.
type gradeCmd struct {
	Problems       string `required:"" placeholder:"FILE|sample" help:"problem set that the completions are for"`
	Completions    string `required:"" type:"path" placeholder:"FILE" help:"LiveCodeBench's custom_evaluator file, or JSONL rows"`
	Output         string `required:"" short:"o" type:"path" placeholder:"FILE" help:"JSONL file of verdicts, one row a completion, in input order; a half-written one is continued"`
	Extract        string `default:"lcb" enum:"lcb,first,last-closed,after-think,whole" help:"how the program is taken from a completion"`
	config.Judge   `embed:""`
	config.Workers `embed:""`
	config.Hub     `embed:""`
}

// A graded is one row of the output.
type graded struct {
	QuestionID   string         `json:"question_id"`
	CompletionID string         `json:"completion_id"`
	Index        int            `json:"index"` // of the completion among those of its question, from 0
	Passed       bool           `json:"passed"`
	Verdict      stream.Verdict `json:"verdict"`
	ErrorCode    *int           `json:"error_code"`
	Test         *int           `json:"test"`
	CPU          float64        `json:"cpu_s"`
	Detail       string         `json:"detail"`
}

// Run judges every completion.
func (c *gradeCmd) Run(a *app) error {
	if err := c.Judge.Check(); err != nil {
		return usageError{err}
	}
	share, err := shareOf(c.Workers, 0)
	if err != nil {
		return err
	}
	set, err := loadProblems(a.ctx, c.Problems, c.Hub, a.log)
	if err != nil {
		return err
	}
	if err := c.check(set); err != nil {
		return err
	}
	grader, err := newGrader(a.ctx, c.Judge, store.Judge{
		Mode: c.Judge.Judge, TimeLimit: c.TimeLimit, MemoryLimit: int64(c.MemoryLimit), OutputLimit: int64(c.OutputLimit),
	}, share, a.log)
	if err != nil {
		return err
	}
	g := &grading{set: set, grader: grader, slots: share.Slots, extract: lcb.Extraction(c.Extract), questions: make(map[string]*evaluate.Question), log: a.log, every: plainEvery}
	err = g.run(a.ctx, c.Completions, c.Output)
	ran, cached := grader.Counts()
	a.log.Info("graded", "rows", g.written, "passed", g.passed, "kept_from_before", g.kept, "programs_run", ran, "answered_from_cache", cached, "rejudged_near_the_limit", grader.Rejudged(),
		"sandbox_level", grader.Host().Level().String(), "judge", c.Judge.Judge)
	if errors.Is(err, context.Canceled) && a.ctx.Err() != nil {
		err = fmt.Errorf("%w: %d rows are written, the same command goes on", errInterrupted, g.written)
	}
	if err == nil && g.faults > 0 {
		err = fmt.Errorf("%d of %d completions: %w", g.faults, g.written, errUnscored)
	}
	return errors.Join(err, grader.Close())
}

// check reads the whole input once, so that a bad row is said before an hour of
// judging and not after.
func (c *gradeCmd) check(set *problemSet) error {
	e, err := replay.Load(c.Completions)
	if err != nil {
		return err
	}
	src := source{recorded: e}
	return errors.Join(src.covers(set.problems, c.Completions, set.Name), e.Close())
}

// A grading judges rows side by side and writes them in order.
type grading struct {
	set     *problemSet
	grader  *evaluate.Grader
	slots   int
	extract lcb.Extraction
	log     *slog.Logger
	every   time.Duration // at most, between two lines on how far it is

	mu        sync.Mutex
	questions map[string]*evaluate.Question // decoded, by id; the mutex guards it

	rows, kept              int // read from the input, and found in the output
	written, passed, faults int // in the output, those found there among them
}

// A pending is a row on its way through the grader.
type pending struct {
	row  replay.Row
	done chan struct{}
	j    stream.Judgement
	err  error
}

func (g *grading) run(ctx context.Context, input, output string) error {
	out, kept, err := continueFile(output)
	if err != nil {
		return err
	}
	g.kept, g.written = len(kept), len(kept)
	for _, k := range kept {
		g.count(k.Verdict)
	}
	in, err := os.Open(input)
	if err != nil {
		return errors.Join(fmt.Errorf("read completions: %w", err), out.Close())
	}
	err = g.stream(ctx, replay.Rows(in, input), out, kept)
	return errors.Join(err, in.Close(), out.Close())
}

// stream hands rows to the grader and writes their verdicts in order. The channel
// bounds how many are under way: one slow program must not hold a file in memory.
func (g *grading) stream(ctx context.Context, rows func(yield func(replay.Row, error) bool), out io.Writer, kept []graded) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	queue := make(chan *pending, 4*g.slots)
	written := make(chan error, 1)
	go func() {
		err := g.write(queue, out)
		if err != nil {
			cancel()
		}
		for p := range queue {
			<-p.done // after an error: wait for those under way
		}
		written <- err
	}()
	limit := make(chan struct{}, 2*g.slots)
	var readErr error
	for row, err := range rows {
		if err != nil {
			readErr = err
			break
		}
		g.rows++
		if g.rows <= len(kept) {
			if k := kept[g.rows-1]; k.QuestionID != row.QuestionID || k.CompletionID != row.CompletionID || k.Index != row.Index {
				readErr = fmt.Errorf("continue output: its row %d is of completion %q of %s, the input's of %q of %s\nchoose another --output, or remove the file",
					g.rows, k.CompletionID, k.QuestionID, row.CompletionID, row.QuestionID)
				break
			}
			continue
		}
		p := &pending{row: row, done: make(chan struct{})}
		select {
		case limit <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		go func() {
			defer func() { <-limit; close(p.done) }()
			p.j, p.err = g.judge(ctx, p.row)
		}()
		queue <- p
	}
	close(queue)
	return errors.Join(readErr, <-written)
}

func (g *grading) write(queue <-chan *pending, out io.Writer) error {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	said := time.Now()
	for p := range queue {
		<-p.done
		if errors.Is(p.err, evaluate.ErrFault) {
			p.j, p.err = stream.Judgement{Verdict: stream.JudgeFault, Detail: p.err.Error()}, nil
		}
		if p.err != nil {
			return p.err
		}
		err := enc.Encode(graded{
			QuestionID: p.row.QuestionID, CompletionID: p.row.CompletionID, Index: p.row.Index,
			Passed: p.j.Verdict == stream.Passed, Verdict: p.j.Verdict, ErrorCode: p.j.ErrorCode, Test: p.j.Test, CPU: p.j.CPU, Detail: p.j.Detail,
		})
		if err != nil {
			return fmt.Errorf("write verdicts: %w", err)
		}
		g.written++
		g.count(p.j.Verdict)
		if time.Since(said) >= g.every {
			said = time.Now()
			g.log.Info("grading", "rows", g.written, "passed", g.passed)
		}
	}
	return nil
}

// count takes in the verdict of a row of the output.
func (g *grading) count(v stream.Verdict) {
	if v == stream.Passed {
		g.passed++
	}
	if v == stream.JudgeFault {
		g.faults++
	}
}

func (g *grading) judge(ctx context.Context, row replay.Row) (stream.Judgement, error) {
	q, err := g.question(row.QuestionID)
	if err != nil {
		return stream.Judgement{}, err
	}
	s := stream.Sample{FinishReason: row.FinishReason}
	if row.Output != nil {
		s.Code = lcb.Extract(*row.Output, g.extract)
	} else if row.Code != nil {
		s.Code = *row.Code
	}
	j, _, err := g.grader.Judge(ctx, q, s)
	return j, err
}

// question decodes a question when its first completion comes.
func (g *grading) question(id string) (*evaluate.Question, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if q, ok := g.questions[id]; ok {
		return q, nil
	}
	for _, p := range g.set.problems {
		if p.ID == id {
			q, err := evaluate.NewQuestion(p)
			if err == nil {
				g.questions[id] = q
			}
			return q, err
		}
	}
	return nil, fmt.Errorf("question_id %q is not in the problem set", id)
}

// continueFile opens the output for appending after its last complete row, and
// returns the rows before that. One that a crash cut short is cut off.
func continueFile(path string) (*os.File, []graded, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, nil, fmt.Errorf("open output: %w", err)
	}
	rows, size, err := completeRows(f)
	if err == nil {
		err = f.Truncate(size)
	}
	if err == nil {
		_, err = f.Seek(size, io.SeekStart)
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("continue output %s: %w\nchoose another --output, or remove the file", path, err), f.Close())
	}
	return f, rows, nil
}

// completeRows returns the rows that end in a newline, and how many bytes they are.
func completeRows(r io.Reader) (rows []graded, size int64, err error) {
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return rows, size, nil
		}
		if err != nil {
			return nil, 0, err
		}
		var g graded
		if err := json.Unmarshal(line, &g); err != nil {
			return nil, 0, fmt.Errorf("line %d is not a row of verdicts: %w", len(rows)+1, err)
		}
		rows = append(rows, graded{QuestionID: g.QuestionID, CompletionID: g.CompletionID, Index: g.Index, Verdict: g.Verdict})
		size += int64(len(line))
	}
}
