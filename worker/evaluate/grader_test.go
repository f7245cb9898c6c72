package evaluate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/lcb"
)

const (
	fog    = "lcbq_a01" // stdin
	labels = "lcbq_a07" // called
)

const solution = `n = int(input())
lengths = []
for _ in range(n):
    s, e = map(int, input().split())
    lengths.append(e - s)
print(sum(lengths))
print(lengths.index(max(lengths)) + 1)
`

// class makes a solution of the called problem from the body of its method.
func class(body string) string {
	return "class Solution:\n    def mergeLabels(self, first, second, sep):\n        " + strings.ReplaceAll(body, "\n", "\n        ") + "\n"
}

const merge = `n = min(len(first), len(second))
return [a + sep + b for a, b in zip(first, second)] + first[n:] + second[n:]`

// TestVerdicts maps one program of each class to its verdict, the official code
// and the first failing test.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	g := newGrader(t, 2)
	tests := []struct {
		name     string
		question string
		sample   stream.Sample
		verdict  stream.Verdict
		code     string // official error code
		test     string
		detail   string // is in the detail
	}{
		{"passed", fog, code(solution), stream.Passed, "null", "null", ""},
		{"passed, called", labels, code(class(merge)), stream.Passed, "null", "null", ""},
		{"wrong", fog, code("print(140)\nprint(3)"), stream.WrongAnswer, "-2", "0", `input "3\n10 30\n0 60\n100 160\n"`},
		{"wrong later", fog, code("print(140)\nprint(2)"), stream.WrongAnswer, "-2", "1", "got: "},
		{"wrong, called", labels, code(class("return []")), stream.WrongAnswer, "-2", "0", "expected: "},
		{"endless", fog, code("n = input()\nwhile True: pass"), stream.TimeLimit, "-3", "0", "test 1 of 11, input \"3\\n10 30\\n0 60\\n100 160\\n\": time limit exceeded"},
		{"endless, called", labels, code(class("while True: pass")), stream.TimeLimit, "-3", "0", "time limit exceeded"},
		{"endless at loading, called", labels, code("while True: pass\n" + class(merge)), stream.TimeLimit, "-4", "-1", "loading: time limit exceeded"},
		{"memory", fog, code("n = input()\nx = bytearray(1 << 30)"), stream.MemoryLimit, "-4", "0", "memory limit exceeded"},
		{"memory at loading, called", labels, code("x = bytearray(1 << 30)\n" + class(merge)), stream.MemoryLimit, "-4", "-1", "memory limit exceeded"},
		{"too deep for the parser, called", labels, code("x = " + strings.Repeat("-", 100000) + "1\n" + class(merge)), stream.CompileError, "-4", "-1", "nested too deep"},
		{"too deep for the parser", fog, code("x = " + strings.Repeat("-", 100000) + "1\n"), stream.CompileError, "-4", "-1", "nested too deep"},
		{"output", fog, code("n = input()\nwhile True: print('x' * 1000)"), stream.OutputLimit, "-5", "0", "output limit exceeded"},
		{"raises", fog, code("n = input()\n1 / 0"), stream.RuntimeError, "-4", "0", "ZeroDivisionError: division by zero (line 2)"},
		{"raises, called", labels, code(class("raise KeyError('gone')")), stream.RuntimeError, "-4", "0", "KeyError: 'gone'"},
		{"raises at loading, called", labels, code("import nothing_like_it\n" + class(merge)), stream.RuntimeError, "-4", "-1", "loading: ModuleNotFoundError"},
		{"dies", fog, code("n = input()\nimport ctypes; ctypes.string_at(0)"), stream.RuntimeError, "-5", "0", "the process"},
		{"exits without an answer", labels, code(class("import os; os._exit(0)")), stream.RuntimeError, "-5", "0", "ended without an answer"},
		{"syntax", fog, code("print(1"), stream.CompileError, "-4", "-1", "SyntaxError"},
		{"indentation", labels, code("class Solution:\ndef f(): pass"), stream.CompileError, "-4", "-1", "IndentationError"},
		{"syntax in a test", labels, code(class("compile('1 +', '', 'exec')")), stream.RuntimeError, "-4", "0", "SyntaxError"},
		{"no code", fog, stream.Sample{Completion: "I cannot.", FinishReason: "stop"}, stream.NoCode, "-4", "-1", "no closed code block"},
		{"refused", fog, stream.Sample{FinishReason: "refused"}, stream.Refused, "-4", "-1", "the server refused"},
		{"filtered", fog, stream.Sample{Completion: "I", FinishReason: "content_filter"}, stream.Refused, "-4", "-1", "content filter"},
		{"cut off", fog, stream.Sample{Completion: "```python\nx", FinishReason: "length"}, stream.Truncated, "-4", "-1", "token limit"},
		{"cut off behind a program", fog, stream.Sample{Code: solution, FinishReason: "length"}, stream.Passed, "null", "null", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			j := judge1(t, g, question(t, tt.question), tt.sample)
			if j.Verdict != tt.verdict || text(j.ErrorCode) != tt.code || text(j.Test) != tt.test || !strings.Contains(j.Detail, tt.detail) || (tt.detail == "") != (j.Detail == "") {
				t.Errorf("got %v, code %s, test %s, detail %q\nwant %v, code %s, test %s, detail with %q",
					j.Verdict, text(j.ErrorCode), text(j.Test), j.Detail, tt.verdict, tt.code, tt.test, tt.detail)
			}
			if ran := tt.sample.Code != ""; ran != (j.CPU > 0) {
				t.Errorf("cpu = %v s of a program that ran: %v", j.CPU, ran)
			}
		})
	}
}

