package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest/patience"
	"github.com/lcbq/lcbq/worker/combine/summary"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// endingsFor makes the sweeps of TestEndings last about so long each, as a real one would.
var endingsFor = flag.Duration("endings-for", 0, "length of each sweep that is ended by its surroundings; 0 is as short as it can be")

// An ending is what may happen to the terminal, or the supervisor, of a sweep in mid-run.
type ending struct {
	name string
	// start starts the sweep and returns it, and what is to happen in mid-run.
	start func(t *testing.T, cmd *exec.Cmd) (happens func())
	want  int    // exit status of the sweep; -1 where it is killed
	logs  string // in logs/benchmark.log afterwards
	slow  bool   // only with -slow: the others go the same ways
}

var endings = []ending{
	{"ssh session closed", inTerminal, 130, `"signal":"hangup"`, false},
	{"pipe to head", func(t *testing.T, cmd *exec.Cmd) func() { // which reads one line and goes
		t.Helper()
		r := piped(t, cmd)
		begin(t, cmd)
		if n, err := r.Read(make([]byte, 1)); n != 1 || err != nil {
			t.Errorf("read a byte: %d, %v", n, err)
		}
		_ = r.Close()
		return func() {}
	}, 0, `"run submitted"`, true},
	{"pipe to a tee that dies", func(t *testing.T, cmd *exec.Cmd) func() {
		t.Helper()
		r := piped(t, cmd)
		tee := exec.CommandContext(t.Context(), "tee", filepath.Join(t.TempDir(), "log"))
		tee.Stdin = r
		if err := tee.Start(); err != nil {
			t.Fatal(err)
		}
		_ = r.Close()
		begin(t, cmd)
		return func() {
			_ = tee.Process.Kill()
			_ = tee.Wait() // it was killed
		}
	}, 0, `"run submitted"`, true},
	{"pipe that nobody reads", func(t *testing.T, cmd *exec.Cmd) func() {
		t.Helper()
		r := piped(t, cmd)
		w, ok := cmd.Stderr.(*os.File)
		if !ok {
			t.Fatal("no pipe")
		}
		if err := syscall.SetNonblock(int(r.Fd()), true); err != nil {
			t.Fatal(err)
		}
		fill(t, w)
		cmd.Stdout = nil // its table waits for a reader, as data does
		begin(t, cmd)
		return func() {}
	}, 0, `"run submitted"`, true},
	{"nohup", func(t *testing.T, cmd *exec.Cmd) func() {
		t.Helper()
		nohup, err := exec.LookPath("nohup")
		if err != nil {
			t.Fatal(err)
		}
		cmd.Path, cmd.Args = nohup, append([]string{"nohup"}, append([]string{cmd.Path}, cmd.Args[1:]...)...)
		begin(t, cmd)
		return func() { send(t, cmd, syscall.SIGHUP) }
	}, 0, `"run submitted"`, true},
	{"Slurm", func(t *testing.T, cmd *exec.Cmd) func() { // at the time limit: SIGCONT and SIGTERM, KillWait, SIGKILL
		t.Helper()
		begin(t, cmd)
		return func() {
			send(t, cmd, syscall.SIGCONT)
			send(t, cmd, syscall.SIGTERM)
			kill := time.AfterFunc(slurmKillWait(), func() { _ = cmd.Process.Kill() })
			t.Cleanup(func() { kill.Stop() })
		}
	}, -1, `"signal":"terminated"`, true},
	{"systemd", func(t *testing.T, cmd *exec.Cmd) func() { // KillMode=control-group, SendSIGHUP=yes
		t.Helper()
		begin(t, cmd)
		return func() {
			all := descendants(cmd.Process.Pid)
			for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP} {
				for _, pid := range all {
					_ = syscall.Kill(pid, s) // some have ended meanwhile
				}
			}
		}
	}, 130, `"msg":"interrupted, finishing what is in hand`, true},
}

// TestEndings lets happen to a sweep what terminals and supervisors do. It goes on to its end, or
// ends with its last lines in logs/ and is resumed by the same command; the results are those of an
// undisturbed one.
func TestEndings(t *testing.T) {
	t.Parallel()
	whole, _ := undisturbed(t)
	pace := sweepIn(12 * time.Second) // mid-run lasts a second at least
	if *endingsFor > 0 {
		pace = lasting(t, whole, *endingsFor)
	}
	for _, e := range endings {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			if e.slow {
				takesMinutes(t)
			}
			dir := filepath.Join(t.TempDir(), "results")
			cmd := command(t, sweep("-o", dir, pace)...)
			happens := e.start(t, cmd)
			waitForFile(t, filepath.Join(dir, "q0", "t0_2_combined.json"))
			happens()
			defer patience.After(2*time.Minute+*endingsFor, func() { _ = cmd.Process.Kill() })()
			_ = cmd.Wait() // its status is what counts
			if got := cmd.ProcessState.ExitCode(); got != e.want && e.want >= 0 {
				t.Errorf("the sweep ended with %v, want %d", cmd.ProcessState, e.want)
			}
			log, err := os.ReadFile(filepath.Join(dir, "logs", "benchmark.log"))
			if err != nil || !strings.Contains(string(log), e.logs) {
				t.Errorf("logs/benchmark.log, %v, does not hold %s:\n%s", err, e.logs, log)
			}
			if e.want != 0 {
				if out, err := command(t, sweep("-o", dir)...).CombinedOutput(); err != nil {
					t.Fatalf("resumed: %v\n%s", err, out)
				}
			}
			compareFolders(t, whole, dir)
			if out, err := command(t, "verify", "--recorded", dir).CombinedOutput(); err != nil {
				t.Errorf("verify: %v\n%s", err, out)
			}
		})
	}
}

