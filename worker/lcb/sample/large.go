package sample

import (
	"math/rand/v2"
	"strconv"
)

// largeID names the problem with tests of more than a megabyte. They are made
// when first asked for: a repository is no place for them.
const largeID = "lcbq_a05"

// largeSize is how many heights a large test has; the problem allows 100,000.
const largeSize = 100_000

// largeHeights returns the heights of the large tests: any, rising and falling.
// The rising ones take a program that looks back at every earlier height
// billions of steps.
func largeHeights() [][]int {
	r := rand.New(rand.NewPCG(5, 100_000))
	anyhow, rising, falling := make([]int, largeSize), make([]int, largeSize), make([]int, largeSize)
	for i := range largeSize {
		anyhow[i] = 1 + r.IntN(1_000_000_000)
		rising[i] = 1 + i*7_919
		falling[i] = 1_000_000_000 - i*7_919
	}
	return [][]int{anyhow, rising, falling}
}

// lookBack solves the problem: for every height, how far back the nearest
// greater one is, and 0 where there is none.
func lookBack(heights []int) []int {
	back := make([]int, len(heights))
	var taller []int // places of ever smaller heights
	for i, h := range heights {
		for len(taller) > 0 && heights[taller[len(taller)-1]] <= h {
			taller = taller[:len(taller)-1]
		}
		if len(taller) > 0 {
			back[i] = i - taller[len(taller)-1]
		}
		taller = append(taller, i)
	}
	return back
}

// appendNumbers appends the numbers with spaces between them.
func appendNumbers(out []byte, numbers []int) []byte {
	for i, n := range numbers {
		if i > 0 {
			out = append(out, ' ')
		}
		out = strconv.AppendInt(out, int64(n), 10)
	}
	return out
}
