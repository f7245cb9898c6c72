package sample

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

func calledProblems() []definition {
	return []definition{labels(), profile(), smooth(), shelves(), robot(), gates()}
}

// args parses the arguments of a call, one JSON value a line.
func args(input string, to ...any) {
	for i, line := range strings.Split(input, "\n") {
		if err := json.Unmarshal([]byte(line), to[i]); err != nil {
			panic(err)
		}
	}
}

// result writes a value as Python's json.dumps does: a space after each comma
// and colon outside of strings, and a fraction in every float.
func result(v any) string {
	switch v := v.(type) {
	case float64:
		if v == math.Trunc(v) {
			return strconv.FormatFloat(v, 'f', 1, 64)
		}
	case []float64:
		var all []string
		for _, f := range v {
			all = append(all, result(f))
		}
		return "[" + strings.Join(all, ", ") + "]"
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	var out strings.Builder
	quoted := false
	for i, c := range string(b) {
		out.WriteRune(c)
		if c == '"' && (i == 0 || b[i-1] != '\\') {
			quoted = !quoted
		}
		if !quoted && (c == ',' || c == ':') {
			out.WriteByte(' ')
		}
	}
	return out.String()
}

func call(values ...any) string {
	var all []string
	for _, v := range values {
		all = append(all, result(v))
	}
	return strings.Join(all, "\n")
}

func labels() definition {
	return definition{
		id: "lcbq_a07", title: "merge-labels", difficulty: "easy", fn: "mergeLabels", args: []string{"first", "second", "sep"},
		starter: "class Solution:\n    def mergeLabels(self, first: List[str], second: List[str], sep: str) -> List[str]:\n        ",
		statement: `
You are given two lists of labels, first and second, and a string sep.

Return a list in which the i-th element is first[i] + sep + second[i] for as long as both lists have an i-th element. The elements that only the longer list has follow at the end, unchanged and in order.

Constraints:

0 <= first.length, second.length <= 100
Labels and sep have 0 to 20 characters each.`,
		public: []string{
			call([]string{"a", "b", "c"}, []string{"x", "y"}, "-"),
			call([]string{}, []string{"left", "right"}, "+"),
		},
		private: []string{
			call([]string{}, []string{}, ""), call([]string{"one"}, []string{"two"}, ""), call([]string{""}, []string{""}, ", "),
			call([]string{"p", "q", "r", "s"}, []string{}, "/"), call([]string{"x"}, []string{"1", "2", "3"}, " - "),
			call([]string{"été", "naïve"}, []string{"日本", "ß"}, "→"), call([]string{`say "hi"`, `back\slash`}, []string{"tab\there"}, `"`),
			call([]string{"same", "same"}, []string{"same", "same", "same"}, "same"), call(slices.Repeat([]string{"w"}, 60), slices.Repeat([]string{"z"}, 41), ":"),
		},
		solve: func(in string) string {
			var first, second []string
			var sep string
			args(in, &first, &second, &sep)
			out := []string{}
			n := min(len(first), len(second))
			for i := range n {
				out = append(out, first[i]+sep+second[i])
			}
			return result(append(append(out, first[n:]...), second[n:]...))
		},
	}
}

func profile() definition {
	long := strings.Repeat("The tide, the TIDE; the moon! A moon-lit tide... ", 40)
	return definition{
		id: "lcbq_a08", title: "word-profile", difficulty: "medium", fn: "wordProfile", args: []string{"text"},
		starter: "class Solution:\n    def wordProfile(self, text: str) -> Dict[str, int]:\n        ",
		statement: `
A word is a longest possible run of the letters a to z and A to Z; every other character separates words. Upper and lower case do not matter.

Return a dictionary that maps every word of text, in lower case, to the number of times it occurs. If text holds no word, return an empty dictionary.

Constraints:

0 <= text.length <= 5000
text consists of printable ASCII characters.`,
		public:  []string{call("The tide takes the boat."), call("Don't panic, DON'T!")},
		private: []string{call(""), call("42 + 1 = 43"), call("a"), call("A a B b A"), call("snake_case and kebab-case"), call("x1y2z3 X"), call("  spaces   everywhere  "), call("(nested [brackets {here}])"), call(`quotes "in" text`), call(long)},
		solve: func(in string) string {
			var text string
			args(in, &text)
			counts := map[string]int{}
			for _, w := range strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return r > 'z' || !unicode.IsLower(r) }) {
				counts[w]++
			}
			return result(counts)
		},
	}
}

