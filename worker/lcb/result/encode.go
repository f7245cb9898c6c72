package result

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// AppendSample appends s to dst as one JSON object on one line, its fields in the
// fixed order of the format, its numbers as short as they can be.
func AppendSample(dst []byte, s *Sample) []byte {
	dst = append(dst, `{"index":`...)
	dst = strconv.AppendInt(dst, int64(s.Index), 10)
	dst = append(dst, `,"completion":`...)
	dst = AppendText(dst, s.Completion)
	dst = append(dst, `,"code":`...)
	dst = AppendText(dst, s.Code)
	dst = append(dst, `,"passed":`...)
	dst = strconv.AppendBool(dst, s.Passed)
	dst = append(dst, `,"verdict":`...)
	dst = AppendText(dst, string(s.Verdict))
	dst = append(dst, `,"error_code":`...)
	dst = appendOptional(dst, s.ErrorCode)
	dst = append(dst, `,"test":`...)
	dst = appendOptional(dst, s.Test)
	dst = append(dst, `,"tokens":`...)
	dst = strconv.AppendInt(dst, int64(s.Tokens), 10)
	dst = append(dst, `,"finish_reason":`...)
	dst = AppendText(dst, s.FinishReason)
	dst = append(dst, `,"cpu_s":`...)
	dst = appendFloat(dst, s.CPUSeconds)
	dst = append(dst, `,"generator":`...)
	dst = AppendText(dst, s.Generator)
	dst = append(dst, `,"evaluator":`...)
	dst = AppendText(dst, s.Evaluator)
	if s.Detail != "" {
		dst = append(dst, `,"detail":`...)
		dst = AppendText(dst, s.Detail)
	}
	return append(dst, '}')
}

func appendOptional(dst []byte, n *int) []byte {
	if n == nil {
		return append(dst, "null"...)
	}
	return strconv.AppendInt(dst, int64(*n), 10)
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

// sampleWire is a sample as encoding/json reads it.
type sampleWire struct {
	Index        *int    `json:"index"`
	Completion   text    `json:"completion"`
	Code         text    `json:"code"`
	Passed       bool    `json:"passed"`
	Verdict      Verdict `json:"verdict"`
	ErrorCode    *int    `json:"error_code"`
	Test         *int    `json:"test"`
	Tokens       int     `json:"tokens"`
	FinishReason text    `json:"finish_reason"`
	CPUSeconds   float64 `json:"cpu_s"`
	Generator    text    `json:"generator"`
	Evaluator    text    `json:"evaluator"`
	Detail       text    `json:"detail"`
}

// ParseSample reads one JSON object that AppendSample wrote, or one that means
// the same: fields in any order, unknown ones ignored.
func ParseSample(raw []byte) (Sample, error) {
	var w sampleWire
	if err := json.Unmarshal(raw, &w); err != nil {
		return Sample{}, fmt.Errorf("parse sample: %w", err)
	}
	if w.Index == nil {
		return Sample{}, fmt.Errorf("parse sample: index is missing")
	}
	return Sample{
		Index: *w.Index, Completion: string(w.Completion), Code: string(w.Code),
		Passed: w.Passed, Verdict: w.Verdict, ErrorCode: w.ErrorCode, Test: w.Test,
		Tokens: w.Tokens, FinishReason: string(w.FinishReason), CPUSeconds: w.CPUSeconds,
		Generator: string(w.Generator), Evaluator: string(w.Evaluator), Detail: string(w.Detail),
	}, nil
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
