package stream

import (
	"maps"
	"slices"
	"strings"
)

// Answers are counts of completions apart from their verdicts. They show whether the server
// that gave the completions works as it should.
type Answers struct {
	Finish       map[string]int `json:"finish_reasons"`        // completions by FinishClass, zeros left out
	Empty        int            `json:"empty"`                 // without any text or program
	Texts        int            `json:"unique_texts"`          // distinct texts of a cell; 0 if not counted
	Bytes        int64          `json:"text_bytes"`            // sum of the texts' lengths
	Uncounted    int            `json:"uncounted"`             // completions whose tokens nobody counted
	LengthTokens int64          `json:"length_tokens"`         // sum of the tokens of completions that ended for length
	OtherRule    int            `json:"other_rule"`            // completions without a program by the run's rule in which the rule robust finds one
	LeftOut      map[string]int `json:"left_out,omitempty"`    // completions that were drawn without a field of sampling, by field
	Redrawn      map[string]int `json:"redrawn,omitempty"`     // completions that were broken off or refused and drawn again, by cause
	AnsweredAs   map[string]int `json:"answered_as,omitempty"` // completions of another model than was asked for, by the server's word, by model
}

// The classes of finish reasons.
const (
	FinishStop    = "stop"
	FinishLength  = "length"
	FinishFilter  = "content_filter"
	FinishTools   = "tool_calls"
	FinishAbort   = "abort"
	FinishRefused = "refused" // no completion: the server refused the text that the model wrote
	FinishNone    = "none"    // the server does not say
	FinishOther   = "other"
)

// FinishClass returns the class of a finish reason, in whichever server's words.
func FinishClass(reason string) string {
	switch r := strings.ToLower(strings.TrimSpace(reason)); r {
	case FinishStop, "eos", "end_turn", "stop_sequence", "eos_token", "complete":
		return FinishStop
	case FinishLength, "max_tokens", "max_output_tokens":
		return FinishLength
	case FinishFilter, "safety", "recitation", "prohibited_content", "blocklist", "spii":
		return FinishFilter
	case FinishTools, "tool_call", "tool_use", "function_call":
		return FinishTools
	case FinishAbort, "error", "cancelled", "canceled":
		return FinishAbort
	case FinishRefused, "refusal":
		return FinishRefused
	case "", "null", FinishNone:
		return FinishNone
	default:
		return FinishOther
	}
}

// Count adds one sample. Texts is left alone: it follows from several samples.
func (a *Answers) Count(s *Sample) {
	if a.Finish == nil {
		a.Finish = make(map[string]int)
	}
	class := FinishClass(s.FinishReason)
	a.Finish[class]++
	if class == FinishLength {
		a.LengthTokens += int64(s.Tokens)
	}
	if s.Code == "" && strings.TrimSpace(s.Completion) == "" {
		a.Empty++
	}
	if s.Tokens == 0 {
		a.Uncounted++
	}
	for field := range strings.FieldsSeq(s.LeftOut) {
		a.LeftOut = plus(a.LeftOut, field, 1)
	}
	for _, cause := range Causes(s.Redrawn) {
		a.Redrawn = plus(a.Redrawn, cause, 1)
	}
	a.named(s.AnsweredAs, 1)
	a.Bytes += int64(len(s.Completion))
}

// Add adds another cell's counts.
func (a *Answers) Add(b *Answers) {
	if a.Finish == nil {
		a.Finish = make(map[string]int, len(b.Finish))
	}
	for class, n := range b.Finish {
		a.Finish[class] += n
	}
	a.Empty += b.Empty
	a.Texts += b.Texts
	a.Bytes += b.Bytes
	a.Uncounted += b.Uncounted
	a.LengthTokens += b.LengthTokens
	a.OtherRule += b.OtherRule
	for field, n := range b.LeftOut {
		a.LeftOut = plus(a.LeftOut, field, n)
	}
	for cause, n := range b.Redrawn {
		a.Redrawn = plus(a.Redrawn, cause, n)
	}
	for _, model := range slices.Sorted(maps.Keys(b.AnsweredAs)) { // in one order: the first names keep their places
		a.named(model, b.AnsweredAs[model])
	}
}

// mostModels bounds the names that are told apart: a server may make one up for every answer.
const mostModels = 8

// OtherModels stands for the models beyond mostModels.
const OtherModels = "others"

// named counts completions of another model; "" is the one that was asked for.
func (a *Answers) named(model string, n int) {
	if model == "" {
		return
	}
	if _, known := a.AnsweredAs[model]; !known {
		told := len(a.AnsweredAs)
		if a.AnsweredAs[OtherModels] > 0 {
			told--
		}
		if told >= mostModels {
			model = OtherModels
		}
	}
	a.AnsweredAs = plus(a.AnsweredAs, model, n)
}

// plus adds n to m[key] and returns m, made if need be.
func plus(m map[string]int, key string, n int) map[string]int {
	if m == nil {
		m = make(map[string]int)
	}
	m[key] += n
	return m
}

// Causes returns the causes in Sample.Redrawn.
func Causes(redrawn string) []string {
	if redrawn == "" {
		return nil
	}
	return strings.Split(redrawn, ", ")
}

// N returns how many completions were counted.
func (a *Answers) N() int {
	n := 0
	for _, of := range a.Finish {
		n += of
	}
	return n
}

// Clone returns a copy that shares nothing with a.
func (a *Answers) Clone() *Answers {
	out := *a
	out.Finish = maps.Clone(a.Finish)
	out.LeftOut, out.Redrawn, out.AnsweredAs = maps.Clone(a.LeftOut), maps.Clone(a.Redrawn), maps.Clone(a.AnsweredAs)
	return &out
}
