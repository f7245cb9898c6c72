package replay

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/lcbq/lcbq/worker/pyjson"
)

// lines reads JSON lines until the end or until the caller has enough.
func (s *scan) lines() {
	for {
		text, size, err := s.readLine()
		s.line++
		at := span{s.off, int64(len(text))}
		s.off += size
		switch {
		case errors.Is(err, errLongRow):
			if !s.fail(s.line, "", err) {
				return
			}
			continue
		case err != nil && !errors.Is(err, io.EOF):
			s.final(s.line, err)
			return
		}
		if len(bytes.TrimSpace(text)) > 0 && !s.one(text, at) {
			return
		}
		if err != nil {
			return
		}
	}
}

var errLongRow = fmt.Errorf("row of more than %d MiB, want one JSON object on each line", maxRow>>20)

// readLine returns the next line with its newline and how many bytes it is, and
// io.EOF beside the last. Of a line that is too long nothing is kept.
func (s *scan) readLine() (line []byte, size int64, err error) {
	for {
		part, err := s.src.ReadSlice('\n')
		size += int64(len(part))
		full := errors.Is(err, bufio.ErrBufferFull)
		switch {
		case size > maxRow && full:
			line = nil
			continue
		case size > maxRow && (err == nil || errors.Is(err, io.EOF)):
			return nil, size, errLongRow
		case line == nil && !full:
			return part, size, err // the common case, without a copy
		}
		line = append(line, part...)
		if !full {
			return line, size, err
		}
	}
}

// one yields the rows of one line, good or bad.
func (s *scan) one(text []byte, at span) bool {
	r := pyjson.New(bytes.TrimRight(text, "\r\n"))
	if kind := r.Next(); kind != pyjson.Object && kind != 0 {
		return s.fail(s.line, "", fmt.Errorf("%s, want one JSON object a line", kind))
	}
	o, err := s.read(r, at.off, func() int { return s.line })
	if err == nil {
		err = r.End()
	}
	if err != nil {
		return s.fail(s.line, "", fmt.Errorf("not a JSON object: %w", err))
	}
	return s.yieldAll(o, at, s.line)
}

// yieldAll yields the rows of an object that lies at a place. It reports whether
// the caller wants more.
func (s *scan) yieldAll(o *object, at span, line int) bool {
	rows, err := s.rows(o)
	if f, ok := errors.AsType[*fault](err); ok {
		return s.fail(line, f.field, f.err)
	}
	for _, row := range rows {
		if !row.parts {
			row.text, row.Line = at, line
		}
		if !s.give(row) {
			return false
		}
	}
	return true
}

// errEnough ends a reading whose caller wants no more.
var errEnough = errors.New("the caller has enough")

// list reads a list of objects, or of lists of programs that go by place. One
// question's rows are held until it is over: its id may stand behind them.
func (s *scan) list() {
	r := pyjson.NewStream(s.src, maxRow)
	seen := map[string]int{} // line of each question that has a list of its own
	places, before := 0, 0   // before is the line of the last element
	err := r.Array(func(i int) error {
		kind := r.Next()
		from, line := r.Offset(), r.Line()
		s.place = 0
		if line == before {
			s.place = i + 1
		}
		before = line
		switch kind {
		case pyjson.Object:
			o, err := s.read(r, s.off, r.Line)
			if err != nil {
				return err
			}
			if id := o.row.QuestionID; id != "" && o.hasList() {
				if at := seen[id]; at > 0 {
					return s.enough(s.fail(line, s.id, fmt.Errorf("%q stands at line %d already", id, at)))
				}
				seen[id] = line
			}
			return s.enough(s.yieldAll(o, span{s.off + from, r.Offset() - from}, line))
		case pyjson.Array, pyjson.String, pyjson.Null:
			places++
			if s.o.IDs == nil {
				return &placeError{errors.New(`programs without question ids, want {"question_id", "code_list"}`)}
			}
			if places > len(s.o.IDs) {
				return &placeError{fmt.Errorf("list %d of programs without ids, the problem set has %d questions", places, len(s.o.IDs))}
			}
			return s.programs(r, s.o.IDs[places-1], fmt.Sprintf("[%d]", i), line)
		default:
			raw, err := r.Raw()
			if err != nil {
				return err
			}
			return s.enough(s.fail(line, "", fmt.Errorf(`%s, want {"question_id", "code_list"} or a list of programs`, shorten(raw))))
		}
	})
	if err == nil {
		err = r.End()
	}
	if err == nil && places > 0 && places != len(s.o.IDs) {
		err = &placeError{fmt.Errorf("%d lists of programs without ids, the problem set has %d questions: want one list for each, in the order of their ids as strings", places, len(s.o.IDs))}
	}
	s.ended(r, err)
}

func (o *object) hasList() bool {
	for _, f := range o.fields {
		if f.list {
			return true
		}
	}
	return false
}

// object reads an object of ids, each with its programs.
func (s *scan) object() {
	r := pyjson.NewStream(s.src, maxRow)
	seen := map[string]int{}
	err := r.Object(func(key string) error {
		r.Next()
		line := r.Line()
		if at := seen[key]; at > 0 {
			if err := r.Skip(); err != nil {
				return err
			}
			return s.enough(s.fail(line, key, fmt.Errorf("the question stands at line %d already", at)))
		}
		seen[key] = line
		return s.programs(r, key, key, line)
	})
	if err == nil {
		err = r.End()
	}
	s.ended(r, err)
}

// programs reads and yields one question's programs, or its only one.
func (s *scan) programs(r *pyjson.Reader, id, name string, line int) error {
	f, err := readField(r, name, s.off, r.Line)
	if err != nil {
		return err
	}
	if wrong, ok := errors.AsType[*fault](f.err); ok {
		return s.enough(s.fail(line, wrong.field, wrong.err))
	}
	if len(f.items) == 0 && !f.list { // null
		f.items = []item{{line: line}}
	}
	for _, it := range f.items {
		row := Row{QuestionID: id, Code: it.text, code: it.at, Line: it.line, parts: true}
		if row.Code == nil {
			row.Code = new(string)
		}
		if !s.give(row) {
			return errEnough
		}
	}
	return nil
}

func (s *scan) enough(more bool) error {
	if more {
		return nil
	}
	return errEnough
}

// A placeError says that lists without ids do not fit the problem set. Nothing of
// the file can be trusted then.
type placeError struct{ error }

// ended yields the error that ended the reading of one document, if any.
func (s *scan) ended(r *pyjson.Reader, err error) {
	if err != nil && !errors.Is(err, errEnough) {
		if wrong, ok := errors.AsType[*placeError](err); ok {
			err = wrong.error
		}
		s.final(r.Line(), err)
	}
}
