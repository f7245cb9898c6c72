package sample

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

func stdinProblems() []definition {
	return []definition{lighthouse(), ferry(), boardwalk(), tide(), ridge(), shows()}
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

func lines(s string) []string { return strings.Split(strings.TrimRight(s, "\n"), "\n") }

func ints(s string) []int {
	var out []int
	for f := range strings.FieldsSeq(s) {
		out = append(out, atoi(f))
	}
	return out
}

func lighthouse() definition {
	night := func(r *rand.Rand, n int) string {
		var b strings.Builder
		fmt.Fprintln(&b, n)
		for range n {
			start := r.IntN(1400)
			fmt.Fprintln(&b, start, start+1+r.IntN(1440-start))
		}
		return b.String()
	}
	r := draw(1)
	return definition{
		id: "lcbq_a01", title: "Lighthouse Log", difficulty: "easy",
		statement: `
A lighthouse keeper writes down every night during which minutes there was fog. On each of N nights there was exactly one stretch of fog, from minute S_i (included) to minute E_i (not included), counted from sunset.

Print the total number of minutes of fog over all nights, and the number of the night with the longest stretch. Nights are numbered from 1. If several nights share the longest stretch, print the earliest of them.

Input

The input is given from Standard Input in the following format:

N
S_1 E_1
...
S_N E_N

Output

Print two lines: the total, and the number of the night.

Constraints

1 ≤ N ≤ 1000
0 ≤ S_i < E_i ≤ 1440
All values are integers.`,
		public: []string{"3\n10 30\n0 60\n100 160\n", "1\n0 1440\n"},
		private: []string{
			"1\n1439 1440\n", "2\n0 1\n5 6\n", "4\n0 5\n0 6\n0 7\n0 8\n", "4\n9 20\n9 19\n9 18\n9 17\n", "5\n1 3\n2 9\n0 7\n0 7\n4 5\n",
			night(r, 10), night(r, 100), night(r, 1000), "3\n0 100\n0 1440\n0 1440\n",
		},
		solve: func(in string) string {
			total, best, at := 0, 0, 0
			for i, line := range lines(in)[1:] {
				v := ints(line)
				total += v[1] - v[0]
				if v[1]-v[0] > best {
					best, at = v[1]-v[0], i+1
				}
			}
			return fmt.Sprintf("%d\n%d\n", total, at)
		},
	}
}

func ferry() definition {
	queue := func(r *rand.Rand, n int) string {
		names := []string{"ada", "bo", "cleo", "dov", "eve", "finn", "gus", "hana", "ivo", "june"}
		var b strings.Builder
		fmt.Fprintln(&b, n)
		for range n {
			switch r.IntN(5) {
			case 0:
				fmt.Fprintln(&b, "leave", names[r.IntN(len(names))])
			case 1:
				fmt.Fprintln(&b, "board", 1+r.IntN(4))
			default:
				fmt.Fprintln(&b, "join", names[r.IntN(len(names))])
			}
		}
		fmt.Fprintln(&b, "board 10")
		text := b.String()
		return strings.Replace(text, strconv.Itoa(n), strconv.Itoa(n+1), 1)
	}
	r := draw(2)
	return definition{
		id: "lcbq_a02", title: "Ferry Queue", difficulty: "easy", plain: true,
		statement: `
People wait for a small ferry in a single queue. Process Q commands in order:

join NAME: the person goes to the end of the queue. If the person is in the queue already, nothing happens.
leave NAME: the person leaves the queue, wherever they stand. If the person is not in the queue, nothing happens.
board K: the first K people of the queue board the ferry and are no longer in the queue. If fewer than K people wait, all of them board.

For every board command print the names of the people who board, in queue order, separated by single spaces. If nobody boards, print none. A person who has boarded or left may join again later.

Input

The input is given from Standard Input in the following format:

Q
command_1
...
command_Q

Output

Print one line for each board command.

Constraints

1 ≤ Q ≤ 1000
1 ≤ K ≤ 1000
Names have 1 to 10 lowercase English letters.
There is at least one board command.`,
		public: []string{"6\njoin ada\njoin bo\njoin ada\nboard 1\nleave cleo\nboard 5\n", "4\njoin ada\nleave ada\nboard 2\nboard 1\n"},
		private: []string{
			"1\nboard 1\n", "3\njoin z\nboard 1\nboard 1\n", "5\njoin a\njoin b\njoin c\nleave b\nboard 3\n",
			"7\njoin a\nboard 1\njoin a\njoin b\nleave a\njoin a\nboard 2\n", "6\njoin a\njoin b\njoin c\nboard 2\njoin a\nboard 2\n",
			queue(r, 20), queue(r, 60), queue(r, 200), queue(r, 999),
		},
		solve: func(in string) string {
			var queue []string
			var b strings.Builder
			for _, line := range lines(in)[1:] {
				verb, arg, _ := strings.Cut(line, " ")
				switch at := slices.Index(queue, arg); {
				case verb == "board":
					k := min(atoi(arg), len(queue))
					if k == 0 {
						b.WriteString("none\n")
						continue
					}
					b.WriteString(strings.Join(queue[:k], " ") + "\n")
					queue = queue[k:]
				case verb == "join" && at < 0:
					queue = append(queue, arg)
				case verb == "leave" && at >= 0:
					queue = slices.Delete(slices.Clone(queue), at, at+1)
				}
			}
			return b.String()
		},
	}
}

func boardwalk() definition {
	return definition{
		id: "lcbq_a03", title: "Boardwalk", difficulty: "medium",
		statement: `
A boardwalk of length N metres is laid from one end to the other with planks of 1, 2 and 3 metres. Planks of the same length look the same. Two planks of 3 metres must never lie directly next to each other, because both would bend.

Print in how many different ways the boardwalk can be laid so that it is covered exactly. Two ways are different if their sequences of plank lengths are different. The number can be very large; print all of its digits.

Input

The input is given from Standard Input in the following format:

N

Output

Print the number of ways.

Constraints

1 ≤ N ≤ 3000`,
		public:  []string{"3\n", "6\n", "40\n"},
		private: []string{"1\n", "2\n", "4\n", "5\n", "7\n", "9\n", "31\n", "64\n", "250\n", "1000\n", "2999\n", "3000\n"},
		solve: func(in string) string {
			n := atoi(strings.TrimSpace(in))
			free, long := make([]*big.Int, n+1), make([]*big.Int, n+1) // ways that end in a plank of 1 or 2, and of 3
			for i := range n + 1 {
				free[i], long[i] = new(big.Int), new(big.Int)
				if i == 0 {
					free[0].SetInt64(1)
					continue
				}
				for step := 1; step <= 2 && step <= i; step++ {
					free[i].Add(free[i], free[i-step])
					free[i].Add(free[i], long[i-step])
				}
				if i >= 3 {
					long[i].Set(free[i-3])
				}
			}
			return new(big.Int).Add(free[n], long[n]).String() + "\n"
		},
	}
}

func tide() definition {
	levels := func(r *rand.Rand, n, k int) string {
		var b strings.Builder
		fmt.Fprintln(&b, n, k)
		for i := range n {
			if i > 0 {
				b.WriteByte(' ')
			}
			v := r.IntN(200001) - 100000
			sign := ""
			if v < 0 {
				sign, v = "-", -v
			}
			fmt.Fprintf(&b, "%s%d.%02d", sign, v/100, v%100)
		}
		return b.String() + "\n"
	}
	r := draw(4)
	return definition{
		id: "lcbq_a04", title: "Average Tide", difficulty: "medium",
		statement: `
A gauge measures the water level N times, at equal distances in time. The level is given in metres with exactly two digits after the decimal point and may be negative.

Print the largest average of K consecutive measurements, with exactly four digits after the decimal point. By the choice of K the average never has more than four such digits, so nothing has to be rounded. An average of zero is printed as 0.0000.

Input

The input is given from Standard Input in the following format:

N K
L_1 L_2 ... L_N

Output

Print the largest average.

Constraints

1 ≤ K ≤ N ≤ 5000
K is one of 1, 2, 4, 5, 10, 20, 25, 50 and 100.
-1000.00 ≤ L_i ≤ 1000.00`,
		public: []string{"5 2\n1.00 2.50 2.25 -1.00 0.75\n", "4 4\n-0.01 -0.02 -0.03 -0.05\n"},
		private: []string{
			"1 1\n-1000.00\n", "2 1\n-3.10 -3.09\n", "3 2\n-1.00 1.00 -1.00\n", "6 5\n0.00 0.10 0.20 0.30 0.40 0.50\n",
			levels(r, 30, 4), levels(r, 100, 100), levels(r, 300, 20), levels(r, 1000, 25), levels(r, 5000, 1), levels(r, 5000, 50),
		},
		solve: func(in string) string {
			rows := lines(in)
			k := ints(rows[0])[1]
			var sum, best int // ten-thousandths, times k
			var v []int
			for f := range strings.FieldsSeq(rows[1]) {
				v = append(v, 100*atoi(strings.Replace(f, ".", "", 1)))
			}
			for i, x := range v {
				if sum += x; i >= k {
					sum -= v[i-k]
				}
				if i == k-1 || i >= k && sum > best {
					best = sum
				}
			}
			best /= k
			sign := ""
			if best < 0 {
				sign, best = "-", -best
			}
			return fmt.Sprintf("%s%d.%04d\n", sign, best/10000, best%10000)
		},
	}
}

func ridge() definition {
	r := draw(5)
	input := func(heights []int) string {
		return fmt.Sprintf("%d\n%s\n", len(heights), appendNumbers(nil, heights))
	}
	return definition{
		id: "lcbq_a05", title: "Ridge Walk", difficulty: "hard", plain: true,
		statement: `
You walk along a ridge with N peaks of heights H_1, ..., H_N. On every peak you look back at the peaks you have passed. Lower peaks and peaks of the same height do not stop your view; the nearest earlier peak that is strictly higher does.

For every peak i print i - j, where j < i is the largest index with H_j > H_i. If there is no such j, print 0.

Input

The input is given from Standard Input in the following format:

N
H_1 H_2 ... H_N

Output

Print N integers on one line, separated by single spaces.

Constraints

1 ≤ N ≤ 100000
1 ≤ H_i ≤ 1000000000`,
		public: []string{"6\n5 3 3 4 9 1\n", "3\n1 2 3\n"},
		private: []string{
			input([]int{7}), input([]int{2, 1}), input([]int{4, 4, 4, 4}), input([]int{9, 1, 8, 2, 7, 3, 6, 4, 5}), input([]int{3, 2, 1, 2, 3, 4}),
			input(numbers(r, 20, 5)), input(numbers(r, 50, 1000)), input(numbers(r, 400, 30)),
		},
		solve: func(in string) string { return string(appendNumbers(nil, lookBack(ints(lines(in)[1])))) + "\n" },
	}
}

func shows() definition {
	program := func(r *rand.Rand, n, span int) string {
		var b strings.Builder
		fmt.Fprintln(&b, n)
		for range n {
			start := r.IntN(span)
			fmt.Fprintln(&b, start, start+1+r.IntN(max(1, span/4)), 1+r.IntN(100))
		}
		return b.String()
	}
	r := draw(6)
	return definition{
		id: "lcbq_a06", title: "Two Friends at the Festival", difficulty: "hard",
		statement: `
A festival has N shows. Show i begins at time S_i, ends at time E_i, and pays a critic V_i for a review. Two friends work as critics. A critic must see a show from its beginning to its end and sees one show at a time, but may go to a show that begins at the very moment another one ends. A show is reviewed at most once, by either of the friends.

Print the largest amount that the two friends can earn together.

Input

The input is given from Standard Input in the following format:

N
S_1 E_1 V_1
...
S_N E_N V_N

Output

Print the largest amount.

Constraints

1 ≤ N ≤ 120
0 ≤ S_i < E_i ≤ 10000
1 ≤ V_i ≤ 100
All values are integers.`,
		public: []string{"4\n0 3 5\n1 4 6\n2 5 7\n3 6 1\n", "1\n0 1 9\n"},
		private: []string{
			"2\n0 5 1\n0 5 2\n", "3\n0 5 4\n0 5 4\n0 5 4\n", "5\n0 2 6\n2 4 6\n0 3 5\n1 4 9\n3 5 5\n",
			"6\n0 4 5\n4 8 5\n1 5 8\n5 9 5\n0 9 9\n2 6 7\n", program(r, 8, 12), program(r, 12, 20), program(r, 30, 40), program(r, 60, 100),
			program(r, 120, 200), program(r, 120, 9000),
		},
		solve: func(in string) string {
			var shows [][]int
			for _, line := range lines(in)[1:] {
				shows = append(shows, ints(line))
			}
			slices.SortFunc(shows, func(a, b []int) int { return a[0] - b[0] })
			// Shows by their beginning; a state is when each friend is free, the earlier first.
			best := map[[2]int]int{{0, 0}: 0}
			for _, s := range shows {
				next := map[[2]int]int{}
				keep := func(a, b, v int) {
					// Being free before this beginning is as good as being free at it.
					a, b = max(a, s[0]), max(b, s[0])
					key := [2]int{min(a, b), max(a, b)}
					next[key] = max(next[key], v)
				}
				for free, v := range best {
					keep(free[0], free[1], v)
					if free[0] <= s[0] {
						keep(s[1], free[1], v+s[2])
					}
				}
				best = next
			}
			most := 0
			for _, v := range best {
				most = max(most, v)
			}
			return fmt.Sprintln(most)
		},
	}
}
