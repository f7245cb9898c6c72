// Package engine holds the words that every engine and its callers share: a
// request for samples, the completions that come back, and the interface
// between the two. It knows no queue, no verdict and no particular engine.
package engine

import (
	"context"
	"errors"
	"time"
)

// An Engine turns prompts into completions. Implementations are safe for
// concurrent use by many goroutines.
type Engine interface {
	// Generate returns exactly r.N completions, that of sample r.First first, or
	// an error and no completion at all. All of them come from attempts that
	// succeeded: what a failed attempt left behind is never returned.
	//
	// It blocks until the completions are there or ctx is done. An error that
	// wraps ErrRejected is final; any other may pass with another attempt.
	Generate(ctx context.Context, r Request) ([]Completion, error)

	// Info says what generates, for results and logs.
	Info() Info
}

// ErrRejected marks a request that no retry can save: its prompt is longer than
// the model's context, or the recording holds no such sample. The caller gives
// the unit up instead of asking again.
var ErrRejected = errors.New("request rejected")

// ErrRefused marks a request that a server refused without a reason that lies in the
// request for sure. The caller asks again some times before it gives the unit up.
var ErrRefused = errors.New("request refused")

// A Request asks for the samples First to First+N-1 of one question at one
// temperature.
type Request struct {
	Run        string // id of the run
	Seed       uint64 // of the run; an engine that draws by itself derives all its randomness from it
	Question   int    // 0-based place of the question in the problem set
	QuestionID string // the question's own id, as the problem set names it
	First      int    // index of the first sample in its cell, from 0
	N          int    // samples wanted, at least 1
	// Since is when the unit came. An engine that cannot ask for all samples at once asks for
	// those of older units first. The zero time is now.
	Since time.Time

	Messages []Message // chat prompt; unused where Raw is set
	Raw      string    // complete prompt with the template applied, for text completion; "" means Messages
	Sampling Sampling
	Redraw   bool  // whether a text that the server refuses is drawn again; else it is a completion with finish reason "refused"
	Thinking *bool // whether a reasoning model thinks first; nil leaves it to the model's template
}

// A Message is one turn of a chat prompt.
type Message struct {
	Role    string `json:"role"` // system, user or assistant
	Content string `json:"content"`
}

// Sampling says how tokens are drawn. It is sent to the engine whole, so that
// no default of a server or a model takes part in a measurement. The zero value
// is greedy decoding with everything else off, and no token allowed.
type Sampling struct {
	Temperature       float64  // 0 is greedy
	TopP              float64  // in (0, 1]; 1 and 0 mean off
	TopK              int      // 0 means off
	MinP              float64  // 0 means off
	RepetitionPenalty float64  // 1 and 0 mean off
	PresencePenalty   float64  // 0 means off
	FrequencyPenalty  float64  // 0 means off
	MaxTokens         int      // most tokens of one completion
	Stop              []string // texts that end a completion; nil means none
}

// A Completion is one generated text.
type Completion struct {
	Text         string  // what the model wrote, its reasoning included where the server splits it off
	Code         *string // only from a recording: the program, given beside or instead of the text
	Tokens       int     // exact number of generated tokens; 0 where nobody counted
	FinishReason string  // stop, length, or what the server calls it; "" in a recording that does not say
	Redrawn      string  // why completions before this one were broken off or refused: a cause for each, separated by ", "
	LeftOut      string  // fields of sampling that the server does not take, so that its own defaults drew; space-separated
	AnsweredAs   string  // model that the server says wrote it, where that is another than was asked for
}

// Info says what generates.
type Info struct {
	Name      string // sim, replay, openai or vllm
	Model     string // the model as the engine names it
	Version   string // of the server behind it; "" where it does not tell
	Simulated bool   // no model: the completions are drawn from a known distribution
}
