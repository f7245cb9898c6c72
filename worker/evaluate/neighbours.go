package evaluate

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Neighbours are the processors that share a core with another: hyperthreads, of which a busy one slows the others by
// a third and more. They are safe for concurrent use.
type neighbours struct {
	cores [][]int
	read  func() (idleness, error)
	span  time.Duration // idleSpan
	wait  func(time.Duration)

	mu           sync.Mutex
	older, newer idleness
}

// An idleness is how long each processor has been idle since the machine began.
type idleness struct {
	at time.Time
	of map[int]time.Duration
}

// A processor is idle that was for idlePart of a time of idleSpan or more. The kernel counts in hundredths of a second.
const (
	idleSpan = 50 * time.Millisecond
	idlePart = 0.75
)

// newNeighbours returns the neighbours among processors, which are given core by core.
func newNeighbours(processors [][]int) *neighbours {
	return &neighbours{cores: processors, read: readIdle, span: idleSpan, wait: pass}
}

func pass(d time.Duration) { <-time.After(d) }

// idle reports whether the neighbours of a processor were idle lately. They were not where that is not known.
func (n *neighbours) idle(cpu int) bool {
	others := n.of(cpu)
	if len(others) == 0 {
		return true
	}
	share, err := n.lately()
	return err == nil && !slices.ContainsFunc(others, func(c int) bool { return share(c) < idlePart })
}

// of returns the neighbours of a processor.
func (n *neighbours) of(cpu int) []int {
	for _, core := range n.cores {
		if slices.Contains(core, cpu) {
			return slices.DeleteFunc(slices.Clone(core), func(c int) bool { return c == cpu })
		}
	}
	return nil
}

// threads reports whether any processor has neighbours, as far as this machine shows it.
func (n *neighbours) threads() bool {
	return slices.ContainsFunc(n.cores, func(core []int) bool { return len(core) > 1 })
}

// calmest takes a span to find a processor that was idle and whose neighbours were, the last one of these; else it
// returns the last of all.
func (n *neighbours) calmest() (int, error) {
	last := n.cores[len(n.cores)-1]
	if !n.threads() {
		return last[0], nil
	}
	if _, err := n.lately(); err != nil {
		return 0, err
	}
	n.wait(n.span)
	share, err := n.lately()
	if err != nil {
		return 0, err
	}
	for _, core := range slices.Backward(n.cores) {
		if !slices.ContainsFunc(core, func(c int) bool { return share(c) < idlePart }) {
			return core[0], nil
		}
	}
	return last[0], nil
}

// lately returns what part of the last span, or of a longer time, a processor was idle: 0 for one that is not known.
func (n *neighbours) lately() (share func(cpu int) float64, err error) {
	now, err := n.read()
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if now.at.Sub(n.newer.at) >= n.span {
		n.older, n.newer = n.newer, now
	}
	since := n.older
	return func(cpu int) float64 {
		was, known := since.of[cpu]
		is, still := now.of[cpu]
		if !known || !still {
			return 0
		}
		return (is - was).Seconds() / now.at.Sub(since.at).Seconds()
	}, nil
}

// readIdle reads how long each processor has been idle.
func readIdle() (idleness, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return idleness{}, fmt.Errorf("read how long processors were idle: %w", err)
	}
	i := idleness{time.Now(), idleIn(text)}
	if len(i.of) == 0 {
		return i, fmt.Errorf("read how long processors were idle: /proc/stat: %w", errNoProcessor)
	}
	return i, nil
}

var errNoProcessor = errors.New("no processor in it")

// idleIn reads the idle times in the text of stat, in hundredths of a second: idle, and waiting for a disk.
func idleIn(text []byte) map[int]time.Duration {
	of := map[int]time.Duration{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 {
			continue
		}
		name, is := strings.CutPrefix(fields[0], "cpu")
		cpu, err := strconv.Atoi(name)
		if !is || err != nil {
			continue
		}
		idle, err := strconv.ParseInt(fields[4], 10, 64)
		disk, err2 := strconv.ParseInt(fields[5], 10, 64)
		if err == nil && err2 == nil {
			of[cpu] = time.Duration(idle+disk) * 10 * time.Millisecond
		}
	}
	return of
}
