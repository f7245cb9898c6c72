package sandbox

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// attacks is a folder of hostile programs. A name that begins with s is of one for script
// mode, with g of one that wants many tests.
var (
	attacks      = flag.String("attacks", "", "a folder of programs that TestAttacks runs at each level")
	attacksLimit = flag.Duration("attacks.limit", 0, "limit of processor and elapsed time of a test in TestAttacks; 0 for the default")
)

// notPrograms are what such a folder holds besides: what drives the attacks, and what
// attacks the server.
var notPrograms = []string{"forge", "forge_worker", "h", "nats_more", "nats_raw", "oracle", "prelude", "z01_oracle_family"}

// inTime are those that answer rightly, and pass if they keep within the limits. The call
// that the first two would wait in is refused, so that they burn the processor until some
// hour of the clock: a loaded machine gives them little of it. The third reads none of its
// go-aheads, which ends it once they fill its socket.
var inTime = []string{"a07_D_then_right_answer", "k01_near_lock_stall", "g01_never_reads_go"}

// TestAttacks runs each program of a folder at each level and prints what became of it.
// None may pass or be a fault of ours, nor outlive its limits, and the honest program
// after it, a text of its own, must pass.
func TestAttacks(t *testing.T) {
	t.Parallel()
	if *attacks == "" {
		t.Skip("give a folder of programs by -attacks")
	}
	files, err := filepath.Glob(filepath.Join(*attacks, "*.py"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no programs in %s: %v", *attacks, err)
	}
	few, many := &Question{ID: "few"}, &Question{ID: "many"}
	var want []string
	for i := range 400 {
		many.Inputs = append(many.Inputs, fmt.Sprintf("%d\n%d %d\n", i, i, i+1))
		want = append(want, fmt.Sprint(7919*i*i+2*i+1))
	}
	few.Inputs = many.Inputs[:2]
	right := func(i int, o Output) bool { return strings.TrimSpace(string(o.Text)) == want[i] }
	for _, level := range []Level{A, B, C} { //nolint:paralleltest // programs that take all there is, one at a time
		t.Run(level.String(), func(t *testing.T) {
			slots := map[Mode]*Slot{}
			for _, mode := range []Mode{LCB, Script} {
				slots[mode] = openSlotOn(t, probeAt(t, level, Config{Mode: mode, Limits: Limits{CPU: *attacksLimit, Wall: *attacksLimit}}))
			}
			for _, file := range files {
				name := strings.TrimSuffix(filepath.Base(file), ".py")
				if slices.Contains(notPrograms, name) {
					continue
				}
				source, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				mode, q := LCB, few
				if strings.HasPrefix(name, "g") {
					q = many
				}
				if strings.HasPrefix(name, "s") {
					mode = Script
				}
				began := time.Now()
				r, err := slots[mode].Run(t.Context(), q, string(source), right)
				if errors.Is(err, ErrAlone) {
					r, err = slots[mode].Run(t.Context(), q, string(source), right)
				}
				took := time.Since(began)
				t.Logf("| %s | %v | %v | %d | %.2f | %.1f | %s |", name, level, r.Outcome, r.Test, r.CPU.Seconds(), took.Seconds(), r.Detail)
				if err != nil || r.Outcome == Accepted && !slices.Contains(inTime, name) {
					t.Errorf("%s at level %v: Run = %+v, %v", name, level, r, err)
				}
				honest := fmt.Sprintf("n = int(input())\na, b = map(int, input().split())\nprint(7919 * n * n + a + b)\n# after %s\n", name)
				if r, err := slots[mode].Run(t.Context(), q, honest, right); err != nil || r.Outcome != Accepted {
					t.Errorf("an honest program after %s: Run = %+v, %v", name, r, err)
				}
			}
		})
	}
}
