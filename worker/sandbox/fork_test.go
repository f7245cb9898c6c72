package sandbox

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// TestForkIsCheap: what a fork server does so that its programs cost less. The code of the interpreter and of the C
// library has been written to, or a fork would leave out its page tables, and cannot be written to any more. Memory
// that is free was given back, or a fork would copy its page tables.
func TestForkIsCheap(t *testing.T) {
	t.Parallel()
	python := asked(t)
	s := openSlot(t, Config{})
	maps := mappingsOf(t, s.servers[plain].process.Pid)
	t.Run("code", func(t *testing.T) {
		t.Parallel()
		for _, m := range maps {
			if strings.HasPrefix(m.rights, "rwx") {
				t.Errorf("code can be written to: %+v", m)
			}
		}
		if python.Refused != "" {
			t.Skipf("programs have their faults here: code cannot be made writable: %s", python.Refused)
		}
		for what, file := range python.Code {
			found := false
			for _, m := range maps {
				found = found || m.file == file && strings.HasPrefix(m.rights, "r-x") && m.kib["Anonymous:"] > 0
			}
			if !found {
				t.Errorf("no code of %s, device and number %s, was written to", what, file)
			}
		}
	})
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		if python.Trim != "" {
			t.Skip("no free memory can be given back here: " + python.Trim)
		}
		// Two fifths of it are free after the start, and 128 KiB at its end may never have been used.
		heap := mapping{}
		for _, m := range maps {
			if m.name == "[heap]" {
				heap = m
			}
		}
		if size, there := heap.kib["Size:"], heap.kib["Rss:"]; size == 0 || 10*there > 9*size {
			t.Errorf("%d KiB of a heap of %d are there, want 90 %% at most", there, size)
		}
	})
}

// A pythonSaid is what an interpreter found out about itself.
type pythonSaid struct {
	Code    map[string]string // the files that its own code and that of the C library are mapped from, as mapping.file
	Refused string            // why code cannot be made writable, "" where it can
	Trim    string            // why the C library gives no free memory of the heap back, "" where it does
}

// asked returns what the tests' interpreter says of itself: whether it is a library, and which C library it has, is not to
// be told by the names of files.
func asked(t *testing.T) pythonSaid {
	t.Helper()
	const program = `
import ctypes, json, os, resource
libc = ctypes.CDLL(None, use_errno=True)
page = resource.getpagesize()

def lines():
    with open("/proc/self/maps") as maps:
        return [line.split(None, 5) for line in maps]

def holds(line, at):
    low, high = (int(n, 16) for n in line[0].split("-"))
    return low <= at < high

said = {"Code": {}, "Refused": "", "Trim": ""}
for what, function in ("the interpreter", ctypes.pythonapi.Py_IsInitialized), ("the C library", libc.write):
    at = ctypes.cast(function, ctypes.c_void_p).value
    said["Code"][what] = next(line[3] + " " + line[4] for line in lines() if holds(line, at))
    start = ctypes.c_void_p(at // page * page)
    if libc.mprotect(start, ctypes.c_size_t(page), 7):
        said["Refused"] = os.strerror(ctypes.get_errno())
    libc.mprotect(start, ctypes.c_size_t(page), 5)

def heap():
    found = 0
    with open("/proc/self/smaps") as maps:
        for line in maps:
            if "-" in line.split()[0]:
                inside = line.rstrip().endswith("[heap]")
            elif inside and line.startswith("Rss:"):
                found = int(line.split()[1])
    return found

# Every other one of them is freed, so that the heap does not merely get shorter.
blocks = [bytes(64 << 10) for _ in range(128)]
before = heap()
del blocks[::2]
if not hasattr(libc, "malloc_trim"):
    said["Trim"] = "the C library has no malloc_trim"
elif libc.malloc_trim(0) != 1 or heap() > before - (2 << 10):
    said["Trim"] = "malloc_trim leaves the heap at %d KiB of %d" % (heap(), before)
print(json.dumps(said))
`
	out, err := exec.CommandContext(t.Context(), testPython, "-I", "-S", "-c", program).Output()
	var said pythonSaid
	if err == nil {
		err = json.Unmarshal(out, &said)
	}
	if err != nil {
		t.Fatalf("ask the interpreter: %v: %s", err, out)
	}
	return said
}

// A mapping is a part of a process's memory.
type mapping struct {
	rights, name string
	file         string         // device and number, which are the same in every view of the files
	kib          map[string]int // what /proc says of it
}

// mappingsOf returns the parts of a process's memory.
func mappingsOf(t *testing.T, pid int) []mapping {
	t.Helper()
	maps, err := os.Open(fmt.Sprintf("/proc/%d/smaps", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = maps.Close() }()
	var out []mapping
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		switch {
		case strings.Contains(fields[0], "-") && len(fields) >= 5:
			m := mapping{rights: fields[1], file: fields[3] + " " + fields[4], kib: map[string]int{}}
			if len(fields) >= 6 {
				m.name = fields[5]
			}
			out = append(out, m)
		case len(fields) == 3 && fields[2] == "kB":
			out[len(out)-1].kib[fields[0]], _ = strconv.Atoi(fields[1])
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}
