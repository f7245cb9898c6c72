package result

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/lcbq/lcbq/worker/pyjson"
)

// A field is one field of a sample as files hold it.
type field struct {
	name   string
	append func(dst []byte, s *Sample) []byte // appends its value
	parse  func(raw []byte, s *Sample) error  // reads its value
	absent func(s *Sample) bool               // whether it is left out; nil for never
}

// fields are a sample's fields, in the order in which files hold them. A field of
// Sample that has no line here fails TestSampleFields.
var fields = []field{
	number("index", func(s *Sample) *int { return &s.Index }),
	words("completion", func(s *Sample) *string { return &s.Completion }),
	words("code", func(s *Sample) *string { return &s.Code }),
	{name: "passed", append: func(dst []byte, s *Sample) []byte { return strconv.AppendBool(dst, s.Passed()) }},
	{
		name:   "verdict",
		append: func(dst []byte, s *Sample) []byte { return pyjson.Append(dst, s.Verdict.String()) },
		parse:  func(raw []byte, s *Sample) error { return json.Unmarshal(raw, &s.Verdict) },
	},
	optional("error_code", func(s *Sample) **int { return &s.ErrorCode }),
	optional("test", func(s *Sample) **int { return &s.Test }),
	number("tokens", func(s *Sample) *int { return &s.Tokens }),
	words("finish_reason", func(s *Sample) *string { return &s.FinishReason }),
	{
		name:   "cpu_s",
		append: func(dst []byte, s *Sample) []byte { return appendFloat(dst, s.CPU) },
		parse:  func(raw []byte, s *Sample) error { return json.Unmarshal(raw, &s.CPU) },
	},
	{
		name:   "cached",
		append: func(dst []byte, s *Sample) []byte { return strconv.AppendBool(dst, s.Cached) },
		parse:  func(raw []byte, s *Sample) error { return json.Unmarshal(raw, &s.Cached) },
		absent: func(s *Sample) bool { return !s.Cached },
	},
	words("generator", func(s *Sample) *string { return &s.Generator }),
	words("evaluator", func(s *Sample) *string { return &s.Evaluator }),
	leftOut(words("left_out", func(s *Sample) *string { return &s.LeftOut }), func(s *Sample) bool { return s.LeftOut == "" }),
	leftOut(words("redrawn", func(s *Sample) *string { return &s.Redrawn }), func(s *Sample) bool { return s.Redrawn == "" }),
	leftOut(words("answered_as", func(s *Sample) *string { return &s.AnsweredAs }), func(s *Sample) bool { return s.AnsweredAs == "" }),
	fraction("slowdown", func(s *Sample) *float64 { return &s.Slowdown }),
	fraction("audit_draw", func(s *Sample) *float64 { return &s.Draw }),
	fraction("audit_share", func(s *Sample) *float64 { return &s.Share }),
	leftOut(words("detail", func(s *Sample) *string { return &s.Detail }), func(s *Sample) bool { return s.Detail == "" }),
}

func number(name string, of func(*Sample) *int) field {
	return field{
		name:   name,
		append: func(dst []byte, s *Sample) []byte { return strconv.AppendInt(dst, int64(*of(s)), 10) },
		parse:  func(raw []byte, s *Sample) error { return json.Unmarshal(raw, of(s)) },
	}
}

// fraction is a number that is left out where it is 0.
func fraction(name string, of func(*Sample) *float64) field {
	return field{
		name:   name,
		append: func(dst []byte, s *Sample) []byte { return appendFloat(dst, *of(s)) },
		parse:  func(raw []byte, s *Sample) error { return json.Unmarshal(raw, of(s)) },
		absent: func(s *Sample) bool { return *of(s) == 0 },
	}
}

// optional is a number that may be null.
func optional(name string, of func(*Sample) **int) field {
	return field{
		name: name,
		append: func(dst []byte, s *Sample) []byte {
			if n := *of(s); n != nil {
				return strconv.AppendInt(dst, int64(*n), 10)
			}
			return append(dst, "null"...)
		},
		parse: func(raw []byte, s *Sample) error { return json.Unmarshal(raw, of(s)) },
	}
}

func words(name string, of func(*Sample) *string) field {
	return field{
		name:   name,
		append: func(dst []byte, s *Sample) []byte { return pyjson.Append(dst, *of(s)) },
		parse:  func(raw []byte, s *Sample) error { return (*pyjson.Text)(of(s)).UnmarshalJSON(raw) },
	}
}

// leftOut leaves a field out of samples that lack it; the others are always there.
func leftOut(f field, absent func(*Sample) bool) field {
	f.absent = absent
	return f
}

// AppendSample appends s to dst as one JSON object on one line, its fields in the
// fixed order of the format, its numbers as short as they can be.
func AppendSample(dst []byte, s *Sample) []byte {
	between := byte('{')
	for i := range fields {
		f := &fields[i]
		if f.absent != nil && f.absent(s) {
			continue
		}
		dst = append(dst, between, '"')
		dst = append(dst, f.name...)
		dst = append(dst, '"', ':')
		dst = f.append(dst, s)
		between = ','
	}
	return append(dst, '}')
}

// appendFloat writes x as encoding/json does: the shortest decimal that reads
// back as x, with an exponent only where the number would be long.
func appendFloat(dst []byte, x float64) []byte {
	format := byte('f')
	if abs := math.Abs(x); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, x, format, -1, 64)
}

// ParseSample reads one JSON object that AppendSample wrote, or one that means
// the same: fields in any order, unknown ones ignored. A sample whose passed
// is not what its verdict says is an error; Validate tells about the other fields.
func ParseSample(raw []byte) (Sample, error) {
	var s Sample
	var all map[string]json.RawMessage
	if err := json.Unmarshal(raw, &all); err != nil {
		return s, fmt.Errorf("parse sample: %w", err)
	}
	if index := string(all["index"]); index == "" || index == "null" {
		return s, errors.New("parse sample: index is missing")
	}
	for i := range fields {
		f := &fields[i]
		value, ok := all[f.name]
		if !ok || f.parse == nil {
			continue
		}
		if err := f.parse(value, &s); err != nil {
			return Sample{}, fmt.Errorf("parse sample: %s: %w", f.name, err)
		}
	}
	if passed := string(all["passed"]) == "true"; passed != s.Passed() {
		return Sample{}, fmt.Errorf("parse sample: sample %d: passed = %v, want what verdict %q says", s.Index, passed, s.Verdict)
	}
	return s, nil
}

// marshal is json.Marshal without HTML escapes and without the final newline.
func marshal(v any, indent string) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(buf.Bytes(), "\n"), nil
}
