package stream

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"
)

// ErrPoison marks a message that no retry can save: it does not decode, or it
// names a run or question the store has never held. The worker loop moves such a
// message to the dead units instead of redelivering it.
var ErrPoison = errors.New("poison message")

// A Task is what GENERATE carries: which samples of a cell are wanted.
type Task struct {
	Unit
	First int `json:"first"` // index of the unit's first sample in its cell
	N     int `json:"n"`     // number of samples, at least 1

	Receipt string `json:"receipt,omitempty"` // of the unit; "" in a run without receipts
}

// A Sample is one generated text and the program extracted from it.
type Sample struct {
	Index        int    `json:"index"` // in the cell
	Completion   string `json:"completion"`
	Code         string `json:"code"`
	Tokens       int    `json:"tokens"` // completion tokens
	FinishReason string `json:"finish_reason"`
	LeftOut      string `json:"left_out,omitempty"`    // fields of sampling that the server does not take, space-separated: its own defaults drew
	Redrawn      string `json:"redrawn,omitempty"`     // why completions before this one were broken off or refused, one word or two for each, comma-separated
	AnsweredAs   string `json:"answered_as,omitempty"` // model that the server says wrote it, where that is another than was asked for

	// Completion and Code again, where they hold half of a surrogate pair, which Python
	// judges and JSON's encoder replaces: the bytes as they are (WTF-8), in base64.
	// Encode sets them, and Decode clears them.
	RawCompletion string `json:"completion_wtf8,omitempty"`
	RawCode       string `json:"code_wtf8,omitempty"`
}

// A Batch is what EVALUATE carries: all samples of one unit, from one attempt.
type Batch struct {
	Unit
	Samples   []Sample `json:"samples"`
	Generator string   `json:"generator"`          // the worker that generated them
	Started   int64    `json:"started_ms"`         // Unix milliseconds: when generating began
	Ended     int64    `json:"ended_ms"`           // and ended
	Attempts  int      `json:"attempts,omitempty"` // deliveries that it took; 0 if unknown
	Receipt   string   `json:"receipt,omitempty"`  // the task's
}

// A Judgement is the judge's decision on one sample and what a person needs to
// understand it.
type Judgement struct {
	Verdict   Verdict `json:"verdict"`
	ErrorCode *int    `json:"error_code"`       // LiveCodeBench's: null, -2, -3, -4 or -5
	Test      *int    `json:"test"`             // first failing test; null for none, -1 for before the first
	CPU       float64 `json:"cpu_s"`            // CPU seconds the program spent, in the run that this is from
	Cached    bool    `json:"cached,omitempty"` // the program was run for another sample with the same text, not for this one

	// Of a program that ran beyond the time limit: how many times slower than it could the host ran it, above 1. What
	// was held against the limit is its time over that. 0 where nothing above 5 % was measured.
	Slowdown float64 `json:"slowdown,omitempty"`

	// Of a program that ran beyond a soft limit; see Audit. Else both are 0.
	Draw  float64 `json:"audit_draw,omitempty"`  // its draw, above 0 and below 1
	Share float64 `json:"audit_share,omitempty"` // of the draws with which programs run on, above 0, at most 1

	Detail string `json:"detail,omitempty"`
}

// A Scored is what COMBINE carries: a batch and its judgements, index by index.
type Scored struct {
	Batch
	Judgements  []Judgement `json:"judgements"`
	Evaluator   string      `json:"evaluator"`   // the worker that judged
	Fingerprint string      `json:"fingerprint"` // digest of the environment that judged

	JudgeSpeed float64 `json:"judge_speed,omitempty"` // of the evaluator's host; 0 if unknown

	JudgeStarted  int64 `json:"judge_started_ms,omitempty"` // Unix milliseconds: when judging began
	JudgeEnded    int64 `json:"judge_ended_ms,omitempty"`   // and ended
	JudgeAttempts int   `json:"judge_attempts,omitempty"`   // deliveries that it took; 0 if unknown
}

