package official

import (
	"strings"
	"testing"

	"github.com/lcbq/lcbq/stream"
)

func TestReadForeign(t *testing.T) {
	t.Parallel()
	const file = `[{"question_id":"a","output_list":["x","y","z","w","v","u","t"],"code_list":["1",null,"2","3","4","5","6"],"graded_list":[true,false,false,false,false,false,false],
	 "metadata":["{}","{\"error_code\":-4,\"error_message\":\"Runtime Error\"}",{"error_code":-3},"garbage","{\"error_code\":-5,\"error\":\"E\"}",
	 "{\"verdict\":\"passed\"}","{\"error_code\":-4,\"verdict\":\"judge_fault\"}"],"pass@1":0.2,"more":[1]}]`
	want := []stream.Verdict{stream.Passed, stream.NoCode, stream.TimeLimit, stream.WrongAnswer, stream.RuntimeError, stream.WrongAnswer, stream.RuntimeError}
	for r, err := range Read(strings.NewReader(file), "x") {
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range r.Samples {
			if s.Verdict != want[i] || s.Validate() != nil {
				t.Errorf("sample %d: %+v, want %s", i, s, want[i])
			}
		}
	}
}

// TestReadForms wants the forms that other tools write read as the one: both questions, one sample passed
// and one not, half a surrogate kept.
func TestReadForms(t *testing.T) {
	t.Parallel()
	form := func(id, list, metadata string) string {
		one := func(id, graded string) string {
			return `{"question_id":` + id + list + `"code_list":["print('\ud83d')"],"graded_list":[` + graded + `],"pass@1":NaN` + metadata + `}`
		}
		graded := []string{"true", "false"}
		if id == "1" {
			graded = []string{"1", "0"}
		}
		return "\uFEFF[" + one(id, graded[0]) + ",\r\n" + one("4", graded[1]) + "]\r\n"
	}
	for name, file := range map[string]string{
		"as the runner writes": form(`"1"`, `,"output_list":["o"],`, `,"metadata":["{}"]`), "ids and grades as numbers": form("1", ",", ""),
		"metadata an object": form(`"1"`, ",", `,"metadata":{}`), "metadata null": form(`"1"`, `,"output_list":[null],`, `,"metadata":null`),
		"metadata objects": form(`"1"`, ",", `,"metadata":[{"error_code":-2}]`), "metadata numbers": form(`"1"`, ",", `,"metadata":[NaN]`),
	} {
		var got []string
		for r, err := range Read(strings.NewReader(file), "x") {
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			s := r.Samples[0]
			got = append(got, r.Question.ID+" "+s.Verdict.String()+" "+s.Code)
		}
		if all := strings.Join(got, ", "); all != "1 passed print('\xed\xa0\xbd'), 4 wrong_answer print('\xed\xa0\xbd')" {
			t.Errorf("%s: %q", name, all)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ file, want string }{
		{``, "want a list"},
		{`{}`, "want a list"},
		{`[`, "the text ends"},
		{"[\n{\"question_id\":\"a\"", "f.json:2: problem 0"},
		{`[{"question_id":"a","output_list":["x"],"graded_list":[true]}]`, "code_list is missing"},
		{`[{"question_id":"a","code_list":["x"],"graded_list":[2]}]`, "f.json:1: problem 0 (question_id \"a\"): graded_list: entry 0 is 2, want true, false, 1 or 0"},
		{`[{"question_id":"a","code_list":["x",5],"graded_list":[1,0]}]`, "code_list: column 38: want a string, got a number"},
		{`[{"question_id":"a","code_list":["x"],"graded_list":[1]} 7]`, "after a problem: column"},
		{`[{"output_list":[]}]`, "question_id is missing"},
		{`[{"question_id":"a","output_list":["x"],"code_list":["x"]}]`, "graded_list is missing"},
		{`[{"question_id":"a","output_list":["x"],"code_list":[],"graded_list":[true]}]`, "code_list 0"},
		{`[{"question_id":"a","output_list":["x"],"code_list":["x"],"graded_list":[true],"metadata":["{}","{}"]}]`, "metadata has 2"},
		{`[{"question_id":"a","output_list":[],"code_list":[],"graded_list":[]},{"question_id":"a","output_list":[],"code_list":[],"graded_list":[]}]`, "comes twice"},
		{`[{"question_id":"b","output_list":[],"code_list":[],"graded_list":[]}]`, "not in the problem set"},
	} {
		im := Import{Index: func(id string) (int, bool) { return 7, id == "a" }}
		if _, err := im.Write(t.TempDir(), strings.NewReader(tt.file), "f.json"); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "f.json") {
			t.Errorf("%s: %v, want an error with %q and the file", tt.file, err, tt.want)
		}
	}
	for _, file := range []string{``, `{}`, `[]`, `[{"pass@x":1}]`, `[{"pass@1":"y"}]`} {
		if got, err := ReadMetrics(strings.NewReader(file), "f"); err == nil {
			t.Errorf("ReadMetrics(%s) = %v, want an error", file, got)
		}
	}
}
