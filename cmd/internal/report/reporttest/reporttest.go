// Package reporttest writes results folders for tests and benchmarks of reports.
// All of it is made up and says so: the engine is sim.
package reporttest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/combine/summary"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// A Sweep says what a made-up folder holds.
type Sweep struct {
	Questions    int
	Temperatures []float64
	N            int // samples a cell
	// Stored is how many different cell files are written, each with N samples of
	// about 2 KB; every cell's file is a hard link to one of them. 0 writes a file
	// of its own for each cell, which is right for small sweeps only.
	Stored int
	Seed   uint64
	// Alter, if set, may change a cell's samples before they are written.
	Alter func(question int, temperature float64, s *result.Sample)
	// Rate, if set, is the pass rate of a cell.
	Rate func(question int, temperature float64) float64
}

// Temperatures returns those that a run has by default, 0.1 to 2.0.
func Temperatures() []float64 {
	return []float64{0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.4, 1.5, 1.7, 2}
}

// rate is harder for later questions, and highest at a temperature of the
// question's own: some are solved by luck alone.
func (s *Sweep) rate(q int, t float64) float64 {
	if s.Rate != nil {
		return s.Rate(q, t)
	}
	r := rand.New(rand.NewPCG(s.Seed, uint64(q)))
	ease := 3 - 14*float64(q)/float64(max(1, s.Questions)) + 2*r.NormFloat64()
	likes := 0.2 + 1.1*r.Float64()
	return 1 / (1 + math.Exp(-ease+2*math.Abs(t-likes)))
}

// Difficulties and platforms of the questions, in turn.
var (
	difficulties = []string{"easy", "medium", "hard"}
	platforms    = []string{"atcoder", "leetcode"}
)

// Write writes the folder.
func (s *Sweep) Write(dir string) error {
	var stored []linked
	for i := range s.Stored {
		l, err := s.store(dir, i)
		if err != nil {
			return err
		}
		stored = append(stored, l)
	}
	var all []*result.Summary
	for q := range s.Questions {
		sum, err := s.question(dir, q, stored)
		if err != nil {
			return err
		}
		all = append(all, sum)
	}
	return result.WriteJSONAtomic(result.RunSummaryPath(dir), s.run(all))
}

// run is the summary of the whole.
func (s *Sweep) run(all []*result.Summary) *summary.Run {
	run := &summary.Run{LCBQ: "test"}
	run.RunSummary = result.RunSummary{
		Run: "made-up", Engine: "sim", Model: "simulated", Simulated: true, Judge: "lcb", Fingerprint: "none",
		Questions: s.Questions, N: s.N, Temperatures: s.Temperatures, Results: result.Total(all),
		Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Finished: time.Date(2026, 1, 3, 3, 4, 5, 0, time.UTC), DurationSeconds: 86400,
	}
	for _, t := range run.Results {
		run.Samples, run.Passed, run.Unscored = run.Samples+t.N, run.Passed+t.Passed, run.Unscored+t.Unscored
	}
	return run
}

func (s *Sweep) question(dir string, q int, stored []linked) (*result.Summary, error) {
	var headers []result.Header
	var digests []result.Digest
	var files []string
	if err := os.MkdirAll(result.QuestionDir(dir, q), 0o755); err != nil {
		return nil, err
	}
	for i, t := range s.Temperatures {
		h := s.header(q, t)
		path := result.CellPath(dir, q, t)
		var d result.Digest
		var err error
		if len(stored) > 0 {
			l := stored[(q*len(s.Temperatures)+i)%len(stored)]
			h.Counts, d = s.counts(q, t), l.digest
			err = os.Link(l.path, path)
		} else {
			h.Counts, d, err = s.cell(path, h)
		}
		if err != nil {
			return nil, err
		}
		headers, digests, files = append(headers, h), append(digests, d), append(files, filepath.Base(path))
	}
	sum, err := result.NewSummary(headers, digests, files)
	if err != nil {
		return nil, err
	}
	// Two questions a contest, a contest every 12 days.
	day := time.Date(2024, 9, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, 12*(q/2))
	sum.Origin = stream.Origin{Difficulty: difficulties[q%3], Platform: platforms[q%2], ContestID: fmt.Sprintf("contest%d", q/2), ContestDate: day.Format("2006-01-02T15:04:05")}
	return sum, result.WriteSummary(dir, sum)
}

func (s *Sweep) header(q int, t float64) result.Header {
	return result.Header{
		QuestionIdx: q, QuestionID: fmt.Sprintf("made_up_%03d", q), QuestionTitle: fmt.Sprintf("%s %s", titles[q%len(titles)], string(rune('A'+q/len(titles)%26))),
		Temperature: t, Engine: "sim", Model: "simulated", Simulated: true, Judge: "lcb", Fingerprint: "none",
	}
}

var titles = []string{
	"Sum of Neighbours", "Longest Quiet Stretch", "Paint the Fence", "Two Queues at the Gate", "Minimum Swaps to Sort Rows", "Lantern Grid",
	"Count Balanced Substrings", "Ferry Timetable", "Maximum Profit with a Cooldown", "Rotating Locks", "Islands After Rain", "K-th Missing Ticket",
}

