package driver_test

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lcbq/lcbq/worker/pythontest"

	"github.com/lcbq/lcbq/worker/judge"
	"github.com/lcbq/lcbq/worker/sandbox/driver"
)

var (
	full   = flag.Bool("full", false, "run every recorded program, also those that time out, not a sample of them")
	sample = flag.Int64("sample", 1, "which sample of the recorded programs is run")
)

// drawn reports whether the sample of one in n holds the text.
func drawn(text string, n uint64) bool {
	h := fnv.New64a()
	// A hash takes whatever it is given.
	_, _ = fmt.Fprint(h, *sample, text)
	return *full || h.Sum64()%n == 0
}

// The statuses of the harness, and those of testdata/runner.py.
const (
	loaded  = 0
	output  = 1
	value   = 2
	failed  = 3
	limit   = 4
	done    = 5
	pid     = 0x40
	printed = 0x41
	ended   = 0x42
)

// official reports whether the interpreter is of the version under which the official verdicts were recorded.
func official(t *testing.T) bool {
	t.Helper()
	minor := minorVersion(t)
	if minor != 11 {
		t.Logf("Python 3.%d: rows for 3.11 left out", minor)
	}
	return minor == 11
}

// minorVersion returns the second number of the interpreter's version.
func minorVersion(t *testing.T) int {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), pythontest.Find(t), "-I", "-c", "import sys; print(sys.version_info[1], end='')").Output()
	if err != nil {
		t.Fatalf("ask the interpreter's version: %v", err)
	}
	minor, err := strconv.Atoi(string(out))
	if err != nil {
		t.Fatalf("ask the interpreter's version: %v", err)
	}
	return minor
}

// A runner is a Python process that runs programs through the harness, one at
// a time.
type runner struct {
	in   io.Writer
	out  *bufio.Reader
	mode string
}

func newRunner(t *testing.T, mode string) *runner {
	t.Helper()
	source := filepath.Join(t.TempDir(), "driver.py")
	if err := os.WriteFile(source, []byte(driver.Source), 0o600); err != nil {
		t.Fatal(err)
	}
	in, out := pythontest.Start(t, "-I", "testdata/runner.py", source, mode)
	return &runner{in: in, out: bufio.NewReader(out), mode: mode}
}

// A program is what the runner is asked to run.
type program struct {
	Func   *string `json:"func"`
	Source string  `json:"source"`
	// The source as wrapped here; filled in by run.
	Text    string   `json:"text"`
	Imports []uint32 `json:"imports"`

	Inputs []string `json:"inputs"`
	Cap    int      `json:"cap"`
	CPU    int      `json:"cpu"` // seconds, for the whole program
}

type answer struct {
	status  byte
	payload []byte
}

// A failure is the payload of a failed status.
type failure struct {
	Type    string
	Message string
	Line    int
	Where   string
	Code    int
}

// A run is what came of a program.
type run struct {
	answers  []answer // one a test, until the first failure
	loaded   bool
	printed  string // of a script
	status   syscall.WaitStatus
	timedOut bool // it used up its CPU time, or slept too long
}

// failure decodes the last answer, which must be one.
func (r *run) failure(t *testing.T) failure {
	t.Helper()
	var f failure
	if len(r.answers) == 0 {
		t.Fatalf("no answer, wait status %#x", r.status)
	}
	last := r.answers[len(r.answers)-1]
	if last.status != failed {
		t.Fatalf("answer %d %q, want a failure", last.status, last.payload)
	}
	if err := json.Unmarshal(last.payload, &f); err != nil {
		t.Fatalf("decode failure %q: %v", last.payload, err)
	}
	return f
}

// longestSleep is how long a program may be found asleep.
const longestSleep = 2 * time.Second

