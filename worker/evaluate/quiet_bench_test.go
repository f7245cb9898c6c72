package evaluate

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lcbq/lcbq/worker/pythontest"

	"golang.org/x/sync/errgroup"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/sandbox"
)

// BenchmarkBesideNear is what programs near the time limit, which are run again on a
// quiet core, cost those beside them: twenty programs a slot that sleep half a second,
// without and with five of so much processor time among them, and then as many sleepers
// more as it takes for the five to end. The five hold slots as every program does, and
// longer on a loaded machine: own-share-s is how long, by slot. ratio is the time until the
// last sleeper ended to what as many take without the five, and their own share. -beside names a program
// more to try, which reads "3" and "1 2".
func BenchmarkBesideNear(b *testing.B) {
	for _, slots := range []int{16, 64} {
		b.Run(fmt.Sprint(slots), func(b *testing.B) {
			var alone time.Duration
			programs := []struct{ name, program string }{
				{"none", ""},
				{"4.6 s", spin(4.6)},
				{"6.6 s", spin(6.6)},
				{"4.8 s and stuck", stuckAfter(4.8)},
				{"6.6 s and stuck", stuckAfter(6.6)},
			}
			if *besideFile != "" {
				text, err := os.ReadFile(*besideFile)
				if err != nil {
					b.Fatal(err)
				}
				programs = append(programs, struct{ name, program string }{filepath.Base(*besideFile), string(text)})
			}
			for _, near := range programs {
				b.Run(near.name, func(b *testing.B) {
					for b.Loop() {
						if took := besideNear(b, slots, near.program, alone); near.program == "" {
							alone = took
						}
					}
				})
			}
		})
	}
}

var besideFile = flag.String("beside", "", "file of a program more for BenchmarkBesideNear")

func spin(seconds float64) string {
	return fmt.Sprintf("import time\nwhile time.process_time() < %v: pass\nprint(1)\n", seconds)
}

// stuckAfter is a program that waits in the kernel for 25 s after so much processor time.
func stuckAfter(seconds float64) string {
	return fmt.Sprintf("import ctypes, time\nlibc = ctypes.CDLL(None)\nwhile time.process_time() < %v: pass\nt = time.time()\nwhile time.time() < t + 25: libc.syscall(324, 1, 0)\nprint(1)\n", seconds)
}

// heldBy adds up, until stop is closed, for how long slots were held by programs of a
// question.
func heldBy(p *pool, question string, stop <-chan struct{}) (held time.Duration) {
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for last := time.Now(); ; {
		select {
		case <-stop:
			return held
		case now := <-look.C:
			p.mu.Lock()
			for _, s := range p.all {
				if s.question == question && !slices.Contains(p.idle, s) {
					held += now.Sub(last)
				}
			}
			p.mu.Unlock()
			last = now
		}
	}
}

// besideNear judges once, reports how it went, and returns when the last sleeper ended.
func besideNear(b *testing.B, slots int, near string, alone time.Duration) time.Duration {
	b.Helper()
	limit := sandbox.Limits{CPU: 6 * time.Second, Slack: Slack(6 * time.Second)}
	g, err := NewGrader(b.Context(), Config{Sandbox: sandbox.Config{Python: pythontest.Find(b), Limits: limit}, Slots: slots})
	if err != nil {
		b.Fatal(err)
	}
	sleepers, spinners := one("sleepers"), one("spinners")
	spinners.sandbox.Inputs[0] = "3\n1 2\n"
	var mu sync.Mutex
	var slept time.Duration
	verdicts := map[stream.Verdict]int{}
	asleep, held := make(chan struct{}), make(chan time.Duration, 1)
	go func() { held <- heldBy(g.pool, spinners.ID, asleep) }()
	var group errgroup.Group
	group.SetLimit(2 * slots) // the units in hand hold more programs than there are slots
	began := time.Now()
	judge := func(q *Question, program string) {
		group.Go(func() error {
			j, _, err := g.Judge(b.Context(), q, code(program))
			mu.Lock()
			defer mu.Unlock()
			if q == spinners {
				verdicts[j.Verdict]++
				return err
			}
			slept = time.Since(began)
			if err == nil && j.Verdict != stream.Passed {
				err = fmt.Errorf("a sleeper: %+v", j)
			}
			return err
		})
	}
	all := func() bool { // the five have ended
		mu.Lock()
		defer mu.Unlock()
		n := 0
		for _, v := range verdicts {
			n += v
		}
		return near == "" || n == 5
	}
	n := 0
	for ; n < 20*slots || !all(); n++ {
		judge(sleepers, fmt.Sprintf("%s# %d\n", sleep, n))
		if near != "" && n%(4*slots) == slots && n < 20*slots {
			judge(spinners, fmt.Sprintf("%s# %d\n", near, n))
		}
	}
	if err := group.Wait(); err != nil {
		b.Fatal(err)
	}
	close(asleep)
	took := time.Since(began)
	cores := len(g.quiet.machine.CPUs)
	again := g.Rejudged()
	if err := g.Close(); err != nil {
		b.Fatal(err)
	}
	share := <-held / time.Duration(slots)
	if near != "" && alone > 0 {
		same := alone * time.Duration(n) / time.Duration(20*slots)
		b.ReportMetric(share.Seconds(), "own-share-s")
		b.ReportMetric(slept.Seconds()/(same+share).Seconds(), "ratio")
	}
	b.ReportMetric(float64(n), "sleepers")
	b.ReportMetric(took.Seconds(), "wall-s")
	b.ReportMetric(slept.Seconds(), "sleepers-s")
	b.ReportMetric(float64(again), "run-again")
	b.ReportMetric(float64(cores), "cpus")
	b.Logf("verdicts of the five: %v", verdicts)
	return slept
}

const sleep = "import time\ntime.sleep(.5)\nprint(1)\n"
