package sandbox

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

const benchProgram = `import sys
def solve(a):
    best = 0
    for x in a:
        best = max(best, x)
    return best + sum(a)

def main():
    n = int(input())
    a = list(map(int, input().split()))
    print(solve(a))

main()
`

// cpuOfAll returns the processor time of this process and of its children that
// were waited for.
func cpuOfAll() time.Duration {
	var sum time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var ru syscall.Rusage
		if err := syscall.Getrusage(who, &ru); err != nil {
			panic(err)
		}
		sum += time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
	}
	return sum
}

// BenchmarkProgram is the cost of a program with ten tiny tests on one slot,
// at each level. cpu-ms/op holds the program, the fork server and this side.
func BenchmarkProgram(b *testing.B) {
	for _, level := range []Level{A, B, C} {
		b.Run(level.String(), func(b *testing.B) {
			q := &Question{ID: "q"}
			for i := range 10 {
				q.Inputs = append(q.Inputs, fmt.Sprintf("3\n%d 2 3\n", i))
			}
			benchmark(b, level, q, benchProgram)
		})
	}
}

// BenchmarkLargeQuestion is what it costs a program that its question has 4 MB
// of tests, when it does not look at them: compare small with large.
func BenchmarkLargeQuestion(b *testing.B) {
	for name, n := range map[string]int{"small": 1, "large": 50000} {
		b.Run(name, func(b *testing.B) {
			q := &Question{ID: "q"}
			for i := range 10 {
				q.Inputs = append(q.Inputs, fmt.Sprintf("%d\n%s", i, strings.Repeat("1000000 ", n)))
			}
			benchmark(b, A, q, "import sys\nprint(sys.stdin.read()[0])\n")
		})
	}
}

// BenchmarkNumpy is a program that wants the second flavour.
func BenchmarkNumpy(b *testing.B) {
	q := &Question{ID: "q", Inputs: []string{"3\n1 2 3\n"}}
	benchmark(b, A, q, "import numpy as np\ninput()\nprint(int(np.array(input().split(), dtype=int).sum()))\n")
}

func benchmark(b *testing.B, level Level, q *Question, source string) {
	b.Helper()
	h, err := Probe(b.Context(), Config{Python: testPython, MaxLevel: level, MinLevel: level})
	if err != nil {
		b.Skip(err)
	}
	s, err := h.NewSlot(0)
	if err != nil {
		b.Fatal(err)
	}
	// One program first: what its fork server takes to start is counted with its end.
	if r, err := s.Run(b.Context(), q, source, func(int, Output) bool { return true }); err != nil || r.Outcome != Accepted {
		b.Fatal(r, err)
	}
	before := cpuOfAll()
	for _, srv := range s.servers {
		if srv == nil {
			continue
		}
		start, err := cpuTime(srv.process.Pid)
		if err != nil {
			b.Fatal(err)
		}
		before += start
	}
	var inside time.Duration
	for b.Loop() {
		r, err := s.Run(b.Context(), q, source, func(int, Output) bool { return true })
		if err != nil || r.Outcome != Accepted {
			b.Fatal(r, err)
		}
		inside += r.CPU
	}
	// Its children count once they were waited for.
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	all := cpuOfAll() - before
	b.ReportMetric(float64(all.Microseconds())/1000/float64(b.N), "cpu-ms/op")
	b.ReportMetric(float64(inside.Microseconds())/1000/float64(b.N), "program-cpu-ms/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "programs/s")
	b.ReportMetric(float64(b.N)/all.Seconds(), "programs/cpu-s")
}

// BenchmarkStart is how long it takes to have a slot.
func BenchmarkStart(b *testing.B) {
	for _, level := range []Level{A, C} {
		b.Run(level.String(), func(b *testing.B) {
			h, err := Probe(b.Context(), Config{Python: testPython, MaxLevel: level, MinLevel: level})
			if err != nil {
				b.Skip(err)
			}
			for b.Loop() {
				s, err := h.NewSlot(0)
				if err != nil {
					b.Fatal(err)
				}
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