// counts draws what a cell's samples would have been counted to.
func (s *Sweep) counts(q int, t float64) stream.Counts {
	r := rand.New(rand.NewPCG(s.Seed+1, uint64(q)<<32|uint64(t*1000)))
	p := s.rate(q, t)
	// The normal approximation is good enough for made-up counts.
	passed := int(math.Round(float64(s.N)*p + math.Sqrt(float64(s.N)*p*(1-p))*r.NormFloat64()))
	c := stream.Counts{N: s.N, Passed: max(0, min(s.N, passed)), GenTPS: 9000 - 500*t, Tokens: int64(s.N) * 410, Verdicts: make(map[stream.Verdict]int)}
	c.PassRate = stream.PassRate(c.Passed, c.N)
	left := c.N - c.Passed
	put := func(v stream.Verdict, n int) {
		if n = min(n, left); n > 0 {
			c.Verdicts[v] = n
			left -= n
		}
	}
	put(stream.RuntimeError, int(float64(left)*(0.1+0.1*t)))
	put(stream.TimeLimit, left/9)
	put(stream.CompileError, int(float64(left)*0.02*t))
	put(stream.Truncated, left/30)
	put(stream.NoCode, left/40)
	put(stream.WrongAnswer, left)
	if c.Passed > 0 {
		c.Verdicts[stream.Passed] = c.Passed
	}
	c.UniquePrograms = int(float64(s.N) * min(0.97, 0.15+0.5*t))
	c.UniquePassed = int(float64(c.Passed) * min(0.9, 0.1+0.5*t))
	return c
}

// A linked file stands for many cells.
type linked struct {
	path   string
	digest result.Digest
}

// store writes the i-th file that cells are linked to, under a name that is no
// cell's.
func (s *Sweep) store(dir string, i int) (linked, error) {
	path := filepath.Join(dir, "stored", fmt.Sprintf("%d.json", i))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return linked{}, err
	}
	t := s.Temperatures[i%len(s.Temperatures)]
	h := s.header(i, t)
	_, d, err := s.cell(path, h)
	return linked{path, d}, err
}

// cell writes a cell's file with s.N samples.
func (s *Sweep) cell(path string, h result.Header) (stream.Counts, result.Digest, error) {
	var tally result.Tally
	each := func(f func(*result.Sample) error) error {
		r := rand.New(rand.NewPCG(s.Seed+2, uint64(h.QuestionIdx)<<32|uint64(h.Temperature*1000)))
		p := s.rate(h.QuestionIdx, h.Temperature)
		for i := range s.N {
			sample := draw(r, i, p)
			if s.Alter != nil {
				s.Alter(h.QuestionIdx, h.Temperature, &sample)
			}
			if err := f(&sample); err != nil {
				return err
			}
		}
		return nil
	}
	if err := each(func(x *result.Sample) error { tally.Add(x); return nil }); err != nil {
		return stream.Counts{}, result.Digest{}, err
	}
	h.Counts = tally.Counts()
	w, err := result.CreateCell(path, &h)
	if err != nil {
		return stream.Counts{}, result.Digest{}, err
	}
	if err := each(w.Add); err != nil {
		return stream.Counts{}, result.Digest{}, fmt.Errorf("%w (%w)", err, w.Abort())
	}
	d, err := w.Commit()
	return h.Counts, d, err
}

// draw makes one sample that passes with chance p.
func draw(r *rand.Rand, index int, p float64) result.Sample {
	code := program(r)
	s := result.Sample{
		Sample: stream.Sample{
			Index: index, Code: code, Completion: "Here is a solution.\n\n```python\n" + code + "```\n", Tokens: len(code) / 3, FinishReason: "stop",
		},
		Judgement: stream.Judgement{CPU: 0.01 + r.Float64()/10}, Generator: "gpu0", Evaluator: "eval0",
	}
	first, wrong, runtime := r.IntN(12), -2, -4
	switch u := r.Float64(); {
	case r.Float64() < p:
		s.Verdict = stream.Passed
	case u < 0.6:
		s.Verdict, s.Test, s.ErrorCode = stream.WrongAnswer, &first, &wrong
		s.Detail = fmt.Sprintf("test %d: line 1: got %d, want %d", first, r.IntN(1000), r.IntN(1000))
	case u < 0.9:
		s.Verdict, s.Test, s.ErrorCode = stream.RuntimeError, &first, &runtime
		s.Detail = "IndexError: list index out of range"
	default:
		s.Verdict, s.Code, s.ErrorCode = stream.NoCode, "", &runtime
		s.Completion = "I would first sort the " + pickWord(r) + " and then count."
	}
	return s
}

var vocabulary = strings.Fields("total count best left right nodes edges queue stack seen grid rows cols answer value limit index prefix suffix window cost depth parent level order price width start finish")

func pickWord(r *rand.Rand) string { return vocabulary[r.IntN(len(vocabulary))] }

// program writes text of about 1 to 2 KB that looks like a program and does not
// compress better than one.
func program(r *rand.Rand) string {
	var b strings.Builder
	b.WriteString("import sys\n\ndef main():\n    data = list(map(int, sys.stdin.read().split()))\n")
	for range 12 + r.IntN(20) {
		x, y, z := pickWord(r), pickWord(r), pickWord(r)
		switch r.IntN(5) {
		case 0:
			fmt.Fprintf(&b, "    %s = [%d] * (%s + %d)\n", x, r.IntN(10), y, r.IntN(100))
		case 1:
			fmt.Fprintf(&b, "    for i in range(%d, len(%s)):\n        %s += %s[i] * %d\n", r.IntN(3), x, y, x, r.IntN(50))
		case 2:
			fmt.Fprintf(&b, "    if %s > %d and %s != %s:\n        %s = max(%s, %s - %d)\n", x, r.IntN(999), y, z, z, x, y, r.IntN(9))
		case 3:
			fmt.Fprintf(&b, "    %s.append((%s, %d))  # %s\n", x, y, r.IntN(1000), z)
		default:
			fmt.Fprintf(&b, "    %s = sorted(%s, key=lambda t: (t[%d], -%s))\n", x, y, r.IntN(3), z)
		}
	}
	b.WriteString("    print(" + pickWord(r) + ")\n\nmain()\n")
	return b.String()
}
