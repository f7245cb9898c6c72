// Package sample holds twelve problems written for lcbq, six that read stdin and
// six that are called, in LiveCodeBench's own row format. They try the machinery
// out and measure no model: it knows no model and no way to solve them.
package sample

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/lcbq/lcbq/worker/lcb"
)

// rows are the twelve problems as a problem file holds them, but for the large
// tests of one, which add makes. The package's tests write this file.
//
//go:embed problems.jsonl
var rows []byte

// own is a problem set as somebody writes it who has two problems.
//
//go:embed own.jsonl
var own []byte

// Own returns an example of a problem file of one's own: what a row needs, and
// nothing else. The bytes belong to the caller.
func Own() []byte { return bytes.Clone(own) }

var load = sync.OnceValue(parse)

// Problems returns the twelve problems sorted by id. They are the same at every
// call and in every build; the slice belongs to the caller.
func Problems() []*lcb.Problem { return append([]*lcb.Problem(nil), load()...) }

func parse() []*lcb.Problem {
	problems, err := lcb.ReadProblems(bytes.NewReader(rows), "built-in problems")
	if err != nil {
		panic(err) // the rows are part of the binary
	}
	for i, p := range problems {
		if p.ID != largeID {
			continue
		}
		if problems[i], err = withLargeTests(p); err != nil {
			panic(fmt.Errorf("built-in problem %s: %w", p.ID, err))
		}
	}
	return problems
}

// A test is one element of a row's list of tests.
type test struct {
	Input    string `json:"input"`
	Output   string `json:"output"`
	TestType string `json:"testtype"`
}

// withLargeTests returns p with its large tests appended to the private ones. A
// row may hold private tests as plain JSON, and so the same bytes come out of
// every build, which those of a compressor need not.
func withLargeTests(p *lcb.Problem) (*lcb.Problem, error) {
	var row map[string]json.RawMessage
	if err := json.Unmarshal(p.Row(), &row); err != nil {
		return nil, fmt.Errorf("parse row: %w", err)
	}
	var list string
	if err := json.Unmarshal(row["private_test_cases"], &list); err != nil {
		return nil, fmt.Errorf("parse private tests: %w", err)
	}
	var tests []test
	if err := json.Unmarshal([]byte(list), &tests); err != nil {
		return nil, fmt.Errorf("parse private tests: %w", err)
	}
	text, err := json.Marshal(tests)
	if err != nil {
		return nil, fmt.Errorf("write private tests: %w", err)
	}
	if row["private_test_cases"], err = json.Marshal(string(text[:len(text)-1]) + large + "]"); err != nil {
		return nil, fmt.Errorf("write private tests: %w", err)
	}
	out, err := json.Marshal(row)
	if err != nil {
		return nil, fmt.Errorf("write row: %w", err)
	}
	// The encoder would take a tenth of a short run for these megabytes, which need no escapes
	// but those that are written here.
	before, after, _ := bytes.Cut(out, []byte(large))
	return lcb.ParseProblem(slices.Concat(before, largeTests(), after))
}

// large stands for the large tests in a row that is being written.
const large = "the large tests"

// largeTests returns the large tests as they stand in a row: in a list of tests that is
// written as JSON into a JSON text.
func largeTests() []byte {
	out := make([]byte, 0, 8<<20)
	for _, heights := range largeHeights() {
		out = append(out, `,{\"input\":\"`...)
		out = append(strconv.AppendInt(out, int64(len(heights)), 10), `\\n`...)
		out = append(appendNumbers(out, heights), `\\n\",\"output\":\"`...)
		out = append(appendNumbers(out, lookBack(heights)), `\\n\",\"testtype\":\"stdin\"}`...)
	}
	return out
}
