package replay_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/worker/engine"
	"github.com/lcbq/lcbq/worker/engine/replay"
)

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t *testing.T, path string) *replay.Engine {
	t.Helper()
	e, err := replay.Load(path, replay.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// show renders a completion so that a table can say what is expected.
func show(c engine.Completion) string {
	s := "text=" + c.Text
	if c.Code != nil {
		s += " code=" + *c.Code
	}
	if c.FinishReason != "" {
		s += " finish=" + c.FinishReason
	}
	if c.Tokens != 0 {
		s += fmt.Sprintf(" tokens=%d", c.Tokens)
	}
	return s
}

func TestGenerate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, file string
		want       map[string][]string
		ids        []string
	}{
		{
			"lines keep file order within a question",
			`{"question_id":"b","completion_id":"x","output":"one"}` + "\n" +
				`{"question_id":"a","code":"two"}` + "\n\n" +
				`{"question_id":"b","output":"three","code":"drei","finish_reason":"length","tokens":7,"more":[1]}`,
			map[string][]string{"b": {"text=one", "text=three code=drei finish=length tokens=7"}, "a": {"text= code=two"}},
			[]string{"b", "a"},
		},
		{
			"byte order mark, windows newlines, numeric ids, nulls",
			"\uFEFF \r\n" + `{"question_id":3674,"completion_id":0,"output":null,"code":""}` + "\r\n" +
				`{"question_id":"3674","completion_id":null,"output":"é\u00e9\n"}` + "\r\n",
			map[string][]string{"3674": {"text= code=", "text=éé\n"}},
			[]string{"3674"},
		},
		{
			"list form, id behind the lists, strange spacing",
			"\n [ {\"code_list\" :\t[ \"p, [\\\"1\\\"]\" ,\n\"q\"],\"x\":{\"code_list\":[1]},\"question_id\": \"a\"}\n,{\"question_id\":7,\"output_list\":[\"o\",\"\"],\"code_list\":[\"c\",\"d\"]},\n" +
				`{"question_id":"none","code_list":[]},{"question_id":"t","output_list":["only"]}]` + "\n",
			map[string][]string{"a": {`text= code=p, ["1"]`, "text= code=q"}, "7": {"text=o code=c", "text= code=d"}, "t": {"text=only"}, "none": nil},
			[]string{"a", "7", "t"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := load(t, write(t, tt.file))
			if got := e.IDs(); !slices.Equal(got, tt.ids) {
				t.Errorf("IDs() = %q, want %q", got, tt.ids)
			}
			for id, want := range tt.want {
				if e.Count(id) != len(want) {
					t.Errorf("Count(%q) = %d, want %d", id, e.Count(id), len(want))
				}
				for first := range want { // every tail, so that First matters
					r := engine.Request{QuestionID: id, First: first, N: len(want) - first}
					got, err := e.Generate(t.Context(), r)
					if err != nil {
						t.Fatal(err)
					}
					shown := []string{}
					for _, c := range got {
						shown = append(shown, show(c))
					}
					if !slices.Equal(shown, want[first:]) {
						t.Errorf("Generate(%q, %d) = %q, want %q", id, first, shown, want[first:])
					}
				}
				_, err := e.Generate(t.Context(), engine.Request{QuestionID: id, First: 0, N: len(want) + 1})
				if !errors.Is(err, engine.ErrRejected) {
					t.Errorf("Generate beyond the recording = %v, want ErrRejected", err)
				}
			}
		})
	}
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, file, want string }{
		{"empty", "", "c.json: no rows"},
		{"blank", " \n\t", "c.json: no rows"},
		{"cut line", "\n{\"question_id\":\"a\",\"code\":\"x\"}\n{\"question_id\":", "c.json:3: not a JSON object: column 16: want a value, but the text ends"},
		{"no id", `{"code":"x"}`, "c.json:1: question_id: missing"},
		{"id of a wrong kind", `{"question_id":[1],"code":"x"}`, "c.json:1: question_id: [1], want text or a whole number"},
		{"nothing recorded", `{"question_id":"a","text":null}`, `c.json:1: code: missing, want "code" or "output"`},
		{"code of a wrong kind", `{"question_id":"a","code":{"x":1}}`, `c.json:1: code: {"x":1}, want text or a list of texts`},
		{"negative tokens", `{"question_id":"a","code":"x","tokens":-1}`, "c.json:1: tokens: -1"},
		{"not UTF-8", "{\"question_id\":\"a\",\"code\":\"\xff\"}", "c.json:1: not a JSON object: column 27: string is not UTF-8"},
		{"text line", "hello", "c.json:1: not a JSON object"},
		{"number line", "{\"question_id\":\"a\",\"code\":\"\"}\n17", "c.json:2: a number, want one JSON object a line"},
		{
			"one completion twice", `{"question_id":"a","completion_id":"1","code":"x"}` + "\n" + `{"question_id":"b","completion_id":"1","code":"x"}` + "\n" + `{"question_id":"a","completion_id":1,"code":"y"}`,
			`c.json:3: completion_id: "1" of question "a" stands in an earlier row`,
		},
		{"all faults", "{}\n{\"question_id\":\"a\",\"code\":\"x\"}\n[]", "c.json:1: question_id: missing, want the question's id; one of another name is read with --field id=NAME\n"},
		{"a later fault", "{}\n{\"question_id\":\"a\",\"code\":\"x\"}\n[]", "c.json:3: a list, want one JSON object a line"},
		{"broken list", "[{\"question_id\":\"a\",\n\n\"code_list\":[\"x\" \"y\"]}]", "c.json:3: not JSON: column 18: want a comma or the list's end, got '\"'"},
		{"list of lists", `[["a"]]`, "c.json:1: programs without question ids"},
		{"list of numbers", `[7]`, `c.json:1: 7, want {"question_id", "code_list"} or a list of programs`},
		{"list without id", "[\n{\"code_list\":[]}]", "c.json:2: question_id: missing"},
		{"list without codes", "[\n\n{\"question_id\":\"a\"}]", "c.json:3: code: missing"},
		{"list in one line", `[{"question_id":"a","code":"x"},{"question_id":"b"}]`, "c.json:1: element 2: code: missing"},
		{"one completion twice in one line", `[{"question_id":"a","completion_id":1,"code":"x"},{"question_id":"a","completion_id":1,"code":"x"}]`, "c.json:1: element 2: completion_id:"},
		{"list that is null", `[{"question_id":"a","code_list":null}]`, "c.json:1: code_list: null, want a list of texts"},
		{"list with a number", "[{\"question_id\":\"a\",\"code_list\":[\"x\",\n5]}]", "c.json:1: code_list[1]: 5, want text"},
		{"list that is none", `[{"question_id":"a","code_list":5}]`, "c.json:1: code_list: 5, want text or a list of texts"},
		{"lists of two lengths", `[{"question_id":"a","code_list":["x"],"output_list":[]}]`, "c.json:1: code_list: 1 programs beside 0 texts in output_list"},
		{"question twice", "[{\"question_id\":\"1\",\"code_list\":[]},\n{\"question_id\":1,\"code_list\":[]}]", `c.json:2: question_id: "1" stands at line 1`},
		{"cut list", "[{\"question_id\":\"a\",\"code_list\":[\"x\",\n\"y", "c.json:2: not JSON: column 3: string does not end, but the text ends"},
		{"list and more", "[]\n[]", "c.json:2: not JSON: column 1: want nothing after the value"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e, err := replay.Load(write(t, tt.file), replay.Options{})
			if err == nil {
				t.Fatalf("Load = %v, nil, want %q", e.IDs(), tt.want)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Load = %q, want %q", err, tt.want)
			}
			if _, ok := errors.AsType[*replay.RowError](err); !ok {
				t.Errorf("Load = %T, want a RowError in it", err)
			}
		})
	}
	if _, err := replay.Load(filepath.Join(t.TempDir(), "none"), replay.Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load of no file = %v, want ErrNotExist", err)
	}
}

