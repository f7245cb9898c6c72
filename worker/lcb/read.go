package lcb

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/lcbq/lcbq/worker/lcb/input"
	"github.com/lcbq/lcbq/worker/pyjson"
)

// A RowError is a row that cannot be used, and why.
type RowError struct {
	File  string
	Line  int    // from 1
	ID    string // of the question; "" where the row does not tell
	Field string // "" where the row as a whole is broken
	Err   error
}

// Error names the file, the line, the question and the field.
func (e *RowError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d: ", e.File, e.Line)
	if e.ID != "" {
		fmt.Fprintf(&b, "question %s: ", e.ID)
	}
	if e.Field != "" {
		fmt.Fprintf(&b, "%s: ", e.Field)
	}
	b.WriteString(e.Err.Error())
	return b.String()
}

// Unwrap returns the cause.
func (e *RowError) Unwrap() error { return e.Err }

// maxRow bounds one line of a problem file. The largest real rows are some tens
// of megabytes.
const maxRow = 1 << 30

// maxRowErrors bounds how many broken rows an error tells of, one a line.
const maxRowErrors = 20

// A Reader reads problems one row at a time, in file order. It holds one row.
type Reader struct {
	src  io.Reader
	text *input.Text // of src, once it is open
	name string
	line int
	// begun says that a row was read already.
	begun bool
}

// NewReader returns a Reader of JSON lines, plain or compressed with gzip or zstd,
// with or without a byte order mark. The name is for error texts.
func NewReader(r io.Reader, name string) *Reader { return &Reader{src: r, name: name} }

// Line returns the number of the line that Next read last, from 1.
func (r *Reader) Line() int { return r.line }

// Next returns the next problem, or io.EOF after the last one. A *RowError is
// about one row only: Next may be called again. Any other error is final. Tests
// are not decoded: see Problem.Tests and Reader.RowError.
func (r *Reader) Next() (*Problem, error) {
	for {
		row, err := r.row()
		if err != nil {
			return nil, err
		}
		text := bytes.TrimSpace(row)
		if len(text) == 0 {
			continue
		}
		if text[0] == '[' && !r.begun {
			return nil, fmt.Errorf("read %s: the file is a JSON list, want one JSON object on each line (jq -c '.[]' turns the one into the other)", r.name)
		}
		r.begun = true
		p, err := ParseProblem(row)
		if err != nil {
			return nil, r.RowError(r.line, rowID(row), err)
		}
		return p, nil
	}
}

// row returns the next line in memory of its own.
func (r *Reader) row() ([]byte, error) {
	if r.text == nil {
		text, err := input.Open(r.src)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", r.name, err)
		}
		r.text = text
	}
	r.line++
	var row []byte
	for {
		part, err := r.text.ReadSlice('\n')
		if len(row)+len(part) > maxRow {
			return nil, fmt.Errorf("read %s: line %d is longer than %d bytes", r.name, r.line, maxRow)
		}
		row = append(row, part...)
		switch {
		case err == nil, errors.Is(err, io.EOF) && len(row) > 0:
			// The row is kept for as long as the problem is: drop what append has spared.
			return slices.Clip(bytes.Clone(bytes.TrimRight(row, "\r\n"))), nil
		case errors.Is(err, io.EOF):
			r.text.Close()
			return nil, io.EOF
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("read %s: line %d: %w", r.name, r.line, err)
		}
	}
}

// RowError says that err, of ParseProblem or Tests, is about this line.
func (r *Reader) RowError(line int, id string, err error) *RowError {
	e := &RowError{File: r.name, Line: line, ID: id, Err: err}
	if f, ok := errors.AsType[*fieldError](err); ok {
		e.Field, e.Err = f.field, f.err
	}
	return e
}

// rowID returns the question id of a row that is otherwise broken, or "".
func rowID(row []byte) string {
	var id string
	r := pyjson.New(row)
	err := r.Object(func(key string) (err error) {
		if key == fieldID {
			id, err = readID(r)
			return err
		}
		return r.Skip()
	})
	// A row broken behind its id still has that id.
	if err != nil && validID(id) != nil {
		return ""
	}
	return id
}

// ReadProblems reads a whole problem file, decodes every test once to see that
// it can be used, and returns the problems sorted by id as strings, which is the
// benchmark's order. What it returns holds the rows as they were read.
//
// Nothing is returned unless every row is good. The error then joins the
// *RowErrors of the broken rows, the first twenty of them.
func ReadProblems(r io.Reader, name string) ([]*Problem, error) {
	var c checker
	reader := NewReader(r, name)
	// One decoder a core: inflating the tests is nearly all of the work.
	jobs := make(chan numbered)
	var decoders sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		decoders.Go(func() {
			var d decoder
			for job := range jobs {
				if _, err := d.tests(job.p); err != nil {
					c.refuse(reader.RowError(job.line, job.p.ID, err))
				}
			}
		})
	}
	err := c.read(reader, jobs)
	close(jobs)
	decoders.Wait()
	if err != nil {
		return nil, err
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	if len(c.problems) == 0 {
		return nil, fmt.Errorf("read %s: no problems in it", name)
	}
	slices.SortFunc(c.problems, func(a, b *Problem) int { return strings.Compare(a.ID, b.ID) })
	return c.problems, nil
}

type numbered struct {
	p    *Problem
	line int
}

// A checker collects problems and broken rows.
type checker struct {
	problems []*Problem // of the reading goroutine

	mu     sync.Mutex // guards broken: readers and decoders both refuse rows
	broken []*RowError
}

func (c *checker) refuse(e *RowError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken = append(c.broken, e)
}

func (c *checker) read(r *Reader, jobs chan<- numbered) error {
	first := make(map[string]int)
	for {
		p, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if broken, ok := errors.AsType[*RowError](err); ok {
			c.refuse(broken)
			continue
		}
		if err != nil {
			return err
		}
		if line, twice := first[p.ID]; twice {
			c.refuse(r.RowError(r.line, p.ID, &fieldError{fieldID, fmt.Errorf("same id as line %d", line)}))
			continue
		}
		first[p.ID] = r.line
		c.problems = append(c.problems, p)
		jobs <- numbered{p, r.line}
	}
}

// err joins what was refused, in file order.
func (c *checker) err() error { return JoinRowErrors(c.broken) }

// JoinRowErrors returns one error that tells of the first twenty of the rows and
// counts the others, or nil if there are none. It sorts rows by line.
func JoinRowErrors(rows []*RowError) error {
	slices.SortStableFunc(rows, func(a, b *RowError) int { return cmp.Compare(a.Line, b.Line) })
	var errs []error
	for i, e := range rows {
		if i == maxRowErrors {
			errs = append(errs, fmt.Errorf("%s: and %d more broken rows", e.File, len(rows)-i))
			break
		}
		errs = append(errs, e)
	}
	return errors.Join(errs...)
}
