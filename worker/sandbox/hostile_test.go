package sandbox

import (
	"bytes"
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// In the binary, because some tests run it where the source is out of reach.
//
//go:embed testdata/hostile
var hostileFiles embed.FS

// A hostileCase is one program of testdata/hostile.
type hostileCase struct {
	name     string
	source   string
	outcomes []string // any of them
}

// functional reports whether the program is one with a function to call.
func (c hostileCase) functional() bool { return strings.Contains(c.source, "class Solution") }

// hostilePrelude is put before the programs that use it: tries prints contained
// if every action raises or returns None, and call makes a system call.
const hostilePrelude = `def tries(*actions):
    reached = []
    for name, action in actions:
        try:
            if action() is not None:
                reached.append(name)
        except Exception:
            pass
    print("reached " + " ".join(reached) if reached else "contained")

def call(number, *args):
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    result = libc.syscall(number, *args)
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return result

`

// readHostile returns the programs of one catalogue file.
func readHostile(t *testing.T, file string) []hostileCase {
	t.Helper()
	text, err := hostileFiles.ReadFile("testdata/hostile/" + file)
	if err != nil {
		t.Fatal(err)
	}
	// Too large or too odd for a text file.
	generated := strings.NewReplacer(
		"PAREN\n", "x = "+strings.Repeat("(", 100000)+strings.Repeat(")", 100000)+"\n",
		"MINUS\n", "x = "+strings.Repeat("-", 200000)+"1\n",
		"LARGE\n", strings.Repeat("# a comment that says nothing at all about it\n", 5<<20/46)+"print('contained')\n",
		"ZERO\n", "print('contained')\x00\n",
		"BOMCRLF\n", "\ufeffdef main():\r\n    print('contained')\r\nmain()\r\n",
	)
	prelude := hostilePrelude
	var cases []hostileCase
	for section := range strings.SplitSeq("\n"+string(text), "\n-- ") {
		title, source, ok := strings.Cut(section, " --\n")
		source += "\n"
		name, outcomes, isCase := strings.Cut(title, ": ")
		if !ok || !isCase {
			continue
		}
		if strings.Contains(source, "tries(") || strings.Contains(source, "call(") {
			source = prelude + source
		}
		cases = append(cases, hostileCase{name, generated.Replace(source), strings.Split(outcomes, ",")})
	}
	return cases
}

// A bench judges programs on one slot and looks for what they left.
type bench struct {
	slot *Slot
	// The question of a case, and the one of the correct program after it.
	stdin, functional, next *Question
	values                  [][]byte // what the correct functional program returns
	checked                 int
}

const (
	correctStdin      = "a, b = map(int, input().split())\nprint(a + b)\n"
	correctFunctional = "class Solution:\n    def f(self, x):\n        return x + 1\n"
)

func newBench(t *testing.T, s *Slot) *bench {
	t.Helper()
	b := &bench{
		slot:       s,
		stdin:      &Question{ID: "stdin", Inputs: []string{"5 7\n", "1 2\n"}},
		functional: &Question{ID: "functional", Kind: Functional, Func: "f", Inputs: []string{"5", "8"}},
		next:       &Question{ID: "next", Inputs: []string{"20 22\n", "-1 2\n", "3 4\n"}},
	}
	r, err := b.patiently(t, b.functional, correctFunctional, func(_ int, o Output) bool {
		b.values = append(b.values, bytes.Clone(o.Value))
		return true
	})
	if err != nil || r.Outcome != Accepted {
		t.Fatalf("Run of the correct functional program = %+v, %v", r, err)
	}
	return b
}

// patiently runs a program under limits of time that none meets which ends by itself, however slow
// the machine is: its outcome is not to be a matter of the load.
func (b *bench) patiently(t *testing.T, q *Question, source string, check Check) (Result, error) {
	t.Helper()
	own := b.slot.host
	defer func() { b.slot.host = own }()
	patient := *own
	patient.config.Limits.CPU, patient.config.Limits.Wall, patient.config.Limits.Hard = 20*time.Second, 20*time.Second, 5*time.Minute
	b.slot.host = &patient
	return b.slot.Run(t.Context(), q, source, check)
}

// judge runs one case; the stdin programs must print want.
func (b *bench) judge(t *testing.T, c hostileCase, want func(test int) string) {
	t.Helper()
	q := b.stdin
	if c.functional() {
		q = b.functional
	}
	run := b.patiently
	if slices.Contains(c.outcomes, TimeLimit.String()) {
		run = func(t *testing.T, q *Question, source string, check Check) (Result, error) {
			t.Helper()
			return b.slot.Run(t.Context(), q, source, check)
		}
	}
	var said string
	r, err := run(t, q, c.source, func(i int, o Output) bool {
		if q.Kind == Functional {
			return bytes.Equal(o.Value, b.values[i])
		}
		said = string(o.Text)
		return said == want(i)
	})
	if err != nil {
		t.Fatalf("Run = %+v, %v", r, err)
	}
	if !slices.Contains(c.outcomes, r.Outcome.String()) {
		t.Errorf("Run = %+v, said %.2000q, want one of %v", r, said, c.outcomes)
	}
	b.check(t)
}

// check asserts that nothing is left of the last program, and that a correct
// one is accepted.
func (b *bench) check(t *testing.T) {
	t.Helper()
	for _, srv := range b.slot.servers {
		if srv == nil {
			continue
		}
		if left := descendants(t, srv.process.Pid); len(left) > 0 {
			t.Errorf("left processes %v", left)
		}
	}
	if uid := b.slot.host.plan.UID; uid != 0 {
		if left := processesOf(t, slotUID(b.slot.id)); len(left) > 0 {
			t.Errorf("left processes %v of the slot's user", left)
		}
	}
	for _, dir := range []string{"/", "/tmp", "/dev/shm", "/var/tmp", "/dev/mqueue", "/root", "."} {
		if left, _ := filepath.Glob(dir + "/lcbq-trace*"); len(left) > 0 {
			t.Errorf("left files %v", left)
		}
	}
	for _, file := range []string{"shm", "sem", "msg"} {
		text, err := os.ReadFile("/proc/sysvipc/" + file)
		if err == nil && strings.Contains(string(text), fmt.Sprint(0x1cb9)) {
			t.Errorf("left System V %s: %s", file, text)
		}
	}
	answers := []string{"42\n", "1\n", "7\n"}
	// A text of its own each time, so that nothing can know it.
	b.checked++
	source := fmt.Sprintf("%s# %d\n", correctStdin, b.checked)
	r, err := b.patiently(t, b.next, source, func(i int, o Output) bool { return string(o.Text) == answers[i] })
	if err != nil || r.Outcome != Accepted {
		t.Errorf("Run of a correct program afterwards = %+v, %v", r, err)
	}
}

// catalogueFiles hold the catalogue: the hostile, by number, and the tricks that
// fool a judge in the same process, by a number of their own.
var catalogueFiles = []string{"processes", "resources", "files", "harness", "faults", "tricks"}

// elsewhere are the hostile cases that are no single program, and their tests.
var elsewhere = map[string]string{"49": "TestNumpyAfterHostile", "50": "TestKilledServer", "90": "TestManyAtOnce", "105": "TestNothingLeftInFlags"}

// TestCatalogue wants the catalogue whole: 114 numbers of hostile cases, 48 of
// tricks, and no trick that may pass.
func TestCatalogue(t *testing.T) {
	t.Parallel()
	hostile, tricks := map[string]bool{}, map[string]bool{}
	for number := range elsewhere {
		hostile[number] = true
	}
	for _, file := range catalogueFiles {
		for _, c := range readHostile(t, file+".txtar") {
			number, _, _ := strings.Cut(c.name, " ")
			if file != "tricks" {
				hostile[number] = true
				continue
			}
			tricks[number] = true
			if slices.Contains(c.outcomes, Accepted.String()) {
				t.Errorf("trick %s may pass", c.name)
			}
		}
	}
	for which, c := range map[string]struct {
		have map[string]bool
		want int
	}{"hostile case": {hostile, 114}, "trick": {tricks, 48}} {
		for n := 1; n <= c.want; n++ {
			if number := fmt.Sprintf("%02d", n); !c.have[number] {
				t.Errorf("no %s %s", which, number)
			}
		}
		if len(c.have) != c.want {
			t.Errorf("%d numbers of a %s, want %d", len(c.have), which, c.want)
		}
	}
}

// TestHostile runs the catalogue at the levels that this host gives: an eighth of the programs
// at each of them, others with another -sample, and every program at each if -full is given.
func TestHostile(t *testing.T) {
	t.Parallel()
	for i, level := range []Level{A, B, C} {
		t.Run(level.String(), func(t *testing.T) {
			t.Parallel()
			h := probeAt(t, level, Config{Limits: shortLimits})
			for _, file := range catalogueFiles {
				t.Run(file, func(t *testing.T) {
					t.Parallel()
					b := newBench(t, openSlotOn(t, h))
					for _, c := range readHostile(t, file+".txtar") {
						if !drawn(c.name, i, 8) {
							continue
						}
						t.Run(c.name, func(t *testing.T) { //nolint:paralleltest // one slot, one program at a time
							b.judge(t, c, func(i int) string {
								if file == "tricks" {
									return []string{"12\n", "3\n"}[i]
								}
								return "contained\n"
							})
						})
					}
				})
			}
		})
	}
}