func smooth() definition {
	readings := func(r *rand.Rand, n int) []float64 {
		out := make([]float64, n)
		for i := range out {
			out[i] = float64(r.IntN(2001)-1000) / 4
		}
		return out
	}
	r := draw(9)
	return definition{
		id: "lcbq_a09", title: "smooth-readings", difficulty: "medium", fn: "smoothReadings", args: []string{"readings", "weight"},
		starter: "class Solution:\n    def smoothReadings(self, readings: List[float], weight: float) -> List[float]:\n        ",
		statement: `
A sensor's readings are smoothed one after the other. The first smoothed value is the first reading. Every later smoothed value lies between the previous smoothed value and the current reading: it is the previous smoothed value plus weight times the difference (current reading minus previous smoothed value).

Return the list of smoothed values.

All readings are multiples of 0.25 and weight is 0.25, 0.5 or 1.0, so that every value can be computed exactly with floating-point numbers.

Constraints:

1 <= readings.length <= 15
-250 <= readings[i] <= 250`,
		public: []string{call([]float64{1.5, 2.5, 0}, 0.5), call([]float64{-8, 8, 8}, 0.25)},
		private: []string{
			call([]float64{0}, 1.0), call([]float64{250, -250, 250, -250}, 1.0), call([]float64{0.25, 0.25, 0.25}, 0.5), call([]float64{-0.75, 0.75}, 0.25),
			call([]float64{3, 1, 4, 1, 5, 9, 2, 6}, 0.5), call(readings(r, 10), 0.25), call(readings(r, 15), 0.5), call(readings(r, 15), 0.25), call(readings(r, 15), 1.0),
		},
		solve: func(in string) string {
			var readings []float64
			var weight float64
			args(in, &readings, &weight)
			out := []float64{readings[0]}
			for _, x := range readings[1:] {
				last := out[len(out)-1]
				out = append(out, last+weight*(x-last))
			}
			return result(out)
		},
	}
}

func shelves() definition {
	r := draw(10)
	return definition{
		id: "lcbq_a10", title: "fill-shelves", difficulty: "medium", fn: "fillShelves", args: []string{"widths", "limit"},
		starter: "class Solution:\n    def fillShelves(self, widths: List[int], limit: int) -> List[List[int]]:\n        ",
		statement: `
Books are put on shelves one after the other, in the given order. Every shelf is limit wide. A book goes on the first shelf, counted from the top, that still has room for it; if there is none, a new shelf is added below the others and the book goes there.

Return the shelves from the top down, each as the list of the widths of its books in the order in which they were put there.

Constraints:

1 <= widths.length <= 300
1 <= widths[i] <= limit <= 1000`,
		public: []string{call([]int{4, 8, 1, 4, 2, 1}, 10), call([]int{5, 5, 5}, 5)},
		private: []string{
			call([]int{1}, 1), call([]int{3, 3, 3, 3}, 12), call([]int{6, 5, 4, 1}, 10), call([]int{9, 8, 7, 6, 5, 4, 3, 2, 1}, 10), call([]int{1, 2, 3, 4, 5, 6, 7, 8, 9}, 10),
			call([]int{7, 7, 3, 3, 7, 3}, 10), call(numbers(r, 30, 50), 100), call(numbers(r, 120, 400), 500), call(numbers(r, 300, 1000), 1000),
		},
		solve: func(in string) string {
			var widths []int
			var limit int
			args(in, &widths, &limit)
			var shelves [][]int
			var room []int
		next:
			for _, w := range widths {
				for i := range shelves {
					if room[i] >= w {
						shelves[i] = append(shelves[i], w)
						room[i] -= w
						continue next
					}
				}
				shelves, room = append(shelves, []int{w}), append(room, limit-w)
			}
			return result(shelves)
		},
	}
}

