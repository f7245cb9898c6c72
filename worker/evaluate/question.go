package evaluate

import (
	"fmt"

	"github.com/lcbq/lcbq/worker/judge"
	"github.com/lcbq/lcbq/worker/lcb"
	"github.com/lcbq/lcbq/worker/sandbox"
)

// A Question is a problem made ready for judging: the inputs that the sandbox may
// see, and the expected outputs that it may not.
type Question struct {
	ID     string
	Digest string // of the tests and the entry point; equal digests judge alike

	sandbox sandbox.Question
	lines   []string          // stdin problems: expected output by test
	values  []*judge.Expected // functional problems: expected value by test
	audit   *Audit            // of the time limit; nil for none
	pace    Pace              // of the host that judges
}

// NewQuestion decodes a problem's tests. Its error names the problem and the
// test: a question whose tests do not decode is refused, never judged.
func NewQuestion(p *lcb.Problem) (*Question, error) {
	tests, err := p.Tests()
	if err != nil {
		return nil, fmt.Errorf("question %s: %w", p.ID, err)
	}
	q := &Question{ID: p.ID, Digest: p.Digest()}
	q.sandbox = sandbox.Question{ID: q.Digest, Kind: sandbox.Stdin, Func: p.FuncName}
	if p.FuncName != "" {
		q.sandbox.Kind = sandbox.Functional
	}
	for i, t := range tests {
		q.sandbox.Inputs = append(q.sandbox.Inputs, t.Input)
		if p.FuncName == "" {
			q.lines = append(q.lines, t.Output)
			continue
		}
		want, err := judge.ParseExpected(t.Output)
		if err != nil {
			return nil, fmt.Errorf("question %s: test %d: expected output: %w", p.ID, i, err)
		}
		q.values = append(q.values, want)
	}
	return q, nil
}

// Tests returns the number of tests.
func (q *Question) Tests() int { return len(q.sandbox.Inputs) }

// A comparison is the outcome of one test.
type comparison struct {
	outcome judge.Outcome
	detail  judge.Detail
}

func (c comparison) equal() bool { return c.outcome == judge.Equal }

// compare judges what the program gave for a test.
func (q *Question) compare(test int, out sandbox.Output) comparison {
	var c comparison
	if q.sandbox.Kind == sandbox.Functional {
		c.outcome, c.detail = judge.Value(out.Value, q.values[test])
	} else {
		c.outcome, c.detail = judge.Lines(string(out.Text), q.lines[test])
	}
	return c
}
