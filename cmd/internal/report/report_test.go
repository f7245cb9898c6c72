package report_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"image/png"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/net/html"

	"github.com/lcbq/lcbq/cmd/internal/report"
	"github.com/lcbq/lcbq/cmd/internal/report/folder"
	"github.com/lcbq/lcbq/cmd/internal/report/reporttest"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// hostile is text that would act if it came through as anything but text.
const hostile = `</script><script>document.title="owned"</script><img src=x onerror=alert(1)>"'` + "`${alert(2)}`" + `]]><!-- {{.Title}} </textarea><style>*{display:none}</style>`

func write(tb testing.TB, s *reporttest.Sweep) string {
	tb.Helper()
	dir := tb.TempDir()
	if err := s.Write(dir); err != nil {
		tb.Fatal(err)
	}
	return dir
}

func open(tb testing.TB, dir string, o report.Options) *report.Report {
	tb.Helper()
	results, err := folder.Open(dir, 0)
	if err != nil {
		tb.Fatal(err)
	}
	r, err := report.New(results, o)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func page(tb testing.TB, r *report.Report) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := r.HTML(tb.Context(), &b); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func small() *reporttest.Sweep {
	return &reporttest.Sweep{Questions: 6, Temperatures: []float64{0.2, 0.6, 1}, N: 60}
}

// evil has hostile text wherever a model, or a problem set, can put any.
func evil(tb testing.TB) string {
	tb.Helper()
	dir := write(tb, &reporttest.Sweep{Questions: 2, Temperatures: []float64{0.2, 0.6}, N: 20, Alter: func(_ int, _ float64, s *result.Sample) {
		s.Completion, s.FinishReason, s.Generator = hostile+s.Completion, hostile, hostile
		if s.Code != "" {
			s.Code = hostile + s.Code
		}
		if s.Detail != "" {
			s.Detail = hostile
		}
	}})
	for q := range 2 {
		s, err := result.ReadSummary(dir, q)
		if err != nil {
			tb.Fatal(err)
		}
		s.QuestionTitle, s.Difficulty, s.Platform, s.Model = hostile, hostile+string(rune('a'+q)), hostile, hostile
		if err := result.WriteSummary(dir, s); err != nil {
			tb.Fatal(err)
		}
	}
	return dir
}

// nodes walks a document.
func nodes(t *testing.T, b []byte) []*html.Node {
	t.Helper()
	doc, err := html.Parse(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	var out []*html.Node
	for n := range doc.Descendants() {
		out = append(out, n)
	}
	return out
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

// TestPageIsComplete: no address outside, one policy that names its own script and
// style by their digests, ids once each.
func TestPageIsComplete(t *testing.T) {
	t.Parallel()
	for name, dir := range map[string]string{"plain": write(t, small()), "hostile": evil(t)} {
		b := page(t, open(t, dir, report.Options{}))
		ids := make(map[string]bool)
		policy, scripts, styles, titles := "", []string{}, []string{}, []string{}
		for _, n := range nodes(t, b) {
			if n.Type != html.ElementNode {
				continue
			}
			if id := attr(n, "id"); id != "" {
				if ids[id] {
					t.Errorf("%s: id %q twice", name, id)
				}
				ids[id] = true
			}
			if attr(n, "http-equiv") != "" {
				policy = attr(n, "content")
			}
			for _, a := range n.Attr {
				if strings.HasPrefix(a.Key, "on") || a.Key == "style" {
					t.Errorf("%s: attribute %s on %s, which the policy forbids", name, a.Key, n.Data)
				}
				if (a.Key == "src" || a.Key == "href") && !strings.HasPrefix(a.Val, "#") && a.Val != "data:," {
					t.Errorf("%s: %s = %q leads outside", name, a.Key, a.Val)
				}
			}
			switch n.Data {
			case "script":
				if attr(n, "type") == "" {
					scripts = append(scripts, n.FirstChild.Data)
				}
			case "style":
				styles = append(styles, n.FirstChild.Data)
			case "title":
				if n.Parent.Data == "head" {
					titles = append(titles, n.FirstChild.Data)
				}
			case "img", "iframe", "object", "link":
				if attr(n, "href") != "data:," {
					t.Errorf("%s: a %s element", name, n.Data)
				}
			}
		}
		if len(scripts) != 1 || len(styles) != 1 || len(titles) != 1 {
			t.Fatalf("%s: %d scripts, %d styles, %d titles, want one of each", name, len(scripts), len(styles), len(titles))
		}
		if !strings.Contains(policy, "default-src 'none'") {
			t.Errorf("%s: policy %q", name, policy)
		}
		for _, text := range []string{scripts[0], styles[0]} {
			sum := sha256.Sum256([]byte(text))
			if want := base64.StdEncoding.EncodeToString(sum[:]); !strings.Contains(policy, want) {
				t.Errorf("%s: the policy lacks the digest %s", name, want)
			}
		}
		if !strings.HasPrefix(titles[0], "SIMULATED") || !bytes.Contains(b, []byte("No model was asked")) {
			t.Errorf("%s: a simulation that does not say so: %q", name, titles[0])
		}
		for i := range open(t, dir, report.Options{}).Questions {
			if !ids["s"+string(rune('0'+i))] {
				t.Errorf("%s: no samples of question %d", name, i)
			}
		}
	}
}

// noNumber matches what a number that is none looks like in text.
var noNumber = regexp.MustCompile(`(?i)\b(nan|[+-]?inf(inity)?)\b`)

// TestBadInput: whatever is missing, every format has right words and no NaN.
func TestBadInput(t *testing.T) {
	t.Parallel()
	none := func(int, float64) float64 { return 0 }
	for name, c := range map[string]struct {
		sweep reporttest.Sweep
		words string
	}{
		"one question":        {reporttest.Sweep{Questions: 1, Temperatures: []float64{0.2, 0.6}, N: 30}, "One question only"},
		"one temperature":     {reporttest.Sweep{Questions: 4, Temperatures: []float64{0.2}, N: 30}, "1 temperature"},
		"one of each":         {reporttest.Sweep{Questions: 1, Temperatures: []float64{0}, N: 1}, "1 question at 1 temperature"},
		"nothing solved":      {reporttest.Sweep{Questions: 4, Temperatures: []float64{0.2, 0.6}, N: 30, Rate: none}, "None of 240 samples passed"},
		"few samples":         {reporttest.Sweep{Questions: 4, Temperatures: []float64{0.2, 0.6}, N: 3}, "from k = 1 on"},
		"one nothing, solved": {reporttest.Sweep{Questions: 1, Temperatures: []float64{0.7}, N: 5, Rate: none}, "not known to be 0"},
		"no sample scored": {reporttest.Sweep{Questions: 2, Temperatures: []float64{0.2, 0.6}, N: 4, Alter: func(_ int, _ float64, s *result.Sample) {
			s.Verdict, s.ErrorCode, s.Test = stream.JudgeFault, nil, nil
		}}, "No sample was scored"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := open(t, write(t, &c.sweep), report.Options{})
			for _, format := range report.Formats {
				var b bytes.Buffer
				err := r.Write(t.Context(), &b, format, "")
				if name == "no sample scored" && (format == "png" || format == "svg") {
					if err == nil || !strings.Contains(err.Error(), "no sample was scored") {
						t.Errorf("%s of nothing: %v", format, err)
					}
					continue
				}
				if err != nil {
					t.Errorf("%s: %v", format, err)
					continue
				}
				if format == "png" {
					if _, err := png.Decode(&b); err != nil {
						t.Errorf("png: %v", err)
					}
					continue
				}
				text := b.String()
				if format == "html" {
					text = visible(t, b.Bytes())
				}
				if at := noNumber.FindStringIndex(text); at != nil {
					t.Errorf("%s: %q", format, text[max(0, at[0]-80):at[1]])
				}
				if (format == "html" || format == "md") && !strings.Contains(strings.ReplaceAll(text, `\`, ""), c.words) {
					t.Errorf("%s does not say %q", format, c.words)
				}
			}
		})
	}
}

// visible is the document's text and tips, without script, style and data.
func visible(t *testing.T, b []byte) string {
	t.Helper()
	var out strings.Builder
	for _, n := range nodes(t, b) {
		switch {
		case n.Type == html.TextNode && n.Parent.Data != "script" && n.Parent.Data != "style":
			out.WriteString(n.Data + "\n")
		case n.Type == html.ElementNode:
			out.WriteString(attr(n, "data-tip") + "\n" + attr(n, "d") + "\n" + attr(n, "data-v") + "\n")
		}
	}
	return out.String()
}

// unpack reads what the page carries of one question.
func unpack(t *testing.T, b []byte, id string) []map[string]any {
	t.Helper()
	for _, n := range nodes(t, b) {
		if attr(n, "id") != id || n.Data != "script" {
			continue
		}
		raw, err := base64.StdEncoding.DecodeString(n.FirstChild.Data)
		if err != nil {
			t.Fatal(err)
		}
		zip, err := gzip.NewReader(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		var out []map[string]any
		if err := json.NewDecoder(zip).Decode(&out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	t.Fatalf("no block %s", id)
	return nil
}

func TestSamplesAreCarried(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x = 1 # ü\n", 2000)
	const prose = "There is no program here."
	dir := write(t, &reporttest.Sweep{Questions: 2, Temperatures: []float64{0.2, 0.6}, N: 50, Alter: func(_ int, _ float64, s *result.Sample) {
		if s.Index == 0 {
			s.Code, s.Verdict, s.Test, s.ErrorCode = "#######"+long, stream.Passed, nil, nil
		}
		if s.Verdict == stream.NoCode {
			s.Completion = prose
		}
	}})
	long = "#######" + long // the cut falls into the middle of a character
	b := page(t, open(t, dir, report.Options{Samples: 5}))
	cells := unpack(t, b, "s1")
	if len(cells) != 2 {
		t.Fatalf("%d cells, want 2", len(cells))
	}
	for _, c := range cells {
		samples, ok := c["s"].([]any)
		if !ok || len(samples) != 5 || c["n"] != 50.0 || c["l"] != 50.0 {
			t.Errorf("cell %v: %d samples of %v, looked at %v", c["t"], len(samples), c["n"], c["l"])
		}
		first, ok := samples[0].(map[string]any)
		if !ok {
			t.Fatalf("sample %v", samples[0])
		}
		program, ok := first["code"].(string)
		if gone, _ := first["cut"].(float64); !ok || first["index"] != 0.0 || len(program)+int(gone) != len(long) || !strings.HasPrefix(long, program) || gone == 0 || !utf8.ValidString(program) || strings.Contains(program, "\ufffd") {
			t.Errorf("program of %d bytes, %v not shown, want %d in all", len(program), first["cut"], len(long))
		}
		if !slices.ContainsFunc(samples, func(s any) bool { m, _ := s.(map[string]any); return m["completion"] == prose && m["prose"] == true }) {
			t.Errorf("no completion without a program among %v", samples)
		}
	}
}

// TestSamplesThatAreNotThere: the page says so of the cell, and shows the others.
func TestSamplesThatAreNotThere(t *testing.T) {
	t.Parallel()
	dir := write(t, small())
	del(t, result.CellPath(dir, 2, 0.6))
	r := open(t, dir, report.Options{})
	del(t, result.CellPath(dir, 2, 1)) // between the first look and the second
	cells := unpack(t, page(t, r), "s2")
	if len(cells) != 3 || cells[0]["x"] != nil {
		t.Fatalf("cells %v", cells)
	}
	if samples, ok := cells[0]["s"].([]any); !ok || len(samples) == 0 {
		t.Errorf("no samples of the cell that is whole: %v", cells[0])
	}
	for i, want := range map[int]string{1: "its samples are not in the folder", 2: "no such file"} {
		if note, _ := cells[i]["x"].(string); !strings.Contains(note, want) || cells[i]["n"] != 60.0 {
			t.Errorf("cell %v: note %q, n %v, want one that says %q", cells[i]["t"], note, cells[i]["n"], want)
		}
	}
}

// TestRoomIsKept: samples give way before the page grows.
func TestRoomIsKept(t *testing.T) {
	t.Parallel()
	dir := write(t, small())
	const room = 40_000
	wide, tight := page(t, open(t, dir, report.Options{})), page(t, open(t, dir, report.Options{Room: room}))
	size := func(b []byte) (n int) {
		for i := range 6 {
			for _, x := range nodes(t, b) {
				if attr(x, "id") == "s"+string(rune('0'+i)) {
					n += len(x.FirstChild.Data)
				}
			}
		}
		return n
	}
	if n := size(wide); n <= room {
		t.Fatalf("all samples take %d bytes, which proves nothing of a room of %d", n, room)
	}
	if n := size(tight); n > room || n < room/2 {
		t.Errorf("samples take %d bytes of %d", n, room)
	}
}

func TestPartsAreNamed(t *testing.T) {
	t.Parallel()
	r := open(t, write(t, small()), report.Options{})
	for _, f := range r.All() {
		for _, format := range []string{"svg", "png"} {
			var b bytes.Buffer
			if err := r.Write(t.Context(), &b, format, f.Name); err != nil || b.Len() == 0 {
				t.Errorf("%s %s: %d bytes, %v", format, f.Name, b.Len(), err)
			}
			if format == "svg" && !strings.Contains(b.String(), "SIMULATED") {
				t.Errorf("%s of a simulation does not say so", f.Name)
			}
		}
	}
	for _, name := range []string{"curves", "summary", "best", "standings", "cells", "verdicts", "diversity", "solved", "union", "splits"} {
		var b bytes.Buffer
		if err := r.Write(t.Context(), &b, "csv", name); err != nil || bytes.Count(b.Bytes(), []byte("\n")) < 2 {
			t.Errorf("csv %s: %q, %v", name, b.String(), err)
		}
	}
	for _, format := range []string{"svg", "png", "csv"} {
		if err := r.Write(t.Context(), io.Discard, format, "no such"); !errors.Is(err, report.ErrPart) {
			t.Errorf("%s of no such part: %v, want ErrPart", format, err)
		}
	}
	if err := r.Write(t.Context(), io.Discard, "pdf", ""); err == nil {
		t.Error("a pdf was written")
	}
}

// TestSameFolderSameBytes: a report made again is the same report.
func TestSameFolderSameBytes(t *testing.T) {
	t.Parallel()
	dir := write(t, small())
	if a, b := page(t, open(t, dir, report.Options{})), page(t, open(t, dir, report.Options{})); !bytes.Equal(a, b) {
		t.Error("two reports of one folder differ")
	}
}

// TestAModelIsNoSimulation: its page does not say that it is one.
func TestAModelIsNoSimulation(t *testing.T) {
	t.Parallel()
	dir := write(t, small())
	for q := range 6 {
		s, err := result.ReadSummary(dir, q)
		if err != nil {
			t.Fatal(err)
		}
		s.Engine, s.Model, s.Simulated = "openai", "m", false
		if err := result.WriteSummary(dir, s); err != nil {
			t.Fatal(err)
		}
	}
	del(t, result.RunSummaryPath(dir))
	r := open(t, dir, report.Options{})
	if r.Title() != "m on LiveCodeBench" || r.Simulated || bytes.Contains(page(t, r), []byte("SIMULATED")) {
		t.Errorf("a model is taken for a simulation: %q", r.Title())
	}
}

// TestMissingCells: they are missing, not zeros.
func TestMissingCells(t *testing.T) {
	t.Parallel()
	dir := write(t, small())
	s, err := result.ReadSummary(dir, 3)
	if err != nil {
		t.Fatal(err)
	}
	s.Results, s.Temperatures = s.Results[1:], s.Temperatures[1:]
	if err := result.WriteSummary(dir, s); err != nil {
		t.Fatal(err)
	}
	del(t, result.CellPath(dir, 3, 0.2))
	r := open(t, dir, report.Options{})
	if n := r.Analysis.Temperatures[0].Questions; n != 5 {
		t.Errorf("%d questions at the temperature where one is missing, want 5", n)
	}
	text := visible(t, page(t, r))
	if n := strings.Count(strings.Join(r.Remarks(), "\n"), "1 of 18 cells are missing"); n != 1 || len(r.Remarks()) > 3 {
		t.Errorf("remarks %q", r.Remarks())
	}
	for _, want := range []string{"1 of 18 cells are missing", "no samples", "–", "Samples over time are not here"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	var mixed *folder.MixedError
	if _, err := folder.Open(dir, 1); errors.As(err, &mixed) {
		t.Errorf("one result was taken for several: %v", err)
	}
}

// TestWhatIsNotKnownTakesNoRoom: samples that do not tell their tokens, as imported ones, leave no empty columns in the page
// or the Markdown; and the legend explains only signs that the table has.
func TestWhatIsNotKnownTakesNoRoom(t *testing.T) {
	t.Parallel()
	tokens := []string{"tokens a sample", "tokens per sample", "tokens per passed sample"}
	for _, tt := range []struct {
		name      string
		questions int
		known     bool
		rate      float64
		legend    string
	}{
		{"all known", 6, true, 0.6, "In percent; in brackets what other questions like these would give (95 %). Grey with ?"},
		{"no tokens", 6, false, 0.6, "In percent; in brackets what other questions like these would give (95 %). Grey with ?"},
		{"one question", 1, true, 0.6, "In percent. Grey with ?"},
		{"nothing passed", 6, true, 0, "In percent; in brackets what 0 leaves room for."},
	} {
		dir := write(t, &reporttest.Sweep{
			Questions: tt.questions, Temperatures: []float64{0.2, 0.6}, N: 30, Rate: func(int, float64) float64 { return tt.rate },
			Alter: func(_ int, _ float64, s *result.Sample) {
				if !tt.known {
					s.Tokens = 0
				}
			},
		})
		r := open(t, dir, report.Options{})
		text := visible(t, page(t, r))
		var md bytes.Buffer
		if err := r.Markdown(&md); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text, tt.legend) {
			_, is, _ := strings.Cut(text, "In percent")
			t.Errorf("%s: the legend is %q, want %q", tt.name, is[:min(200, len(is))], tt.legend)
		}
		if got := strings.Contains(md.String(), tokens[0]); got != tt.known {
			t.Errorf("%s: the Markdown has a column of tokens: %v", tt.name, got)
		}
		for _, name := range tokens {
			if tt.rate == 0 && name == tokens[2] {
				continue
			}
			if strings.Contains(text, name) != tt.known {
				t.Errorf("%s: the page has %q: %v", tt.name, name, !tt.known)
			}
		}
	}
}
