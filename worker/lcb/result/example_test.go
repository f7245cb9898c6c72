package result_test

import (
	"fmt"
	"os"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// A cell is written in two passes: the counts stand before the samples.
func ExampleCellWriter() {
	dir, err := os.MkdirTemp("", "results")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir) //nolint:errcheck // an example's folder
	samples := []result.Sample{
		{Sample: stream.Sample{Index: 0, Code: "print(1)", Tokens: 4}, Judgement: stream.Judgement{Verdict: stream.Passed}},
		{Sample: stream.Sample{Index: 1, Code: "print(2)", Tokens: 4}, Judgement: stream.Judgement{Verdict: stream.WrongAnswer}},
	}
	var tally result.Tally
	for i := range samples {
		tally.Add(&samples[i])
	}
	w, err := result.CreateCell(result.CellPath(dir, 3, 0.7), &result.Header{
		QuestionIdx: 3, QuestionID: "abc301_a", Temperature: 0.7, Counts: tally.Counts(), Engine: "vllm", Judge: "lcb",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for i := range samples {
		if err := w.Add(&samples[i]); err != nil {
			fmt.Println(err)
		}
	}
	digest, err := w.Commit() // the file is there, whole, or it is not
	fmt.Println(digest.Bytes > 0, err)

	cell, err := result.OpenCell(result.CellPath(dir, 3, 0.7))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cell.Close() //nolint:errcheck // it is only read
	fmt.Println(cell.Header().N, cell.Header().PassRate)
	for s, err := range cell.Samples() {
		fmt.Println(s.Index, s.Verdict, err)
	}
	// Output:
	// true <nil>
	// 2 50
	// 0 passed <nil>
	// 1 wrong_answer <nil>
}
