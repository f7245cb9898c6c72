package generate

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/engine"
	"github.com/lcbq/lcbq/worker/health"
)

const (
	firstRefused = 20  // refused units from the start that tell that all will be
	laterRefused = 200 // in a row, after others that were accepted
	refusedTries = 3   // deliveries of a unit that is refused without a reason that lies in it
	twoQuestions = 2   // that those 200 are about at least: one long prompt is refused in every cell
)

// refusals counts the units of each run that the server refuses for good. A refusal
// lies in the unit only where the server accepts others.
type refusals struct {
	mu   sync.Mutex
	runs map[string]*refusalRow
}

// A refusalRow is what one run's last units came to.
type refusalRow struct {
	accepted  bool         // at least one unit was, ever
	row       int          // refused since then
	questions map[int]bool // that the row is about, no more than twoQuestions
}

func (r *refusals) of(run string) *refusalRow {
	if r.runs == nil {
		r.runs = make(map[string]*refusalRow)
	}
	if r.runs[run] == nil {
		r.runs[run] = &refusalRow{}
	}
	return r.runs[run]
}

// accept ends the row of a run.
func (r *refusals) accept(run string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*r.of(run) = refusalRow{accepted: true}
}

// refuse counts one refusal. It returns how long the row is, and whether the row is all
// that the run has seen. No row below least tells anything. Systematic says that the server refuses the run, not the unit.
// Doubtful says that it may: the unit is not to be given up yet.
func (r *refusals) refuse(m *store.Manifest, question, least int) (row int, all, systematic, doubtful bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.of(m.ID)
	s.row++
	if s.questions == nil {
		s.questions = make(map[int]bool)
	}
	if len(s.questions) < twoQuestions {
		s.questions[question] = true
	}
	// A run of fewer units has no 20 to wait for.
	first := max(least, min(firstRefused, m.Units()))
	systematic = !s.accepted && s.row >= first ||
		s.row >= laterRefused && len(s.questions) >= min(twoQuestions, len(m.Questions))
	return s.row, !s.accepted, systematic, !s.accepted || s.row >= firstRefused
}

// refused says what becomes of a unit that the server refused for good: err with
// stream.ErrPoison gives it up, err alone tries it again later, and another error ends the
// generator with the unit in its queue.
func (w *Worker) refused(m *store.Manifest, q store.Question, deliveries uint64, err error) error {
	poison, least := fmt.Errorf("generate question %s: %w: %w", q.ID, stream.ErrPoison, err), 1
	if !errors.Is(err, engine.ErrRejected) { // it may pass
		least = refusedTries
		if deliveries < refusedTries {
			poison = fmt.Errorf("generate question %s: %w", q.ID, err)
		}
	}
	if w.Unhealthy == nil || m.Model.Engine.Simulated() || m.Model.Engine.Recorded() {
		return poison // a recording lacks a sample, whatever it has of others
	}
	row, all, systematic, doubtful := w.refusals.refuse(m, q.Index, least)
	switch {
	case systematic:
		if halt := w.Unhealthy(refusalFinding(row, all, err)); halt != nil {
			return halt
		}
		return poison
	case doubtful:
		return fmt.Errorf("generate question %s: refused, as are all units before it: %w", q.ID, err)
	}
	return poison
}

// refusalFinding puts a row of refusals in words, those of the server among them.
func refusalFinding(row int, all bool, err error) health.Finding {
	which := fmt.Sprintf("the last %d units", row)
	if all {
		which = fmt.Sprintf("the first %d units", row)
	}
	if row == 1 {
		which = "the only unit"
	}
	return health.Finding{
		Code: health.Rejected, Grave: true, Share: 1,
		Text:   fmt.Sprintf("the server refused %s that it was asked for; it said: %s", which, strings.ReplaceAll(err.Error(), "\n", "; ")),
		Remedy: "change what it refuses (a prompt and --max-tokens that do not fit its context: a smaller --max-tokens; a template without a system role: --prompt-style single; a sampling field: its flag left out), or mend the server",
	}
}
