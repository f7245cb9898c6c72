package replay

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/lcbq/lcbq/worker/pyjson"
)

// The names of fields that are known without being told. The first one of a row
// is taken; the primary ones stand first and must hold what they should.
var (
	outputNames = []string{"output", "output_list", "completion", "generation", "response"}
	codeNames   = []string{"code", "code_list", "solution"}
)

// FieldKeys are the keys of Options.Fields.
var FieldKeys = []string{"id", "completion_id", "output", "code"}

// names settles which fields are read.
func (s *scan) names() {
	s.id, s.completion, s.output, s.code = "question_id", "completion_id", outputNames, codeNames
	s.strict = map[string]bool{"output": true, "output_list": true, "code": true, "code_list": true}
	if name, ok := s.o.Fields["id"]; ok {
		s.id = name
	}
	if name, ok := s.o.Fields["completion_id"]; ok {
		s.completion = name
	}
	output, hasOutput := s.o.Fields["output"]
	code, hasCode := s.o.Fields["code"]
	if !hasOutput && !hasCode {
		return
	}
	// Who names one of the two says what is wanted: only what is named is read.
	s.output, s.code, s.strict = nil, nil, map[string]bool{output: hasOutput, code: hasCode}
	if hasOutput {
		s.output = []string{output}
	}
	if hasCode {
		s.code = []string{code}
	}
}

// known reports whether a row's field of that name is read.
func (s *scan) known(key string) bool {
	return key == s.id || key == s.completion || key == "finish_reason" || key == "tokens" || slices.Contains(s.output, key) || slices.Contains(s.code, key)
}

// An item is one string of a list, or null, with its place in the file.
type item struct {
	text *string
	at   span
	line int
}

// A field is the value of one output or code field.
type field struct {
	name  string
	list  bool
	items []item
	err   error // it holds something else
}

// An object is what was read of one JSON object.
type object struct {
	row    Row     // the ids, and what else there is one of
	fields []field // output and code fields that are there and not null
	null   bool    // one is there and null: an empty program, where there is no other
	lists  string  // name of a list of them that is null
	err    error   // of the first other field that is wrong
	wrong  string  // its name
}

// A fault is what is wrong with one field. The text around it can be read on.
type fault struct {
	field string
	err   error
}

func (f *fault) Error() string { return f.field + ": " + f.err.Error() }

// read reads one object, in full whatever it holds. The error is of its syntax.
func (s *scan) read(r *pyjson.Reader, base int64, line func() int) (*object, error) {
	o := &object{}
	refuse := func(name string, err error) {
		if o.err == nil {
			o.wrong, o.err = name, err
		}
	}
	err := r.Object(func(key string) error {
		kind := r.Next()
		switch {
		case slices.Contains(s.output, key), slices.Contains(s.code, key):
			if kind == pyjson.Null && strings.HasSuffix(key, "_list") {
				o.lists = key
			} else if kind == pyjson.Null {
				o.null = true
			}
			f, err := readField(r, key, base, line)
			if err == nil && (len(f.items) > 0 || f.list || f.err != nil) {
				o.fields = slices.DeleteFunc(o.fields, func(g field) bool { return g.name == key }) // of equal keys the last counts
				o.fields = append(o.fields, f)
			}
			return err
		case key == s.id:
			return readIdentity(r, key, kind, &o.row.QuestionID, refuse)
		case key == s.completion:
			return readIdentity(r, key, kind, &o.row.CompletionID, refuse)
		case key == "finish_reason" && kind == pyjson.String:
			text, err := r.Text()
			o.row.FinishReason = text
			return err
		case key == "tokens" && kind == pyjson.Number:
			raw, err := r.Number()
			if err != nil {
				return err
			}
			n, err := strconv.Atoi(strings.TrimSuffix(string(raw), ".0"))
			if err != nil || n < 0 {
				refuse(key, fmt.Errorf("%s, want a whole number, at least 0", raw))
			}
			o.row.Tokens = n
			return nil
		case (key == "finish_reason" || key == "tokens") && kind != pyjson.Null && kind != pyjson.Array:
			raw, err := r.Raw()
			refuse(key, fmt.Errorf("%s, want %s", shorten(raw), map[string]string{"tokens": "a whole number", "finish_reason": "text"}[key]))
			return err
		default:
			return r.Skip()
		}
	})
	return o, err
}

// readIdentity reads an id: text, or a whole number as the text of its digits.
func readIdentity(r *pyjson.Reader, key string, kind pyjson.Kind, to *string, refuse func(string, error)) error {
	switch kind {
	case pyjson.Null:
		return r.Skip()
	case pyjson.String:
		text, err := r.Text()
		*to = text
		return err
	default: // a number, or what an id cannot be
	}
	raw, err := r.Raw()
	if err != nil {
		return err
	}
	digits := strings.TrimSuffix(string(raw), ".0") // as pandas writes a column with gaps
	if kind != pyjson.Number || strings.ContainsAny(digits, ".eEIN") {
		refuse(key, fmt.Errorf("%s, want text or a whole number", shorten(raw)))
		return nil
	}
	*to = digits
	return nil
}

