package judge_test

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"flag"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/worker/pythontest"

	"github.com/lcbq/lcbq/worker/judge"
	"github.com/lcbq/lcbq/worker/sandbox/driver"
)

var (
	pairs = flag.Int("pairs", 20_000, "pairs that each comparison with CPython generates")
	seed  = flag.Uint64("seed", 1, "seed of these pairs")
)

// A reference is a Python process that answers what CPython makes of pairs of
// texts.
type reference struct {
	in  *bufio.Writer
	out *bufio.Reader
}

func newReference(t *testing.T, mode string) *reference {
	t.Helper()
	source := filepath.Join(t.TempDir(), "driver.py")
	if err := os.WriteFile(source, []byte(driver.Source), 0o600); err != nil {
		t.Fatal(err)
	}
	in, out := pythontest.Start(t, "-I", "testdata/reference.py", mode, source)
	return &reference{bufio.NewWriter(in), bufio.NewReader(out)}
}

// A reply is what CPython makes of one pair, and for values the harness's
// encoding of the first.
type reply struct {
	outcome judge.Outcome
	payload []byte
}

// ask sends a batch of pairs and calls f with each reply.
func (r *reference) ask(t *testing.T, batch [][2]string, f func(i int, r reply)) {
	t.Helper()
	line, err := json.Marshal(batch)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.in.Write(append(line, '\n')); err != nil {
		t.Fatal(err)
	}
	if err := r.in.Flush(); err != nil {
		t.Fatal(err)
	}
	for i := range batch {
		var head [5]byte
		if _, err := io.ReadFull(r.out, head[:]); err != nil {
			t.Fatalf("read answer to %q: %v", batch[i], err)
		}
		payload := make([]byte, binary.LittleEndian.Uint32(head[1:]))
		if _, err := io.ReadFull(r.out, payload); err != nil {
			t.Fatal(err)
		}
		f(i, reply{judge.Outcome(head[0]), payload})
	}
}

// batchSize keeps the process and the test busy in turn; at this size the
// switching costs nothing.
const batchSize = 2000

// compare generates pairs, and compares the judge's outcome with CPython's.
func compare(t *testing.T, mode string, generate func(*rand.Rand) [2]string, outcome func(pair [2]string, r reply) judge.Outcome) {
	t.Helper()
	ref := newReference(t, mode)
	rng := rand.New(rand.NewPCG(*seed, 0x1cb))
	tally := map[judge.Outcome]int{}
	wrong := 0
	for done := 0; done < *pairs; done += batchSize {
		batch := make([][2]string, min(batchSize, *pairs-done))
		for i := range batch {
			batch[i] = generate(rng)
		}
		ref.ask(t, batch, func(i int, r reply) {
			tally[r.outcome]++
			if got := outcome(batch[i], r); got != r.outcome {
				wrong++
				t.Errorf("%q and %q: %v, CPython %v (payload %q)", batch[i][0], batch[i][1], got, r.outcome, r.payload)
			}
		})
		if wrong > 20 {
			t.Fatal("too many differences")
		}
	}
	t.Logf("%d pairs: %v", *pairs, tally)
	// A generator whose pairs are all alike would prove nothing.
	if least := *pairs / 10; tally[judge.Equal] < least || tally[judge.Unequal] < least {
		t.Errorf("outcomes %v, want at least %d of each", tally, least)
	}
}

// TestLinesAgainstCPython compares generated outputs as Lines and as CPython
// does.
func TestLinesAgainstCPython(t *testing.T) {
	t.Parallel()
	compare(t, "lines", linePair, func(pair [2]string, _ reply) judge.Outcome {
		o, _ := judge.Lines(pair[0], pair[1])
		return o
	})
}

// TestValuesAgainstCPython compares generated Python values, encoded by the
// harness, with generated JSON as Value and as CPython does.
func TestValuesAgainstCPython(t *testing.T) {
	t.Parallel()
	compare(t, "values", valuePair, func(pair [2]string, r reply) judge.Outcome {
		want, err := judge.ParseExpected(pair[1])
		if err != nil {
			return 0
		}
		o, _ := judge.Value(r.payload, want)
		return o
	})
}

// TestJSONAgainstCPython compares which texts are accepted as JSON, and what
// they encode to, with CPython's json and the harness's encoder.
func TestJSONAgainstCPython(t *testing.T) {
	t.Parallel()
	compare(t, "json", jsonPair, func(pair [2]string, r reply) judge.Outcome {
		want, err := judge.ParseExpected(pair[0])
		if err != nil {
			return judge.Unequal
		}
		if o, _ := judge.Value(r.payload, want); o != judge.Equal && strings.TrimSpace(pair[0]) != "NaN" {
			return o + 100
		}
		return judge.Equal
	})
}
