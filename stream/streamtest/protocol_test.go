package streamtest_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/lcbq/lcbq/stream/streamtest"
)

// The model is one cell of two units, any number of workers, two combiners, a disk
// that forgets what was not synced, and queues that hand a message out as often as
// they like until it leaves them. A power loss may bring back what had left them: a
// message's removal is not synced.

const modelUnits = 2

// A stored message: of which attempt at generating and at judging it is.
type stored struct {
	seq, generated, judged int
}

// A modelFile is a file's content and whether it survives a power loss.
type modelFile struct {
	content string
	synced  bool
}

const torn = "torn"

type claimed struct {
	draft   int
	content string
}

type world struct {
	protocol streamtest.Protocol
	last     int // attempt, sequence or draft

	generate, evaluate, combine map[int]stored // by unit
	left                        [3]map[int]stored

	revision int
	done     bool
	content  string // of the file, as the cell's state says
	claim    *claimed

	drafts  map[int]modelFile
	visible *modelFile // under the final name
	named   bool       // the name is on disk
	before  *modelFile // what a power loss leaves of the name otherwise

	first string // what the cell's file was when it was first done
	tasks []*task
}

// A task is a worker with a message, or a combiner with a cell, and what it knows.
type task struct {
	stage    int // 0 generates, 1 judges, 2 writes the cell, 3 drops a late duplicate
	unit     int
	message  stored
	pc       int
	output   stored
	skip     bool // the output is there
	revision int
	draft    int
	content  string
}

func newWorld(p streamtest.Protocol) *world {
	w := &world{protocol: p, generate: make(map[int]stored), evaluate: make(map[int]stored), combine: make(map[int]stored), drafts: make(map[int]modelFile)}
	for i := range w.left {
		w.left[i] = make(map[int]stored)
	}
	for u := range modelUnits {
		w.generate[u] = stored{seq: w.next()}
	}
	return w
}

func (w *world) next() int {
	w.last++
	return w.last
}

func (w *world) queue(stage int) map[int]stored {
	return []map[int]stored{w.generate, w.evaluate, w.combine}[stage]
}

// remove takes a message out of its queue if it is still the one.
func (w *world) remove(stage, unit, seq int) {
	if m, ok := w.queue(stage)[unit]; ok && m.seq == seq {
		w.left[stage][unit] = m
		delete(w.queue(stage), unit)
	}
}

// actions returns what can happen next.
func (w *world) actions() []func(choose func(n int) int) {
	var out []func(func(int) int)
	for stage := range 2 {
		for u := range modelUnits {
			if m, ok := w.queue(stage)[u]; ok {
				out = append(out, func(func(int) int) { w.tasks = append(w.tasks, &task{stage: stage, unit: u, message: m}) })
			}
		}
	}
	for u := range modelUnits {
		if m, ok := w.combine[u]; ok && w.done {
			out = append(out, func(func(int) int) { w.tasks = append(w.tasks, &task{stage: 3, unit: u, message: m}) })
		}
	}
	writers := 0
	for _, t := range w.tasks {
		if t.stage == 2 {
			writers++
		}
		step := func(func(int) int) { w.step(t) }
		out = append(out, step, step, step, func(func(int) int) { w.end(t) })
	}
	if writers < 2 && len(w.combine) > 0 {
		out = append(out, func(func(int) int) { w.tasks = append(w.tasks, &task{stage: 2}) })
	}
	return append(out, w.powerLoss)
}

// end is the task's regular end, or the crash of who did it.
func (w *world) end(t *task) {
	w.tasks = slices.DeleteFunc(w.tasks, func(x *task) bool { return x == t })
}

// step makes the task's next step.
func (w *world) step(t *task) {
	switch t.stage {
	case 0, 1:
		w.stepUnit(t, w.protocol.Unit[t.pc])
		if t.pc++; t.pc == len(w.protocol.Unit) {
			w.end(t)
		}
	case 2:
		if t.pc == len(w.protocol.Cell) {
			w.end(t)
			return
		}
		w.stepCell(t, w.protocol.Cell[t.pc])
	default:
		w.remove(2, t.unit, t.message.seq)
		w.end(t)
	}
}

func (w *world) stepUnit(t *task, s streamtest.Step) {
	switch s {
	case streamtest.Look:
		_, judged := w.combine[t.unit]
		_, generated := w.evaluate[t.unit]
		t.skip = w.done || judged || t.stage == 0 && generated
	case streamtest.Work:
		t.output = t.message
		if t.stage == 0 {
			t.output.generated = w.next()
		} else {
			t.output.judged = w.next()
		}
	case streamtest.Publish:
		next := w.queue(t.stage + 1)
		if _, there := next[t.unit]; !there && !t.skip {
			t.output.seq = w.next()
			next[t.unit] = t.output
		}
	case streamtest.Ack:
		w.remove(t.stage, t.unit, t.message.seq)
	default:
		panic("no step of a unit: " + s)
	}
}

