package cli

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/lcbq/lcbq/cmd/internal/verdicts"
	"github.com/lcbq/lcbq/cmd/internal/window"
	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/engine/replay"
	"github.com/lcbq/lcbq/worker/evaluate"
	"github.com/lcbq/lcbq/worker/lcb"
	"github.com/lcbq/lcbq/worker/pyjson"
)

// A grading judges rows side by side and writes them in order.
type grading struct {
	set      *problemSet
	grader   *evaluate.Grader
	slots    int
	extract  lcb.Extraction
	options  replay.Options
	settings string // of the judge, as rows name it
	log      *slog.Logger
	every    time.Duration // at most, between two lines on how far it is
	pace     evaluate.Pace // of this host against the reference speed
	audit    float64       // share of an audited time limit, 0 for a full limit

	mu        sync.Mutex
	questions map[string]*evaluate.Question // decoded, by id; the mutex guards it

	windows       []store.Window
	inside        map[string]bool // questions of the window; nil without one
	outside       int             // completions of other questions
	problems      map[string]*lcb.Problem
	asked         map[string]string // digest of the tests of each question that has completions
	rowsOf        map[string]int    // good rows of each
	total         int               // good rows of the input
	skipped       int               // bad ones, left out
	kept, written int               // rows in the output: from before, and in all
	verdicts      map[stream.Verdict]int
	audits        stream.AuditTally
	hidden        atomic.Int64 // completions without a program in which the robust rule finds one
	other         int          // rows with another program beside the one that was taken from their text
}

// choose takes the questions of the window.
func (g *grading) choose(flags config.Window) error {
	chosen, err := within(flags, g.set.problems, g.set.problems)
	if err != nil {
		return err
	}
	if len(chosen.windows) == 0 {
		return nil
	}
	g.windows, g.inside = chosen.windows, make(map[string]bool, len(chosen.places))
	for _, i := range chosen.places {
		g.inside[g.set.problems[i].ID] = true
	}
	return nil
}

// rows leaves the rows of questions outside the window out.
func (g *grading) rows(all iter.Seq2[replay.Row, error]) iter.Seq2[replay.Row, error] {
	return func(yield func(replay.Row, error) bool) {
		g.outside = 0 // the input is read twice
		for row, err := range all {
			if err == nil && g.inside != nil && !g.inside[row.QuestionID] {
				g.outside++
				continue
			}
			if !yield(row, err) {
				return
			}
		}
	}
}

// check reads the whole input once, so that a bad row is reported before an hour of judging
// and not after.
func (g *grading) check(ctx context.Context, c *gradeCmd, log *slog.Logger) error {
	g.problems, g.asked, g.verdicts = make(map[string]*lcb.Problem), make(map[string]string), make(map[stream.Verdict]int)
	g.rowsOf = make(map[string]int)
	g.options = recordingOf(g.set)
	g.options.Fields = c.Field
	for _, p := range g.set.problems {
		g.problems[p.ID] = p
	}
	once := g.options
	if c.SkipBad {
		g.options.Skip = func(*replay.RowError) {}
		once.Skip = func(e *replay.RowError) {
			if g.skipped++; g.skipped <= maxSkippedShown {
				log.Warn("bad row left out", "err", e.Error())
			}
		}
	}
	in, err := os.Open(c.Completions)
	if err != nil {
		return fmt.Errorf("read completions: %w", err)
	}
	for row, rowErr := range g.rows(replay.Checked(in, c.Completions, once)) {
		if err = rowErr; err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			break
		}
		if g.extract == lcb.ExtractWhole {
			var s stream.Sample
			if s, err = g.sample(row); err == nil && other(row, s.Code) {
				err = usageError{fmt.Errorf("%s:%d: --extract whole: the row holds a text and, in code, another program\njudge the programs with --field code=code, or the whole texts with --field output=output (or as the file calls them)", c.Completions, row.Line)}
			}
			if err != nil {
				break
			}
		}
		g.total++
		g.rowsOf[row.QuestionID]++
		if _, ok := g.asked[row.QuestionID]; !ok {
			g.asked[row.QuestionID] = g.problems[row.QuestionID].Digest()
		}
	}
	if err == nil && g.total == 0 && g.outside > 0 {
		err = usageError{fmt.Errorf("%s: all %d completions are of questions outside the window (%s)", c.Completions, g.outside, window.Names(g.windows))}
	}
	if g.skipped > 0 {
		log.Warn("bad rows left out", "rows", g.skipped, "good_rows", g.total)
	}
	return errors.Join(unknownQuestion(err), in.Close())
}

// maxSkippedShown is how many bad rows are shown; the others are counted.
const maxSkippedShown = 20

// A pending is a row that is being judged or waits to be written.
type pending struct {
	row  verdicts.Row
	base verdicts.Basis
	done chan struct{}
	j    stream.Judgement
	err  error
}

func (g *grading) run(ctx context.Context, input, output string, overwrite bool) error {
	out, err := verdicts.Open(output)
	if err != nil {
		return err
	}
	if out.Same(input) {
		return errors.Join(fmt.Errorf("--output %s is the file of completions\nchoose another --output", output), out.Close())
	}
	if overwrite {
		out.Overwrite()
	}
	in, err := os.Open(input)
	if err != nil {
		return errors.Join(fmt.Errorf("read completions: %w", err), out.Close())
	}
	err = g.stream(ctx, g.rows(replay.Checked(in, input, g.options)), out)
	return errors.Join(err, in.Close(), out.Close())
}

