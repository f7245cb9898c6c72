package window

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/stream"
)

// months are 8 questions, on the first and the last day of each month from January 2025 on.
func months() []Question {
	var out []Question
	for i, day := range []string{"2025-01-01T18:30:00", "2025-01-31", "2025-02-01T00:00:00", "2025-02-28 12:00:00", "2025-03-01", "2025-03-31", "2025-04-01", "2025-04-30T23:59:59"} {
		out = append(out, Question{fmt.Sprintf("q%d", i), "title", stream.Origin{
			Platform: []string{"atcoder", "leetcode"}[i%2], Difficulty: []string{"easy", "hard"}[i/4], ContestDate: day,
		}})
	}
	return out
}

func TestChoose(t *testing.T) {
	t.Parallel()
	half := months()
	for i := range half {
		if i%2 == 1 {
			half[i].ContestDate = "" // half of the rows say none
		}
	}
	for _, tt := range []struct {
		name                string
		all                 []Question
		from, to            string
		platforms, grades   []string
		list                string
		want                []int
		refused, andMention string
	}{
		{name: "all", all: half, want: []int{0, 1, 2, 3, 4, 5, 6, 7}},
		{name: "both days are included", all: months(), from: "2025-01-31", to: "2025-02-28", want: []int{1, 2, 3}},
		{name: "a month is all of it", all: months(), from: "2025-02", to: "2025-02", want: []int{2, 3}},
		{name: "from a month on", all: months(), from: "2025-03", want: []int{4, 5, 6, 7}},
		{name: "platform and difficulty", all: months(), platforms: []string{"leetcode"}, grades: []string{"hard"}, want: []int{5, 7}},
		{name: "several platforms", all: months(), platforms: []string{"leetcode", "atcoder"}, to: "2025-01", want: []int{0, 1}},
		{name: "exclusions", all: months(), to: "2025-02", list: "q1,two right answers\nelsewhere,known all the same\n", want: []int{0, 2, 3}},
		{name: "dates of the chosen only", all: half, platforms: []string{"atcoder"}, from: "2025-02", want: []int{2, 4, 6}},
		{name: "no dates in half of the rows", all: half, from: "2025-02", refused: "4 of 8 questions have no contest date (first: q1", andMention: "--exclude FILE"},
		{name: "excluded rows need no date", all: half[:4], from: "2025-01", list: "q1,no date\nq3,no date\n", want: []int{0, 2}},
		{name: "nothing", all: months(), from: "2026", refused: `--from = "2026": want a day`},
		{name: "nothing left", all: months(), from: "2026-01-01", refused: "no question of 8 is left: contests from 2026-01-01 on", andMention: "the contests are of 2025-01-01 to 2025-04-30"},
		{name: "one left", all: months(), from: "2025-01-31", to: "2025-01-31", refused: "one question of 8 is left, q1"},
		{name: "one of one", all: months()[:1], from: "2025-01", want: []int{0}},
		{name: "unknown platform", all: months(), platforms: []string{"codeforces"}, refused: `--platform = "codeforces": no question has it`, andMention: "atcoder, leetcode"},
		{name: "unknown difficulty", all: months(), grades: []string{"Hard"}, refused: `--difficulty = "Hard"`, andMention: "easy, hard"},
		{name: "unknown exclusion", all: months(), list: "question_id,reason\nq1,r\nnone,r\n", refused: `line 3: question "none" is not among these 8`},
		{name: "no reason", all: months(), list: "q1\n", refused: `line 1: "q1": want a question_id and a reason`},
		{name: "blank reason", all: months(), list: "q1, \n", refused: "line 1"},
		{name: "twice", all: months(), list: "q1,r\n# note\nq1,s\n", refused: `line 3: question "q1" stands on line 1 already`},
		{name: "empty list", all: months(), list: "# nothing\n", refused: "names no question"},
		{name: "not CSV", all: months(), list: "q1,\"r\n", refused: "line 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := ""
			if tt.list != "" {
				path = filepath.Join(t.TempDir(), "list.csv")
				if err := os.WriteFile(path, []byte(tt.list), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			w, err := New(tt.from, tt.to, tt.platforms, tt.grades, path, false)
			var got []int
			if err == nil {
				got, err = w.Choose(tt.all, func(id string) bool { return id == "elsewhere" })
			}
			switch {
			case tt.refused != "":
				if err == nil || !strings.Contains(err.Error(), tt.refused) || !strings.Contains(err.Error(), tt.andMention) {
					t.Errorf("%v, %v, want an error with %q and %q", got, err, tt.refused, tt.andMention)
				}
			case err != nil || !slices.Equal(got, tt.want):
				t.Errorf("%v, %v, want %v", got, err, tt.want)
			}
		})
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "known-bad.csv")
	if err := os.WriteFile(path, []byte("b,tests are wrong\na,\"several, all right\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w, err := New("2025-01", "2025-02", []string{"b", "a"}, []string{"easy"}, path, false)
	if err != nil {
		t.Fatal(err)
	}
	const want = "contests of 2025-01-01 to 2025-02-28; platform a, b; difficulty easy; without 2 of known-bad.csv"
	if got := Words(&w.Window); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := w.Excluded[1]; got.ID != "a" || got.Reason != "several, all right" {
		t.Errorf("excluded %+v", got)
	}
	if got := Words(&(&Window{}).Window); got != "all questions" {
		t.Errorf("no window is %q", got)
	}
}

func TestErrata(t *testing.T) {
	t.Parallel()
	all := months()
	all[2].ID, all[5].Title = "abc343_e", "find-the-peaks"
	path := filepath.Join(t.TempDir(), "own.csv")
	if err := os.WriteFile(path, []byte("q7,mine\nabc343_e,mine too\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w, err := New("", "", nil, nil, path, true)
	if err != nil {
		t.Fatal(err)
	}
	unknown := func(string) bool { return false }
	for range 2 { // a second choice, of another folder, adds nothing
		if got, err := w.Choose(all, unknown); err != nil || !slices.Equal(got, []int{0, 1, 3, 4, 6}) {
			t.Errorf("%v, %v, want all but 2, 5 and 7", got, err)
		}
	}
	want := []string{"abc343_e: mine too", "q5: several outputs are right, the tests accept one (errata)", "q7: mine"}
	var got []string
	for _, x := range w.Excluded {
		got = append(got, x.ID+": "+x.Reason)
	}
	if !slices.Equal(got, want) {
		t.Errorf("excluded %q, want %q", got, want)
	}
	if got := Words(&w.Window); got != "without 3 of own.csv and LiveCodeBench's ERRATA.md at 28fef95" {
		t.Errorf("%q", got)
	}
	w, err = New("", "", nil, nil, "", true)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := w.Choose(months(), unknown); err != nil || len(got) != 8 || !w.Empty() {
		t.Errorf("of a set without any of them: %v, %v, empty %v", got, err, w.Empty())
	}
}
