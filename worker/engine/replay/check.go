package replay

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"iter"
)

// maxFaults is how many bad rows an error tells of: enough to see the pattern,
// few enough to read. The others are counted.
const maxFaults = 20

// ErrUnknown says that a row is of a question that the problem set does not have:
// perhaps the problem set is the wrong one, which the caller can say.
var ErrUnknown = errors.New("is not in the problem set")

// Checked reads rows as Rows does and yields good ones only. Two rows of one
// question with one completion_id are bad, as are rows of unknown questions and a file
// without rows. Unless
// o.Skip takes them, the bad rows are yielded as one error, the last thing there
// is, that tells of the first twenty by file, line and field and counts the rest.
func Checked(r io.Reader, name string, o Options) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		var (
			faults []error
			bad    int
			good   int
			named  = map[uint64]struct{}{} // digests of (question, completion_id): 64 bits are plenty for millions
			seed   = maphash.MakeSeed()
			asked  = make(map[string]bool, len(o.IDs))
		)
		for _, id := range o.IDs {
			asked[id] = true
		}
		for row, err := range Rows(r, name, o) {
			if err == nil && o.IDs != nil && !asked[row.QuestionID] {
				err = &RowError{File: name, Line: row.Line, Element: row.Element, Field: "question_id", Err: fmt.Errorf("%q %w %s", row.QuestionID, ErrUnknown, o.Set)}
			}
			if err == nil && row.CompletionID != "" {
				key := maphash.Comparable(seed, [2]string{row.QuestionID, row.CompletionID})
				if _, twice := named[key]; twice {
					err = &RowError{
						File: name, Line: row.Line, Element: row.Element, Field: "completion_id",
						Err: fmt.Errorf("%q of question %q stands in an earlier row already", row.CompletionID, row.QuestionID),
					}
				}
				named[key] = struct{}{}
			}
			if wrong, ok := errors.AsType[*RowError](err); ok {
				if o.Skip != nil && !wrong.Final {
					o.Skip(wrong)
					continue
				}
				if bad++; len(faults) < maxFaults || wrong.Final {
					faults = append(faults, err)
				}
				continue
			}
			good++
			if bad == 0 && !yield(row, nil) {
				return
			}
		}
		if bad > len(faults) {
			faults = append(faults, fmt.Errorf("%s: and %d more bad rows", name, bad-len(faults)))
		}
		if bad == 0 && good == 0 {
			faults = append(faults, &RowError{File: name, Err: errors.New("no rows"), Final: true})
		}
		if err := errors.Join(faults...); err != nil {
			yield(Row{}, err)
		}
	}
}
