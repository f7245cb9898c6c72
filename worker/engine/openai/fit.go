package openai

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/lcbq/lcbq/worker/engine"
)

// fits refuses a number of tokens for which the model's context has no room beside the
// longest of the run's prompts, and names the largest that it has room for. The server's
// tokenizer counts the prompts; where it has none, the numbers in its refusal tell. Holds
// is the context as its list of models says it, 0 where it says nothing.
func (c *Client) fits(ctx context.Context, e *endpoint, holds int) error {
	if c.cfg.MaxTokens == 0 {
		return nil
	}
	longest := prompt{}
	for i := range c.cfg.Prompts {
		p, says, ok := c.tokenize(ctx, e, &c.cfg.Prompts[i])
		if !ok {
			break
		}
		if says > 0 {
			holds = says
		}
		if p.tokens > longest.tokens {
			longest = p
		}
	}
	if longest.tokens > 0 && holds > 0 {
		return c.room(holds, longest)
	}
	return c.fitsByAsking(ctx, e, holds)
}

// A prompt is one of the run's, in tokens as the server counts them.
type prompt struct {
	question string
	tokens   int
}

// room returns an error if prompt and answer do not fit.
func (c *Client) room(holds int, longest prompt) error {
	left := holds - longest.tokens
	switch {
	case c.cfg.MaxTokens <= left:
		return nil
	case left < 1:
		return fmt.Errorf("the prompt of question %s has %d tokens, and the model's context holds %d for prompt and answer\nstart the server with a larger context (vLLM: --max-model-len; llama.cpp: -c; Ollama: num_ctx), or leave the question out", longest.question, longest.tokens, holds)
	}
	return fmt.Errorf("--max-tokens %d does not fit: the model's context holds %d tokens for prompt and answer, and the longest prompt, of question %s, has %d\npass --max-tokens %d or less, or start the server with a larger context (vLLM: --max-model-len; llama.cpp: -c; Ollama: num_ctx)", c.cfg.MaxTokens, holds, longest.question, longest.tokens, left)
}

// tokenize has the server count a prompt, as vLLM and SGLang do, its template included. It
// returns the model's context too where the server says it.
func (c *Client) tokenize(ctx context.Context, e *endpoint, r *engine.Request) (prompt, int, bool) {
	ask := map[string]any{"model": c.modelName()}
	if r.Raw != "" {
		ask["prompt"] = r.Raw
	} else {
		ask["messages"] = r.Messages
	}
	text, err := json.Marshal(ask)
	if err != nil {
		return prompt{}, 0, false
	}
	ctx, cancel := context.WithTimeout(ctx, checkFor)
	defer cancel()
	resp, err := c.send(ctx, e, http.MethodPost, e.root+"/tokenize", bytes.NewReader(text))
	if err != nil {
		return prompt{}, 0, false
	}
	defer closeBody(resp)
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	var said struct {
		Count   amount `json:"count"`
		Context amount `json:"max_model_len"`
	}
	if err != nil || json.Unmarshal(raw, &said) != nil || said.Count == 0 {
		return prompt{}, 0, false
	}
	return prompt{r.QuestionID, int(said.Count)}, int(said.Context), true
}

// fitsByAsking asks as the run will, with its longest prompts, and looks at what the server
// says. An answer is not waited for.
func (c *Client) fitsByAsking(ctx context.Context, e *endpoint, holds int) error {
	longest := prompt{}
	var refusal error
prompts:
	for i := range c.cfg.Prompts {
		r := &c.cfg.Prompts[i]
		for _, most := range []int{c.cfg.MaxTokens, holds - 1} {
			if most < 1 {
				continue
			}
			silent, err := c.accepts(ctx, e, r, most)
			if silent {
				break prompts // it does not say before it has answered
			}
			if err == nil {
				break
			}
			if most == c.cfg.MaxTokens {
				refusal = err
			}
			if n := number(contextSays, err); n > 0 {
				holds = n
			}
			if n := number(promptSays, err); n > longest.tokens {
				longest = prompt{r.QuestionID, n}
				break
			}
		}
	}
	switch {
	case longest.tokens > 0 && holds > 0:
		return c.room(holds, longest)
	case holds > 0 && c.cfg.MaxTokens >= holds:
		return fmt.Errorf("--max-tokens %d does not fit the model's context of %d tokens, which holds prompt and answer\nlower --max-tokens to %d less the longest prompt, or start the server with a larger context (vLLM: --max-model-len; llama.cpp: -c; Ollama: num_ctx)", c.cfg.MaxTokens, holds, holds)
	case refusal != nil:
		return fmt.Errorf("ask for %d tokens of the longest prompt: %w\nlower --max-tokens, or start the server with a larger context", c.cfg.MaxTokens, refusal)
	}
	return nil
}

var (
	// about recognises a refusal for the number of tokens.
	about = regexp.MustCompile(`(?i)max_tokens|max_completion_tokens|max_model_len|context|too (large|long)`)
	// contextSays and promptSays find the context and the prompt in it, in the words of vLLM,
	// SGLang, llama.cpp and OpenAI.
	contextSays = regexp.MustCompile(`(?i)(?:maximum )?context (?:length|size|window)(?: \(?n_ctx\)?)?(?: is| of| \()?:? ?(\d+)|max_model_len ?[=(:](?:\w+=)*\s*(\d+)|n_ctx"?\s*[:=]\s*(\d+)`)
	promptSays  = regexp.MustCompile(`(?i)(\d+) (?:input tokens|tokens from the input|prompt tokens|(?:tokens )?in the (?:messages|prompt|input))|(?:prompt|input) (?:contains|has) (?:at least )?(\d+)|n_prompt_tokens"?\s*[:=]\s*(\d+)|request \((\d+) tokens\)`)
)

// number returns the number that one of re's groups finds in err, 0 for none.
func number(re *regexp.Regexp, err error) int {
	for i, text := range re.FindStringSubmatch(err.Error()) {
		if n, bad := strconv.Atoi(text); i > 0 && bad == nil {
			return n
		}
	}
	return 0
}

// takenFor is how long a server may take to say that it takes a request. One without streams
// says so with its answer, for which nobody waits here.
const takenFor = 5 * time.Second

// accepts returns the refusal of a request for most tokens of a prompt, if it is about that
// number. It leaves as soon as the server has taken the request: a stream says so at once.
// Silent says that it has said nothing.
func (c *Client) accepts(ctx context.Context, e *endpoint, r *engine.Request, most int) (silent bool, refusal error) {
	q := *r
	q.Sampling = engine.Sampling{Temperature: 1, MaxTokens: most}
	text, err := body(q, c.modelName(), 0, true, c.traitsOf(e))
	if err != nil {
		return false, nil //nolint:nilerr // of another field than the number of tokens
	}
	ctx, cancel := context.WithTimeout(ctx, takenFor)
	path := "/chat/completions"
	if q.Raw != "" {
		path = "/completions"
	}
	resp, err := c.send(ctx, e, http.MethodPost, e.api+path, bytes.NewReader(text))
	silent = ctx.Err() != nil
	cancel() // before the body is closed, which would read on
	if err == nil {
		_ = resp.Body.Close()
		return false, nil
	}
	if f := faultOf(err); f.code == http.StatusBadRequest || f.code == http.StatusUnprocessableEntity {
		if about.MatchString(f.Error()) {
			return silent, err
		}
	}
	return silent, nil
}
