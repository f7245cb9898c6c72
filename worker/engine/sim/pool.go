package sim

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"

	"github.com/lcbq/lcbq/worker/engine"
)

// The classes of answers, named as the verdicts that a judge must give them.
const (
	Passed       = "passed"
	WrongAnswer  = "wrong_answer"
	TimeLimit    = "time_limit"
	RuntimeError = "runtime_error"
	CompileError = "compile_error"
	NoCode       = "no_code"   // prose without a code block
	Truncated    = "truncated" // stops inside its only code block, for the token limit
)

// files hold a pool each, named after the question. A line "=== name weight
// class" begins an answer, and what follows up to the next is its body.
//
//go:embed pool
var files embed.FS

// An answer is one member of a pool.
type answer struct {
	name   string
	weight float64 // drawn with a chance in proportion to exp(weight/T)
	class  string
	body   string // a program, or prose where the class is NoCode
}

type pool []answer

// loaded is the whole of the embedded pools.
type loaded struct {
	pools   map[string]pool
	version string // of the pools: changes with any byte of them
}

var load = sync.OnceValue(func() loaded {
	entries, err := files.ReadDir("pool")
	if err != nil {
		panic(err) // the pools are part of the binary
	}
	all := loaded{pools: make(map[string]pool, len(entries))}
	h := sha256.New()
	for _, entry := range entries {
		text, err := files.ReadFile("pool/" + entry.Name())
		if err != nil {
			panic(err)
		}
		h.Write(text)
		id := strings.TrimSuffix(entry.Name(), ".txt")
		if all.pools[id], err = parsePool(string(text)); err != nil {
			panic(fmt.Errorf("pool of %s: %w", id, err))
		}
	}
	all.version = hex.EncodeToString(h.Sum(nil))[:12]
	return all
})

func parsePool(text string) (pool, error) {
	var p pool
	for part := range strings.SplitSeq(strings.TrimPrefix(text, "=== "), "\n=== ") {
		head, body, _ := strings.Cut(part, "\n")
		var a answer
		var weight string
		if n, err := fmt.Sscan(head, &a.name, &weight, &a.class); err != nil {
			return nil, fmt.Errorf("parse %q: %d of three words: %w", head, n, err)
		}
		var err error
		if a.weight, err = strconv.ParseFloat(weight, 64); err != nil {
			return nil, fmt.Errorf("parse %q: %w", head, err)
		}
		a.body = strings.TrimRight(body, "\n") + "\n"
		p = append(p, a)
	}
	return p, nil
}

func lookUp(pools map[string]pool, questionID string) (pool, error) {
	p, ok := pools[questionID]
	if !ok {
		return nil, fmt.Errorf("simulate question %s: %w: the simulated model knows the built-in problems only", questionID, engine.ErrRejected)
	}
	return p, nil
}

// shares returns the chance of each answer at temperature t: the softmax of
// weight/t. At 0 it is the limit: all chance is on the largest weight, shared
// evenly by those that have it.
func (p pool) shares(t float64) []float64 {
	top := math.Inf(-1)
	for _, a := range p {
		top = max(top, a.weight)
	}
	out := make([]float64, len(p))
	sum := 0.0
	for i, a := range p {
		switch {
		case a.weight == top: // exp(0), also where t is 0
			out[i] = 1
		case t > 0:
			out[i] = math.Exp((a.weight - top) / t)
		}
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}

// Distribution returns the probability of each class of answers, in [0, 1] and
// 1 in sum, that a sample of the question has at this temperature: the sum of
// softmax(weight/temperature) over the answers of the class. At temperature 0 it
// is the limit. It returns an error unless the question is built in and the
// temperature is 0 or more.
func Distribution(questionID string, temperature float64) (map[string]float64, error) {
	p, err := lookUp(load().pools, questionID)
	if err != nil {
		return nil, err
	}
	if !(temperature >= 0) {
		return nil, fmt.Errorf("temperature = %v, want 0 or more", temperature)
	}
	out := make(map[string]float64)
	for i, share := range p.shares(temperature) {
		out[p[i].class] += share
	}
	return out, nil
}

// PassProbability returns the probability, in [0, 1], that a sample of the
// question passes at this temperature. See Distribution for method and errors.
func PassProbability(questionID string, temperature float64) (float64, error) {
	d, err := Distribution(questionID, temperature)
	return d[Passed], err
}