// run runs a program and kills it when it has slept too long, or used its CPU time.
func (r *runner) run(t *testing.T, p program) run {
	t.Helper()
	if p.Cap == 0 {
		p.Cap = 16 << 20
	}
	if p.CPU == 0 {
		p.CPU = 10
	}
	if r.mode == "lcb" && p.Func == nil {
		text := driver.Wrap(p.Source)
		p.Text, p.Imports = text.Wrapped, text.Imports
	}
	line, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.in.Write(append(line, '\n')); err != nil {
		t.Fatalf("write to runner: %v", err)
	}
	var result run
	var woken chan struct{}
	for {
		var head [5]byte
		if _, err := io.ReadFull(r.out, head[:]); err != nil {
			t.Fatalf("read from runner: %v, program:\n%s", err, p.Source)
		}
		payload := make([]byte, binary.LittleEndian.Uint32(head[1:]))
		if _, err := io.ReadFull(r.out, payload); err != nil {
			t.Fatalf("read from runner: %v", err)
		}
		switch head[0] {
		case loaded:
			result.loaded = true
		case pid:
			id := int(binary.LittleEndian.Uint32(payload))
			woken = make(chan struct{})
			go killSleeper(id, longestSleep, woken)
		case printed:
			result.printed = string(payload)
		case ended:
			woken <- struct{}{} // it was waited for: its number may be another's
			result.status = syscall.WaitStatus(binary.LittleEndian.Uint32(payload))
			result.timedOut = result.status.Signaled() && result.status.Signal() == syscall.SIGKILL
			return result
		default:
			result.answers = append(result.answers, answer{head[0], payload})
		}
	}
}

// killSleeper kills a process that was found asleep for so long, however long it waited
// for a processor meanwhile. It returns when it is told that the process has ended.
func killSleeper(pid int, limit time.Duration, ended chan struct{}) {
	const look = 100 * time.Millisecond
	looks := time.NewTicker(look)
	defer looks.Stop()
	for slept := time.Duration(0); ; {
		select {
		case <-ended:
			return
		case <-looks.C:
		}
		if !asleep(pid) {
			continue
		}
		if slept += look; slept > limit {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// asleep reports whether every thread of a process sleeps.
func asleep(pid int) bool {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, task := range tasks {
		stat, err := os.ReadFile(task)
		if err != nil {
			continue // it ended meanwhile
		}
		_, state, _ := strings.Cut(string(stat), ") ")
		if !strings.HasPrefix(state, "S") {
			return false
		}
	}
	return len(tasks) > 0
}

// A verdict is what the judge makes of a run, in the official runner's terms.
type verdict struct {
	code   int // 0 passed, -2 to -5
	tests  int // judged, the failing one included
	detail string
}

// judged returns the verdict on a run against the expected outputs.
func judged(t *testing.T, r run, functional bool, outputs []string) verdict {
	t.Helper()
	for i, a := range r.answers {
		if a.status == failed {
			f := (&run{answers: r.answers[:i+1]}).failure(t)
			return verdict{f.Code, i + 1, f.Type + ": " + f.Message}
		}
		var outcome judge.Outcome
		var detail judge.Detail
		if functional {
			want, err := judge.ParseExpected(outputs[i])
			if err != nil {
				t.Fatal(err)
			}
			outcome, detail = judge.Value(a.payload, want)
		} else {
			outcome, detail = judge.Lines(string(a.payload), outputs[i])
		}
		text := detail.Message + ": " + detail.Got + " != " + detail.Want
		switch outcome {
		case judge.Equal:
		case judge.Raises:
			return verdict{-4, i + 1, text}
		default:
			return verdict{-2, i + 1, text}
		}
	}
	switch n := len(r.answers); {
	case n == len(outputs):
		return verdict{0, n, ""}
	case r.timedOut:
		return verdict{-3, n + 1, "killed"}
	default:
		return verdict{-5, n + 1, "died"}
	}
}

// shared returns the path of a file of recorded data, or skips the test.
func shared(t *testing.T, name string) string {
	t.Helper()
	// Beside the repository; a worktree of it may lie a level deeper.
	for _, root := range []string{"../../../../shared/lcb", "../../../../../shared/lcb"} {
		if p := filepath.Join(root, name); exists(p) {
			return p
		}
	}
	t.Skipf("no recorded data: ../shared/lcb/%s is not beside the repository", name)
	return ""
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// rows decodes a file of one JSON object a line.
func rows[T any](t *testing.T, path string) []T {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []T
	for line := range strings.Lines(string(data)) {
		var row T
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatalf("decode %s row %d: %v", path, len(all)+1, err)
		}
		all = append(all, row)
	}
	return all
}
