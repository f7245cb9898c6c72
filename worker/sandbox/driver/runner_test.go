package driver_test

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lcbq/lcbq/worker/judge"
	"github.com/lcbq/lcbq/worker/sandbox/driver"
)

// full runs the recorded time-outs too, which take minutes.
var full = flag.Bool("full", false, "run every recorded program, those that time out too")

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

// python returns the interpreter to test with: the official runner's, if it
// is there.
func python(t *testing.T) string {
	t.Helper()
	if p, ok := os.LookupEnv("LCBQ_PYTHON"); ok {
		return p
	}
	if _, err := os.Stat("/usr/bin/python3"); err == nil {
		return "/usr/bin/python3"
	}
	p, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3 on PATH; set LCBQ_PYTHON")
	}
	return p
}

// official reports whether the interpreter is of the official runner's version.
func official(t *testing.T) bool {
	t.Helper()
	code := "import sys; print(*sys.version_info[:2], sep='.')"
	out, err := exec.CommandContext(t.Context(), python(t), "-I", "-c", code).Output()
	if err != nil {
		t.Fatalf("ask the interpreter's version: %v", err)
	}
	version := strings.TrimSpace(string(out))
	if version != "3.11" {
		t.Logf("Python %s: rows for 3.11 left out", version)
	}
	return version == "3.11"
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
	cmd := exec.CommandContext(t.Context(), python(t), "-I", "testdata/runner.py", source, mode)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait() // killed by the context at the latest
	})
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
	timedOut bool
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

// run runs a program and kills it after wall, or when it has used its CPU time.
func (r *runner) run(t *testing.T, p program, wall time.Duration) run {
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
	var timer *time.Timer
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
			timer = time.AfterFunc(wall, func() { _ = syscall.Kill(id, syscall.SIGKILL) })
		case printed:
			result.printed = string(payload)
		case ended:
			timer.Stop()
			result.status = syscall.WaitStatus(binary.LittleEndian.Uint32(payload))
			result.timedOut = result.status.Signaled() && result.status.Signal() == syscall.SIGKILL
			return result
		default:
			result.answers = append(result.answers, answer{head[0], payload})
		}
	}
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