// TestDetailIsForPeople: short, valid, and the same at every run.
func TestDetailIsForPeople(t *testing.T) {
	t.Parallel()
	g := newGrader(t, 1)
	long := judge1(t, g, question(t, fog), code("n = input()\nraise ValueError('é' * 5000)"))
	if len(long.Detail) > mostDetail+len(" ...") || !strings.Contains(long.Detail, "ValueError") || strings.Contains(long.Detail, "\uFFFD") {
		t.Errorf("detail of %d bytes = %q", len(long.Detail), long.Detail)
	}
	object := judge1(t, g, question(t, fog), code("n = input()\nraise ValueError(object())"))
	if !strings.Contains(object.Detail, "<object object at 0x...>") {
		t.Errorf("detail = %q, want the address left out", object.Detail)
	}
	printed := judge1(t, g, question(t, fog), code("print(object())\nprint(2)"))
	if !strings.Contains(printed.Detail, "0x...") {
		t.Errorf("detail = %q, want the address left out", printed.Detail)
	}
}

func TestShorten(t *testing.T) {
	t.Parallel()
	tests := []struct{ in, want string }{
		{"<f at 0x7f00deadbeef>", "<f at 0x...>"},
		{"0xff stays", "0xff stays"},
		{"bad \xff byte", "bad \uFFFD byte"},
		{strings.Repeat("a", mostDetail), strings.Repeat("a", mostDetail)},
		{strings.Repeat("a", mostDetail-1) + "é!", strings.Repeat("a", mostDetail-1) + " ..."},
	}
	for _, tt := range tests {
		if got := shorten(tt.in); got != tt.want {
			t.Errorf("shorten(%.40q) = %.40q of %d bytes, want %.40q of %d", tt.in, got, len(got), tt.want, len(tt.want))
		}
	}
	if got := excerpt(strings.Repeat("é", 300)+"end", 20); got != `"`+strings.Repeat("é", 5)+" ... "+"éé"[:0]+strings.Repeat("é", 3)+`end"` {
		t.Errorf("excerpt = %s", got)
	}
	if got := excerpt("a\nb", 20); got != `"a\nb"` {
		t.Errorf("excerpt = %s, want one line", got)
	}
}

// TestIdenticalProgramsRunOnce: samples that hold the same program share one run,
// whether it is over, or going on.
func TestIdenticalProgramsRunOnce(t *testing.T) {
	t.Parallel()
	g := newGrader(t, 2)
	q := question(t, fog)
	var all sync.WaitGroup
	news := make(chan bool, 16)
	for range 16 {
		all.Go(func() {
			j, known, err := g.Judge(t.Context(), q, code(solution))
			if err != nil || j.Verdict != stream.Passed {
				t.Errorf("Judge = %+v, %v", j, err)
			}
			if !known {
				news <- true
			}
		})
	}
	all.Wait()
	if ran, cached := g.Counts(); ran != 1 || cached != 15 || len(news) != 1 {
		t.Errorf("16 identical programs at once: %d ran, %d from memory, %d said to be new", ran, cached, len(news))
	}
	if _, known, err := g.Judge(t.Context(), q, code(solution)); !known || err != nil {
		t.Errorf("Judge of a known program: known %v, %v", known, err)
	}
	for _, s := range []struct {
		q *Question
		s stream.Sample
	}{{q, code(solution + "#")}, {question(t, "lcbq_a03"), code(solution)}} {
		if _, known, err := g.Judge(t.Context(), s.q, s.s); known || err != nil {
			t.Errorf("Judge of another program or question: known %v, %v", known, err)
		}
	}
	if j, known, err := g.Judge(t.Context(), q, stream.Sample{}); known || err != nil || j.Verdict != stream.NoCode {
		t.Errorf("Judge of no program = %+v, known %v, %v", j, known, err)
	}
	if ran, cached := g.Counts(); ran != 3 || cached != 16 {
		t.Errorf("%d ran, %d from memory, want 3 and 16", ran, cached)
	}
}

