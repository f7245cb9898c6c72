package score

import (
	"fmt"
	"math"
	"slices"
)

// UnionAtK returns the estimate of the chance that k samples of one question,
// spread over several temperatures as evenly as k allows, hold at least one that
// passes. Where k is not a multiple of the number of temperatures, those that
// give one sample more are chosen by lot, and the result is the mean over all
// such choices, exactly. Each temperature's part is unbiased as PassAtK is, and
// they are independent, so the whole is.
//
// The error is ErrUndefined if some temperature has too few samples or there is
// none, and a mistake as in PassAtK.
func UnionAtK(temperatures []Count, k int) (float64, error) {
	m := len(temperatures)
	if m == 0 {
		return 0, fmt.Errorf("union pass@%d: %w: no temperatures", k, ErrUndefined)
	}
	if k < 1 {
		return 0, fmt.Errorf("union pass@%d: k = %d, want 1 or more", k, k)
	}
	each, more := k/m, k%m
	var base sum
	// ways[j] is the sum over all choices of j temperatures of the product of
	// their ratios: what one sample more multiplies the chance of a miss by.
	ways := make([]float64, more+1)
	ways[0] = 1
	sure := false // some temperature's part cannot miss
	for i, c := range temperatures {
		need := each
		if more > 0 {
			need++
		}
		if err := check(c, max(1, need)); err != nil {
			return 0, fmt.Errorf("union pass@%d of temperature %d: %w", k, i, err)
		}
		failed := c.N - c.C - each // of those left after its part
		if failed < 0 {
			sure = true
			continue
		}
		if each > 0 {
			base.add(logMiss(c.N, c.C, each))
		}
		ratio := 0.0
		if failed > 0 {
			ratio = float64(failed) / float64(c.N-each)
		}
		for j := more; j >= 1; j-- {
			ways[j] += ways[j-1] * ratio
		}
	}
	if sure {
		return 1, nil
	}
	choices := 1.0
	for j := range more {
		choices *= float64(m-j) / float64(j+1)
	}
	extra := ways[more] / choices
	if more == 0 {
		extra = 1
	}
	// 1 - miss*extra, without losing the digits of either when both are near 1.
	miss := math.Expm1(base.value())
	return min(1, max(0, -(miss+(extra-1)+miss*(extra-1)))), nil
}

// A Coverage says which questions are solved at all, by any sample.
type Coverage struct {
	Solved   []int // by temperature: questions with a sample that passed
	Only     []int // by temperature: questions that no other temperature solved
	Union    int   // questions that some temperature solved
	Complete int   // questions that have samples at every temperature
	All      int   // of those, the ones that every temperature solved
}

// Solved counts solved questions. Each question is given by its counts at every
// temperature; a temperature without samples has solved nothing.
func Solved(questions [][]Count) (Coverage, error) {
	var out Coverage
	if len(questions) == 0 {
		return out, nil
	}
	m := len(questions[0])
	out.Solved, out.Only = make([]int, m), make([]int, m)
	for i, q := range questions {
		if len(q) != m {
			return Coverage{}, fmt.Errorf("solved: question %d has %d temperatures, question 0 has %d", i, len(q), m)
		}
		by, last, complete := 0, 0, m > 0
		for t, c := range q {
			if err := c.Validate(); err != nil {
				return Coverage{}, fmt.Errorf("solved: question %d, temperature %d: %w", i, t, err)
			}
			complete = complete && c.N > 0
			if c.C > 0 {
				out.Solved[t]++
				by++
				last = t
			}
		}
		if complete {
			out.Complete++
		}
		if by == 1 {
			out.Only[last]++
		}
		if by == m && m > 0 {
			out.All++
		}
		if by > 0 {
			out.Union++
		}
	}
	return out, nil
}

// A Group is the questions that share a label, such as a difficulty.
type Group struct {
	Name    string
	Members []int // indices of the questions, ascending
}

// Groups sorts questions by label; groups are in the order of their names.
// Questions without a label form the group "".
func Groups(labels []string) []Group {
	var out []Group
	for i, name := range labels {
		at, found := slices.BinarySearchFunc(out, name, func(g Group, name string) int {
			switch {
			case g.Name < name:
				return -1
			case g.Name > name:
				return 1
			default:
				return 0
			}
		})
		if !found {
			out = slices.Insert(out, at, Group{Name: name})
		}
		out[at].Members = append(out[at].Members, i)
	}
	return out
}
