package sample

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/worker/lcb"
)

// A definition is what a built-in problem is made from: the row's tests are the
// inputs with what solve makes of them.
type definition struct {
	id, title, difficulty string
	statement             string   // without the examples
	starter, fn           string   // of a called problem
	args                  []string // names of the arguments, for the examples
	public, private       []string
	solve                 func(input string) string
	plain                 bool // private tests as plain JSON
}

func definitions() []definition { return slices.Concat(stdinProblems(), calledProblems()) }

func (d *definition) tests(inputs []string) []test {
	kind := "stdin"
	if d.fn != "" {
		kind = "functional"
	}
	var tests []test
	for _, in := range inputs {
		tests = append(tests, test{in, d.solve(in), kind})
	}
	return tests
}

// content is the statement with the public tests as its examples.
func (d *definition) content() string {
	var b strings.Builder
	b.WriteString(strings.TrimSpace(d.statement))
	for i, t := range d.tests(d.public) {
		if d.fn == "" {
			fmt.Fprintf(&b, "\n\nSample Input %d\n\n%s\nSample Output %d\n\n%s", i+1, t.Input, i+1, strings.TrimRight(t.Output, "\n"))
			continue
		}
		fmt.Fprintf(&b, "\n\nExample %d:\n\nInput: ", i+1)
		for j, arg := range strings.Split(t.Input, "\n") {
			if j > 0 {
				b.WriteString(", ")
			}
			fmt.Fprintf(&b, "%s = %s", d.args[j], arg)
		}
		fmt.Fprintf(&b, "\nOutput: %s", t.Output)
	}
	return b.String() + "\n"
}