// TestCancelledCallerSpoilsNoOther: two callers wait for one program, and the one
// that runs it, here the test, is told to stop.
func TestCancelledCallerSpoilsNoOther(t *testing.T) {
	t.Parallel()
	g := newGrader(t, 1)
	q := question(t, fog)
	for try := 0; ; try++ {
		program := fmt.Sprintf("%s# %d", solution, try)
		key := cacheKey{question: q.Digest, program: sum(program)}
		flies, stop := make(chan struct{}), make(chan struct{})
		shared := make(chan bool, 1)
		go func() {
			_, _, s := g.flight.Do(key.String(), func() (any, error) {
				close(flies)
				<-stop
				return stream.Judgement{}, context.Canceled
			})
			shared <- s
		}()
		<-flies
		judged := make(chan error, 1)
		go func() {
			j, _, err := g.Judge(t.Context(), q, code(program))
			if err == nil && j.Verdict != stream.Passed {
				err = fmt.Errorf("verdict %v", j.Verdict)
			}
			judged <- err
		}()
		<-time.After(10 * time.Millisecond) // for the other caller to join; if it did not, there is another try
		close(stop)
		if err := <-judged; err != nil {
			t.Fatalf("Judge of the other caller = %v, want its verdict", err)
		}
		if <-shared {
			return
		}
		if try == 100 {
			t.Fatal("the two callers never met")
		}
	}
}

func TestFaultIsNotAVerdict(t *testing.T) {
	t.Parallel()
	g := newGrader(t, 1)
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	_, _, err := g.Judge(t.Context(), question(t, fog), code(solution))
	if !errors.Is(err, ErrFault) || !strings.Contains(err.Error(), fog) {
		t.Errorf("Judge on a closed slot = %v, want ErrFault with the question", err)
	}
	if _, ok := g.cache.get(cacheKey{question: question(t, fog).Digest, program: sum(solution)}); ok {
		t.Error("a fault is remembered as a verdict")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	cancel()
	if _, _, err := g.Judge(ctx, question(t, fog), code(solution)); !errors.Is(err, context.Canceled) || errors.Is(err, ErrFault) {
		t.Errorf("Judge when told to stop = %v, want context.Canceled and no fault", err)
	}
}

func TestQuestionThatDoesNotDecode(t *testing.T) {
	t.Parallel()
	row := strings.Replace(string(problem(t, labels).Row()), `\"a-x\"`, `\"a-x`, 1)
	row = strings.Replace(row, `\\\"a-x\\\"`, `\\\"a-x`, 1)
	p, err := lcb.ParseProblem([]byte(row))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewQuestion(p); err == nil || !strings.Contains(err.Error(), labels) {
		t.Errorf("NewQuestion = %v, want an error with the question's id", err)
	}
}

// TestHalfSurrogateInTheSource wants what the official runner says of a program that
// Python cannot encode, in a comment too, and not a pass of another text.
func TestHalfSurrogateInTheSource(t *testing.T) {
	t.Parallel()
	g := newGrader(t, 1)
	for _, half := range []string{"\xed\xa0\xbd", "\xed\xb8\x80"} {
		for _, s := range []string{"# smile " + half + "\n" + solution, solution + "x = '" + half + "'\n"} {
			if j := judge1(t, g, question(t, fog), code(s)); j.Verdict == stream.Passed || text(j.ErrorCode) != "-4" {
				t.Errorf("%q = %v, code %s (%s), want -4", s, j.Verdict, text(j.ErrorCode), j.Detail)
			}
		}
		called := code(class(merge) + "# " + half)
		if j := judge1(t, g, question(t, labels), called); text(j.ErrorCode) != "-4" {
			t.Errorf("a method beside %q = %v, code %s", half, j.Verdict, text(j.ErrorCode))
		}
	}
}
