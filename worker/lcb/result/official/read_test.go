package official

import (
	"strings"
	"testing"

	"github.com/lcbq/lcbq/worker/lcb/result"
)

func TestReadForeign(t *testing.T) {
	t.Parallel()
	const file = `[{"question_id":"a","output_list":["x","y","z","w","v","u","t"],"code_list":["1",null,"2","3","4","5","6"],"graded_list":[true,false,false,false,false,false,false],
	 "metadata":["{}","{\"error_code\":-4,\"error_message\":\"Runtime Error\"}",{"error_code":-3},"garbage","{\"error_code\":-5,\"error\":\"E\"}",
	 "{\"verdict\":\"passed\"}","{\"error_code\":-4,\"verdict\":\"judge_fault\"}"],"pass@1":0.2,"more":[1]}]`
	want := []result.Verdict{result.Passed, result.NoCode, result.TimeLimit, result.WrongAnswer, result.RuntimeError, result.WrongAnswer, result.RuntimeError}
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

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ file, want string }{
		{``, "unexpected EOF"},
		{`{}`, "want a list"},
		{`[`, "EOF"},
		{`[{"question_id":"a"`, "problem 0"},
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
