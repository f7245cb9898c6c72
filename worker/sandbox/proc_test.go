package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// probeAt returns a host that isolates at exactly level, or skips.
func probeAt(tb testing.TB, level Level, config Config) *Host {
	tb.Helper()
	config.MaxLevel, config.MinLevel = level, level
	if config.Python == "" {
		config.Python = testPython
	}
	h, err := probed(config)
	if err != nil {
		tb.Skipf("no level %v here: %v", level, err)
	}
	return h
}

// hosts are the hosts that were probed, by what was asked of them.
var hosts struct {
	sync.Mutex
	probed map[string]func() (*Host, error)
}

// probed is Probe, once for each configuration: tests share their hosts, as slots do. A test that
// logs, or does not believe the kernel, has a host of its own.
func probed(config Config) (*Host, error) {
	probe := func() (*Host, error) { return Probe(context.Background(), config) }
	if config.Log != nil || config.kernel != nil {
		return probe()
	}
	hosts.Lock()
	key := fmt.Sprintf("%+v", config)
	if hosts.probed == nil {
		hosts.probed = make(map[string]func() (*Host, error))
	}
	if hosts.probed[key] == nil {
		hosts.probed[key] = sync.OnceValues(probe)
	}
	once := hosts.probed[key]
	hosts.Unlock()
	return once()
}

// testPython is the interpreter of the tests: the system's, which any user can
// read, where there is one.
var testPython = func() string {
	for _, name := range []string{"/usr/bin/python3", "/usr/local/bin/python3"} {
		if _, err := os.Stat(name); err == nil {
			return name
		}
	}
	return "python3"
}()

// descendants returns what lives below pid, threads aside.
func descendants(t *testing.T, pid int) []string {
	t.Helper()
	parent := map[int]int{}
	names := map[int]string{}
	eachProcess(t, func(p int, fields []string, name string, _ int) {
		ppid, _ := strconv.Atoi(fields[1])
		parent[p], names[p] = ppid, name+" "+fields[0]
	})
	var left []string
	for p := range parent {
		for up := parent[p]; up != 0; up = parent[up] {
			if up == pid {
				left = append(left, fmt.Sprintf("%d (%s)", p, names[p]))
				break
			}
		}
	}
	return left
}

// processesOf returns the processes of a user that are ours, or nobody's. The user of another
// process's slot may be the same by chance, also of another test binary that this one has started. In a container whose
// first process this is, programs whose fork server was killed are dead, and there for ever: nobody waits for them.
func processesOf(t *testing.T, uid int) []string {
	t.Helper()
	parent, owned, called := map[int]int{}, map[int]string{}, map[int]string{}
	eachProcess(t, func(p int, fields []string, name string, owner int) {
		parent[p], _ = strconv.Atoi(fields[1])
		called[p] = name
		if owner == uid && fields[0] != "Z" {
			owned[p] = fmt.Sprintf("%d (%s)", p, name)
		}
	})
	var left []string
	for p, text := range owned {
		up := parent[p]
		orphan := up <= 1
		for up > 1 && up != os.Getpid() && called[up] != called[os.Getpid()] {
			up = parent[up]
		}
		if orphan || up == os.Getpid() {
			left = append(left, text)
		}
	}
	return left
}

// eachProcess calls f with each process, the fields of its stat from the state
// on, its name and its user.
func eachProcess(t *testing.T, f func(pid int, fields []string, name string, uid int)) {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		stat, err := os.ReadFile(dir + "/stat")
		if err != nil {
			continue // it ended
		}
		before, after, _ := strings.Cut(string(stat), ") ")
		pid, name, _ := strings.Cut(before, " (")
		status, err := os.ReadFile(dir + "/status")
		if err != nil {
			if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
				continue
			}
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(status), "\nUid:\t")
		owner, _, _ := strings.Cut(rest, "\t")
		n, _ := strconv.Atoi(pid)
		uid, _ := strconv.Atoi(owner)
		f(n, strings.Fields(after), name, uid)
	}
}