func robot() definition {
	field := func(r *rand.Rand, h, w int) [][]int {
		grid := make([][]int, h)
		for y := range grid {
			grid[y] = make([]int, w)
			for x := range grid[y] {
				switch n := r.IntN(20); {
				case n < 4:
					grid[y][x] = 1
				case n < 6:
					grid[y][x] = 2
				}
			}
		}
		grid[0][0], grid[h-1][w-1] = 0, 0
		return grid
	}
	r := draw(11)
	corner := []int{0, 0}
	return definition{
		id: "lcbq_a11", title: "robot-on-battery", difficulty: "hard", fn: "fewestSteps", args: []string{"grid", "start", "goal", "battery"},
		starter: "class Solution:\n    def fewestSteps(self, grid: List[List[int]], start: List[int], goal: List[int], battery: int) -> int:\n        ",
		statement: `
A robot moves on a grid. A cell is free (0), a wall (1), or holds a charger (2). start and goal are given as [row, column]; neither is a wall. A step takes the robot to a cell next to it, up, down, left or right, that is inside the grid and no wall.

The robot starts with a full battery, which is enough for battery steps. Whenever it stands on a charger, its battery becomes full again. Chargers can be used any number of times. With an empty battery the robot cannot move.

Return the smallest number of steps in which the robot can reach goal, or -1 if it cannot. It may arrive with an empty battery.

Constraints:

1 <= grid.length, grid[i].length <= 25
1 <= battery <= 30`,
		public: []string{
			call([][]int{{0, 0, 2}, {1, 1, 0}, {0, 0, 0}}, corner, []int{2, 0}, 4),
			call([][]int{{0, 0, 0, 0}}, corner, []int{0, 3}, 2),
		},
		private: []string{
			call([][]int{{0}}, corner, corner, 1), call([][]int{{0, 1}, {1, 0}}, corner, []int{1, 1}, 9), call([][]int{{0, 0, 0, 0, 0}}, corner, []int{0, 4}, 4),
			call([][]int{{0, 0, 0, 0, 0, 0}, {2, 0, 2, 0, 2, 0}}, corner, []int{0, 5}, 2), call([][]int{{2, 0}, {0, 0}}, []int{1, 1}, corner, 1),
			call([][]int{{0, 0, 0, 0, 0}, {0, 1, 1, 1, 0}, {2, 0, 0, 0, 0}}, []int{0, 1}, []int{0, 4}, 2),
			call([][]int{{0, 0, 0, 0, 0}, {2, 1, 1, 1, 0}, {0, 0, 0, 0, 0}}, []int{0, 1}, []int{2, 4}, 6),
			call([][]int{{0, 0, 0, 0, 0}, {2, 1, 1, 1, 0}, {0, 0, 0, 0, 0}}, []int{0, 1}, []int{0, 4}, 2),
			call(field(r, 8, 8), corner, []int{7, 7}, 7), call(field(r, 12, 15), corner, []int{11, 14}, 9), call(field(r, 25, 25), corner, []int{24, 24}, 12), call(field(r, 25, 25), corner, []int{24, 24}, 30),
		},
		solve: func(in string) string {
			var grid [][]int
			var start, goal []int
			var battery int
			args(in, &grid, &start, &goal, &battery)
			type state struct{ y, x, left int }
			now := map[state]bool{{start[0], start[1], battery}: true}
			seen := map[state]bool{}
			for steps := 0; len(now) > 0; steps++ {
				next := map[state]bool{}
				for s := range now {
					if s.y == goal[0] && s.x == goal[1] {
						return result(steps)
					}
					seen[s] = true
					for _, d := range [][2]int{{0, 1}, {1, 0}, {0, -1}, {-1, 0}} {
						n := state{s.y + d[0], s.x + d[1], s.left - 1}
						if s.left == 0 || n.y < 0 || n.x < 0 || n.y >= len(grid) || n.x >= len(grid[0]) || grid[n.y][n.x] == 1 {
							continue
						}
						if grid[n.y][n.x] == 2 {
							n.left = battery
						}
						if !seen[n] {
							next[n] = true
						}
					}
				}
				now = next
			}
			return "-1"
		},
	}
}

func gates() definition {
	return definition{
		id: "lcbq_a12", title: "digit-gates", difficulty: "hard", fn: "openGates", args: []string{"ranges", "divisor"},
		starter: "class Solution:\n    def openGates(self, ranges: List[List[int]], divisor: int) -> List[int]:\n        ",
		statement: `
A gate with number x is open if the sum of the decimal digits of x is divisible by divisor.

For every pair [low, high] in ranges, count the open gates with low <= x <= high. Return the counts in the order of the pairs.

Constraints:

1 <= ranges.length <= 50
1 <= low <= high <= 10^15
1 <= divisor <= 50`,
		public: []string{call([][]int{{1, 20}, {10, 10}}, 3), call([][]int{{1, 1000000}}, 9)},
		private: []string{
			call([][]int{{1, 1}}, 1), call([][]int{{1, 9}, {9, 9}, {10, 19}}, 2), call([][]int{{99, 101}, {1, 100}}, 10), call([][]int{{1, 1000}}, 50),
			call([][]int{{1, 100000}, {5, 99999}}, 7), call([][]int{{1, 1000000000000000}}, 1), call([][]int{{1, 1000000000000000}, {123456789, 987654321012345}}, 13),
			call([][]int{{999999999999999, 1000000000000000}, {500000000000000, 600000000000000}}, 5), call([][]int{{1, 999999999999999}}, 45),
		},
		solve: func(in string) string {
			var ranges [][]int
			var divisor int
			args(in, &ranges, &divisor)
			upTo := func(n int) int { // numbers 0..n with a divisible sum
				digits := result(n)
				tails := make([][]int, len(digits)+1) // by free digits and remainder so far
				tails[0] = make([]int, divisor)
				tails[0][0] = 1
				for k := 1; k <= len(digits); k++ {
					tails[k] = make([]int, divisor)
					for rest := range divisor {
						for d := range 10 {
							tails[k][rest] += tails[k-1][(rest+d)%divisor]
						}
					}
				}
				count, sum := 0, 0
				for i, c := range digits {
					for d := range int(c - '0') {
						count += tails[len(digits)-i-1][(sum+d)%divisor]
					}
					sum += int(c - '0')
				}
				if sum%divisor == 0 {
					count++
				}
				return count
			}
			counts := []int{}
			for _, r := range ranges {
				counts = append(counts, upTo(r[1])-upTo(r[0]-1))
			}
			return result(counts)
		},
	}
}
