package result

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// A Kind says what sort of fault a Finding is.
type Kind string

// The kinds of findings.
const (
	Missing    Kind = "missing"    // a cell or summary that should be there is not
	Unreadable Kind = "unreadable" // a file that cannot be read to its end
	Content    Kind = "content"    // a cell whose samples and header disagree, or whose indices are not 0 to n-1
	Changed    Kind = "changed"    // a cell that is not what its digest says
	Summaries  Kind = "summary"    // a summary that is not the sum of its cells
	Mixed      Kind = "mixed"      // cells of different judges, engines or environments side by side
	Unscored   Kind = "unscored"   // samples that could not be judged: counts are exact, but not of all samples
	Leftover   Kind = "leftover"   // a file that a killed writer left, or a cell stored twice
)

// A Finding is one thing that keeps a results folder from being proved. A folder
// without findings holds exactly what its summaries say.
type Finding struct {
	File string `json:"file"` // relative to the results folder
	Kind Kind   `json:"kind"`
	Text string `json:"text"`
}

// Harmless reports whether the counts stand in spite of f.
func (f Finding) Harmless() bool { return f.Kind == Leftover || f.Kind == Unscored }

func (f Finding) String() string { return f.File + ": " + f.Text }

// CellID names a cell of a run.
type CellID struct {
	Question    int
	Temperature float64
}

// Expectation is what the caller knows of a folder beforehand. The zero value
// expects nothing beyond what the folder says of itself.
type Expectation struct {
	Cells    []CellID          // cells that must be there
	N        int               // samples, scored or not, in every cell; 0 for any number
	Digests  map[string]string // SHA256 of a cell's content by its path relative to the folder, beyond those in summaries
	Parallel int               // cells read at once; 0 means GOMAXPROCS
}

// A Proof is what Verify found.
type Proof struct {
	Cells, Samples, Passed, Unscored int // Samples counts the scored ones
	Bytes                            int64
	Unfinished                       int       // questions of which cells are there and no summary yet, in a run that has none yet either
	Findings                         []Finding // by file
}

// OK reports whether nothing was found.
func (p *Proof) OK() bool { return len(p.Findings) == 0 }

// Verify reads every cell of the results folder dir to its end and proves that
// each holds the indices 0 to n-1 once, that its header's counts are those of
// its samples, that its content has the digest recorded for it, and that the
// summaries say the same as the cells. A run without a summary of its own is
// unfinished: questions without one are counted, and their cells proved by
// themselves. Memory does not grow with n. The error is
// for a folder that cannot be looked at, or ctx; what is wrong inside is in the
// Proof.
func Verify(ctx context.Context, dir string, want Expectation) (*Proof, error) {
	questions, err := Questions(dir)
	if err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	_, missing := os.Stat(RunSummaryPath(dir))
	v := &verifier{dir: dir, want: want, proof: &Proof{}, unfinished: errors.Is(missing, fs.ErrNotExist)}
	var cells []*checked
	for _, q := range questions {
		files, err := Cells(dir, q)
		if err != nil {
			return nil, fmt.Errorf("verify: %w", err)
		}
		for i, f := range files {
			if i > 0 && files[i-1].Temperature == f.Temperature {
				v.find(f.Path, Leftover, "the cell is stored twice, compressed and not; the uncompressed file counts")
				continue
			}
			cells = append(cells, &checked{CellFile: f})
		}
	}
	if err := v.readAll(ctx, cells); err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	v.missing(cells)
	v.mixture(cells)
	byQuestion := groupByQuestion(cells)
	for _, q := range questions {
		v.summary(q, byQuestion[q])
	}
	v.runSummary(questions)
	v.leftovers()
	slices.SortStableFunc(v.proof.Findings, func(a, b Finding) int { return strings.Compare(a.File, b.File) })
	return v.proof, nil
}

// checked is one cell as it was found.
type checked struct {
	CellFile
	header  Header
	digest  Digest
	samples int   // in the file, scored or not
	err     error // why the cell is not whole
}

type verifier struct {
	dir        string
	want       Expectation
	proof      *Proof
	unfinished bool // the run has no summary yet
}

