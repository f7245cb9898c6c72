package cli

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/lcbq/lcbq/cmd/internal/report/folder"
	"github.com/lcbq/lcbq/worker/combine/summary"
	"github.com/lcbq/lcbq/worker/score/curve"
)

// compareCmd compares two results folders.
type compareCmd struct {
	A      string   `arg:"" type:"existingdir" help:"results folder"`
	B      string   `arg:"" type:"existingdir" help:"the one compared with it: differences are B - A"`
	Format string   `default:"text" enum:"text,csv,md" help:"text, csv (one row a temperature and k) or md (a table for a README)"`
	K      []int    `default:"1,10,100,1000" placeholder:"K" help:"which pass@k the text and the table show"`
	GroupA int      `default:"0" help:"which of several results that lie in A, from 1 on; they are never averaged"`
	GroupB int      `default:"0" help:"the same for B"`
	Allow  []string `enum:"problems,judge" placeholder:"WHAT" help:"compare although more than one thing differs: problems (the problem sets), judge (the judge besides the model)"`
}

// A comparison is what compare prints.
type comparison struct {
	A       side     `json:"a"`
	B       side     `json:"b"`
	Differs []differ `json:"differs"` // settings and provenance
	*curve.Comparison
}

// A side is one of the two results.
type side struct {
	Results     string   `json:"results"`
	Engine      string   `json:"engine"`
	Model       string   `json:"model,omitempty"`
	Judge       string   `json:"judge"`
	Fingerprint string   `json:"fingerprint"`
	Simulated   bool     `json:"simulated,omitempty"`
	Notes       []string `json:"notes"` // what of it is not there
}

// A differ is one setting in which the two differ.
type differ struct {
	What string `json:"what"`
	A    string `json:"a"`
	B    string `json:"b"`
}

// Run reads both folders, refuses what cannot be compared, and prints.
func (c *compareCmd) Run(a *app) error {
	x, err := folder.Open(c.A, c.GroupA)
	if err != nil {
		return groupHint(err, "--group-a")
	}
	y, err := folder.Open(c.B, c.GroupB)
	if err != nil {
		return groupHint(err, "--group-b")
	}
	out := comparison{A: sideOf(c.A, x), B: sideOf(c.B, y), Differs: differences(x, y)}
	if err := c.refuse(out.Differs); err != nil {
		return err
	}
	if out.Comparison, err = curve.Compare(x.Sweep(), y.Sweep(), curve.Options{}); err != nil {
		return err
	}
	if x.Group.Judge != y.Group.Judge && x.Group.Model == y.Group.Model {
		out.Notes = append(out.Notes, curve.Note{Code: "two_judges", Text: "two judges of one model: if they judged the same completions, the intervals on these questions are too wide"})
	}
	switch {
	case a.json:
		return a.printJSON(out)
	case c.Format == "csv":
		return c.csv(a.out, &out)
	case c.Format == "md":
		return c.markdown(a.out, &out)
	default:
		c.text(a.out, &out)
		return nil
	}
}

// groupHint names the flag that chooses among mixed results here.
func groupHint(err error, flag string) error {
	if text := err.Error(); strings.Contains(text, "--group") {
		return relabelled{err, strings.ReplaceAll(text, "--group", flag)}
	}
	return err
}

// A relabelled error says the same in other words.
type relabelled struct {
	err  error
	text string
}

func (e relabelled) Error() string { return e.text }
func (e relabelled) Unwrap() error { return e.err }

func sideOf(dir string, r *folder.Results) side {
	return side{dir, r.Group.Engine, r.Group.Model, r.Group.Judge, r.Group.Fingerprint, r.Group.Simulated, slices.Concat([]string{}, r.Notes)}
}

