package health

import (
	"hash/maphash"
	"strings"
	"sync"

	"github.com/lcbq/lcbq/stream"
)

// A Watch looks at answers as they come and says when going on is pointless: none of
// the first is an answer, or none of many in a row. It is safe for concurrent use.
// The zero value judges by no limit of tokens.
type Watch struct {
	Settings

	mu    sync.Mutex
	could [signs]int                       // samples that could have had the sign
	rows  [signs]int                       // in a row that had it
	first map[stream.Cell]uint64           // hash of a cell's first text
	bad   [signs]map[float64]stream.Counts // what the row holds, by temperature
}

// A sign is what makes a sample no answer.
type sign int

const (
	nothing sign = iota // no text
	ended               // by a filter, a tool parser or the server's own limit
	again               // the text of the cell's first sample, where they must differ
	signs
)

const (
	firstRow = 20  // samples from the start that tell it all
	laterRow = 200 // in a row, after others that were well
)

var seed = maphash.MakeSeed()

// See counts the samples of one unit and returns the grave finding that they complete,
// if any.
func (w *Watch) See(c stream.Cell, samples []stream.Sample) *Finding {
	if w.Engine.Simulated() || w.Engine.Recorded() {
		return nil // nobody writes them now: the end of the run is soon enough
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range samples {
		w.one(c, &samples[i])
	}
	for s, row := range w.rows {
		if row >= laterRow || row >= firstRow && row == w.could[s] {
			if f := w.told(sign(s)); f != nil {
				return f
			}
		}
	}
	return nil
}

func (w *Watch) one(c stream.Cell, s *stream.Sample) {
	class := stream.FinishClass(s.FinishReason)
	t := c.Temperature.Float()
	empty := s.Code == "" && strings.TrimSpace(s.Completion) == ""
	cut := class == stream.FinishLength && w.MaxTokens > 0 && s.Tokens > 0 && float64(s.Tokens) < nearLimit*float64(w.MaxTokens)
	w.count(nothing, empty, t, s)
	w.count(ended, cut || class == stream.FinishFilter || class == stream.FinishTools || class == stream.FinishAbort, t, s)
	if t < hot || len(s.Completion) < sentence {
		return // these may be alike
	}
	hash := maphash.String(seed, s.Completion)
	if w.first == nil {
		w.first = make(map[stream.Cell]uint64)
	}
	if first, ok := w.first[c]; ok {
		w.count(again, first == hash, t, s)
	} else {
		w.first[c] = hash
	}
}

// count goes on with a row, or ends it.
func (w *Watch) count(s sign, has bool, temperature float64, sample *stream.Sample) {
	w.could[s]++
	if !has {
		w.rows[s], w.bad[s] = 0, nil
		return
	}
	w.rows[s]++
	if w.bad[s] == nil {
		w.bad[s] = make(map[float64]stream.Counts)
	}
	c := w.bad[s][temperature]
	if c.Answers == nil {
		c.Answers = &stream.Answers{Texts: 1}
	}
	c.Answers.Count(sample)
	c.N++
	c.Tokens += int64(sample.Tokens)
	w.bad[s][temperature] = c
}

// told says in words what a row is, by the rules of the end of a run.
func (w *Watch) told(s sign) *Finding {
	var cells []Cell
	for _, t := range sortedKeys(w.bad[s]) {
		cells = append(cells, Cell{Temperature: t, Counts: w.bad[s][t]})
	}
	for _, f := range Of(cells, w.Settings) {
		if f.Grave && (f.Code == Identical) == (s == again) {
			return &f
		}
	}
	return nil
}