func (v *verifier) find(path string, kind Kind, format string, args ...any) {
	v.proof.Findings = append(v.proof.Findings, Finding{v.relative(path), kind, fmt.Sprintf(format, args...)})
}

func (v *verifier) relative(path string) string {
	if rel, err := filepath.Rel(v.dir, path); err == nil {
		return filepath.ToSlash(rel)
	}
	return path
}

// readAll reads the cells side by side and then judges them in order.
func (v *verifier) readAll(ctx context.Context, cells []*checked) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(1, cmp.Or(v.want.Parallel, runtime.GOMAXPROCS(0))))
	for _, c := range cells {
		group.Go(func() error {
			c.read(ctx)
			return ctx.Err()
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, c := range cells {
		v.cell(c)
	}
	return nil
}

func (c *checked) read(ctx context.Context) {
	cell, err := OpenCell(c.Path)
	if err != nil {
		c.err = err
		return
	}
	c.header = cell.Header()
	for _, err := range cell.Samples() {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			c.err = err
			break
		}
		c.samples++
	}
	c.digest = cell.Digest()
	if err := cell.Close(); err != nil && c.err == nil {
		c.err = err
	}
}

func (v *verifier) cell(c *checked) {
	v.proof.Cells++
	if c.err != nil {
		kind := Content
		var path *fs.PathError
		if errors.As(c.err, &path) || errors.Is(c.err, io.ErrUnexpectedEOF) {
			kind = Unreadable
		}
		v.find(c.Path, kind, "%v", c.err)
		return
	}
	h := &c.header
	if h.QuestionIdx != c.Question || h.Temperature != c.Temperature {
		v.find(c.Path, Content, "holds question %d at temperature %v, its name says %d at %v",
			h.QuestionIdx, h.Temperature, c.Question, c.Temperature)
	}
	if v.want.N > 0 && c.samples != v.want.N {
		v.find(c.Path, Content, "holds %d samples, want %d", c.samples, v.want.N)
	}
	if want, ok := v.want.Digests[v.relative(c.Path)]; ok && want != c.digest.SHA256 {
		v.find(c.Path, Changed, "content has SHA-256 %s, want %s", c.digest.SHA256, want)
	}
	if h.Unscored > 0 {
		v.find(c.Path, Unscored, "%d of %d samples could not be judged", h.Unscored, c.samples)
	}
	v.proof.Samples += h.N
	v.proof.Passed += h.Passed
	v.proof.Unscored += h.Unscored
	v.proof.Bytes += c.digest.Bytes
}

func (v *verifier) missing(cells []*checked) {
	there := make(map[CellID]bool, len(cells))
	for _, c := range cells {
		there[CellID{c.Question, c.Temperature}] = true
	}
	for _, id := range v.want.Cells {
		if !there[id] {
			v.find(CellPath(v.dir, id.Question, id.Temperature), Missing, "the cell is not there")
		}
	}
}

// mixture compares every cell with the first good one.
func (v *verifier) mixture(cells []*checked) {
	var first *checked
	for _, c := range cells {
		switch {
		case c.err != nil:
		case first == nil:
			first = c
		default:
			a, b := first.header, c.header
			if a.QuestionIdx != b.QuestionIdx { // each question has its own of these
				b.QuestionIdx, b.QuestionID = a.QuestionIdx, a.QuestionID
			}
			if field, x, y := mixed(&a, &b); field != "" {
				v.find(c.Path, Mixed, "%s is %q, and %q in %s", field, y, x, v.relative(first.Path))
			}
		}
	}
}

func groupByQuestion(cells []*checked) map[int][]*checked {
	out := make(map[int][]*checked)
	for _, c := range cells {
		out[c.Question] = append(out[c.Question], c)
	}
	return out
}

// summary compares a question's summary with its cells.
func (v *verifier) summary(q int, cells []*checked) {
	path := SummaryPath(v.dir, q)
	s, err := ReadSummary(v.dir, q)
	if errors.Is(err, fs.ErrNotExist) {
		switch {
		case len(cells) == 0:
		case v.unfinished:
			v.proof.Unfinished++
		default:
			v.find(path, Missing, "the question has %d cells and no summary", len(cells))
		}
		return
	}
	if err != nil {
		v.find(path, Unreadable, "%v", err)
		return
	}
	byTemperature := make(map[float64]*checked, len(cells))
	for _, c := range cells {
		byTemperature[c.Temperature] = c
	}
	if len(s.Results) != len(s.Temperatures) {
		v.find(path, Summaries, "names %d temperatures and has %d results", len(s.Temperatures), len(s.Results))
	}
	for i := range s.Results {
		r := &s.Results[i]
		c := byTemperature[r.Temperature]
		delete(byTemperature, r.Temperature)
		if i < len(s.Temperatures) && s.Temperatures[i] != r.Temperature {
			v.find(path, Summaries, "result %d is for temperature %v, the list says %v", i, r.Temperature, s.Temperatures[i])
		}
		if c == nil {
			v.find(path, Missing, "names temperature %v, whose cell is not there", r.Temperature)
			continue
		}
		if c.err == nil {
			v.result(path, r, c)
		}
	}
	for _, c := range cells {
		if byTemperature[c.Temperature] == c {
			v.find(path, Summaries, "leaves out the cell at temperature %v", c.Temperature)
		}
	}
	if s.QuestionIdx != q {
		v.find(path, Summaries, "question_idx says %d, the folder %d", s.QuestionIdx, q)
	}
}

func (v *verifier) result(path string, r *CellSummary, c *checked) {
	for _, diff := range disagreements(&r.Counts, &c.header.Counts) {
		v.find(path, Summaries, "temperature %v: %s", r.Temperature, diff)
	}
	if r.GenTPS != c.header.GenTPS {
		v.find(path, Summaries, "temperature %v: gen_tps says %v, the cell %v", r.Temperature, r.GenTPS, c.header.GenTPS)
	}
	if r.SHA256 != "" && r.SHA256 != c.digest.SHA256 {
		v.find(c.Path, Changed, "content has SHA-256 %s, the summary says %s", c.digest.SHA256, r.SHA256)
	}
}

// runSummary compares run_summary.json, if there is one, with the questions'
// summaries.
func (v *verifier) runSummary(questions []int) {
	path := RunSummaryPath(v.dir)
	run, err := ReadRunSummary(v.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		v.find(path, Unreadable, "%v", err)
		return
	}
	var summaries []*Summary
	for _, q := range questions {
		if s, err := ReadSummary(v.dir, q); err == nil {
			summaries = append(summaries, s)
		}
	}
	differ := func(field string, said, is int) {
		if said != is {
			v.find(path, Summaries, "%s says %d, the questions' summaries %d", field, said, is)
		}
	}
	said := make(map[float64]TemperatureSummary, len(run.Results))
	for _, t := range run.Results {
		said[t.Temperature] = t
	}
	var n, passed, unscored int
	for _, t := range Total(summaries) {
		s := said[t.Temperature]
		delete(said, t.Temperature)
		at := fmt.Sprintf("temperature %v: ", t.Temperature)
		differ(at+"questions", s.Questions, t.Questions)
		differ(at+"n", s.N, t.N)
		differ(at+"passed", s.Passed, t.Passed)
		differ(at+"unscored", s.Unscored, t.Unscored)
		for _, diff := range audits(s.Audit, t.Audit) {
			v.find(path, Summaries, "%s%s", at, diff)
		}
		n, passed, unscored = n+t.N, passed+t.Passed, unscored+t.Unscored
	}
	for _, t := range run.Results {
		if _, ok := said[t.Temperature]; ok {
			v.find(path, Summaries, "temperature %v is in no question's summary", t.Temperature)
		}
	}
	differ("samples", run.Samples, n)
	differ("passed", run.Passed, passed)
	differ("unscored", run.Unscored, unscored)
}

func (v *verifier) leftovers() {
	temps, err := temporaries(v.dir)
	if err != nil {
		v.find(v.dir, Unreadable, "%v", err)
		return
	}
	for _, path := range temps {
		size := int64(0)
		if info, err := os.Stat(path); err == nil {
			size = info.Size()
		}
		v.find(path, Leftover, "a killed writer left %d bytes", size)
	}
}