func marshal(tb testing.TB, v any) string {
	tb.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		tb.Fatal(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// row writes d as LiveCodeBench writes its rows.
func (d *definition) row(tb testing.TB) string {
	tb.Helper()
	metadata := map[string]string{}
	if d.fn != "" {
		metadata["func_name"] = d.fn
	}
	private := marshal(tb, d.tests(d.private))
	if !d.plain {
		private = pack(private)
	}
	return marshal(tb, struct {
		Title       string `json:"question_title"`
		Content     string `json:"question_content"`
		Platform    string `json:"platform"`
		ID          string `json:"question_id"`
		ContestID   string `json:"contest_id"`
		ContestDate string `json:"contest_date"`
		StarterCode string `json:"starter_code"`
		Difficulty  string `json:"difficulty"`
		Public      string `json:"public_test_cases"`
		Private     string `json:"private_test_cases"`
		Metadata    string `json:"metadata"`
	}{
		d.title, d.content(), "lcbq", d.id, "lcbq_a", "2026-11-" + d.id[len(d.id)-2:] + "T00:00:00", d.starter, d.difficulty,
		marshal(tb, d.tests(d.public)), private, marshal(tb, metadata),
	})
}

// pack encodes private tests: base64 of zlib of a pickled string.
func pack(text string) string {
	b := []byte{0x80, 4, 0x95}
	b = binary.LittleEndian.AppendUint64(b, uint64(len(text)+7))
	b = binary.LittleEndian.AppendUint32(append(b, 'X'), uint32(len(text)))
	b = append(append(b, text...), 0x94, '.')
	var packed bytes.Buffer
	w := zlib.NewWriter(&packed)
	_, _ = w.Write(b)
	_ = w.Close()
	return base64.StdEncoding.EncodeToString(packed.Bytes())
}

// TestRows holds the embedded file against its definitions, or writes it anew
// where UPDATE_GOLDEN is set.
func TestRows(t *testing.T) {
	t.Parallel()
	var file strings.Builder
	for _, d := range definitions() {
		file.WriteString(d.row(t) + "\n")
	}
	if os.Getenv("UPDATE_GOLDEN") != "" { //nolint:forbidigo // the recipe that rewrites golden files says so by this variable
		if err := os.WriteFile("problems.jsonl", []byte(file.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := lcb.ReadProblems(strings.NewReader(file.String()), "definitions")
	if err != nil {
		t.Fatal(err)
	}
	got, err := lcb.ReadProblems(bytes.NewReader(rows), "problems.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("%d problems, want %d; `just golden` writes them", len(got), len(want))
	}
	for i, p := range got {
		have, err := p.Tests()
		if err != nil {
			t.Fatal(err)
		}
		wanted, err := want[i].Tests()
		if err != nil {
			t.Fatal(err)
		}
		// The encoded tests may differ by the compressor, and by nothing else.
		if p.ID != want[i].ID || p.Content != want[i].Content || p.StarterCode != want[i].StarterCode || p.FuncName != want[i].FuncName ||
			p.Title != want[i].Title || p.ContestDate != want[i].ContestDate || p.Difficulty != want[i].Difficulty || !slices.Equal(have, wanted) {
			t.Errorf("%s is not what its definition makes; `just golden` writes it anew", p.ID)
		}
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	problems := Problems()
	stdin, large := 0, 0
	for i, p := range problems {
		if want := fmt.Sprintf("lcbq_a%02d", i+1); p.ID != want {
			t.Errorf("problem %d is %s, want %s", i, p.ID, want)
		}
		if !p.Functional() {
			stdin++
		}
		if p.Functional() != (p.StarterCode != "") || p.Functional() && !strings.Contains(p.StarterCode, "def "+p.FuncName+"(") {
			t.Errorf("%s: function %q, starter code %q", p.ID, p.FuncName, p.StarterCode)
		}
		tests, err := p.Tests()
		if err != nil {
			t.Fatal(err)
		}
		if len(tests) < 10 {
			t.Errorf("%s has %d tests, want at least 10", p.ID, len(tests))
		}
		size := 0
		seen := map[lcb.Test]bool{}
		for _, c := range tests {
			size += len(c.Input) + len(c.Output)
			if seen[c] {
				t.Errorf("%s has the test %.60q twice", p.ID, c.Input)
			}
			seen[c] = true
		}
		if size > 1<<20 {
			large++
		}
	}
	if len(problems) != 12 || stdin != 6 || large != 1 {
		t.Errorf("%d problems, %d on stdin, %d with over 1 MB of tests, want 12, 6 and 1", len(problems), stdin, large)
	}
	const digest = "21b5355f622c76a6ca406c3e8010d3431c9002020db623659162e5c1281d2ba8"
	if got := lcb.Digest(problems); got != digest {
		t.Errorf("digest %s, want %s: recorded sweeps name it", got, digest)
	}
}

func TestProblemsAreTheCallers(t *testing.T) {
	t.Parallel()
	Problems()[0] = nil
	if Problems()[0] == nil {
		t.Error("a change to the returned slice changes the problems")
	}
}

// TestFestival holds the solution of the one problem that the simulated model
// never solves against trying everything.
func TestFestival(t *testing.T) {
	t.Parallel()
	d := shows()
	r := draw(60)
	for range 200 {
		n := 1 + r.IntN(7)
		in := fmt.Sprintln(n)
		var all [][]int
		for range n {
			start := r.IntN(8)
			s := []int{start, start + 1 + r.IntN(4), 1 + r.IntN(9)}
			all = append(all, s)
			in += fmt.Sprintln(s[0], s[1], s[2])
		}
		if got, want := d.solve(in), fmt.Sprintln(bestPair(all, nil, nil)); got != want {
			t.Fatalf("solve(%q) = %s, want %s", in, got, want)
		}
	}
}

// bestPair gives each show to the one friend, to the other, or to nobody.
func bestPair(left, one, other [][]int) int {
	if len(left) == 0 {
		return 0
	}
	show, rest := left[0], left[1:]
	best := bestPair(rest, one, other)
	clash := func(seen []int) bool { return show[0] < seen[1] && seen[0] < show[1] }
	if !slices.ContainsFunc(one, clash) {
		best = max(best, show[2]+bestPair(rest, append(slices.Clone(one), show), other))
	}
	if !slices.ContainsFunc(other, clash) {
		best = max(best, show[2]+bestPair(rest, one, append(slices.Clone(other), show)))
	}
	return best
}

// draw returns a source of numbers that is the same for ever.
func draw(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

// numbers draws n numbers from 1 to high.
func numbers(r *rand.Rand, n, high int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = 1 + r.IntN(high)
	}
	return out
}
