package cli

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/lcbq/lcbq/cmd/internal/report/folder"
	"github.com/lcbq/lcbq/cmd/internal/window"
	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/worker/combine/summary"
	"github.com/lcbq/lcbq/worker/lcb/result"
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
	Allow  []string `enum:"problems,judge,windows" placeholder:"WHAT" help:"compare although more than one thing differs: problems (the problem sets), judge (the judge besides the model), windows (by which the questions were chosen: those of both are compared)"`

	config.Window `embed:"" group:"what"`
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
	Notes       []string `json:"notes"` // what is missing in the folder
}

// A differ is one setting in which the two differ.
type differ struct {
	What string `json:"what"`
	A    string `json:"a"`
	B    string `json:"b"`
}

// Run reads both folders, refuses what cannot be compared, and prints.
func (c *compareCmd) Run(a *app) error {
	w, err := windowOf(c.Window)
	if err != nil {
		return err
	}
	x, err := openSide(c.A, c.GroupA, "--group-a", w)
	if err != nil {
		return err
	}
	y, err := openSide(c.B, c.GroupB, "--group-b", w)
	if err != nil {
		return err
	}
	if err := c.sameWindow(x, y); err != nil {
		return err
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

// sameWindow refuses two results whose questions were chosen differently: a comparison of
// what they share would be of neither window.
func (c *compareCmd) sameWindow(x, y *folder.Results) error {
	a, b := window.Names(x.Windows), window.Names(y.Windows)
	if a == b || slices.Contains(c.Allow, "windows") {
		return nil
	}
	ids := func(r *folder.Results) []string {
		var out []string
		for _, q := range r.Questions {
			out = append(out, q.ID)
		}
		slices.Sort(out)
		return out
	}
	if slices.Equal(ids(x), ids(y)) {
		return nil
	}
	return fmt.Errorf("compare: the questions were chosen differently: %s has %d (%s), %s has %d (%s)\ngive a window that both hold (--from, --to, --platform, --difficulty, --exclude), or compare what they share with --allow windows",
		c.A, len(x.Questions), cmp.Or(a, "all questions"), c.B, len(y.Questions), cmp.Or(b, "all questions"))
}

// openSide reads one of the two folders. flag chooses among several results in it.
func openSide(dir string, group int, flag string, w *window.Window) (*folder.Results, error) {
	r, err := openWithin(dir, group, w)
	if _, ok := errors.AsType[*folder.MixedError](err); ok || errors.Is(err, folder.ErrGroup) {
		return nil, usageError{fmt.Errorf("compare %s: %w\nchoose one of its results with %s 1 or %s 2", dir, err, flag, flag)}
	}
	return r, err
}

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
	add("window", cmp.Or(window.Names(x.Windows), "all questions"), cmp.Or(window.Names(y.Windows), "all questions"))
	add("sandbox level", a.Provenance.SandboxLevel, b.Provenance.SandboxLevel)
	add("engine version", a.Provenance.EngineVersion, b.Provenance.EngineVersion)
	add("engine arguments", strings.Join(a.Provenance.EngineArgs, " "), strings.Join(b.Provenance.EngineArgs, " "))
	add("lcbq", a.LCBQ, b.LCBQ)
	text := func(v any) string { return fmt.Sprint(v) }
	// An import knows no settings; zeros there are not settings of 0.
	if a.Sampling.MaxTokens == 0 || b.Sampling.MaxTokens == 0 {
		return append(out, configured(x.Dir, y.Dir)...)
	}
	add("samples a cell", text(a.N), text(b.N))
	add("prompt style", a.Sampling.Prompt, b.Sampling.Prompt)
	add("extraction", a.Sampling.Extract, b.Sampling.Extract)
	add("top_p", text(a.Sampling.TopP), text(b.Sampling.TopP))
	add("top_k", text(a.Sampling.TopK), text(b.Sampling.TopK))
	add("min_p", text(a.Sampling.MinP), text(b.Sampling.MinP))
	add("max_tokens", text(a.Sampling.MaxTokens), text(b.Sampling.MaxTokens))
	add("stop", strings.Join(a.Sampling.Stop, " "), strings.Join(b.Sampling.Stop, " "))
	add("on refused", cmp.Or(a.Sampling.OnRefused, "fail"), cmp.Or(b.Sampling.OnRefused, "fail"))
	add("seed", text(a.Sampling.Seed), text(b.Sampling.Seed))
	add("prompt template", a.Sampling.Template, b.Sampling.Template)
	add("served with", served(a), served(b))
	add("thinking", thinking(a), thinking(b))
	add("output limit", text(a.Judging.OutputLimit), text(b.Judging.OutputLimit))
	add("time limit", text(a.Judging.TimeLimit), text(b.Judging.TimeLimit))
	add("memory limit", text(a.Judging.MemoryLimit), text(b.Judging.MemoryLimit))
	return out
}

// served says what shapes the samples of an engine that lcbq starts.
func served(s *summary.Run) string {
	x := s.Sampling.Serve
	if x == nil {
		return "not started by lcbq"
	}
	return strings.TrimSpace(fmt.Sprintf("%s, %d tokens at most %s", x.DType, x.MaxModelLen, strings.Join(x.Args, " ")))
}

// configured lists the settings in which the run.toml of two folders differ, for a run that has no
// summary yet. A folder without that file says nothing.
func configured(a, b string) []differ {
	x, err := config.ReadFile(filepath.Join(a, result.ConfigName))
	if err != nil {
		return nil
	}
	y, err := config.ReadFile(filepath.Join(b, result.ConfigName))
	if err != nil {
		return nil
	}
	differs, err := config.Between(x, y)
	if err != nil {
		return nil
	}
	var out []differ
	for _, d := range differs {
		if slices.Contains([]string{"engine", "model", "judge"}, d.Key) {
			continue // the cells say these
		}
		out = append(out, differ{d.Key, d.Here, d.There})
	}
	return out
}

func thinking(s *summary.Run) string {
	if s.Sampling.Thinking == nil {
		return "auto"
	}
	return strconv.FormatBool(*s.Sampling.Thinking)
}

// refuse refuses a comparison in which two things differ: the difference could come from either.
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
