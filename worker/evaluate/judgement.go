package evaluate

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/judge"
	"github.com/lcbq/lcbq/worker/sandbox"
)

// The official runner's error codes (lcb_runner, evaluation/testing_util.py).
const (
	codeWrong   = -2 // wrong answer
	codeTime    = -3 // time limit
	codeRuntime = -4 // exception in a test, or anything outside the tests
	codeRunner  = -5 // the program's process gave no result
)

// withoutRunning judges a sample that holds no program to run.
func withoutRunning(s stream.Sample) (j stream.Judgement, decided bool) {
	if s.Code != "" {
		return stream.Judgement{}, false
	}
	j = fail(stream.NoCode, codeRuntime, -1, "the completion holds no closed code block")
	switch stream.FinishClass(s.FinishReason) {
	case stream.FinishRefused:
		j.Verdict, j.Detail = stream.Refused, "the server refused the text that the model wrote"
	case stream.FinishFilter:
		j.Verdict, j.Detail = stream.Refused, "a content filter ended the completion before a program"
	case stream.FinishLength:
		j.Verdict, j.Detail = stream.Truncated, "the completion ends at the token limit, before a code block is closed"
	}
	return j, true
}

// fail returns the judgement of a sample that did not pass.
func fail(v stream.Verdict, code, test int, detail string) stream.Judgement {
	return stream.Judgement{Verdict: v, ErrorCode: &code, Test: &test, Detail: shorten(detail)}
}

// judgement turns what the sandbox saw into a verdict. failed is the comparison
// of the last test, which matters when the program was stopped because of it.
func judgement(q *Question, r sandbox.Result, failed comparison) stream.Judgement {
	j := verdict(q, r, failed)
	j.CPU = r.CPU.Seconds()
	return j
}

func verdict(q *Question, r sandbox.Result, failed comparison) stream.Judgement {
	switch r.Outcome {
	case sandbox.Accepted:
		return stream.Judgement{Verdict: stream.Passed}
	case sandbox.Rejected:
		return rejected(q, r, failed)
	case sandbox.Exception:
		return exception(q, r)
	case sandbox.TimeLimit:
		code := codeTime
		if r.Test < 0 {
			code = codeRuntime // the official runner reports a time-out while loading as an error outside the tests
		}
		return fail(stream.TimeLimit, code, r.Test, q.where(r.Test)+"time limit exceeded")
	case sandbox.Stopped:
		code := codeTime
		if r.Test < 0 {
			code = codeRuntime
		}
		return fail(stream.TimeLimit, code, r.Test, q.where(r.Test)+r.Detail+", beyond the soft limit: nobody knows whether it would have passed")
	case sandbox.MemoryLimit:
		if tooDeep(r) {
			return fail(stream.CompileError, r.Exception.Code, r.Test, q.where(r.Test)+"MemoryError: nested too deep for the parser")
		}
		code := codeRunner
		if r.Exception != nil { // it could still raise a MemoryError
			code = r.Exception.Code
		}
		return fail(stream.MemoryLimit, code, r.Test, q.where(r.Test)+"memory limit exceeded")
	case sandbox.OutputLimit:
		return fail(stream.OutputLimit, codeRunner, r.Test, q.where(r.Test)+"output limit exceeded")
	default: // Crashed
		return fail(stream.RuntimeError, codeRunner, r.Test, q.where(r.Test)+crash(r))
	}
}

// tooDeep reports whether a MemoryError means that the program's text nests too deep for
// the parser. Such an error names no line of the program, comes before any line ran, and
// comes from a process that holds almost no memory.
func tooDeep(r sandbox.Result) bool {
	return r.Test < 0 && r.Exception != nil && r.Exception.Type == "MemoryError" && r.Exception.Line == 0 && r.PeakMemory < parserMemory
}

// parserMemory is far above what a process holds when its parser refuses a text, and below
// any useful memory limit.
const parserMemory = 128 << 20

func rejected(q *Question, r sandbox.Result, failed comparison) stream.Judgement {
	d := failed.detail
	text := q.where(r.Test) + d.Message
	if d.Want != "" || d.Got != "" {
		text += "\nexpected: " + d.Want + "\ngot: " + d.Got
	}
	switch failed.outcome {
	case judge.Raises: // the official comparison raises, and its runner calls that a runtime error
		return fail(stream.RuntimeError, codeRuntime, r.Test, text)
	case judge.Malformed: // the program wrote its own frame
		return fail(stream.RuntimeError, codeRunner, r.Test, text)
	default:
		return fail(stream.WrongAnswer, codeWrong, r.Test, text)
	}
}

func exception(q *Question, r sandbox.Result) stream.Judgement {
	e := r.Exception
	text := q.where(r.Test) + e.Type
	if e.Message != "" {
		text += ": " + e.Message
	}
	if e.Line > 0 {
		text += fmt.Sprintf(" (line %d)", e.Line)
	}
	v := stream.RuntimeError
	switch {
	case e.Type == "MemoryError":
		v = stream.MemoryLimit
	case r.Test < 0 && isSyntax(e.Type):
		v = stream.CompileError
	case e.Code == codeTime:
		v = stream.TimeLimit
	}
	return fail(v, e.Code, r.Test, text)
}

func isSyntax(kind string) bool {
	return kind == "SyntaxError" || kind == "IndentationError" || kind == "TabError"
}

func crash(r sandbox.Result) string {
	if r.Signal != 0 {
		return "the process died of signal " + r.Signal.String()
	}
	if r.Detail != "" {
		return "the process ended without an answer: " + r.Detail
	}
	return "the process ended without an answer"
}

// where says which test a detail is about and what its input begins with.
func (q *Question) where(test int) string {
	if test < 0 || test >= len(q.sandbox.Inputs) {
		return "loading: "
	}
	return fmt.Sprintf("test %d of %d, input %s: ", test+1, q.Tests(), excerpt(q.sandbox.Inputs[test], 200))
}

// excerpt returns s on one line, without its middle if it is long.
func excerpt(s string, most int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most/2], "") + " ... " + strings.ToValidUTF8(s[len(s)-most/2:], "")
	}
	return fmt.Sprintf("%q", s)
}

// mostDetail bounds what is stored with each failing sample.
const mostDetail = 1000

// address matches what Python prints for an object without a repr of its own. It differs
// between two runs of one program, and results must not differ.
var address = regexp.MustCompile(`0x[0-9a-f]{6,16}`)

func shorten(s string) string {
	s = address.ReplaceAllString(strings.ToValidUTF8(s, "\uFFFD"), "0x...")
	if len(s) <= mostDetail {
		return s
	}
	return strings.ToValidUTF8(s[:mostDetail], "") + " ..."
}
