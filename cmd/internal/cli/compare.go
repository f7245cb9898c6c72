package cli

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lcbq/lcbq/cmd/internal/report/folder"
	"github.com/lcbq/lcbq/cmd/internal/report/versus"
	"github.com/lcbq/lcbq/cmd/internal/window"
	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/worker/lcb/result"
	"github.com/lcbq/lcbq/worker/score/curve"
)

// compareCmd compares results folders.
type compareCmd struct {
	A         string   `arg:"" type:"existingdir" help:"results folder"`
	B         string   `arg:"" type:"existingdir" help:"the one compared with it: differences are B - A"`
	More      []string `arg:"" optional:"" type:"existingdir" help:"further results folders: three or more make a league, every two against each other"`
	Format    string   `default:"text" enum:"text,csv,md,html,png,svg" help:"text, csv (one row a temperature and k, or a pair of a league), md (a table for a README), html (a page with charts and the questions that changed), png or svg (one chart)"`
	Output    string   `short:"o" placeholder:"FILE" help:"file to write; - is standard output, which text, csv and md have by default; compare.FORMAT for the others"`
	Part      string   `placeholder:"NAME" help:"which chart of a png or svg; a wrong name lists them"`
	K         []int    `default:"1,10,100,1000" placeholder:"K" help:"which pass@k the text and the table show"`
	GroupA    int      `default:"0" help:"which of several results that lie in A, from 1 on; they are never averaged"`
	GroupB    int      `default:"0" help:"the same for B"`
	GroupMore []int    `placeholder:"N" help:"the same for each further folder"`
	Allow     []string `enum:"problems,judge,windows" placeholder:"WHAT" help:"compare although more than one thing differs: problems (the problem sets), judge (the judge besides the model), windows (by which the questions were chosen: those of both are compared)"`

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

// Run reads the folders, refuses what cannot be compared, and writes.
func (c *compareCmd) Run(a *app) error {
	if err := c.check(a.json); err != nil {
		return usageError{err}
	}
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
	if len(c.More) > 0 {
		return c.league(a, w, x, y)
	}
	if err := c.comparable(c.A, c.B, x, y); err != nil {
		return err
	}
	out := comparison{A: sideOf(c.A, x), B: sideOf(c.B, y), Differs: differences(x, y)}
	if out.Comparison, err = curve.Compare(x.Sweep(), y.Sweep(), curve.Options{}); err != nil {
		return err
	}
	if err := c.known(ksOf(out.Comparison)); err != nil {
		return err
	}
	if x.Group.Judge != y.Group.Judge && x.Group.Model == y.Group.Model {
		out.Notes = append(out.Notes, curve.Note{Code: "two_judges", Text: "two judges of one model: if they judged the same completions, the intervals on these questions are too wide"})
	}
	if a.json {
		return a.printJSON(out)
	}
	var b bytes.Buffer
	switch c.Format {
	case "text":
		c.text(&b, &out)
	case "csv":
		err = c.csv(&b, &out)
	case "md":
		err = c.markdown(&b, &out)
	default:
		v := &versus.View{Sides: shownSides(&out.A, &out.B), Pair: out.Comparison, Version: Version()}
		for _, d := range out.Differs {
			v.Differs = append(v.Differs, versus.Differ{What: d.What, Values: []string{d.A, d.B}})
		}
		err = v.Write(&b, c.Format, c.Part)
	}
	return c.leave(a, b.Bytes(), err)
}

// check reports flags that say nothing together.
func (c *compareCmd) check(json bool) error {
	picture := c.Format == "png" || c.Format == "svg"
	switch {
	case c.Part != "" && !picture:
		return fmt.Errorf("--part = %q: a part is chosen of png and svg, not of %s", c.Part, c.Format)
	case json && c.Output != "":
		return fmt.Errorf("--json and --output: JSON goes to standard output")
	case len(c.GroupMore) > len(c.More):
		return fmt.Errorf("--group-more = %v: %d further folders are compared", c.GroupMore, len(c.More))
	}
	return nil
}

// usualK are the k that are shown, as far as there are samples for them, unless --k names others.
var usualK = []int{1, 10, 100, 1000}

// known refuses a --k that somebody asked for and that is not compared.
func (c *compareCmd) known(have []int) error {
	if slices.Equal(c.K, usualK) || len(have) == 0 {
		return nil
	}
	for _, k := range c.K {
		if !slices.Contains(have, k) {
			return usageError{fmt.Errorf("compare: --k = %d: pass@%d is not compared here\nchoose of %s", k, k, listed(have))}
		}
	}
	return nil
}

func listed(all []int) string {
	return strings.Trim(strings.Join(strings.Fields(fmt.Sprint(all)), ", "), "[]")
}

// ksOf returns the k at which two results are compared, ascending.
func ksOf(x *curve.Comparison) []int {
	var out []int
	for i := range x.Temperatures {
		for j := range x.Temperatures[i].Points {
			out = append(out, x.Temperatures[i].Points[j].K)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// comparable refuses two results whose difference could come from more than one thing.
func (c *compareCmd) comparable(a, b string, x, y *folder.Results) error {
	if err := c.sameWindow(a, b, x, y); err != nil {
		return err
	}
	return c.refuse(differences(x, y))
}

// leave writes what was made where it belongs.
func (c *compareCmd) leave(a *app, made []byte, err error) error {
	if errors.Is(err, versus.ErrPart) {
		return usageError{err}
	}
	if err != nil {
		return err
	}
	path := c.Output
	if path == "" && !slices.Contains([]string{"text", "csv", "md"}, c.Format) {
		path = "compare." + c.Format
	}
	if path == "" || path == "-" {
		_, err := a.out.Write(made)
		return err
	}
	if err := result.WriteFileAtomic(path, made); err != nil {
		return fmt.Errorf("write comparison: %w\nchoose another place with --output", err)
	}
	fmt.Fprintf(a.out, "%s: %d bytes\n", path, len(made))
	return nil
}

// shownSides names the results: by their models, or by their folders where these are alike.
func shownSides(all ...*side) []versus.Side {
	out := make([]versus.Side, len(all))
	for i, s := range all {
		out[i] = versus.Side{Name: cmp.Or(s.Model, s.Engine), Results: s.Results, Judge: s.Judge, Simulated: s.Simulated, Notes: s.Notes}
		for j, other := range all {
			if i != j && cmp.Or(other.Model, other.Engine) == out[i].Name {
				out[i].Name = strings.TrimSpace(filepath.Base(s.Results) + " (" + out[i].Name + ")")
				break
			}
		}
	}
	return out
}

// sameWindow refuses two results whose questions were chosen differently: a comparison of
// what they share would be of neither window.
func (c *compareCmd) sameWindow(dirA, dirB string, x, y *folder.Results) error {
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
		dirA, len(x.Questions), cmp.Or(a, "all questions"), dirB, len(y.Questions), cmp.Or(b, "all questions"))
}

// openSide reads one of the two folders. flag chooses among several results in it.
func openSide(dir string, group int, flag string, w *window.Window) (*folder.Results, error) {
	r, err := openWithin(dir, group, w)
	if _, ok := errors.AsType[*folder.MixedError](err); ok || errors.Is(err, folder.ErrGroup) {
		return nil, usageError{fmt.Errorf("compare %s: %w\nchoose one of its results with %s 1 and so on", dir, err, flag)}
	}
	return r, err
}

func sideOf(dir string, r *folder.Results) side {
	return side{dir, r.Group.Engine, r.Group.Model, r.Group.Judge, r.Group.Fingerprint, r.Group.Simulated, slices.Concat([]string{}, r.Notes)}
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
