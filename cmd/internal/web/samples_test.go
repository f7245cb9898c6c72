package web

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/lcbq/lcbq/cmd/internal/browsertest"
	"github.com/lcbq/lcbq/cmd/internal/snapshot"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// hostile is a program that a page must never take for its own.
const hostile = `print("</pre><img src=x onerror=alert(1)>")`

// withSamples is a run whose finished cell has a file.
func withSamples(tb testing.TB) *snapshot.Snapshot {
	tb.Helper()
	s := small()
	s.Run.OutputDir = tb.TempDir()
	test := 3
	all := []result.Sample{
		{Sample: stream.Sample{Index: 0, Code: "print(1)", Tokens: 4}, Judgement: stream.Judgement{Verdict: stream.Passed}},
		{Sample: stream.Sample{Index: 1, Code: hostile, Tokens: 5}, Judgement: stream.Judgement{Verdict: stream.WrongAnswer, Test: &test, Detail: "want 2\ngot 3"}},
		{Sample: stream.Sample{Index: 2, Completion: "I cannot " + strings.Repeat("x", mostProgram), Tokens: 9}, Judgement: stream.Judgement{Verdict: stream.NoCode}},
	}
	var tally result.Tally
	for i := range all {
		tally.Add(&all[i])
	}
	w, err := result.CreateCell(result.CellPath(s.Run.OutputDir, 0, 0.2), &result.Header{QuestionID: "q_a", Temperature: 0.2, Counts: tally.Counts(), Engine: "sim", Judge: "lcb"})
	if err != nil {
		tb.Fatal(err)
	}
	for i := range all {
		if err := w.Add(&all[i]); err != nil {
			tb.Fatal(err)
		}
	}
	if _, err := w.Commit(); err != nil {
		tb.Fatal(err)
	}
	s.Questions[0].Cells[0] = snapshot.Cell{N: 3, Passed: 1}
	return s
}

// TestSamples asks for the samples of a cell that has a file, of one that has none yet, of one whose folder is
// elsewhere, and of none.
func TestSamples(t *testing.T) {
	t.Parallel()
	run := withSamples(t)
	r := newRig(t, run)
	s := r.open(t, "127.0.0.1:0")
	get := func(query url.Values, token string) answer {
		return ask(t, http.MethodGet, s.URL+"api/samples?"+query.Encode(), "", bearer(token)...)
	}
	cell := func(question, temperature string) url.Values {
		return url.Values{"question": {question}, "temperature": {temperature}}
	}
	if a := get(cell("0", "0.2"), "wrong"); a.status != http.StatusUnauthorized {
		t.Errorf("without the token: %d", a.status)
	}
	var got cellSamples
	read := func(question, temperature string) {
		t.Helper()
		got = cellSamples{}
		a := get(cell(question, temperature), s.Viewer)
		if err := json.Unmarshal([]byte(a.body), &got); a.status != http.StatusOK || err != nil {
			t.Fatalf("%d, %v: %s", a.status, err, a.body)
		}
	}
	read("0", "0.2")
	if got.N != 3 || got.Passed != 1 || got.Looked != 3 || got.Note != "" || len(got.Samples) != 3 {
		t.Fatalf("samples = %+v", got)
	}
	if x := got.Samples[0]; x.Index != 0 || x.Verdict != "passed" || !x.Passed || x.Text != "print(1)" || x.Prose || x.Tokens != 4 || x.Seen != 1 || x.Test != nil {
		t.Errorf("the first = %+v", x)
	}
	if x := got.Samples[1]; x.Verdict != "wrong_answer" || x.Passed || x.Text != hostile || *x.Test != 3 || x.Detail != "want 2\ngot 3" || x.Cut != 0 {
		t.Errorf("the second = %+v", x)
	}
	if x := got.Samples[2]; !x.Prose || !strings.HasPrefix(x.Text, "I cannot x") || len(x.Text) != mostProgram || x.Cut != len("I cannot ") {
		t.Errorf("the third has %d bytes, %d cut, prose %t", len(x.Text), x.Cut, x.Prose)
	}
	if read("1", "1"); got.Note != "no sample of this cell is written yet" || len(got.Samples) != 0 {
		t.Errorf("of a cell to come: %+v", got)
	}
	for _, bad := range []url.Values{cell("x", "0.2"), cell("0", ""), {}} {
		if a := get(bad, s.Viewer); a.status != http.StatusBadRequest || !strings.Contains(a.body, "question=INDEX") {
			t.Errorf("%v: %d %s", bad, a.status, a.body)
		}
	}
	for _, none := range []url.Values{cell("3", "0.2"), cell("-1", "0.2"), cell("0", "0.3"), cell("0", "NaN")} {
		if a := get(none, s.Viewer); a.status != http.StatusNotFound {
			t.Errorf("%v: %d %s", none, a.status, a.body)
		}
	}
	if err := os.RemoveAll(run.Run.OutputDir); err != nil {
		t.Fatal(err)
	}
	if read("0", "0.2"); !strings.Contains(got.Note, "is not on the server's machine") || !strings.Contains(got.Note, run.Run.OutputDir) {
		t.Errorf("of a folder elsewhere: %+v", got)
	}
}

// TestSamplesInBrowser clicks on a field of the grid and reads the samples of its cell.
func TestSamplesInBrowser(t *testing.T) {
	t.Parallel()
	r := newRig(t, withSamples(t))
	s := r.open(t, "127.0.0.1:0")
	x := browse(t, s, s.Link(s.Viewer), 390)
	x.Until(t, has("live", "live")+` && document.querySelectorAll("#grid>i").length === 6 && document.getElementById("cell-box").hidden`)
	browsertest.Value[bool](t, x, `document.querySelector("#grid>i").click() === undefined`)
	x.Until(t, has("cell-note", "1 of 3 passed")+` && document.querySelectorAll("#cell-list details").length === 3`)
	if got := browsertest.Value[string](t, x, `document.querySelectorAll("#cell-list summary")[1].textContent`); !strings.HasPrefix(got, "wrong answer") || !strings.Contains(got, "sample 1") || !strings.Contains(got, "test 3: want 2") {
		t.Errorf("a sample says %q", got)
	}
	browsertest.Value[bool](t, x, `document.querySelectorAll("#cell-list summary")[1].click() === undefined`)
	if got := browsertest.Value[string](t, x, `document.querySelectorAll("#cell-list pre")[1].textContent`); got != hostile {
		t.Errorf("its program is %q", got)
	}
	if got := browsertest.Value[int](t, x, `document.querySelectorAll("#cell-list img").length + (document.documentElement.scrollWidth > 390 ? 1 : 0)`); got != 0 {
		t.Error("a program became part of the page, or the page is wider than the screen")
	}
	// The next cell by keys: it has nothing yet.
	browsertest.Value[bool](t, x, `document.querySelector("#grid>i").focus() === undefined`)
	x.Do(t, chromedp.KeyEvent(kb.ArrowRight))
	x.Until(t, has("cell", "T 1: nothing yet"))
	x.Do(t, chromedp.KeyEvent(kb.Enter))
	x.Until(t, has("cell-note", "no sample of this cell is written yet")+` && document.querySelectorAll("#cell-list details").length === 0 && `+has("cell-h", "T 1"))
	browsertest.Value[bool](t, x, `document.getElementById("cell-close").click() === undefined`)
	x.Until(t, `document.getElementById("cell-box").hidden`)
	x.Quiet(t)
}
