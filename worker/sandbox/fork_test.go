package sandbox

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestForkIsCheap: what a fork server does so that its programs cost less. The code of the interpreter and of the C
// library has been written to, or a fork would leave out its page tables, and cannot be written to any more. Memory
// that is free was given back, or a fork would copy its page tables.
func TestForkIsCheap(t *testing.T) {
	t.Parallel()
	s := openSlot(t, Config{})
	maps, err := os.Open(fmt.Sprintf("/proc/%d/smaps", s.servers[plain].process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = maps.Close() }()
	written := map[string]bool{} // by file, of code
	heap := map[string]int{}     // KiB
	file := ""
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		switch {
		case strings.Contains(fields[0], "-") && len(fields) >= 5: // a mapping
			file = ""
			if len(fields) == 6 && (strings.HasPrefix(fields[1], "r-x") || fields[5] == "[heap]") {
				file = fields[5]
			}
			if strings.HasPrefix(fields[1], "rwx") {
				t.Errorf("code can be written to: %s", lines.Text())
			}
		case file == "[heap]" && len(fields) == 3:
			heap[fields[0]], _ = strconv.Atoi(fields[1])
		case file != "" && fields[0] == "Anonymous:":
			written[file] = fields[1] != "0"
		}
	}
	for _, name := range []string{"/libc.", "python3"} {
		found := false
		for file, is := range written {
			found = found || is && strings.Contains(file, name)
		}
		if !found {
			t.Errorf("no code of a file like %s was written to: %v", name, written)
		}
	}
	// Two fifths of it are free after the start.
	if heap["Size:"] == 0 || 10*heap["Rss:"] > 8*heap["Size:"] {
		t.Errorf("%d KiB of a heap of %d are there, want 80 %% at most", heap["Rss:"], heap["Size:"])
	}
}
