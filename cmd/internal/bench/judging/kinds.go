package judging

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/evaluate"
	"github.com/lcbq/lcbq/worker/lcb"
)

// A kind is a sort of program, of which any number of different texts can be made.
type kind struct {
	program string
	verdict stream.Verdict // of every one
	output  int            // bytes that a test prints besides its answer
	costly  bool           // it computes for long: no more at once than there are processors, each once
}

const reads = "import sys\ndata = sys.stdin.read().split()\na, b = int(data[0]), int(data[1])\n"

// kinds are the programs by name.
var kinds = map[string]kind{
	"passing":     {program: reads + "def solve(a, b):\n    return a + b\nprint(solve(a, b))\n", verdict: stream.Passed},
	"wrong":       {program: reads + "print(a - b)\n", verdict: stream.WrongAnswer},
	"crashing":    {program: reads + "print(data[len(data)])\n", verdict: stream.RuntimeError},
	"not parsing": {program: "def solve(a, b:\n    return a + b\n", verdict: stream.CompileError},
	"printing":    {program: reads + fmt.Sprintf("print(a + b)\nfor i in range(%d):\n    print('x' * 99)\n", printed/100), verdict: stream.Passed, output: printed},
	"waiting":     {program: reads + "import time\ntime.sleep(.05)\nprint(a + b)\n", verdict: stream.Passed},
	// The work of an interpreter, always the same: how fast the machine is.
	"computing": {program: reads + "x = 1\nfor i in range(2000000):\n    x = (x * 31 + i) % 1000003\nprint(a + b)\n", verdict: stream.Passed, costly: true},
	"slow":      {program: reads + "import time\nwhile time.process_time() < .5:\n    pass\nprint(a + b)\n", verdict: stream.Passed, costly: true},
	"endless":   {program: "while True:\n    pass\n", verdict: stream.TimeLimit, costly: true},
}

// Kinds are the names of the sorts of programs, in the order in which they are measured.
var Kinds = []string{"passing", "wrong", "crashing", "not parsing", "printing", "waiting", "computing", "slow", "endless"}

// printed is what a test of a program that prints much prints, in bytes.
const printed = 100_000

// question returns one whose tests hold so many bytes of input together.
func question(c Case) (*evaluate.Question, error) {
	type test struct {
		Input  string `json:"input"`
		Output string `json:"output"`
	}
	var tests []test
	for i := range c.Tests {
		in, out := fmt.Sprintf("%d 2\n", i), fmt.Sprintf("%d\n", i+2)
		if pad := c.SuiteBytes/c.Tests - len(in); pad > 0 {
			in += strings.Repeat("1000000 ", pad/8+1)[:pad-1] + "\n"
		}
		out += strings.Repeat(strings.Repeat("x", 99)+"\n", kinds[c.Kind].output/100)
		tests = append(tests, test{in, out})
	}
	row, err := json.Marshal(map[string]any{
		"question_id": fmt.Sprintf("bench-%s-%d-%d", c.Kind, c.Tests, c.SuiteBytes), "question_title": "benchmark", "question_content": "Add two numbers.",
		"public_test_cases": tests, "private_test_cases": []test{},
	})
	if err != nil {
		return nil, fmt.Errorf("make a question of the benchmark: %w", err)
	}
	p, err := lcb.ParseProblem(row)
	if err != nil {
		return nil, fmt.Errorf("make a question of the benchmark: %w", err)
	}
	return evaluate.NewQuestion(p)
}

// text returns the n-th program of the kind. Equal texts would be judged once.
func (k kind) text(n int) string { return fmt.Sprintf("%s# %d\n", k.program, n) }

// shortest bounds a measurement from below: less would measure the clock.
const shortest = 10 * time.Millisecond
