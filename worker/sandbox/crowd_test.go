package sandbox

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// crowdedName is what the test binary is called when its stage 1 is to start in a crowd. A
// stage 1 inherits neither arguments nor environment.
const crowdedName = "crowded.test"

// crowdLevels are the levels of the sandbox that the host of TestStartsInACrowd gives.
var crowdLevels = flag.String("crowd-levels", "", "levels at which the binary of that name starts a slot")

// crowdLast is the highest number that a crowd takes: it has all up to there.
const crowdLast = 24

// crowd has a stage 1 of the binary of that name begin with the low descriptors taken, and
// the runtime waiting at its own every moment. Whatever is put onto a number of the crowd
// replaces what is there: the runtime ends the process when it is its own.
func crowd() {
	if len(os.Args) != 1 || os.Args[0] != stage1Name || !crowded() {
		return
	}
	<-time.After(time.Microsecond) // the first timer has the runtime make what it waits with
	for fd := 0; fd < crowdLast; {
		var err error
		if fd, err = unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0); err != nil {
			fmt.Fprintln(os.Stderr, "make a crowd of descriptors:", err)
			unix.Exit(1)
		}
	}
	go func() {
		for range time.Tick(20 * time.Microsecond) {
		}
	}()
}

func crowded() bool {
	self, err := os.Executable()
	return err == nil && filepath.Base(self) == crowdedName
}

// TestStartsInACrowd wants slots to start where every low descriptor is the runtime's or
// somebody else's, and fork servers to have what stage 1 hands them under none of these numbers.
func TestStartsInACrowd(t *testing.T) {
	t.Parallel()
	if crowded() {
		for name := range strings.SplitSeq(*crowdLevels, ",") {
			t.Run(name, func(t *testing.T) { startInACrowd(t, name) })
		}
		return
	}
	var levels []string
	for _, level := range []Level{A, B, C} {
		if h, err := probed(Config{Python: testPython, MaxLevel: level, MinLevel: level}); err == nil {
			levels = append(levels, h.Level().String())
		}
		if len(levels) == 1 && !*full { // the highest
			break
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(filepath.Dir(self), "crowd-") //nolint:usetesting // a link needs the same disk
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // stage 1 may be another user
		t.Fatal(err)
	}
	binary := filepath.Join(dir, crowdedName)
	if err := os.Link(self, binary); err != nil {
		t.Fatal(err)
	}
	report(t, exec.CommandContext(t.Context(), binary, "-test.run=^TestStartsInACrowd$", "-crowd-levels="+strings.Join(levels, ",")))
}

func startInACrowd(t *testing.T, name string) {
	t.Helper()
	level, err := ParseLevel(name)
	if err != nil {
		t.Fatal(err)
	}
	var warned lockedBuffer
	h, err := Probe(t.Context(), Config{Python: testPython, MaxLevel: level, MinLevel: level, Log: slog.New(slog.NewTextHandler(&warned, nil))})
	if err != nil {
		t.Fatalf("level %s is there without the crowd: %v", name, err)
	}
	s := openSlotOn(t, h)
	handed := 0
	for fd, link := range descriptorsOf(t, s.servers[plain].process.Pid) {
		if !strings.HasPrefix(link, "pid:[") && !strings.Contains(link, "landlock") && !strings.HasSuffix(link, "/oom_score_adj") {
			continue
		}
		handed++
		if number, err := strconv.Atoi(fd); err != nil || number <= crowdLast {
			t.Errorf("the fork server has %s as descriptor %s, want a number beyond %d: nobody else's", link, fd, crowdLast)
		}
	}
	if handed == 0 || warned.String() != "" {
		t.Errorf("%d descriptors handed, want some; warned: %s", handed, warned.String())
	}
}