func TestLoadTellsOfTwentyFaults(t *testing.T) {
	t.Parallel()
	_, err := replay.Load(write(t, strings.Repeat("{}\n", 50)), replay.Options{})
	if n := strings.Count(fmt.Sprint(err), "\n") + 1; n != 21 || !strings.HasSuffix(err.Error(), "c.json: and 30 more bad rows") {
		t.Errorf("Load reports %d lines, want 20 faults and the count of the others: %v", n, err)
	}
}

func TestGenerateRefusesChangedFile(t *testing.T) {
	t.Parallel()
	path := write(t, `{"question_id":"a","code":"x"}`)
	e := load(t, path)
	if err := os.WriteFile(path, []byte(`{"question_id":"a","code":"xyz"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := e.Generate(t.Context(), engine.Request{QuestionID: "a", N: 1}); err == nil {
		t.Errorf("Generate from a changed file = %v, nil, want an error", got)
	}
}

// TestRows wants a caller to be able to go on behind a bad line, and to leave.
func TestRows(t *testing.T) {
	t.Parallel()
	const file = `{"question_id":"a","code":"x"}
nonsense
{"question_id":"a","code":"y"}
{"question_id":"b","code":"z"}`
	got := []string{}
	for row, err := range replay.Rows(strings.NewReader(file), "f", replay.Options{}) {
		got = append(got, fmt.Sprint(row.Line, row.QuestionID, row.Index, err != nil))
		if row.Line == 3 {
			break
		}
	}
	if want := []string{"1a0 false", "20 true", "3a1 false"}; !slices.Equal(got, want) {
		t.Errorf("Rows = %q, want %q", got, want)
	}
}

// TestBothFormsAgree writes the same awkward programs in both forms, large
// enough that every buffer is refilled many times, and wants them back alike.
func TestBothFormsAgree(t *testing.T) {
	t.Parallel()
	type question struct {
		ID    string   `json:"question_id"`
		Codes []string `json:"code_list"`
	}
	questions := []question{}
	lines := strings.Builder{}
	for q := range 5 {
		one := question{ID: fmt.Sprintf("q%d", q)}
		for i := range 200 {
			code := fmt.Sprintf("print(%d) # %s\n\t\"\\ ]}, é", i, strings.Repeat("x", (i*i*37)%9000))
			one.Codes = append(one.Codes, code)
			row, err := json.Marshal(map[string]string{"question_id": one.ID, "code": code})
			if err != nil {
				t.Fatal(err)
			}
			lines.Write(append(row, '\n'))
		}
		questions = append(questions, one)
	}
	list, err := json.MarshalIndent(questions, "", "    ")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{lines.String(), string(list)} {
		e := load(t, write(t, file))
		for _, q := range questions {
			got, err := e.Generate(t.Context(), engine.Request{QuestionID: q.ID, N: len(q.Codes)})
			if err != nil {
				t.Fatal(err)
			}
			for i, c := range got {
				if c.Code == nil || *c.Code != q.Codes[i] {
					t.Fatalf("%s sample %d = %s, want %q", q.ID, i, show(c), q.Codes[i])
				}
			}
		}
	}
	last := 0
	for row, err := range replay.Rows(strings.NewReader(string(list)), "f", replay.Options{}) {
		if err != nil {
			t.Fatal(err)
		}
		if row.Line <= last {
			t.Fatalf("line %d follows line %d", row.Line, last)
		}
		last = row.Line
	}
	// Behind the last program: the closings of list, object and file.
	if want := strings.Count(string(list), "\n") + 1 - 3; last != want {
		t.Errorf("last program at line %d, want %d", last, want)
	}
}

// TestRealCompletions reads LiveCodeBench completions of small models, where
// they are at hand.
func TestRealCompletions(t *testing.T) {
	t.Parallel()
	path := filepath.Join("..", "..", "..", "..", "shared", "lcb", "completions.jsonl")
	if _, err := os.Stat(path); err != nil {
		t.Skip("no recorded completions beside the repository: ", err)
	}
	e := load(t, path)
	total := 0
	for _, id := range e.IDs() {
		all, err := e.Generate(t.Context(), engine.Request{QuestionID: id, N: e.Count(id)})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range all {
			if c.Text == "" || c.Code == nil {
				t.Fatalf("question %s: %s, want text and code", id, show(c))
			}
		}
		total += len(all)
	}
	if len(e.IDs()) != 58 || total < 4900 {
		t.Errorf("%d questions, %d completions, want 58 and about 5,000", len(e.IDs()), total)
	}
}

func FuzzRows(f *testing.F) {
	f.Add(`{"question_id":"a","code":"x"}` + "\n{}")
	f.Add(`[{"question_id":"a","code_list":["x"]}]`)
	f.Fuzz(func(t *testing.T, file string) {
		path := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		e, err := replay.Load(path, replay.Options{})
		if err != nil {
			return
		}
		defer func() { _ = e.Close() }()
		for row, err := range replay.Rows(strings.NewReader(file), "f", replay.Options{}) {
			if err != nil {
				t.Fatal(err)
			}
			got, err := e.Generate(t.Context(), engine.Request{QuestionID: row.QuestionID, First: row.Index, N: 1})
			if err != nil {
				t.Fatal(err)
			}
			want := engine.Completion{Code: row.Code, FinishReason: row.FinishReason, Tokens: row.Tokens}
			if row.Output != nil {
				want.Text = *row.Output
			}
			if show(got[0]) != show(want) {
				t.Fatalf("sample %d of %q = %s, want %s", row.Index, row.QuestionID, show(got[0]), show(want))
			}
		}
	})
}
