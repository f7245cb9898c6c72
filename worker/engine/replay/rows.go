// Package replay serves recorded completions as if a model had just written
// them. It knows the two file forms they come in, and nothing of how a program
// is taken out of a text or judged.
package replay

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"unicode/utf8"
)

// maxRow bounds the memory that one row may take. A completion is some kilobytes;
// a row of this size is a file that was never meant to be read line by line.
const maxRow = 256 << 20

// A Row is one recorded completion. Output, Code or both are there.
type Row struct {
	QuestionID   string
	CompletionID string  // as the file names it; "" where it does not
	Index        int     // 0-based place among the rows of its question, in file order
	Output       *string // the text the model wrote
	Code         *string // the program, taken out of the text by somebody else
	FinishReason string  // "" where the file does not say
	Tokens       int     // 0 where the file does not say
	Line         int     // 1-based line of the file where the row begins

	text, code span // where the values lie in the file
	list       bool // the list form, where each value has a span of its own
}

// A span is a piece of the file: for rows on lines the whole row, in the list
// form one string with what separates it from the one before.
type span struct {
	off int64
	n   int64
}

// A RowError says what is wrong with one row, and where.
type RowError struct {
	File  string
	Line  int    // 1-based; 0 where the fault is the file's, not a row's
	Field string // "" where the fault is the row's, not a field's
	Err   error
}

// Error names file, line and field, as far as they are known.
func (e *RowError) Error() string {
	where := e.File
	if e.Line > 0 {
		where = fmt.Sprintf("%s:%d", where, e.Line)
	}
	if e.Field != "" {
		where += ": " + e.Field
	}
	return fmt.Sprintf("%s: %v", where, e.Err)
}

// Unwrap returns the cause.
func (e *RowError) Unwrap() error { return e.Err }

// Rows reads recorded completions from r, one after the other, in file order.
// The form is told by the first character: `[` is LiveCodeBench's
// custom_evaluator file, a list of {"question_id", "code_list" and or
// "output_list"}; anything else is JSON lines of {"question_id",
// "completion_id", "code" and or "output"}, where unknown fields are ignored and
// empty lines skipped.
//
// A bad row is yielded as a *RowError beside a Row that holds at least its line;
// reading goes on behind it where the form allows, so that a caller who wants
// them all just continues. Memory is bounded by one row, in the list form by one
// question. The name is that of the file, for errors.
func Rows(r io.Reader, name string) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		b := bufio.NewReaderSize(r, 64<<10)
		skipped := int64(0)
		if bom, err := b.Peek(3); err == nil && string(bom) == "\uFEFF" {
			n, _ := b.Discard(3)
			skipped = int64(n)
		}
		s := &scan{name: name, src: b, off: skipped, line: 1, yield: yield, count: map[string]int{}}
		first, err := s.first()
		switch {
		case errors.Is(err, io.EOF):
			s.fail(0, "", errors.New("no rows, want a list of {question_id, code_list} or JSON lines of {question_id, code or output}"))
		case err != nil:
			s.fail(0, "", err)
		case first == '[':
			s.list()
		default:
			s.lines()
		}
	}
}

// A scan is the state of one reading. It is used by one goroutine.
type scan struct {
	name  string
	src   *bufio.Reader
	off   int64 // of the next byte of src
	line  int   // of the next byte of src
	yield func(Row, error) bool
	count map[string]int // rows seen, by question
}

// fail yields a bad row and reports whether the caller wants more.
func (s *scan) fail(line int, field string, err error) bool {
	return s.yield(Row{Line: line}, &RowError{File: s.name, Line: line, Field: field, Err: err})
}

// give numbers a good row within its question and yields it.
func (s *scan) give(row Row) bool {
	row.Index = s.count[row.QuestionID]
	s.count[row.QuestionID]++
	return s.yield(row, nil)
}

// first consumes leading white space and returns the byte behind it, unread.
func (s *scan) first() (byte, error) {
	for {
		c, err := s.src.ReadByte()
		if err != nil {
			return 0, err
		}
		switch c {
		case '\n':
			s.line++
		case ' ', '\t', '\r':
		default:
			return c, s.src.UnreadByte()
		}
		s.off++
	}
}