// differences lists the settings in which two results differ, as far as both say.
func differences(x, y *folder.Results) []differ {
	out := []differ{}
	add := func(what, a, b string) {
		if a != b {
			out = append(out, differ{what, cmp.Or(a, "unknown"), cmp.Or(b, "unknown")})
		}
	}
	add("engine", x.Group.Engine, y.Group.Engine)
	add("model", x.Group.Model, y.Group.Model)
	add("judge", x.Group.Judge, y.Group.Judge)
	add("judging environment", x.Group.Fingerprint, y.Group.Fingerprint)
	add("simulated", strconv.FormatBool(x.Group.Simulated), strconv.FormatBool(y.Group.Simulated))
	a, b := cmp.Or(x.Run, &summary.Run{}), cmp.Or(y.Run, &summary.Run{})
	add("problems", a.Problems.Digest, b.Problems.Digest)
	add("sandbox level", a.Provenance.SandboxLevel, b.Provenance.SandboxLevel)
	add("engine version", a.Provenance.EngineVersion, b.Provenance.EngineVersion)
	add("engine arguments", strings.Join(a.Provenance.EngineArgs, " "), strings.Join(b.Provenance.EngineArgs, " "))
	add("lcbq", a.LCBQ, b.LCBQ)
	text := func(v any) string { return fmt.Sprint(v) }
	// An import knows no settings; zeros there are not settings of 0.
	if a.Sampling.MaxTokens == 0 || b.Sampling.MaxTokens == 0 {
		return out
	}
	add("samples a cell", text(a.N), text(b.N))
	add("prompt style", a.Sampling.Prompt, b.Sampling.Prompt)
	add("extraction", a.Sampling.Extract, b.Sampling.Extract)
	add("top_p", text(a.Sampling.TopP), text(b.Sampling.TopP))
	add("top_k", text(a.Sampling.TopK), text(b.Sampling.TopK))
	add("min_p", text(a.Sampling.MinP), text(b.Sampling.MinP))
	add("max_tokens", text(a.Sampling.MaxTokens), text(b.Sampling.MaxTokens))
	add("thinking", thinking(a), thinking(b))
	add("time limit", text(a.Judging.TimeLimit), text(b.Judging.TimeLimit))
	add("memory limit", text(a.Judging.MemoryLimit), text(b.Judging.MemoryLimit))
	return out
}

func thinking(s *summary.Run) string {
	if s.Sampling.Thinking == nil {
		return "auto"
	}
	return strconv.FormatBool(*s.Sampling.Thinking)
}

// refuse stops a comparison whose difference could be that of two things at once.
func (c *compareCmd) refuse(differs []differ) error {
	by := make(map[string]differ)
	for _, d := range differs {
		by[d.What] = d
	}
	if d, ok := by["problems"]; ok && d.A != "unknown" && d.B != "unknown" && !slices.Contains(c.Allow, "problems") {
		return fmt.Errorf("compare: the problem sets differ (digests %.12s and %.12s): the same question may have other tests in each\n--allow problems compares the questions that have the same id", d.A, d.B)
	}
	_, judge := by["judge"]
	_, model := by["model"]
	if judge && model && !slices.Contains(c.Allow, "judge") {
		return fmt.Errorf("compare: model and judge both differ (judge %s and %s): the difference could be either's\ncompare results of one judge, or say --allow judge", by["judge"].A, by["judge"].B)
	}
	return nil
}

func (c *compareCmd) shown(points []curve.Contrast) []*curve.Contrast {
	var out []*curve.Contrast
	for i := range points {
		if slices.Contains(c.K, points[i].K) {
			out = append(out, &points[i])
		}
	}
	return out
}

func (s *side) String() string {
	name := cmp.Or(s.Model, s.Engine)
	if s.Simulated {
		name += " (simulated: no model was asked)"
	}
	return fmt.Sprintf("%s: %s, judge %s", s.Results, name, s.Judge)
}

// text prints one block for each k.
func (c *compareCmd) text(w io.Writer, x *comparison) {
	fmt.Fprintf(w, "A  %s\nB  %s\n%d questions in both\n", &x.A, &x.B, x.Shared)
	for _, d := range x.Differs {
		fmt.Fprintf(w, "differs: %s: %s | %s\n", d.What, d.A, d.B)
	}
	for _, k := range c.K {
		c.block(w, x, k)
	}
	fmt.Fprintln(w)
	for _, n := range x.Notes {
		fmt.Fprintln(w, n.Text)
	}
	for i, notes := range [][]string{x.A.Notes, x.B.Notes} {
		for _, n := range notes {
			fmt.Fprintf(w, "%c: %s\n", 'A'+rune(i), n)
		}
	}
	fmt.Fprintln(w, "+- is half the 95 % interval of the difference; P is corrected for all temperatures at the same k (Holm)")
}

