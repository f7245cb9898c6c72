package replay_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/lcbq/lcbq/worker/engine"
	"github.com/lcbq/lcbq/worker/engine/replay"
)

// pack compresses text.
func pack(t *testing.T, form, text string) string {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	var err error
	switch form {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "zstd":
		if w, err = zstd.NewWriter(&b); err != nil {
			t.Fatal(err)
		}
	default:
		return text
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestForms wants the same completions out of every form that people have them in: both from the reading
// and, through the places it found, from the engine.
func TestForms(t *testing.T) {
	t.Parallel()
	ids := []string{"3674", "q1", "q2"}
	for _, c := range []struct {
		name, file string
		fields     map[string]string
		want       []string // question, what the engine gives
	}{
		{"NaN where nobody reads", `{"question_id":"q1","code":"a","logprob":NaN,"x":[-Infinity,1e999,"\ud800"]}`, nil, []string{"q1 text= code=a"}},
		{"null program", "{\"question_id\":\"q1\",\"code\":\"a\"}\n{\"question_id\":\"q2\",\"code\":null}", nil, []string{"q1 text= code=a", "q2 text= code="}},
		{"null in a list", "[{\"question_id\":\"q1\",\"code_list\":[\"a\",null]},\n{\"question_id\":\"q2\",\"output_list\":[null,\"b\"]}]", nil, []string{"q1 text= code=a", "q1 text= code=", "q2 text= code=", "q2 text=b"}},
		{"null program beside its text", `[{"question_id":"q1","code_list":[null],"output_list":["o"]}]`, nil, []string{"q1 text=o"}},
		{"list of lists", `[["a"], [], ["b", null]]`, nil, []string{"3674 text= code=a", "q2 text= code=b", "q2 text= code="}},
		{"list of programs", `["a", null, "b"]`, nil, nil},
		{"object of ids", "\n{\"q1\": [\"a\"],\n\"3674\": [\"b\",\"c\"], \"q2\": null}", nil, []string{"q1 text= code=a", "3674 text= code=b", "3674 text= code=c", "q2 text= code="}},
		{"object of ids, one program each", `{"q1": "a"}`, nil, []string{"q1 text= code=a"}},
		{"list of rows", "[{\"question_id\":\"q1\",\"code\":\"a\",\"tokens\":3},\n {\"question_id\":\"q1\",\"output\":\"b\",\"finish_reason\":\"length\"}]", nil, []string{"q1 text= code=a tokens=3", "q1 text=b finish=length"}},
		{"lines with lists", `{"question_id":3674,"code_list":["a","b"],"metadata":{}}`, nil, []string{"3674 text= code=a", "3674 text= code=b"}},
		{"number as pandas writes it", `{"question_id":3674.0,"completion_id":1.0,"solution":"a","tokens":5.0}`, nil, []string{"3674 text= code=a tokens=5"}},
		{"generation", `{"question_id":"q1","generation":"a"}`, nil, []string{"q1 text=a"}},
		{"response, and what it has of its own", `{"question_id":"q1","output":"a","response":{"id":1},"solution":null}`, nil, []string{"q1 text=a"}},
		{"response as a list", `{"question_id":"q1","response":["a","b"]}`, nil, []string{"q1 text=a", "q1 text=b"}},
		{"a row of a cell file", `{"question_id":"q1","index":0,"completion":"t","code":"c"}`, nil, []string{"q1 text=t code=c"}},
		{"equal names", `{"question_id":"q1","completion":"a","generation":"a"}`, nil, []string{"q1 text=a"}},
		{"named fields", `{"task":"q1","sample":7,"raw":"a","code":5}`, map[string]string{"id": "task", "completion_id": "sample", "output": "raw"}, []string{"q1 text=a"}},
		{"named code", `{"question_id":"q1","raw":"a","output":"b"}`, map[string]string{"code": "raw"}, []string{"q1 text= code=a"}},
		{"half a surrogate", `{"question_id":"q1","code":"\ud83d","output":"\ud83d\ude00 \ude00"}`, nil, []string{"q1 text=😀 \xed\xb8\x80 code=\xed\xa0\xbd"}},
		{"half a surrogate in a list", `[{"question_id":"q1","code_list":["\ud83d"]}]`, nil, []string{"q1 text= code=\xed\xa0\xbd"}},
		{"equal keys", `{"question_id":"q2","code":"x","code":"a","question_id":"q1"}`, nil, []string{"q1 text= code=a"}},
		{"an unknown list first", `{"tags":["x"],"question_id":"q1","code":"a"}`, nil, []string{"q1 text= code=a"}},
	} {
		if c.want == nil {
			c.want = []string{"3674 text= code=a", "q1 text= code=", "q2 text= code=b"}
		}
		for _, dress := range []string{"plain", "gzip", "zstd", "mark", "crlf"} {
			file := c.file
			switch dress {
			case "mark":
				file = "\uFEFF" + file
			case "crlf":
				file = strings.ReplaceAll(file, "\n", "\r\n") + "\r\n"
			}
			o := replay.Options{IDs: ids, Fields: c.fields}
			e, err := replay.Load(write(t, pack(t, dress, file)), o)
			if err != nil {
				t.Errorf("%s, %s: %v", c.name, dress, err)
				continue
			}
			var got []string
			for row, err := range replay.Checked(strings.NewReader(pack(t, dress, file)), "c.json", o) {
				if err != nil {
					t.Fatal(err)
				}
				one, err := e.Generate(t.Context(), engine.Request{QuestionID: row.QuestionID, First: row.Index, N: 1})
				if err != nil {
					t.Fatalf("%s, %s: %v", c.name, dress, err)
				}
				want := engine.Completion{Code: row.Code, FinishReason: row.FinishReason, Tokens: row.Tokens}
				if row.Output != nil {
					want.Text = *row.Output
				}
				if show(one[0]) != show(want) {
					t.Errorf("%s, %s: the engine gives %s, the reading %s", c.name, dress, show(one[0]), show(want))
				}
				got = append(got, row.QuestionID+" "+show(one[0]))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%s, %s: %q, want %q", c.name, dress, got, c.want)
			}
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestFormsRefuse(t *testing.T) {
	t.Parallel()
	ids := []string{"q1", "q2"}
	for _, c := range []struct{ file, want string }{
		{`[["a"]]`, "c.json:1: 1 lists of programs without ids, the problem set has 2 questions"},
		{"[[],[],\n[]]", "c.json:2: list 3 of programs without ids, the problem set has 2 questions"},
		{"[[\"a\"],\n[\"b\",5]]", "c.json:2: [1][1]: 5, want text"},
		{"{\"q1\": [\"a\"],\n\"q2\": [[]]}", "c.json:2: q2[0]: [], want text"},
		{"{\"q1\": [\"a\"],\n\"q1\": []}", "c.json:2: q1: the question stands at line 1 already"},
		{"{\"q1\": [\"a\"]\n\"q2\": []}", "c.json:2: not JSON: column 1: want a comma or the object's end"},
		{`{"question_id":"q1","completion":"a","generation":"b"}`, "c.json:1: completion: it differs from generation, which can be the same thing\nsay which one to read with --field output=NAME"},
		{`{"question_id":"q1","code":"a","code_list":["b"]}`, "c.json:1: code: it differs from code_list"},
		{`{"question_id":"q1","response":{"text":"a"}}`, `c.json:1: response: {"text":"a"}, want text or a list of texts`},
		{`{"question_id":true,"code":"a"}`, "c.json:1: question_id: true, want text or a whole number"},
		{`{"question_id":1.5,"code":"a"}`, "c.json:1: question_id: 1.5, want"},
		{`{"question_id":"q1","code_list":null}`, "c.json:1: code_list: null, want a list of texts"},
		{`{"question_id":"q1","code":"a","tokens":1.5}`, "c.json:1: tokens: 1.5, want a whole number"},
		{`{"question_id":"q1","code":"a","tokens":NaN}`, "c.json:1: tokens: NaN, want a whole number"},
		{`{"question_id":"q1","code":"a","finish_reason":7}`, "c.json:1: finish_reason: 7, want text"},
		{"PK\x03\x04", "c.json: the file is a zip archive"},
		{"question_id,code\nq1,a", "c.json:1: not a JSON object: column 1: want an object, got 'q'"},
		{"[]", "c.json: no rows"},
		{"{}", "c.json:1: question_id: missing"},
		{strings.Repeat(" ", 1<<17) + "x", "c.json:1: not a JSON object: column 131073"},
	} {
		_, err := replay.Load(write(t, c.file), replay.Options{IDs: ids})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60q: %v, want %s", c.file, err, c.want)
		}
	}
}

// TestSkip wants bad rows left out, told and not counted among the rows of their question, and a file that
// ends in the middle refused all the same.
func TestSkip(t *testing.T) {
	t.Parallel()
	const lines = `{"question_id":"a","code":"x"}
{"question_id":"a","code":5}
nonsense
{"question_id":"a","completion_id":"1","code":"y"}
{"question_id":"a","completion_id":"1","code":"z"}
`
	const list = `[{"question_id":"a","code_list":["x","y"]},` + "\n" + `{"code_list":["z"]}, 7, {"question_id":"b","code_list":[1]}]`
	for file, want := range map[string]string{lines: "a0=x a1=y | 2 3 5", list: "a0=x a1=y | 2 2 2"} {
		var got, skipped []string
		o := replay.Options{Skip: func(e *replay.RowError) { skipped = append(skipped, fmt.Sprint(e.Line)) }}
		for row, err := range replay.Checked(strings.NewReader(file), "f", o) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%s%d=%s", row.QuestionID, row.Index, *row.Code))
		}
		if all := strings.Join(got, " ") + " | " + strings.Join(skipped, " "); all != want {
			t.Errorf("%q, want %q", all, want)
		}
	}
	o := replay.Options{Skip: func(*replay.RowError) {}}
	for _, cut := range []string{list[:len(list)-1], "nonsense", "[7]"} {
		if _, err := replay.Load(write(t, cut), o); err == nil {
			t.Errorf("%.20q is accepted", cut)
		} else if wrong, ok := errors.AsType[*replay.RowError](err); !ok || !wrong.Final {
			t.Errorf("%.20q: %v, want a final error", cut, err)
		}
	}
}

// TestLongRow wants one line of a gigabyte to cost itself and not our memory.
func TestLongRow(t *testing.T) {
	t.Parallel()
	long := io.MultiReader(
		strings.NewReader("{\"question_id\":\"a\",\"code\":\"x\"}\n{\"code\":\""), io.LimitReader(letters{}, 300<<20),
		strings.NewReader("\"}\n{\"question_id\":\"a\",\"code\":\"y\"}"),
	)
	var got []string
	for row, err := range replay.Rows(long, "f", replay.Options{}) {
		got = append(got, fmt.Sprintf("%d %v", row.Line, err))
	}
	if want := []string{"1 <nil>", "2 f:2: row of more than 256 MiB, want one JSON object on each line", "3 <nil>"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

type letters struct{}

func (letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}

// TestNothingLeft wants the temporary file of a compressed recording gone while it is in use.
func TestNothingLeft(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	path := filepath.Join(t.TempDir(), "c.gz")
	if err := os.WriteFile(path, []byte(pack(t, "gzip", `{"question_id":"a","code":"x"}`)), 0o600); err != nil {
		t.Fatal(err)
	}
	e := load(t, path)
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v, %v left beside an open recording", left, err)
	}
	if got, err := e.Generate(t.Context(), engine.Request{QuestionID: "a", N: 1}); err != nil || *got[0].Code != "x" {
		t.Errorf("Generate = %v, %v", got, err)
	}
}