// jump sets the step that the task makes next.
func (w *world) jump(t *task, s streamtest.Step) {
	if t.pc = slices.Index(w.protocol.Cell, s); t.pc < 0 {
		t.pc = len(w.protocol.Cell)
	}
}

func (w *world) stepCell(t *task, s streamtest.Step) {
	t.pc++
	switch s {
	case streamtest.Read:
		t.revision = w.revision
		switch {
		case w.done:
			w.jump(t, streamtest.Purge)
		case w.claim != nil && w.visible != nil && w.visible.content == w.claim.content:
			t.content = w.claim.content // who renamed it died before the mark
			w.jump(t, streamtest.SyncFolder)
		}
	case streamtest.Draft:
		var parts []string
		for u := range modelUnits {
			m, ok := w.combine[u]
			if !ok {
				w.end(t) // another combiner has written and purged the cell
				return
			}
			parts = append(parts, fmt.Sprintf("%d:%d/%d", u, m.generated, m.judged))
		}
		t.draft, t.content = w.next(), strings.Join(parts, " ")
		w.drafts[t.draft] = modelFile{content: t.content}
	case streamtest.SyncDraft:
		if f, ok := w.drafts[t.draft]; ok {
			w.drafts[t.draft] = modelFile{f.content, true}
		}
	case streamtest.Claim:
		if w.claim != nil && w.claim.draft != t.draft {
			delete(w.drafts, w.claim.draft)
		}
		if w.revision != t.revision {
			delete(w.drafts, t.draft)
			w.jump(t, streamtest.Read)
			return
		}
		w.revision++
		t.revision = w.revision
		w.claim = &claimed{t.draft, t.content}
	case streamtest.Rename:
		f, ok := w.drafts[t.draft]
		if !ok {
			w.jump(t, streamtest.Read)
			return
		}
		if w.named {
			w.before = w.visible
		}
		w.visible, w.named = &f, false
		delete(w.drafts, t.draft)
	case streamtest.SyncFolder:
		w.named = w.visible != nil
	case streamtest.Mark:
		if w.revision != t.revision {
			w.jump(t, streamtest.Read)
			return
		}
		w.revision++
		t.revision = w.revision
		w.done, w.content, w.claim = true, t.content, nil
		if w.first == "" {
			w.first = t.content
		}
	case streamtest.Purge: // unit by unit
		for u, m := range w.combine {
			w.remove(2, u, m.seq)
			t.pc-- // and again, until none is left
			return
		}
	default:
		panic("no step of a cell: " + s)
	}
}

// powerLoss ends every task and takes what was not synced.
func (w *world) powerLoss(choose func(n int) int) {
	w.tasks = nil
	for id, f := range w.drafts {
		switch {
		case choose(2) == 0:
			delete(w.drafts, id)
		case !f.synced:
			w.drafts[id] = modelFile{torn, true}
		}
	}
	if w.visible != nil && !w.named && choose(2) == 0 {
		w.visible = w.before
	}
	if w.visible != nil && !w.visible.synced {
		w.visible = &modelFile{torn, true}
	}
	w.named = w.visible != nil
	for stage := range w.left {
		for u := range modelUnits {
			m, gone := w.left[stage][u]
			if _, there := w.queue(stage)[u]; gone && !there && choose(2) == 0 {
				w.queue(stage)[u] = m
				delete(w.left[stage], u)
			}
		}
	}
}

// check holds the world to what lcbq promises.
func (w *world) check() error {
	if !w.done {
		for u := range modelUnits {
			_, a := w.generate[u]
			_, b := w.evaluate[u]
			if _, c := w.combine[u]; !a && !b && !c {
				return fmt.Errorf("unit %d is lost", u)
			}
		}
		return nil
	}
	switch {
	case w.visible == nil:
		return errors.New("the cell is done and has no file")
	case !w.named || !w.visible.synced:
		return fmt.Errorf("the cell is done and a power loss could take its file (content synced: %v, name synced: %v)", w.visible.synced, w.named)
	case w.visible.content != w.content:
		return fmt.Errorf("the cell's state says %q, its file %q", w.content, w.visible.content)
	case w.content != w.first:
		return fmt.Errorf("the cell was done with %q and is %q now", w.first, w.content)
	}
	return nil
}

