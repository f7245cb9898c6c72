package lcb

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/zlib"

	"github.com/lcbq/lcbq/worker/pyjson"
)

// A Test is one input with the output expected for it. For a stdin problem both
// are text; for a functional one Input holds one JSON value a line, one line an
// argument, and Output one JSON value.
type Test struct{ Input, Output string }

// maxDecoded bounds what the encoded tests of one question may inflate to. The
// largest real suites are some tens of megabytes; a few kilobytes can claim to
// inflate to terabytes.
const maxDecoded = 512 << 20

var (
	errNoTests = errors.New("no tests: zero tests would pass every program")
	errTooBig  = errors.New("tests inflate to more than is accepted")
)

// Tests decodes the question's tests, the public ones first, as the official
// runner runs them. They are decoded anew at every call and belong to the
// caller: a question at rest holds only its encoded row. It returns an error,
// naming the field, unless there is at least one test and every test is whole.
func (p *Problem) Tests() ([]Test, error) {
	var d decoder
	return d.tests(p)
}

// TestCounts returns how many public and how many private tests there are. Its
// error is that of Tests.
func (p *Problem) TestCounts() (public, private int, err error) {
	all, err := p.Tests()
	if err != nil {
		return 0, 0, err
	}
	first, err := parseTests(nil, testText(p.public))
	return len(first), len(all) - len(first), err
}

// A decoder keeps the memory that decoding needs from one question to the next.
// The zero value is ready; it serves one goroutine at a time.
type decoder struct{ inflated bytes.Buffer }

// fieldError says which field of a row an error is about.
type fieldError struct {
	field string
	err   error
}

func (e *fieldError) Error() string { return e.field + ": " + e.err.Error() }
func (e *fieldError) Unwrap() error { return e.err }

func (d *decoder) tests(p *Problem) ([]Test, error) {
	tests, err := parseTests(nil, testText(p.public))
	if err != nil {
		return nil, &fieldError{fieldPublic, err}
	}
	public := len(tests)
	list, err := d.plain(testText(p.private), maxDecoded)
	if err != nil {
		return nil, &fieldError{fieldPrivate, err}
	}
	if tests, err = parseTests(tests, list); err != nil {
		return nil, &fieldError{fieldPrivate, err}
	}
	if len(tests) == 0 {
		return nil, &fieldError{fieldPrivate, errNoTests}
	}
	if p.FuncName == "" {
		return tests, nil
	}
	for i, t := range tests {
		field, n := fieldPublic, i
		if i >= public {
			field, n = fieldPrivate, i-public
		}
		if err := validCall(t); err != nil {
			return nil, &fieldError{field, fmt.Errorf("test %d: %w", n, err)}
		}
	}
	return tests, nil
}

// plain returns the JSON list that a field holds, as it is or encoded as
// base64(zlib(pickle(text))). The result is valid until the next call.
func (d *decoder) plain(field []byte, limit int64) ([]byte, error) {
	if head := bytes.TrimLeft(field, " \t\r\n"); bytes.HasPrefix(head, []byte("[")) {
		return field, nil
	}
	inflate, err := zlib.NewReader(base64.NewDecoder(base64.StdEncoding, bytes.NewReader(field)))
	if err != nil {
		return nil, fmt.Errorf("neither a JSON list nor base64 of zlib data: %w", err)
	}
	d.inflated.Reset()
	n, err := io.Copy(&d.inflated, io.LimitReader(inflate, limit+1))
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("inflate: data end too early: %w", err)
	case err != nil:
		return nil, fmt.Errorf("inflate: %w", err)
	case n > limit:
		return nil, fmt.Errorf("%w: %d bytes", errTooBig, limit)
	}
	return unpickle(d.inflated.Bytes())
}

// parseTests appends the tests of a JSON list of {input, output, testtype}. The
// test type is not looked at: the question's function name decides.
func parseTests(tests []Test, list []byte) ([]Test, error) {
	r := pyjson.NewInner(list)
	err := r.Array(func(i int) error {
		var (
			t             Test
			input, output bool
		)
		err := r.Object(func(key string) (err error) {
			switch key {
			case "input":
				input = true
				t.Input, err = r.Text()
			case "output":
				output = true
				t.Output, err = r.Text()
			default:
				err = r.Skip()
			}
			return err
		})
		switch {
		case err != nil:
			return fmt.Errorf("test %d: %w", i, err)
		case !input:
			return fmt.Errorf("test %d: output without input", i)
		case !output:
			return fmt.Errorf("test %d: input without output", i)
		}
		tests = append(tests, t)
		return nil
	})
	if err == nil {
		err = r.End()
	}
	return tests, err
}

// validCall checks that the test of a functional problem can be read: the
// official runner parses every line of every input before the first call, and
// one bad line there fails every completion.
func validCall(t Test) error {
	for n, line := range strings.Split(t.Input, "\n") {
		if err := pyjson.ValidInner(line); err != nil {
			return fmt.Errorf("input: argument %d is not JSON: %w", n, err)
		}
	}
	if err := pyjson.ValidInner(t.Output); err != nil {
		return fmt.Errorf("output is not JSON: %w", err)
	}
	return nil
}
