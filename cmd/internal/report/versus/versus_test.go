package versus

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"image/png"
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/score/curve"
)

// hostile is text that would act if it came through as anything but text.
const hostile = `</script><script>document.title="owned"</script><img src=x onerror=alert(1)>"'` + "`${alert(2)}`" + `]]><!-- {{.Title}}`

// sweep draws the counts of questions of all difficulties, shifted in logits.
func sweep(seed uint64, questions, n int, temperatures []float64, shift float64) *curve.Sweep {
	r := rand.New(rand.NewPCG(seed, 1))
	s := &curve.Sweep{Temperatures: temperatures}
	for q := range questions {
		x := curve.Question{Index: q, ID: fmt.Sprintf("q%03d", q), Title: fmt.Sprintf("Question %d", q), Origin: stream.Origin{Difficulty: []string{"easy", "medium", "hard"}[q%3]}}
		ease := 8 * (0.45 - float64(q)/float64(questions))
		for range temperatures {
			c := 0
			for range n {
				if r.Float64() < 1/(1+math.Exp(-ease-shift)) {
					c++
				}
			}
			x.Cells = append(x.Cells, stream.Counts{N: n, Passed: c})
		}
		s.Questions = append(s.Questions, x)
	}
	return s
}

func pairView(t *testing.T, a, b *curve.Sweep) *View {
	t.Helper()
	c, err := curve.Compare(a, b, curve.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &View{Sides: []Side{{Name: "small", Results: "a", Judge: "lcb"}, {Name: "large", Results: "b", Judge: "lcb"}}, Pair: c, Differs: []Differ{{"max_tokens", []string{"160", "500"}}}, Version: "test"}
}

func leagueView(t *testing.T, all ...*curve.Sweep) *View {
	t.Helper()
	l, err := curve.Rank(all, curve.Options{Rounds: 200})
	if err != nil {
		t.Fatal(err)
	}
	v := &View{League: l, Version: "test"}
	for i := range all {
		v.Sides = append(v.Sides, Side{Name: fmt.Sprintf("model %d", i), Results: fmt.Sprintf("r%d", i), Judge: "lcb"})
	}
	return v
}

func written(t *testing.T, v *View, format, part string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := v.Write(&b, format, part); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// textOf is the text of a page, its scripts and styles left out.
func textOf(t *testing.T, page []byte) string {
	t.Helper()
	doc, err := html.Parse(bytes.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for n := range doc.Descendants() {
		if n.Type == html.TextNode && n.Parent.Data != "script" && n.Parent.Data != "style" {
			b.WriteString(n.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// TestPage: two results that differ, seen on their page.
func TestPage(t *testing.T) {
	t.Parallel()
	at := []float64{0.2, 0.6, 1}
	v := pairView(t, sweep(1, 60, 40, at, 0), sweep(2, 60, 40, at, 1.2))
	text := textOf(t, written(t, v, "html", ""))
	for _, want := range []string{
		"small against large", "60 questions and 3 temperatures that both have", "pass@1 over all temperatures: B is better.",
		"for the better, 0 for the worse", "Max_tokens. A difference in the numbers may come from each of these.", "B - A by temperature", "Every question",
		"Questions that surely changed", "these questions, all at once", "A is small, B is large", "max_tokens 160 500",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if v.Pair.Confirmed < 10 || !strings.Contains(text, fmt.Sprintf("%d of 60 surely", v.Pair.Confirmed)) {
		t.Errorf("%d questions changed surely", v.Pair.Confirmed)
	}
	same := pairView(t, sweep(1, 60, 40, at, 0), sweep(3, 60, 40, at, 0))
	if text := textOf(t, written(t, same, "html", "")); !strings.Contains(text, "no difference is shown") {
		t.Error("two alike are told apart")
	}
}

// TestLeaguePage: three results, their places and every two against each other.
func TestLeaguePage(t *testing.T) {
	t.Parallel()
	at := []float64{0.2, 0.6}
	v := leagueView(t, sweep(1, 60, 40, at, 0), sweep(2, 60, 40, at, 1.5), sweep(3, 60, 40, at, -1.5))
	text := textOf(t, written(t, v, "html", ""))
	for _, want := range []string{
		"3 results against each other", "pass@1: highest is B: model 1 with", "It is the best on questions like these too", "Every two at pass@1", "places it may have",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	d, like := Against(&v.League.Tables[0], 1, 0)
	back, mirrored := Against(&v.League.Tables[0], 0, 1)
	if !(d > 0) || back != -d || mirrored.Low != -like.High || mirrored.High != -like.Low || !like.Contains(d) {
		t.Errorf("B against A: %v %v, A against B: %v %v", d, like, back, mirrored)
	}
}

var noNumber = regexp.MustCompile(`(?i)\b(nan|[+-]?inf(inity)?)\b`)

// TestPagesAreSafe: whatever names hold, a page has one script and one style, both named by its
// policy, no attribute that acts, and no number that is none; a simulation says so.
func TestPagesAreSafe(t *testing.T) {
	t.Parallel()
	one := []float64{0.2}
	for name, v := range map[string]*View{
		"pair":            pairView(t, sweep(1, 20, 10, []float64{0, 1}, 0), sweep(2, 20, 10, []float64{0, 1}, 1)),
		"one temperature": pairView(t, sweep(1, 20, 10, one, 0), sweep(2, 20, 10, one, 1)),
		"one question":    pairView(t, sweep(1, 1, 1, one, 0), sweep(2, 1, 1, one, 1)),
		"nothing shared":  pairView(t, sweep(1, 5, 5, one, 0), sweep(2, 5, 5, []float64{0.3}, 1)),
		"league":          leagueView(t, sweep(1, 20, 10, one, 0), sweep(2, 20, 10, one, 0), sweep(3, 20, 10, one, 1)),
		"empty league":    leagueView(t, sweep(1, 2, 2, one, 0), sweep(2, 2, 2, []float64{0.3}, 0), sweep(3, 2, 2, one, 1)),
	} {
		for i := range v.Sides {
			v.Sides[i] = Side{Name: hostile, Results: hostile, Judge: hostile, Simulated: true, Notes: []string{hostile}}
		}
		v.Differs = []Differ{{hostile, slices.Repeat([]string{hostile}, len(v.Sides))}}
		if v.Pair != nil {
			for i := range v.Pair.Questions {
				v.Pair.Questions[i].Title, v.Pair.Questions[i].Difficulty = hostile, hostile
			}
		}
		page := written(t, v, "html", "")
		doc, err := html.Parse(bytes.NewReader(page))
		if err != nil {
			t.Fatal(err)
		}
		policy, title := "", ""
		var digests []string
		ids := make(map[string]bool)
		for n := range doc.Descendants() {
			if n.Type != html.ElementNode {
				continue
			}
			for _, a := range n.Attr {
				switch {
				case strings.HasPrefix(a.Key, "on"), a.Key == "style", (a.Key == "src" || a.Key == "href") && !strings.HasPrefix(a.Val, "#") && a.Val != "data:,":
					t.Errorf("%s: attribute %s = %q", name, a.Key, a.Val)
				case a.Key == "id" && ids[a.Val]:
					t.Errorf("%s: id %q twice", name, a.Val)
				case a.Key == "id":
					ids[a.Val] = true
				case a.Key == "content" && strings.Contains(a.Val, "default-src 'none'"):
					policy = a.Val
				}
			}
			switch n.Data {
			case "script", "style":
				sum := sha256.Sum256([]byte(n.FirstChild.Data))
				digests = append(digests, base64.StdEncoding.EncodeToString(sum[:]))
			case "title":
				if n.Parent.Data == "head" {
					title = n.FirstChild.Data
				}
			case "img", "iframe", "object":
				t.Errorf("%s: a %s element", name, n.Data)
			}
		}
		if len(digests) != 2 || slices.ContainsFunc(digests, func(d string) bool { return !strings.Contains(policy, d) }) {
			t.Errorf("%s: %d scripts and styles, policy %q", name, len(digests), policy)
		}
		text := textOf(t, page)
		if !strings.HasPrefix(title, "SIMULATED: ") || !strings.Contains(text, "No model was asked") {
			t.Errorf("%s: a simulation that does not say so: %q", name, title)
		}
		if bad := noNumber.FindString(text); bad != "" {
			t.Errorf("%s: %s on the page", name, bad)
		}
	}
}

// TestPictures: every chart as PNG and SVG, and a wrong name lists them.
func TestPictures(t *testing.T) {
	t.Parallel()
	at := []float64{0.2, 0.6}
	for _, v := range []*View{pairView(t, sweep(1, 20, 20, at, 0), sweep(2, 20, 20, at, 1)), leagueView(t, sweep(1, 20, 10, at, 0), sweep(2, 20, 10, at, 0), sweep(3, 20, 10, at, 1))} {
		for _, f := range v.figures() {
			if _, err := png.Decode(bytes.NewReader(written(t, v, "png", f.Name))); err != nil {
				t.Errorf("%s: %v", f.Name, err)
			}
			if b := written(t, v, "svg", f.Name); !bytes.HasPrefix(b, []byte("<svg")) {
				t.Errorf("%s: %.40s", f.Name, b)
			}
			if f.Table == nil || len(f.Table.Rows) == 0 {
				t.Errorf("%s has no table", f.Name)
			}
		}
		err := v.Write(&bytes.Buffer{}, "png", "nonsense")
		if !errors.Is(err, ErrPart) || !strings.Contains(err.Error(), v.figures()[0].Name) {
			t.Errorf("a wrong part: %v", err)
		}
		if !bytes.Equal(written(t, v, "svg", ""), written(t, v, "svg", v.figures()[0].Name)) {
			t.Error("no part is not the first one")
		}
	}
	empty := pairView(t, sweep(1, 2, 2, []float64{0.1}, 0), sweep(2, 2, 2, []float64{0.3}, 0))
	if err := empty.Write(&bytes.Buffer{}, "png", ""); err == nil || !strings.Contains(err.Error(), "nothing to draw") {
		t.Errorf("nothing shared: %v", err)
	}
}