// explore lets choose pick what happens so many times, and then runs the world
// without faults to its end, which must come.
func explore(p streamtest.Protocol, events int, choose func(n int) int) (*world, error) {
	w := newWorld(p)
	for range events {
		a := w.actions()
		a[choose(len(a))](choose)
		if err := w.check(); err != nil {
			return w, err
		}
	}
	w.tasks = nil
	for range 4 * modelUnits {
		for stage := range 2 {
			for u := range modelUnits {
				if m, ok := w.queue(stage)[u]; ok {
					w.finish(&task{stage: stage, unit: u, message: m})
				}
			}
		}
		if len(w.combine) > 0 {
			w.finish(&task{stage: 2})
		}
		if err := w.check(); err != nil {
			return w, err
		}
	}
	if !w.done || len(w.generate)+len(w.evaluate)+len(w.combine) > 0 {
		return w, fmt.Errorf("nothing fails any more, and yet: done %v, %d, %d and %d units in the queues", w.done, len(w.generate), len(w.evaluate), len(w.combine))
	}
	return w, nil
}

// finish makes all steps of a task, or as many as no correct one needs.
func (w *world) finish(t *task) {
	w.tasks = []*task{t}
	for range 100 {
		if len(w.tasks) == 0 {
			return
		}
		w.step(t)
	}
	w.tasks = nil
}

// chance explores the history of the given number.
func chance(p streamtest.Protocol, history int) (*world, error) {
	rng := rand.New(rand.NewPCG(uint64(history), 1)) //nolint:gosec // never negative
	return explore(p, rng.IntN(200), rng.IntN)
}

// histories is how many are explored; every order below that loses is found within
// a few thousand.
const histories = 20_000

// TestProtocolKeepsItsPromises: no crash, power loss or redelivery between any two
// steps loses a unit, counts one twice or spoils a file that counts.
func TestProtocolKeepsItsPromises(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) { // what it finds it makes short
		events := rapid.IntRange(0, 200).Draw(t, "events")
		w, err := explore(streamtest.TheProtocol(), events, func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "choice") })
		if err != nil {
			t.Fatalf("%v\n%+v", err, w)
		}
	})
	repeated := 0
	for i := range histories {
		w, err := chance(streamtest.TheProtocol(), i)
		if err != nil {
			t.Fatalf("history %d: %v\n%+v", i, err, w)
		}
		if w.last > 20 { // attempts, messages and drafts: 12 are needed
			repeated++
		}
	}
	if repeated < histories/3 {
		t.Errorf("only %d of %d histories repeat much work: the model is not disturbed enough to say anything", repeated, histories)
	}
}

// TestOtherOrdersBreakThem: each of these differs from the protocol in one point,
// and the model finds it.
func TestOtherOrdersBreakThem(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, want string
		change     func(*streamtest.Protocol)
	}{
		{"acknowledges before it publishes", "lost", func(p *streamtest.Protocol) { p.Unit = before(p.Unit, streamtest.Ack, streamtest.Publish) }},
		{"neither publishes nor acknowledges", "nothing fails any more", func(p *streamtest.Protocol) {
			p.Unit = without(p.Unit, streamtest.Publish)
			p.Unit = without(p.Unit, streamtest.Ack)
		}},
		{"purges before the file is durable", "lost", func(p *streamtest.Protocol) { p.Cell = before(p.Cell, streamtest.Purge, streamtest.SyncDraft) }},
		{"purges before the cell is marked", "lost", func(p *streamtest.Protocol) { p.Cell = before(p.Cell, streamtest.Purge, streamtest.Mark) }},
		{"marks before it renames", "no file", func(p *streamtest.Protocol) { p.Cell = before(p.Cell, streamtest.Mark, streamtest.Rename) }},
		{"marks before the name is on disk", "a power loss could take", func(p *streamtest.Protocol) { p.Cell = before(p.Cell, streamtest.Mark, streamtest.SyncFolder) }},
		{"never syncs the content", "a power loss could take", func(p *streamtest.Protocol) { p.Cell = without(p.Cell, streamtest.SyncDraft) }},
		{"never syncs the folder", "a power loss could take", func(p *streamtest.Protocol) { p.Cell = without(p.Cell, streamtest.SyncFolder) }},
		{"claims nothing", "its file", func(p *streamtest.Protocol) { p.Cell = without(p.Cell, streamtest.Claim) }},
		{"claims after the rename", "its file", func(p *streamtest.Protocol) { p.Cell = before(p.Cell, streamtest.Rename, streamtest.Claim) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := streamtest.TheProtocol()
			tt.change(&p)
			for i := range histories {
				_, err := chance(p, i)
				if err == nil {
					continue
				}
				if !strings.Contains(err.Error(), tt.want) {
					t.Errorf("found at history %d: %v, want %q", i, err, tt.want)
				}
				t.Logf("found at history %d: %v", i, err)
				return
			}
			t.Error("the model finds no fault with it")
		})
	}
}

func without(steps []streamtest.Step, s streamtest.Step) []streamtest.Step {
	return slices.DeleteFunc(slices.Clone(steps), func(x streamtest.Step) bool { return x == s })
}

// before moves step s to before the step next.
func before(steps []streamtest.Step, s, next streamtest.Step) []streamtest.Step {
	steps = without(steps, s)
	return slices.Insert(steps, slices.Index(steps, next), s)
}