// lasting is the pace at which a sweep with the tokens of a folder's takes so long.
func lasting(t *testing.T, dir string, d time.Duration) string {
	t.Helper()
	data, err := os.ReadFile(result.RunSummaryPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	var s summary.Run
	if err := json.Unmarshal(data, &s); err != nil || s.Throughput.Tokens == 0 {
		t.Fatalf("%s says that it has %d tokens, %v", dir, s.Throughput.Tokens, err)
	}
	return fmt.Sprintf("--sim-tps=%.1f", float64(s.Throughput.Tokens)/d.Seconds())
}

// slurmKillWait is too short for a drain: Slurm's own is 30 s, which is for a real sweep.
func slurmKillWait() time.Duration {
	if *endingsFor > 0 {
		return 30 * time.Second
	}
	return 100 * time.Millisecond
}

func begin(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, f := range []any{cmd.Stdout, cmd.Stderr} {
		if f, ok := f.(*os.File); ok {
			_ = f.Close() // the process has its own
		}
	}
}

func send(t *testing.T, cmd *exec.Cmd, s syscall.Signal) {
	t.Helper()
	if err := cmd.Process.Signal(s); err != nil {
		t.Errorf("send %v: %v", s, err)
	}
}

// piped makes one pipe of a process's output and messages, as the shell's 2>&1 | does.
func piped(t *testing.T, cmd *exec.Cmd) (r *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	cmd.Stdout, cmd.Stderr = w, w
	return r
}

// fill writes into a pipe until it takes no more.
func fill(t *testing.T, w *os.File) {
	t.Helper()
	fd := int(w.Fd())
	if err := syscall.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{4096, 1} {
		for {
			if _, err := syscall.Write(fd, make([]byte, size)); err != nil {
				break
			}
		}
	}
	if err := syscall.SetNonblock(fd, false); err != nil {
		t.Fatal(err)
	}
}

// inTerminal starts a process in a terminal of its own. What happens is that the terminal closes,
// as when an ssh connection is lost.
func inTerminal(t *testing.T, cmd *exec.Cmd) func() {
	t.Helper()
	master, _, shown := terminalOf(t, cmd)
	begin(t, cmd)
	return func() {
		_ = master.Close()
		if text := <-shown; !strings.Contains(text, clearsLine) {
			t.Errorf("the terminal shows no progress line:\n%q", text)
		}
	}
}

const clearsLine = "\r\x1b[K" // as the progress line is drawn anew

// terminalOf gives a process that is yet to start a terminal of its own. What it showed comes when nobody has the terminal
// any more, or master is closed.
func terminalOf(t *testing.T, cmd *exec.Cmd) (master, terminal *os.File, shown <-chan string) {
	t.Helper()
	master, terminal = openTerminal(t)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	all := make(chan string, 1)
	go func() {
		var b bytes.Buffer
		_, _ = b.ReadFrom(master)
		all <- b.String()
	}()
	return master, terminal, all
}

func openTerminal(t *testing.T) (master, terminal *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	master = os.NewFile(uintptr(fd), "/dev/ptmx") // not blocking: a Close ends a Read
	t.Cleanup(func() { _ = master.Close() })
	if terminal, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|syscall.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = terminal.Close() })
	return master, terminal
}

// descendants returns a process and all that came from it.
func descendants(pid int) []int {
	all := []int{pid}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return all // it has ended
	}
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, task := range tasks {
		more, _ := os.ReadFile(task)
		text = append(append(text, ' '), more...)
	}
	for field := range strings.FieldsSeq(string(text)) {
		if child, err := strconv.Atoi(field); err == nil && !slices.Contains(all, child) {
			all = append(all, descendants(child)...)
		}
	}
	return all
}

// TestWorkersEnd wants 0 of a worker and a server that a supervisor ends, 130 after Ctrl-C, and the
// signal said at once.
func TestWorkersEnd(t *testing.T) {
	t.Parallel()
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			want := 0
			if s == syscall.SIGINT {
				want = 130
			}
			server, url := startServer(t, t.TempDir())
			for _, verb := range []string{"evaluate", "generate", "combine"} {
				w := command(t, "-v", verb, "--nats", url)
				var text bytes.Buffer
				w.Stderr = &text
				if err := w.Start(); err != nil {
					t.Fatal(err)
				}
				waitForWorker(t, url, stream.Stage(verb))
				send(t, w, s)
				_ = w.Wait() // its status is what counts
				if got := w.ProcessState.ExitCode(); got != want || !strings.Contains(text.String(), "interrupted, finishing what is in hand") {
					t.Errorf("%s after %v: %v, want %d\n%s", verb, s, w.ProcessState, want, text.String())
				}
			}
			send(t, server, s)
			_ = server.Wait() // its status is what counts
			if got := server.ProcessState.ExitCode(); got != want {
				t.Errorf("server after %v: %v, want %d", s, server.ProcessState, want)
			}
		})
	}
}

// waitForWorker waits until a worker of a stage has told the server of itself.
func waitForWorker(t *testing.T, url string, stage stream.Stage) {
	t.Helper()
	js, end := session(t, url)
	defer end()
	s, err := store.Open(t.Context(), js)
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for wait := patience.Begin(time.Minute); !wait.Over(); <-tick.C {
		workers, err := s.Workers(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(workers, func(w store.Worker) bool { return w.Stage == stage }) {
			return
		}
	}
	t.Fatalf("no %s worker on %s", stage, url)
}
