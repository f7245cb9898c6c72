package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lcbq/lcbq/worker/lcb"
	"github.com/lcbq/lcbq/worker/lcb/sample"
	"github.com/lcbq/lcbq/worker/pythontest"
)

// judging is a plain judge of one answer, in Python: it reads the problem and
// the program from stdin and prints the class of the first failing test.
const judging = `
import io, json, sys
from decimal import Decimal, InvalidOperation
job = json.load(sys.stdin)
real, sys.stdin = sys.stdout, None
real_out = sys.stdout
try:
    code = compile("from typing import *\n" + job["code"], "answer", "exec")
except SyntaxError:
    print("compile_error"); sys.exit()
name = job["func"]
def same(a, b):  # lines of numbers are equal as numbers, as in the official comparison
    if a == b:
        return True
    try:
        return [Decimal(x) for x in a.split()] == [Decimal(x) for x in b.split()]
    except InvalidOperation:
        return False
verdict = "passed"
try:
    if name:
        space = {"__name__": "answer"}
        exec(code, space)
        target = getattr(space["Solution"](), name) if "class Solution" in job["code"] else space[name]
    for text, want in job["tests"]:
        if name:
            got = target(*map(json.loads, text.split("\n")))
            if got != json.loads(want):
                verdict = "wrong_answer"; break
            continue
        sys.stdin, sys.stdout = io.StringIO(text), io.StringIO()
        try:
            exec(code, {"__name__": "__main__"})
            got = sys.stdout.getvalue()
        finally:
            sys.stdout = real_out
        got, want = ([l.strip() for l in text.strip().split("\n")] for text in (got, want))
        if len(got) != len(want) or not all(map(same, got, want)):
            verdict = "wrong_answer"; break
except Exception:
    verdict = "runtime_error"
print(verdict)
`

// TestPools runs every answer of every pool against the problem's tests and
// holds it to its class. It holds the tests too: the passing programs were
// written apart from the solutions that made the expected outputs.
func TestPools(t *testing.T) {
	t.Parallel()
	python := pythontest.Find(t)
	problems := sample.Problems()
	if len(load().pools) != len(problems) {
		t.Errorf("%d pools, want %d", len(load().pools), len(problems))
	}
	slow := 0
	for _, p := range problems {
		answers := load().pools[p.ID]
		if len(answers) < 7 {
			t.Errorf("%s has %d answers", p.ID, len(answers))
		}
		for _, a := range answers {
			if strings.Contains(a.body, "```") {
				t.Errorf("%s/%s holds a fence", p.ID, a.name)
			}
			if a.class == TimeLimit {
				slow++
			}
			if a.class == NoCode || a.class == Truncated {
				continue
			}
			t.Run(p.ID+"/"+a.name, func(t *testing.T) {
				t.Parallel()
				if got := judge(t, python, p, a.body); got != a.class {
					t.Errorf("judged %s, want %s", got, a.class)
				}
			})
		}
		if n := len(slices.CompactFunc(slices.SortedFunc(slices.Values(answers), func(a, b answer) int { return strings.Compare(a.body, b.body) }),
			func(a, b answer) bool { return a.body == b.body })); n != len(answers) {
			t.Errorf("%s has the same answer twice", p.ID)
		}
	}
	if slow != 3 {
		t.Errorf("%d slow programs, want 3: each costs a judge its whole time limit", slow)
	}
}

// patience is how long a program may wait for its second of CPU time, of
// which passing programs need a small part.
const patience = time.Minute

func judge(t *testing.T, python string, p *lcb.Problem, code string) string {
	t.Helper()
	list, err := p.Tests()
	if err != nil {
		t.Fatal(err)
	}
	tests := make([][2]string, len(list))
	for i, c := range list {
		tests[i] = [2]string{c.Input, c.Output}
	}
	job, err := json.Marshal(map[string]any{"code": code, "func": p.FuncName, "tests": tests})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), patience, errSlow)
	defer cancel()
	// A limit on CPU time, so that a busy machine makes no program slow.
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", `ulimit -t 1; exec "$0" -c "$1"`, python, judging)
	cmd.Stdin = bytes.NewReader(job)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && !exit.Exited() && ctx.Err() == nil {
		return TimeLimit // killed for its CPU time
	}
	if err != nil {
		t.Fatalf("judge: %v\n%s", err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

var errSlow = errors.New("the machine is too busy to judge")
