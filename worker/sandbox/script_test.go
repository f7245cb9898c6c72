package sandbox

import (
	"bytes"
	"strings"
	"testing"
)

func TestScript(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", 1<<19)
	for _, tt := range []struct {
		name, source, input, want string
		outcome                   Outcome
	}{
		{"input", "print(sum(map(int, input().split())))", "1 2\n", "3\n", Accepted},
		{"descriptor 0", "import os\nprint(os.read(0, 100))", "1 2\n", "b'1 2\\n'\n", Accepted},
		{"open 0", "print(open(0).read())", "hello", "hello\n", Accepted},
		{"input cannot be written", "import os\ntry:\n  os.write(0, b'x')\nexcept OSError as e: print('OSError')", "hello", "OSError\n", Accepted},
		{"main guard", "if __name__ == '__main__' and True: print(1)", "", "1\n", Accepted},
		{"buffer", "import sys\nsys.stdout.buffer.write(sys.stdin.buffer.read())", "a\x00b", "a\x00b", Accepted},
		{"exit", "import sys\nprint(1)\nsys.exit()", "", "1\n", Accepted},
		{"hard exit", "import os\nprint(1, flush=True)\nos._exit(0)", "", "1\n", Accepted},
		{"hard exit with status", "import os\nprint(1, flush=True)\nos._exit(1)", "", "", Crashed},
		{"megabyte", "print(input())", big, big + "\n", Accepted},
		{"too much", "while 1: print('x' * 1000)", "", "", OutputLimit},
		{"raises", "1/0", "", "", Exception},
		{"no syntax", "1/", "", "", Exception},
		{"sleeps", "import time\ntime.sleep(100)", "", "", TimeLimit},
		{"spins", "while 1: pass", "", "", TimeLimit},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := openSlot(t, Config{Mode: Script, Limits: shortLimits})
			var got bytes.Buffer
			r, err := s.Run(t.Context(), &Question{ID: "q", Inputs: []string{tt.input}}, tt.source, func(_ int, o Output) bool {
				got.Write(o.Text)
				return true
			})
			if err != nil || r.Outcome != tt.outcome || got.String() != tt.want {
				t.Errorf("Run = %+v, %v, printed %.100q, want %v and %.100q", r, err, got.String(), tt.outcome, tt.want)
			}
		})
	}
}