// readField reads the text, or the list of texts, that a field holds. A null is
// no field; in a list it is an item.
func readField(r *pyjson.Reader, name string, base int64, line func() int) (field, error) {
	f := field{name: name}
	switch r.Next() {
	case pyjson.Null:
		return f, r.Skip()
	case pyjson.String:
		it, err := readItem(r, base, line)
		f.items = []item{it}
		return f, err
	case pyjson.Array:
		f.list = true
		err := r.Array(func(i int) error {
			if kind := r.Next(); kind == pyjson.String || kind == pyjson.Null {
				it, err := readItem(r, base, line)
				f.items = append(f.items, it)
				return err
			}
			raw, err := r.Raw()
			if f.err == nil {
				f.err = &fault{fmt.Sprintf("%s[%d]", name, i), fmt.Errorf("%s, want text", shorten(raw))}
			}
			return err
		})
		return f, err
	default:
		raw, err := r.Raw()
		f.err = &fault{name, fmt.Errorf("%s, want text or a list of texts", shorten(raw))}
		return f, err
	}
}

func readItem(r *pyjson.Reader, base int64, line func() int) (item, error) {
	it := item{line: line()}
	if r.Next() == pyjson.Null {
		return it, r.Skip()
	}
	from := r.Offset()
	text, err := r.Text()
	it.text, it.at = &text, span{base + from, r.Offset() - from}
	return it, err
}

// pick returns the field to read of those that go by the names, nil for none.
func (o *object) pick(s *scan, names []string) (*field, error) {
	var first *field
	for _, name := range names {
		for i := range o.fields {
			f := &o.fields[i]
			switch {
			case f.name != name, f.err != nil && !s.strict[name] && first != nil:
			case f.err != nil && !s.strict[name]: // another tool's field of that name
			case f.err != nil:
				return nil, f.err
			case first == nil:
				first = f
			case s.strict[first.name] && !s.strict[name]: // the primary name says enough
			case !first.equal(f):
				return nil, &fault{first.name, fmt.Errorf("it differs from %s, which can be the same thing\nsay which one to read with --field %s=NAME", f.name, kindOf(names))}
			}
		}
	}
	return first, nil
}

func kindOf(names []string) string {
	if slices.Equal(names, codeNames) {
		return "code"
	}
	return "output"
}

func (f *field) equal(g *field) bool {
	return slices.EqualFunc(f.items, g.items, func(a, b item) bool {
		return (a.text == nil) == (b.text == nil) && (a.text == nil || *a.text == *b.text)
	})
}

// rows returns the completions that an object holds.
func (s *scan) rows(o *object) ([]Row, error) {
	if o.err != nil {
		return nil, &fault{o.wrong, o.err}
	}
	if o.row.QuestionID == "" {
		return nil, &fault{s.id, errors.New("missing, want the question's id; one of another name is read with --field id=NAME")}
	}
	outputs, err := o.pick(s, s.output)
	if err != nil {
		return nil, err
	}
	codes, err := o.pick(s, s.code)
	if err != nil {
		return nil, err
	}
	switch {
	case outputs == nil && codes == nil && o.null:
		codes = &field{items: []item{{}}}
	case outputs == nil && codes == nil:
		return nil, s.nothing(o)
	case outputs != nil && codes != nil && (outputs.list != codes.list || len(outputs.items) != len(codes.items)):
		return nil, &fault{codes.name, fmt.Errorf("%d programs beside %d texts in %s, want as many of each", len(codes.items), len(outputs.items), outputs.name)}
	}
	n, list := 0, false
	for _, f := range []*field{outputs, codes} {
		if f != nil {
			n, list = len(f.items), f.list
		}
	}
	out := make([]Row, n)
	for i := range out {
		row := o.row
		if list {
			row.CompletionID, row.FinishReason, row.Tokens, row.parts = "", "", 0, true
		}
		if outputs != nil {
			it := outputs.items[i]
			row.Output, row.text, row.Line = it.text, it.at, it.line
		}
		if codes != nil {
			it := codes.items[i]
			row.Code, row.code, row.Line = it.text, it.at, it.line
		}
		if row.Output == nil && row.Code == nil {
			row.Code = new(string) // a null program
		}
		out[i] = row
	}
	return out, nil
}

// nothing says what an object without a completion lacks.
func (s *scan) nothing(o *object) error {
	for _, f := range o.fields {
		if f.err != nil { // a field of an usual name that holds something else
			return f.err
		}
	}
	if o.lists != "" {
		return &fault{o.lists, errors.New("null, want a list of texts")}
	}
	want := make([]string, 0, 2)
	for _, names := range [][]string{s.code, s.output} {
		if len(names) > 0 {
			want = append(want, fmt.Sprintf("%q", names[0]))
		}
	}
	field := strings.Trim(want[0], `"`)
	return &fault{field, fmt.Errorf("missing, want %s; a file with other names is read with --field output=NAME or --field code=NAME", strings.Join(want, " or "))}
}

// shorten cuts a value for an error message.
func shorten(raw []byte) string {
	const most = 40
	if len(raw) <= most {
		return string(raw)
	}
	return strings.ToValidUTF8(string(raw[:most]), "") + "..."
}
