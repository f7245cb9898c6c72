package percard

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
)

// Most is the most engines that are tried on a card unless a number is asked for: two or three fill a
// card of today.
const Most = 3

// A Shape is what of a model decides how much memory an engine of it takes.
type Shape struct {
	Weights  uint64 // bytes
	PerToken uint64 // bytes of the key-value cache, in half precision
	// Hidden and Inner are the widths of a layer, Words the size of the vocabulary.
	Hidden, Inner, Words int
}

// ReadShape reads a model's folder.
func ReadShape(dir string) (Shape, error) {
	type form struct {
		Layers  int `json:"num_hidden_layers"`
		Heads   int `json:"num_attention_heads"`
		KVHeads int `json:"num_key_value_heads"`
		HeadDim int `json:"head_dim"`
		Hidden  int `json:"hidden_size"`
		Inner   int `json:"intermediate_size"`
		Words   int `json:"vocab_size"`
	}
	var c struct {
		form
		Text *form `json:"text_config"` // of a model that also sees
	}
	text, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		return Shape{}, err
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return Shape{}, fmt.Errorf("read %s: %w", filepath.Join(dir, "config.json"), err)
	}
	f := c.form
	if f.Layers == 0 && c.Text != nil {
		f = *c.Text
	}
	const most = 1 << 24 // of each number: beyond it nothing is a model, and products overflow
	for _, n := range []int{f.Layers, f.Heads, f.Hidden, f.KVHeads, f.HeadDim, f.Inner, f.Words} {
		if n < 0 || n > most {
			return Shape{}, fmt.Errorf("read %s: %d is no size of a model", filepath.Join(dir, "config.json"), n)
		}
	}
	if f.Layers == 0 || f.Heads == 0 || f.Hidden == 0 {
		return Shape{}, fmt.Errorf("read %s: it tells no layers, heads or width", filepath.Join(dir, "config.json"))
	}
	const ways, half = 2, 2 // keys and values, bytes of a number
	heads := float64(cmp.Or(f.KVHeads, f.Heads)) * float64(cmp.Or(f.HeadDim, f.Hidden/f.Heads))
	per := ways * half * heads * float64(f.Layers)
	if per < 1 || per > 1<<40 {
		return Shape{}, fmt.Errorf("read %s: %.0f bytes a token are no model's", filepath.Join(dir, "config.json"), per)
	}
	s := Shape{PerToken: uint64(per), Hidden: f.Hidden, Inner: cmp.Or(f.Inner, 4*f.Hidden), Words: f.Words}
	for _, pattern := range []string{"*.safetensors", "*.bin", "*.pt"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return Shape{}, err
		}
		for _, file := range files {
			if info, err := os.Stat(file); err == nil && info.Size() > 0 {
				s.Weights += uint64(info.Size()) //nolint:gosec // it is positive
			}
		}
		if s.Weights > 0 {
			return s, nil
		}
	}
	return Shape{}, errors.New("the model's folder holds no weights")
}

// A Card is what engines of one kind share.
type Card struct {
	Total      uint64  // bytes
	Share      float64 // of them for all engines, 0 to 1
	Sequences  int     // in an engine's batch
	StepTokens int     // of an engine's step
	Answer     int     // most tokens of an answer
	Longest    int     // tokens of a prompt and its answer
}

// apart is the share of a card's memory that lies between two engines: what an engine takes
// beyond its claim, for recorded graphs above all.
const apart = 0.02

// Each returns the share of the card's memory that each of n engines claims.
func (c Card) Each(n int) float64 {
	// Rounded down, so that the shares' sum is no more, and the command line is short.
	return math.Floor((c.Share-apart*float64(n-1))/float64(n)*1000) / 1000
}

// Fixed returns the bytes that an engine takes beside its key-value cache: weights, the card's
// context and libraries, and the largest step's intermediate results. It is an estimate from above.
func (s Shape) Fixed(c Card) uint64 {
	const half, single = 2, 4
	step := half * float64(c.StepTokens) * float64(8*s.Hidden+3*s.Inner)
	words := 4 * single * float64(c.Sequences) * float64(s.Words)
	return s.Weights + 3<<30 + uint64(step+words)
}

// Tokens returns for how many tokens the key-value cache of each of n engines has room; 0 where
// the weights alone do not fit.
func (s Shape) Tokens(n int, c Card) int {
	left := c.Each(n)*float64(c.Total) - float64(s.Fixed(c))
	if left <= 0 {
		return 0
	}
	return int(left / float64(s.PerToken))
}

// Comfort returns for how many tokens an engine needs room so that it hardly ever throws a sequence
// out: the answers of a batch, which are at different places, at three quarters of the longest, and
// the longest prompt of as many units as are in a batch.
func (c Card) Comfort() int {
	const unit = 32 // samples share a prompt
	units := (c.Sequences + unit - 1) / unit
	answer := min(c.Answer, c.Longest)
	return c.Sequences*answer*3/4 + units*(c.Longest-answer)
}

// Fit returns how many engines, at most most, have room for all that they compute at once, and
// what allows no more.
func (s Shape) Fit(most int, c Card) (n int, why string) {
	for n = 1; n < most; n++ {
		if room := s.Tokens(n+1, c); room < c.Comfort() {
			return n, fmt.Sprintf("memory: with %d engines each has room for %d tokens of %d sequences, and wants %d", n+1, room, c.Sequences, c.Comfort())
		}
	}
	return n, fmt.Sprintf("%d engines are the most that are tried on a card", most)
}

// Refuse returns an error where each of n engines has room for less than one sequence.
func (s Shape) Refuse(n int, c Card) error {
	if room := s.Tokens(n, c); room < c.Longest {
		return fmt.Errorf("%d engines on a card of %.1f GiB: each gets %.1f GiB, %.1f of them for weights and work, and has room for %d tokens: one sequence takes up to %d\nask for fewer with --engines-per-gpu, shorter ones with --max-model-len, or a larger --gpu-memory-utilization",
			n, gib(c.Total), c.Each(n)*gib(c.Total), gib(s.Fixed(c)), room, c.Longest)
	}
	return nil
}

// processors is what an engine keeps busy: one with its loop, a third of one with its server.
const processors = 4.0 / 3

// Processors returns how many processors so many engines keep busy.
func Processors(engines int) int { return int(math.Ceil(processors * float64(engines))) }

// FitProcessors returns how many engines each of the cards can have, at most most, where the
// machine has so many processors and one is for everything else.
func FitProcessors(most, cards, have int) (n int, why string) {
	n = int(float64(have-1) / processors / float64(max(cards, 1)))
	if n >= most {
		return most, ""
	}
	n = max(n, 1)
	return n, fmt.Sprintf("processors: %d engines keep %d busy, this machine has %d", (n+1)*max(cards, 1), Processors((n+1)*max(cards, 1)), have)
}
