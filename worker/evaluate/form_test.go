package evaluate

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/streamtest"
)

// forming returns a grader that asks for forms soon.
func forming(t *testing.T, slots int) *Grader {
	t.Helper()
	g := newGrader(t, slots)
	soon(t, g)
	return g
}

// soon has a grader ask for forms soon. The process that makes them is there before: it takes as
// long to start as a program here may run.
func soon(t *testing.T, g *Grader) {
	t.Helper()
	g.forms.after, g.forms.every = 20*time.Millisecond, 10*time.Millisecond
	if !g.forms.open() {
		t.Fatal("no slot for forms")
	}
}

// endlessAs returns copies of an endless program that differ in comments and docstrings.
func endlessAs(name string, copies int) []string {
	var all []string
	for i := range copies {
		all = append(all, fmt.Sprintf("# copy %d\ndef f():\n    \"\"\"%d.\"\"\"\n    while %q:\n%*spass\nf()\n", i, i, name, 5+i, ""))
	}
	return all
}

// TestFormsShareVerdicts judges copies of endless programs one after the other and at once, and
// wants one of them to be run.
func TestFormsShareVerdicts(t *testing.T) {
	t.Parallel()
	burnsSeconds(t)
	const copies = 6
	g := forming(t, 3)
	q := one("forms")
	judge := func(program string) {
		j, _, err := g.Judge(t.Context(), q, code(program))
		if err != nil || j.Verdict != stream.TimeLimit || *j.ErrorCode != codeTime || j.CPU < limits.CPU.Seconds() {
			t.Errorf("Judge = %+v, %v, want the time limit", j, err)
		}
	}
	for _, p := range endlessAs("in turn", copies) {
		judge(p)
	}
	if ran, cached := g.Counts(); ran != 1 || cached != copies-1 {
		t.Errorf("in turn: %d were run, %d known, want 1 and %d", ran, cached, copies-1)
	}
	var all sync.WaitGroup
	for _, p := range endlessAs("at once", copies) {
		all.Go(func() { judge(p) })
	}
	all.Wait()
	if ran, cached := g.Counts(); ran != 2 || cached != 2*(copies-1) {
		t.Errorf("at once: %d were run, %d known, want 2 and %d of both", ran, cached, 2*(copies-1))
	}
	judge("while 'another': pass # copy 0\n")
	if ran, _ := g.Counts(); ran != 3 {
		t.Errorf("%d were run, want 3: the last one is another program", ran)
	}
}

// TestFormsKeepWhatIsOwn wants programs of one form to have each their own verdict where it names
// a line, where it depends on chance, where no form may be made, and where it is not the
// same question.
func TestFormsKeepWhatIsOwn(t *testing.T) {
	t.Parallel()
	const busy = "for i in range(2500000): pass\n"
	g := forming(t, 2)
	pair := func(name string, q [2]*Question, programs [2]string) [2]stream.Judgement {
		before, _ := g.Counts()
		var js [2]stream.Judgement
		var both sync.WaitGroup
		for i := range 2 {
			both.Go(func() { js[i] = judge1(t, g, q[i], code(programs[i])) })
		}
		both.Wait()
		if after, _ := g.Counts(); after-before != 2 {
			t.Errorf("%s: %d were run, want 2", name, after-before)
		}
		return js
	}
	q := [2]*Question{one("own"), one("own")}
	js := pair("a line", q, [2]string{busy + "1/0\n", busy + "# why\n\n1/0\n"})
	for i, line := range []string{"line 2)", "line 4)"} {
		if !strings.HasSuffix(js[i].Detail, line) {
			t.Errorf("detail %d = %q, want %s", i, js[i].Detail, line)
		}
	}
	pair("chance", q, [2]string{"import time\n" + busy + "print(1)\n", "import time\n" + busy + "print( 1 )\n"})
	pair("its own text", q, [2]string{"def f():\n    '1'\n" + busy + "print(f.__doc__)", "def f():\n    '2'\n" + busy + "print(f.__doc__)"})
	js = pair("two questions", [2]*Question{one("own"), {ID: "2", Digest: "2", sandbox: q[0].sandbox, lines: []string{"2"}}}, [2]string{busy + "print(1)", busy + "print( 1 )"})
	if js[0].Verdict != stream.Passed || js[1].Verdict != stream.WrongAnswer {
		t.Errorf("two questions: %v and %v", js[0].Verdict, js[1].Verdict)
	}
}

// TestQuickProgramsHaveNoForm wants no form to be made of a quick program.
func TestQuickProgramsHaveNoForm(t *testing.T) {
	t.Parallel()
	g := newGrader(t, 1)
	for i := range 20 {
		judge1(t, g, one("quick"), code(fmt.Sprintf("print(1) # %d", i)))
	}
	if ran, _ := g.Counts(); ran != 20 {
		t.Errorf("%d were run, want 20", ran)
	}
	if g.forms.slot != nil {
		t.Error("a form was made")
	}
}

// TestFormsAreSharedByEvaluators has two evaluators judge copies of one program.
func TestFormsAreSharedByEvaluators(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	q := one("shared forms")
	programs := endlessAs("shared", 2)
	for i, p := range programs {
		g := forming(t, 1)
		g.Share(env.Store, slog.New(slog.DiscardHandler))
		g.shared.after = 30 * time.Millisecond
		j, _, err := g.Judge(t.Context(), q, code(p))
		if err != nil || j.Verdict != stream.TimeLimit {
			t.Fatalf("Judge = %+v, %v", j, err)
		}
		if ran, cached := g.Counts(); int(ran) != 1-i || int(cached) != i {
			t.Errorf("evaluator %d ran %d and knew %d", i, ran, cached)
		}
	}
}

// TestNoRoomForForms wants programs judged by their texts where no slot can be had for forms.
func TestNoRoomForForms(t *testing.T) {
	t.Parallel()
	g := newGrader(t, 1)
	g.forms.after, g.forms.every, g.forms.id = 20*time.Millisecond, 10*time.Millisecond, -1
	for _, p := range endlessAs("no room", 2) {
		if j := judge1(t, g, one("no room"), code(p)); j.Verdict != stream.TimeLimit {
			t.Errorf("Judge = %+v", j)
		}
	}
	if ran, _ := g.Counts(); ran != 2 {
		t.Errorf("%d were run, want 2", ran)
	}
}