// A Dead is what DEAD carries: a unit given up, why, and the message to requeue.
type Dead struct {
	Subject    string `json:"subject"` // where the message was, and where a requeue puts it back
	Stage      Stage  `json:"stage"`
	Reason     Reason `json:"reason"`
	Error      string `json:"error"` // the last one
	Worker     string `json:"worker"`
	Deliveries uint64 `json:"deliveries"`
	At         int64  `json:"at_ms"` // Unix milliseconds
	Body       []byte `json:"body"`
}

// A Reason says why a unit was given up, and so what may help.
type Reason string

// The reasons.
const (
	Poison     Reason = "poison"     // no retry helps: it does not decode, or is no unit of any run
	TooLarge   Reason = "too large"  // its output is beyond the server's message limit: a smaller --unit-size helps
	Exhausted  Reason = "exhausted"  // every try ended in an error
	Unanswered Reason = "unanswered" // handed out as often as allowed, and no worker lived to answer
	Terminated Reason = "terminated" // taken off its queue by another program
	Untrusted  Reason = "untrusted"  // its verdicts were false, or may have been: it is on its way to be judged again
)

// withRaw returns the samples with the texts that JSON would change as bytes beside them.
func withRaw(samples []Sample) []Sample {
	owned := false
	for i := range samples {
		code, completion := utf8.ValidString(samples[i].Code), utf8.ValidString(samples[i].Completion)
		if code && completion {
			continue
		}
		if !owned {
			samples, owned = slices.Clone(samples), true
		}
		if !code {
			samples[i].RawCode = base64.StdEncoding.EncodeToString([]byte(samples[i].Code))
		}
		if !completion {
			samples[i].RawCompletion = base64.StdEncoding.EncodeToString([]byte(samples[i].Completion))
		}
	}
	return samples
}

// takeRaw undoes withRaw.
func takeRaw(samples []Sample) error {
	for i := range samples {
		s := &samples[i]
		for _, text := range []struct{ raw, to *string }{{&s.RawCode, &s.Code}, {&s.RawCompletion, &s.Completion}} {
			if *text.raw == "" {
				continue
			}
			b, err := base64.StdEncoding.DecodeString(*text.raw)
			if err != nil {
				return fmt.Errorf("decode sample %d: %w: %w", s.Index, ErrPoison, err)
			}
			*text.to, *text.raw = string(b), ""
		}
	}
	return nil
}

// compressFrom is the size from which a message is compressed. Below it zstd's
// frame costs more than it saves; a batch of a hundred programs shrinks fivefold.
const compressFrom = 4 << 10

// maxDecoded bounds what one compressed message may expand to: a unit of 10,000
// thinking completions is well below it, a decompression bomb is not.
const maxDecoded = 1 << 30

// zstd's coders are safe for concurrent EncodeAll and DecodeAll.
var (
	encoder = must(zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1)))
	decoder = must(zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxDecoded)))
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // the options are constants: only a change of this file can get here
	}
	return v
}

// zstdMagic starts every zstd frame; no JSON document starts with it.
var zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}

// Encode returns v as a message body: JSON, compressed with zstd when that pays.
func Encode(v any) ([]byte, error) {
	switch unit := v.(type) {
	case Batch:
		unit.Samples = withRaw(unit.Samples)
		v = unit
	case Scored:
		unit.Samples = withRaw(unit.Samples)
		v = unit
	case *Batch:
		own := *unit
		own.Samples = withRaw(own.Samples)
		v = own
	case *Scored:
		own := *unit
		own.Samples = withRaw(own.Samples)
		v = own
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	if len(b) < compressFrom {
		return b, nil
	}
	return encoder.EncodeAll(b, make([]byte, 0, len(b)/4)), nil
}

// Decode reads a message body into v. Its error wraps ErrPoison: the same bytes
// will not decode the next time either.
func Decode(body []byte, v any) error {
	if bytes.HasPrefix(body, zstdMagic) {
		plain, err := decoder.DecodeAll(body, nil)
		if err != nil {
			return fmt.Errorf("decompress %T: %w: %w", v, ErrPoison, err)
		}
		body = plain
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("decode %T: %w: %w", v, ErrPoison, err)
	}
	switch unit := v.(type) {
	case *Batch:
		return takeRaw(unit.Samples)
	case *Scored:
		return takeRaw(unit.Samples)
	}
	return nil
}
