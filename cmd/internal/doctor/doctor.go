// Package doctor looks at what a machine has for lcbq, and names a remedy for each gap. A
// look changes nothing that outlives it: files it makes are removed, servers stopped.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// A Result says what a finding means for somebody who wants to start.
type Result string

// The results.
const (
	Pass Result = "pass"
	Warn Result = "warn" // something works less well, or one engine not at all
	Fail Result = "fail" // lcbq cannot work here
)

// A Finding is one line of the report.
type Finding struct {
	Check  string `json:"check"`
	Result Result `json:"result"`
	Says   string `json:"says"`
	Remedy string `json:"remedy,omitempty"` // of what does not pass
}

// A Check looks at one thing. It returns one finding or several.
type Check func(ctx context.Context) []Finding

// ErrFails is what Examine returns beside findings that fail.
var ErrFails = errors.New("lcbq cannot work on this machine")

// Examine makes the checks one after the other, because a measurement of one would suffer
// from another's, and returns all that they found. The error wraps ErrFails if one fails.
func Examine(ctx context.Context, checks ...Check) ([]Finding, error) {
	var all []Finding
	var failed []string
	for _, check := range checks {
		for _, f := range check(ctx) {
			all = append(all, f)
			if f.Result == Fail {
				failed = append(failed, f.Check)
			}
		}
		if ctx.Err() != nil {
			return all, context.Cause(ctx)
		}
	}
	if len(failed) > 0 {
		return all, fmt.Errorf("%w: %s", ErrFails, strings.Join(failed, ", "))
	}
	return all, nil
}

// The width that a report has room for, and that of its first two columns.
const (
	width  = 80
	margin = 28
)

// Write prints findings for people, within 80 columns.
func Write(w io.Writer, findings []Finding) error {
	for _, f := range findings {
		lines := append(wrap(f.Says, width-margin), wrap(f.Remedy, width-margin)...)
		for i, line := range lines {
			mark, name := string(f.Result), f.Check
			if i > 0 {
				mark, name = "", ""
			}
			if _, err := fmt.Fprintf(w, "%-4s %-22s %s\n", mark, name, line); err != nil {
				return fmt.Errorf("write the report: %w", err)
			}
		}
	}
	return nil
}

// wrap breaks text into lines of at most most characters, where its words allow it.
func wrap(text string, most int) []string {
	var lines []string
	for paragraph := range strings.Lines(text) {
		line := ""
		for word := range strings.FieldsSeq(paragraph) {
			if line != "" && len([]rune(line))+1+len([]rune(word)) > most {
				lines, line = append(lines, line), ""
			}
			if line != "" {
				line += " "
			}
			line += word
		}
		lines = append(lines, line)
	}
	return lines
}

// one makes a check of one finding.
func one(name string, look func(ctx context.Context) Finding) Check {
	return func(ctx context.Context) []Finding {
		f := look(ctx)
		f.Check = name
		return []Finding{f}
	}
}

// removeAll removes what a check made, and says what it could not.
func removeAll(dir string, err error) error { return errors.Join(err, os.RemoveAll(dir)) }
