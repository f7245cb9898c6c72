package dataset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/lcbq/lcbq/worker/lcb"
)

// Info sums a problem file up.
type Info struct {
	Questions    int            `json:"questions"`
	Stdin        int            `json:"stdin"`
	Functional   int            `json:"functional"`
	Platforms    map[string]int `json:"platforms"`    // questions by platform
	Difficulties map[string]int `json:"difficulties"` // questions by difficulty
	From         string         `json:"from"`         // first and last contest date, as the rows write it; "" where none does
	To           string         `json:"to"`

	Tests        int    `json:"tests"`
	FewestTests  int    `json:"fewest_tests"` // of a question
	MostTests    int    `json:"most_tests"`
	Bytes        int64  `json:"bytes"`         // of the rows
	DecodedBytes int64  `json:"decoded_bytes"` // of the tests' inputs and outputs
	LargestBytes int64  `json:"largest_bytes"` // decoded tests of one question
	LargestID    string `json:"largest_id"`

	IDs    []string `json:"ids"`    // in the benchmark's order
	Digest string   `json:"digest"` // as lcb.Digest: what results name
	Broken int      `json:"broken"` // rows that cannot be used, and are in no other number
}

// Inspect reads a problem file to its end and sums it up, every test of every
// question looked at. It holds one row and its tests at a time, however large the
// file is. The name is for error texts.
//
// If rows are broken, the error tells of the first twenty and Info of the rest.
func Inspect(ctx context.Context, r io.Reader, name string) (Info, error) {
	info := Info{Platforms: map[string]int{}, Difficulties: map[string]int{}}
	var (
		reader  = lcb.NewReader(r, name)
		entries []lcb.Entry
		broken  []*lcb.RowError
		first   = map[string]int{}
	)
	for {
		if ctx.Err() != nil {
			return info, context.Cause(ctx)
		}
		p, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		var tests []lcb.Test
		if err == nil {
			if tests, err = p.Tests(); err != nil {
				err = reader.RowError(reader.Line(), p.ID, err)
			} else if line, twice := first[p.ID]; twice {
				err = &lcb.RowError{File: name, Line: reader.Line(), ID: p.ID, Field: "question_id", Err: fmt.Errorf("same id as line %d", line)}
			}
		}
		if row, ok := errors.AsType[*lcb.RowError](err); ok {
			broken = append(broken, row)
			continue
		}
		if err != nil {
			return info, err
		}
		first[p.ID] = reader.Line()
		info.add(p, tests)
		entries = append(entries, p.Entry())
		info.IDs = append(info.IDs, p.ID)
	}
	slices.Sort(info.IDs)
	info.Digest = lcb.DigestEntries(entries)
	info.Broken = len(broken)
	if err := lcb.JoinRowErrors(broken); err != nil {
		return info, err
	}
	if info.Questions == 0 {
		return info, fmt.Errorf("read %s: no problems in it", name)
	}
	return info, nil
}

func (i *Info) add(p *lcb.Problem, tests []lcb.Test) {
	i.Questions++
	if p.Functional() {
		i.Functional++
	} else {
		i.Stdin++
	}
	i.Platforms[p.Platform]++
	i.Difficulties[p.Difficulty]++
	if d := p.ContestDate; d != "" {
		if i.From == "" || d < i.From {
			i.From = d
		}
		i.To = max(i.To, d)
	}
	i.Bytes += int64(len(p.Row()))
	i.Tests += len(tests)
	if i.Questions == 1 || len(tests) < i.FewestTests {
		i.FewestTests = len(tests)
	}
	i.MostTests = max(i.MostTests, len(tests))
	size := int64(0)
	for _, t := range tests {
		size += int64(len(t.Input) + len(t.Output))
	}
	i.DecodedBytes += size
	if size > i.LargestBytes {
		i.LargestBytes, i.LargestID = size, p.ID
	}
}
