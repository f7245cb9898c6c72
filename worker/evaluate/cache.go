package evaluate

import (
	"crypto/sha256"
	"sync"

	"github.com/lcbq/lcbq/stream"
)

// cacheGeneration is the number of verdicts in one generation of the cache. Two
// generations of at most a kilobyte an entry stay under 200 MB; a question at 16
// temperatures rarely has more distinct programs than that at once.
const cacheGeneration = 100_000

// A cacheKey names a program on a question, by the digest of its text or of its normal form. Judge settings are not in it: a
// grader has one set of them.
type cacheKey struct {
	question string
	program  [sha256.Size]byte
}

// String returns the key for singleflight.
func (k cacheKey) String() string { return k.question + string(k.program[:]) }

// A finding is the judgement of a program on a question. If the outcome depends on chance,
// every copy of the program is judged: one draw must not count for all.
type finding struct {
	stream.Judgement
	chance bool
	known  bool // another evaluator found it out
	unsure bool // the machine's load may have decided
	own    bool // it names a line of the program's own text
}

// A cache keeps verdicts in two generations. When the young one is full it becomes the old
// one, and the entries of the old one that were not used since are dropped.
type cache struct {
	size int

	mu         sync.Mutex
	young, old map[cacheKey]finding
}

func newCache(size int) *cache {
	return &cache{size: size, young: make(map[cacheKey]finding)}
}

func (c *cache) get(k cacheKey) (finding, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f, ok := c.young[k]; ok {
		return f, true
	}
	f, ok := c.old[k]
	if ok {
		c.add(k, f)
	}
	return f, ok
}

func (c *cache) put(k cacheKey, f finding) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(k, f)
}

// add stores an entry in the young generation; c.mu is held.
func (c *cache) add(k cacheKey, f finding) {
	if len(c.young) >= c.size {
		c.old, c.young = c.young, make(map[cacheKey]finding, c.size)
	}
	c.young[k] = f
}