func (c *compareCmd) block(w io.Writer, x *comparison, k int) {
	head := false
	row := func(name string, p *curve.Contrast) {
		if !head {
			head = true
			fmt.Fprintf(w, "\n%7s  %9s  %10s  %10s  %8s  %9s  %9s  %11s  %9s\n", "T", "questions", fmt.Sprintf("A pass@%d", k), "B", "B - A", "+-samples", "P", "+-questions", "P")
		}
		mark := " "
		if !p.Reliable {
			mark = "?"
		}
		fmt.Fprintf(w, "%7s  %9d  %9.2f%%  %9.2f%%  %+7.2f%s  %9s  %9s  %11s  %9s\n", name, p.Questions, 100*p.A, 100*p.B, 100*p.Difference, mark,
			halfWidth(p.These), chance(p.These), halfWidth(p.Like), chance(p.Like))
	}
	for i := range x.Temperatures {
		for _, p := range c.shown(x.Temperatures[i].Points) {
			if p.K == k {
				row(fmt.Sprintf("%.2f", x.Temperatures[i].Temperature), p)
			}
		}
	}
	for _, p := range c.shown(x.Overall) {
		if p.K == k {
			row("all", p)
		}
	}
}

func halfWidth(d *curve.Deviation) string {
	if d == nil {
		return "-"
	}
	return fmt.Sprintf("%.2f", 100*d.Interval.Width()/2)
}

func chance(d *curve.Deviation) string {
	switch {
	case d == nil:
		return "-"
	case d.P < 1e-4:
		return "<0.0001"
	default:
		return fmt.Sprintf("%.4f", d.P)
	}
}

var compareColumns = []string{
	"temperature", "k", "questions", "a", "b", "difference", "differ",
	"samples_low", "samples_high", "samples_p", "questions_low", "questions_high", "questions_p", "reliable",
}

// csv prints every k that was compared; what is not defined is an empty field.
func (c *compareCmd) csv(w io.Writer, x *comparison) error {
	out := csv.NewWriter(w)
	if err := out.Write(compareColumns); err != nil {
		return err
	}
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	deviation := func(d *curve.Deviation) []string {
		if d == nil {
			return []string{"", "", ""}
		}
		return []string{number(d.Interval.Low), number(d.Interval.High), number(d.P)}
	}
	row := func(name string, p *curve.Contrast) error {
		return out.Write(slices.Concat(
			[]string{name, strconv.Itoa(p.K), strconv.Itoa(p.Questions), number(p.A), number(p.B), number(p.Difference), strconv.Itoa(p.Differ)},
			deviation(p.These), deviation(p.Like), []string{strconv.FormatBool(p.Reliable)}))
	}
	for i := range x.Temperatures {
		for j := range x.Temperatures[i].Points {
			if err := row(number(x.Temperatures[i].Temperature), &x.Temperatures[i].Points[j]); err != nil {
				return err
			}
		}
	}
	for j := range x.Overall {
		if err := row("all", &x.Overall[j]); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// markdown prints one table of the k asked for.
func (c *compareCmd) markdown(w io.Writer, x *comparison) error {
	var b strings.Builder
	fmt.Fprintf(&b, "A: %s  \nB: %s\n\n", &x.A, &x.B)
	b.WriteString("| T | k | A | B | B - A | 95 % on these questions | 95 % on questions like these | P |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n")
	span := func(d *curve.Deviation) string {
		if d == nil {
			return "-"
		}
		return fmt.Sprintf("%+.2f to %+.2f", 100*d.Interval.Low, 100*d.Interval.High)
	}
	row := func(name string, p *curve.Contrast) {
		fmt.Fprintf(&b, "| %s | %d | %.2f %% | %.2f %% | %+.2f | %s | %s | %s |\n", name, p.K, 100*p.A, 100*p.B, 100*p.Difference, span(p.These), span(p.Like), chance(p.Like))
	}
	for i := range x.Temperatures {
		for _, p := range c.shown(x.Temperatures[i].Points) {
			row(strconv.FormatFloat(x.Temperatures[i].Temperature, 'f', -1, 64), p)
		}
	}
	for _, p := range c.shown(x.Overall) {
		row("all", p)
	}
	for _, n := range x.Notes {
		fmt.Fprintf(&b, "\n%s\n", n.Text)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