// lines reads JSON lines until the end or until the caller has enough.
func (s *scan) lines() {
	for {
		text, err := s.readLine()
		if err != nil && !errors.Is(err, io.EOF) {
			s.fail(s.line, "", err)
			return
		}
		at := span{s.off, int64(len(text))}
		s.off += at.n
		if len(bytes.TrimSpace(text)) > 0 && !s.one(text, at) {
			return
		}
		s.line++
		if err != nil {
			return
		}
	}
}

// readLine returns the next line with its newline, and io.EOF beside the last.
func (s *scan) readLine() ([]byte, error) {
	var line []byte
	for {
		part, err := s.src.ReadSlice('\n')
		if len(line)+len(part) > maxRow {
			return nil, fmt.Errorf("row of more than %d MiB, want one JSON object on each line", maxRow>>20)
		}
		if line == nil && !errors.Is(err, bufio.ErrBufferFull) {
			return part, err // the common case, without a copy
		}
		line = append(line, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

// one yields the row of one line, good or bad.
func (s *scan) one(text []byte, at span) bool {
	row, field, err := decode(text)
	if err != nil {
		return s.fail(s.line, field, err)
	}
	row.Line, row.text = s.line, at
	return s.give(row)
}

// decode reads one line's row; field names the value that err is about.
func decode(text []byte) (row Row, field string, err error) {
	if !utf8.Valid(text) {
		return row, "", errors.New("not UTF-8")
	}
	var w struct {
		QuestionID   json.RawMessage `json:"question_id"`
		CompletionID json.RawMessage `json:"completion_id"`
		Output       json.RawMessage `json:"output"`
		Code         json.RawMessage `json:"code"`
		FinishReason json.RawMessage `json:"finish_reason"`
		Tokens       json.RawMessage `json:"tokens"`
	}
	if err := json.Unmarshal(text, &w); err != nil {
		return row, "", notObject(err)
	}
	if row.QuestionID, err = identity(w.QuestionID); err != nil {
		return row, "question_id", err
	}
	if row.QuestionID == "" {
		return row, "question_id", errors.New("missing, want the question's id")
	}
	if row.CompletionID, err = identity(w.CompletionID); err != nil {
		return row, "completion_id", err
	}
	for _, f := range []struct {
		name string
		raw  json.RawMessage
		to   any
		want string
	}{
		{"output", w.Output, &row.Output, "text"},
		{"code", w.Code, &row.Code, "text"},
		{"finish_reason", w.FinishReason, &row.FinishReason, "text"},
		{"tokens", w.Tokens, &row.Tokens, "a whole number"},
	} {
		if len(f.raw) == 0 {
			continue
		}
		if err := json.Unmarshal(f.raw, f.to); err != nil {
			return row, f.name, fmt.Errorf("%s, want %s", shorten(f.raw), f.want)
		}
	}
	if row.Output == nil && row.Code == nil {
		return row, "code", errors.New(`missing, want "code" or "output"`)
	}
	if row.Tokens < 0 {
		return row, "tokens", fmt.Errorf("%d, want at least 0", row.Tokens)
	}
	return row, "", nil
}

// notObject turns a decoding error into one that says what a line should hold.
func notObject(err error) error {
	if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("a JSON %s, want one JSON object a line", t.Value)
	}
	return fmt.Errorf("not a JSON object: %w", err)
}

// identity reads an id: text, or a whole number as the text of its digits.
func identity(raw json.RawMessage) (string, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return "", nil
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text, nil
	}
	var number int64
	if json.Unmarshal(raw, &number) == nil {
		return fmt.Sprint(number), nil
	}
	return "", fmt.Errorf("%s, want text", shorten(raw))
}

// shorten cuts a value for an error message.
func shorten(raw []byte) string {
	const most = 40
	if len(raw) <= most {
		return string(raw)
	}
	return string(bytes.ToValidUTF8(raw[:most], nil)) + "..."
}
