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

// A cacheKey names a program on a question. Judge settings are not in it: a
// grader has one set of them.
type cacheKey struct {
	question string
	program  [sha256.Size]byte
}

// String returns the key for singleflight.
func (k cacheKey) String() string { return k.question + string(k.program[:]) }

// A cache remembers verdicts in two generations: when the young one is full it
// becomes the old one, and what was not asked for since is forgotten.
type cache struct {
	size int

	mu         sync.Mutex
	young, old map[cacheKey]stream.Judgement
}

func newCache(size int) *cache {
	return &cache{size: size, young: make(map[cacheKey]stream.Judgement)}
}

func (c *cache) get(k cacheKey) (stream.Judgement, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if j, ok := c.young[k]; ok {
		return j, true
	}
	j, ok := c.old[k]
	if ok {
		c.add(k, j)
	}
	return j, ok
}

func (c *cache) put(k cacheKey, j stream.Judgement) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(k, j)
}

// add stores an entry among the young; c.mu is held.
func (c *cache) add(k cacheKey, j stream.Judgement) {
	if len(c.young) >= c.size {
		c.old, c.young = c.young, make(map[cacheKey]stream.Judgement, c.size)
	}
	c.young[k] = j
}
