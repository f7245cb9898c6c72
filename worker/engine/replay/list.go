package replay

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// errForm ends the reading of a list whose shape is not the expected one: what
// follows cannot be told apart any more. The row error was yielded already.
var errForm = errors.New("not the list form")

// An item is one string of a question's list, with its place in the file.
type item struct {
	text string
	at   span
	line int
}

// list reads LiveCodeBench's custom_evaluator file. Its form allows question_id
// to stand behind the lists, so one question's rows are held until it is over.
func (s *scan) list() {
	lines := &lineCounter{r: s.src, line: s.line}
	l := &listScan{scan: s, base: s.off, lines: lines, dec: json.NewDecoder(lines), seen: map[string]int{}}
	if _, err := l.dec.Token(); err != nil { // the `[` that was seen already
		l.broken(err)
		return
	}
	for l.dec.More() {
		more, err := l.question()
		if err != nil && !errors.Is(err, errForm) {
			l.broken(err)
		}
		if err != nil || !more {
			return
		}
	}
	if _, err := l.dec.Token(); err != nil {
		l.broken(err)
		return
	}
	if _, err := l.dec.Token(); !errors.Is(err, io.EOF) {
		l.fail(l.here(), "", errors.New("text behind the end of the list"))
	}
}

// A listScan is the state of reading the list form.
type listScan struct {
	*scan
	base  int64 // offset in the file of the decoder's first byte
	lines *lineCounter
	dec   *json.Decoder
	seen  map[string]int // line of each question
}

// here returns the line that the decoder has come to.
func (l *listScan) here() int { return l.lines.at(l.dec.InputOffset()) }

// broken yields the error that ends the reading of a malformed file.
func (l *listScan) broken(err error) {
	line := l.here()
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		line = l.lines.at(syntax.Offset)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		line, err = l.lines.at(l.lines.off), io.ErrUnexpectedEOF
	}
	l.fail(line, "", fmt.Errorf("not valid JSON: %w", err))
}

// question reads one element of the list and yields its rows. It reports whether
// the caller wants more.
func (l *listScan) question() (more bool, err error) {
	tok, err := l.dec.Token()
	if err != nil {
		return false, err
	}
	line := l.here()
	if tok != json.Delim('{') {
		if tok == json.Delim('[') {
			l.fail(line, "", errors.New(`a list without question ids, want {"question_id", "code_list"}`))
		} else {
			l.fail(line, "", fmt.Errorf(`%v, want {"question_id", "code_list"}`, tok))
		}
		return false, errForm
	}
	var (
		id             json.RawMessage
		codes, outputs []item
		hasCodes       bool
		hasOutputs     bool
	)
	for l.dec.More() {
		key, err := l.dec.Token()
		if err != nil {
			return false, err
		}
		switch key {
		case "question_id":
			err = l.dec.Decode(&id)
		case "code_list":
			hasCodes = true
			codes, err = l.strings("code_list")
		case "output_list":
			hasOutputs = true
			outputs, err = l.strings("output_list")
		default:
			var skipped json.RawMessage
			err = l.dec.Decode(&skipped)
		}
		if err != nil {
			return false, err
		}
	}
	if _, err := l.dec.Token(); err != nil {
		return false, err
	}
	name, err := identity(id)
	switch {
	case err != nil:
		return l.fail(line, "question_id", err), nil
	case name == "":
		return l.fail(line, "question_id", errors.New("missing, want the question's id")), nil
	case l.seen[name] > 0:
		return l.fail(line, "question_id", fmt.Errorf("%q stands at line %d already", name, l.seen[name])), nil
	case !hasCodes && !hasOutputs:
		return l.fail(line, "code_list", errors.New("missing, want a list of programs")), nil
	case hasCodes && hasOutputs && len(codes) != len(outputs):
		return l.fail(line, "code_list", fmt.Errorf("%d programs beside %d outputs", len(codes), len(outputs))), nil
	}
	l.seen[name] = line
	return l.rows(name, codes, outputs), nil
}

// rows yields one question's rows.
func (l *listScan) rows(name string, codes, outputs []item) bool {
	for i := range max(len(codes), len(outputs)) {
		row := Row{QuestionID: name, list: true}
		if i < len(codes) {
			row.Code, row.code, row.Line = &codes[i].text, codes[i].at, codes[i].line
		}
		if i < len(outputs) {
			row.Output, row.text, row.Line = &outputs[i].text, outputs[i].at, outputs[i].line
		}
		if !l.give(row) {
			return false
		}
	}
	return true
}

// strings reads a list of strings. What is no string is yielded as a bad row,
// and ends the reading once the list is over.
func (l *listScan) strings(field string) ([]item, error) {
	tok, err := l.dec.Token()
	if err != nil {
		return nil, err
	}
	if tok != json.Delim('[') {
		l.fail(l.here(), field, errors.New("want a list of texts"))
		return nil, errForm
	}
	items := []item{}
	for l.dec.More() {
		from := l.dec.InputOffset()
		var text *string
		err := l.dec.Decode(&text)
		to := l.dec.InputOffset()
		it := item{at: span{l.base + from, to - from}, line: l.here()}
		if _, wrong := errors.AsType[*json.UnmarshalTypeError](err); wrong || (err == nil && text == nil) {
			l.fail(it.line, fmt.Sprintf("%s[%d]", field, len(items)), errors.New("want text"))
			return nil, errForm
		}
		if err != nil {
			return nil, err
		}
		it.text = *text
		items = append(items, it)
	}
	_, err = l.dec.Token()
	return items, err
}

// A lineCounter passes bytes on and remembers the newlines that its reader has
// not asked about yet, so that an offset can be turned into a line at any time
// without keeping a table of all lines.
type lineCounter struct {
	r    io.Reader
	off  int64   // of the next byte to be read
	next []int64 // offsets of newlines read, ascending
	head int     // how many of next lie behind
	line int     // of the last offset asked about
}

// Read implements io.Reader.
func (c *lineCounter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.next = append(c.next[:0], c.next[c.head:]...)
	c.head = 0
	for i, b := range p[:n] {
		if b == '\n' {
			c.next = append(c.next, c.off+int64(i))
		}
	}
	c.off += int64(n)
	return n, err
}

// at returns the line of an offset that is no smaller than the one before.
func (c *lineCounter) at(off int64) int {
	for c.head < len(c.next) && c.next[c.head] < off {
		c.head++
		c.line++
	}
	return c.line
}
