package evaluate

import (
	"fmt"
	"sync"
	"testing"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/sandbox"
)

// coins are programs that print 1 with probability 1/2, by each source of chance.
var coins = map[string]string{
	"clock":      "import time\nprint(time.time_ns() // 1000 % 2)\n",
	"from clock": "from time import perf_counter_ns as f\nprint(f() // 1000 % 2)\n",
	"date":       "print(datetime.datetime.now().microsecond % 2)\n",
	"urandom":    "import os\nprint(os.urandom(1)[0] % 2)\n",
	"secrets":    "import secrets\nprint(secrets.randbelow(2))\n",
	"uuid":       "import uuid\nprint(uuid.uuid4().int % 2)\n",
	"random":     "import random\nprint(int(random.random() < .5))\n",
	"preamble":   "print(randint(0, 1))\n",
	"own":        "import random\nprint(random.Random().getrandbits(1))\n",
	"system":     "import random\nprint(random.SystemRandom().getrandbits(1))\n",
	"by string":  "exec('import os; x = os.urandom(1)[0] % 2')\nprint(locals()['x'])\n",
	"nested":     "class A:\n    def f(self):\n        return (lambda: __import__('os').urandom(1)[0] % 2)()\nprint(A().f())\n",
	"fails late": "import os\nprint(os.urandom(1)[0] % 2 or 1 // 0)\n",
	"compare":    "import time\na = time.time_ns() // 1000 % 2\nif a: raise ValueError\nprint(1)\n",
}

// alike are how many copies of a coin are judged. A fair one passes fewer than lucky of
// them, or more than alike-lucky, once in 10^9 tries.
const (
	alike = 36
	lucky = 2
)

// one is a question of one test that wants what the coins print.
func one(id string) *Question {
	return &Question{ID: id, Digest: id, sandbox: sandbox.Question{ID: id, Inputs: []string{""}}, lines: []string{"1"}}
}

// passes judges programs at once and returns how many passed.
func passes(t *testing.T, g *Grader, q *Question, programs []string) int {
	t.Helper()
	var all sync.WaitGroup
	var mu sync.Mutex
	n := 0
	for _, p := range programs {
		all.Go(func() {
			j, _, err := g.Judge(t.Context(), q, code(p))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			} else if j.Verdict == stream.Passed {
				n++
			}
		})
	}
	all.Wait()
	return n
}

// TestCopiesOfACoin wants copies of a program whose outcome is chance to pass as often
// as texts that differ in a comment do: each has a draw of its own.
func TestCopiesOfACoin(t *testing.T) {
	t.Parallel()
	burnsSeconds(t)
	for name, coin := range coins {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGrader(t, 2)
			copies, texts := make([]string, alike), make([]string, alike)
			for i := range copies {
				copies[i], texts[i] = coin, fmt.Sprintf("%s# %d\n", coin, i)
			}
			for what, programs := range map[string][]string{"copies": copies, "distinct texts": texts} {
				if n := passes(t, g, one("coin"), programs); n < lucky || n > alike-lucky {
					t.Errorf("%d of %d %s passed, want about half", n, alike, what)
				}
			}
			if ran, cached := g.Counts(); ran != 2*alike || cached != 0 {
				t.Errorf("%d programs run and %d answered from memory, want %d and 0", ran, cached, 2*alike)
			}
		})
	}
}

// TestCertainIsRemembered wants programs without chance to be run once, those too that
// look like one with it.
func TestCertainIsRemembered(t *testing.T) {
	t.Parallel()
	for name, program := range map[string]string{
		"words":      "# time, random, urandom\ndef f(time, random):\n    'the time of a random draw'\n    return time + random\nprint(f(1, 0))\n",
		"local":      "time = 1\nseconds = 'time'\nprint(time)\n",
		"eval":       "print(eval('1'))\n",
		"set":        "print(len(set('abc')) // 3)\n",
		"hash":       "print(hash('abc') * 0 + 1)\n",
		"one thread": "import threading\nt = threading.Thread(target=lambda: print(1))\nt.start()\nt.join()\n",
		"fails":      "print(2)\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGrader(t, 2)
			passes(t, g, one("certain"), []string{program, program, program, program})
			passes(t, g, one("certain"), []string{program})
			if ran, cached := g.Counts(); ran != 1 || cached != 4 {
				t.Errorf("run %d times and remembered %d times, want 1 and 4", ran, cached)
			}
		})
	}
}

// TestThreadsAtOnce wants threads that race to be chance.
func TestThreadsAtOnce(t *testing.T) {
	t.Parallel()
	g := newGrader(t, 2)
	program := "import threading\na = []\nts = [threading.Thread(target=a.append, args=(i,)) for i in range(2)]\n" +
		"hold = threading.Event()\nts.append(threading.Thread(target=hold.wait))\nts[2].start()\nts[0].start()\nts[1].start()\nhold.set()\n[x.join() for x in ts]\nprint(len(a) - 1)\n"
	if n := passes(t, g, one("threads"), []string{program, program, program}); n != 3 {
		t.Errorf("%d of 3 passed", n)
	}
	if ran, _ := g.Counts(); ran != 3 {
		t.Errorf("run %d times, want 3", ran)
	}
}

// TestNumpyIsOneDraw wants numpy's global generator to be what it is for the official
// runner's programs: one state, which each begins with.
func TestNumpyIsOneDraw(t *testing.T) {
	t.Parallel()
	g := newGrader(t, 2)
	if g.Host().Environment().Packages["numpy"] == "" {
		t.Skip("no numpy")
	}
	var texts []string
	for i := range 6 {
		texts = append(texts, fmt.Sprintf("import numpy\nprint(int(numpy.random.random() < .5))\n# %d\n", i))
	}
	if n := passes(t, g, one("numpy"), texts); n != 0 && n != len(texts) {
		t.Errorf("%d of %d texts passed, want all or none", n, len(texts))
	}
	fresh := "import numpy\nprint(int(numpy.random.default_rng().random() < .5))\n"
	copies := make([]string, alike/2)
	for i := range copies {
		copies[i] = fresh
	}
	if n := passes(t, g, one("fresh"), copies); n == 0 || n == len(copies) {
		t.Errorf("%d of %d copies with a generator of their own passed, want about half", n, len(copies))
	}
}