// ahead bounds the rows that are judged or being judged and not yet written, in bytes. Rows are
// written in order: while the first one is slow the others keep all slots busy, and the bound
// keeps a large file out of memory. rowCost is what a row takes besides its program.
const (
	ahead   = 64 << 20
	rowCost = 2 << 10
)

// stream hands rows to the grader and writes their verdicts in order.
//
// The rows that the output holds are a prefix of the input's: all of them are
// looked at before the first program is run or a byte is written.
func (g *grading) stream(ctx context.Context, rows iter.Seq2[replay.Row, error], out *verdicts.File) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	queue := make(chan *pending, ahead/rowCost)
	held := semaphore.NewWeighted(ahead)
	written := make(chan error, 1)
	go func() {
		err := g.write(queue, func(r verdicts.Row, b verdicts.Basis) error {
			held.Release(weight(b.Program))
			return out.Append(r, b)
		})
		if err != nil {
			cancel()
		}
		for p := range queue {
			<-p.done // after an error: wait for those under way
		}
		written <- err
	}()
	// More than the slots: programs that wait for a quiet core hold none.
	limit := make(chan struct{}, 4*g.slots+64)
	keeping := true // the output may hold more rows from before
	var readErr error
	for row, err := range rows {
		var sample stream.Sample
		if err == nil {
			sample, err = g.sample(row)
		}
		if err != nil {
			readErr = err
			break
		}
		if other(row, sample.Code) {
			g.other++
		}
		p := &pending{done: make(chan struct{}), row: verdicts.Row{QuestionID: pyjson.Text(row.QuestionID), CompletionID: pyjson.Text(row.CompletionID), Index: row.Index}}
		p.base = verdicts.Basis{Settings: g.settings, Tests: g.asked[row.QuestionID], Program: sample.Code, Finish: row.FinishReason}
		if keeping {
			var kept verdicts.Row
			kept, keeping, readErr = out.Kept(p.row, p.base)
			if readErr != nil {
				break
			}
			if keeping {
				g.kept++
				g.written++
				g.verdicts[kept.Verdict]++
				g.audits.Count(&stream.Judgement{Verdict: kept.Verdict, Draw: kept.Draw, Share: kept.Share})
				continue
			}
		}
		if held.Acquire(ctx, weight(sample.Code)) != nil {
			break
		}
		select {
		case limit <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		if sample.Code == "" && row.Output != nil && g.extract != lcb.ExtractRobust {
			if code, err := lcb.Extract(*row.Output, lcb.ExtractRobust); err == nil && code != "" {
				g.hidden.Add(1)
			}
		}
		go func() {
			defer func() { <-limit; close(p.done) }()
			p.j, p.err = g.judge(ctx, row.QuestionID, sample)
		}()
		queue <- p
	}
	if readErr == nil && keeping && ctx.Err() == nil {
		if readErr = out.Ended(); readErr == nil {
			readErr = out.Cut()
		}
	}
	close(queue)
	return errors.Join(readErr, <-written)
}

// weight returns how many bytes of ahead a row with a program takes.
func weight(program string) int64 { return min(int64(len(program))+rowCost, ahead) }

// sample returns what is judged of a row.
func (g *grading) sample(row replay.Row) (stream.Sample, error) {
	s := stream.Sample{FinishReason: row.FinishReason}
	var err error
	switch {
	case row.Output != nil:
		s.Code, err = lcb.Extract(*row.Output, g.extract)
	case row.Code != nil:
		s.Code = *row.Code
	}
	return s, err
}

// other reports whether a row holds another program in code than the one that was taken from its text.
func other(row replay.Row, taken string) bool {
	return row.Output != nil && row.Code != nil && strings.TrimSpace(*row.Code) != strings.TrimSpace(taken)
}

// write writes verdicts in the order of the queue.
func (g *grading) write(queue <-chan *pending, appendRow func(verdicts.Row, verdicts.Basis) error) error {
	began := time.Now()
	said := began
	for p := range queue {
		<-p.done
		if errors.Is(p.err, evaluate.ErrFault) {
			p.j, p.err = stream.Judgement{Verdict: stream.JudgeFault, Detail: p.err.Error()}, nil
		}
		if p.err != nil {
			return p.err
		}
		r := p.row
		r.Passed, r.Verdict, r.ErrorCode, r.Test, r.CPU, r.Detail = p.j.Verdict == stream.Passed, p.j.Verdict, p.j.ErrorCode, p.j.Test, p.j.CPU, pyjson.Text(p.j.Detail)
		r.Slowdown, r.Draw, r.Share = p.j.Slowdown, p.j.Draw, p.j.Share
		if err := appendRow(r, p.base); err != nil {
			return err
		}
		g.written++
		g.verdicts[p.j.Verdict]++
		g.audits.Count(&p.j)
		if time.Since(said) >= g.every {
			said = time.Now()
			rate := float64(g.written-g.kept) / said.Sub(began).Seconds()
			left := time.Duration(float64(g.total-g.written) / rate * float64(time.Second)).Round(time.Second)
			g.log.Info("grading", "rows", g.written, "of", g.total, "passed", g.verdicts[stream.Passed], "rows_per_s", math.Round(rate*10)/10, "left", left.String())
		}
	}
	return nil
}

func (g *grading) judge(ctx context.Context, id string, s stream.Sample) (stream.Judgement, error) {
	q, err := g.question(id)
	if err != nil {
		return stream.Judgement{}, err
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
	q, err := evaluate.NewQuestion(g.problems[id])
	if err == nil {
		q = q.At(g.pace)
		if g.audit > 0 {
			q = q.Audited(&evaluate.Audit{Run: "grade", Share: g.audit, Samples: g.rowsOf[id]})
		}
		g.questions[id] = q
	}
	return q, err
}
