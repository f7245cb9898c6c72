package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sort"

	"github.com/lcbq/lcbq/stream"
)

// FormatVersion is the version of what the store holds. A store of a higher one
// was made by a newer lcbq and is refused. It is raised where the meaning of what there is changes: a setting
// that is new keeps an lcbq that does not know it from the runs that have it, see Manifest.UnmarshalJSON.
const FormatVersion = 1

// A Manifest is everything that defines a run and that workers need to serve it.
type Manifest struct {
	Format       int                  `json:"format"`
	ID           string               `json:"id"`
	Created      int64                `json:"created_ms"`
	LCBQ         string               `json:"lcbq"` // version that made it
	OutputDir    string               `json:"output_dir"`
	Problems     ProblemSet           `json:"problems"`
	Windows      []Window             `json:"windows,omitempty"` // that its questions were chosen by; none: all of the set, or a range of places
	Questions    []Question           `json:"questions"`         // in order of Index
	Temperatures []stream.Temperature `json:"temperatures"`      // ascending
	UnitSize     int                  `json:"unit_size"`
	Model        Model                `json:"model"`
	Judge        Judge                `json:"judge"`
	Receipts     string               `json:"receipts,omitempty"` // what receipts of its units are checked by, see stream.Issued; "": they have none
	Until        *Until               `json:"until,omitempty"`    // what the number of samples was chosen by; nil: it was given
	Fewer        []Fewer              `json:"fewer,omitempty"`    // temperatures at which Until wants fewer samples than the last cut, ascending
	Published    bool                 `json:"published"`          // every unit has been put into GENERATE once
	Finished     int64                `json:"finished_ms,omitempty"`
	Paused       int64                `json:"paused_ms,omitempty"`    // since when its units are not handed out
	Cancelled    int64                `json:"cancelled_ms,omitempty"` // since when its units are dropped
	Provenance   Provenance           `json:"provenance"`
	Refused      *Refused             `json:"refused,omitempty"` // messages without a receipt; nil: there were none
}

// A Refused says what was put among a run's verdicts by somebody whom the units were not handed. It counts nowhere.
type Refused struct {
	Messages int    `json:"messages"`
	Last     string `json:"last_unit"` // subject of the last one
	At       int64  `json:"at_ms"`
}

// Issued reports whether a receipt is that of a unit of the run.
func (m *Manifest) Issued(u stream.Unit, receipt string) bool {
	return stream.Issued(m.Receipts, u, receipt)
}

// An Until is the rule by which samples were added to a run while its results were looked at.
type Until struct {
	Half float64 `json:"half_width"` // of the interval of pass@k on these questions at each temperature, a share
	K    int     `json:"k"`
	Most int     `json:"most"` // samples of a cell at most
}

// A Fewer is a temperature at which only the first cuts of the questions hold.
type Fewer struct {
	Temperature stream.Temperature `json:"temperature"`
	N           int                `json:"n"` // samples of a cell, one of the cuts
}

// A ProblemSet says which problems a run is about.
type ProblemSet struct {
	Name     string `json:"name"`               // "sample", "v6" or a file's name
	Revision string `json:"revision,omitempty"` // of the dataset on its hub
	Digest   string `json:"digest"`             // SHA-256 over all rows
	Count    int    `json:"count"`              // questions in the set, not only those of the run
}

// A Window says which questions of a problem set are spoken of: those that all of it
// holds for. The zero value is all questions.
type Window struct {
	From         string      `json:"from,omitempty"` // first contest date, YYYY-MM-DD
	To           string      `json:"to,omitempty"`   // last one, included
	Platforms    []string    `json:"platforms,omitempty"`
	Difficulties []string    `json:"difficulties,omitempty"`
	List         string      `json:"exclusion_list,omitempty"` // name of the file with the excluded
	Excluded     []Exclusion `json:"excluded,omitempty"`
}

// An Exclusion is a question that is left out, and why.
type Exclusion struct {
	ID     string `json:"question_id"`
	Reason string `json:"reason"`
}

// A Question is one question of a run. Cuts are its sample counts after each
// submission, ascending: a run that was raised from 50 to 150 samples has [50
// 150], and no unit spans a cut, so units published before keep their identity.
type Question struct {
	Index int    `json:"index"`
	ID    string `json:"id"`
	Title string `json:"title"`
	stream.Origin
	Cuts []int `json:"cuts"`
	// Prompt is the size of its prompt in bytes; 0 unknown. A generator on another host finds the
	// longest prompts by it.
	Prompt int `json:"prompt_bytes,omitempty"`
}

// N returns the number of samples wanted of the question at each temperature of which fewer
// are not enough.
func (q Question) N() int {
	if len(q.Cuts) == 0 {
		return 0
	}
	return q.Cuts[len(q.Cuts)-1]
}

// A Model says what generates a run's samples and how.
type Model struct {
	Engine    stream.Engine `json:"engine"`
	Name      string        `json:"name"`
	Seed      uint64        `json:"seed"`
	TopP      float64       `json:"top_p"`
	TopK      int           `json:"top_k"`
	MinP      float64       `json:"min_p"`
	MaxTokens int           `json:"max_tokens"`
	Stop      []string      `json:"stop,omitempty"`
	OnRefused string        `json:"on_refused,omitempty"` // redraw, or "" for fail: what a text is that the server refuses
	Prompt    string        `json:"prompt_style"`
	Template  string        `json:"prompt_template,omitempty"` // text of the user's own
	Thinking  *bool         `json:"thinking,omitempty"`
	Extract   string        `json:"extract"`
	SimUnique float64       `json:"sim_unique,omitempty"` // share of textually unique programs
	Serve     *Serve        `json:"serve,omitempty"`      // with an engine that lcbq starts
}

// A Serve is what shapes the samples of an engine that lcbq starts.
type Serve struct {
	DType       string   `json:"dtype"`
	MaxModelLen int      `json:"max_model_len"`
	Args        []string `json:"args,omitempty"`   // further ones of the user's
	Digest      string   `json:"digest,omitempty"` // of the model's file, with engine llama
}

// A Judge says how a run's samples are judged.
type Judge struct {
	Mode        string  `json:"mode"`                      // lcb or script
	TimeLimit   float64 `json:"time_limit_s"`              // CPU seconds a test
	AuditShare  float64 `json:"audit_share,omitempty"`     // of the programs beyond a soft limit that run on; 0: there is no soft limit
	Reference   string  `json:"reference_speed,omitempty"` // whose seconds TimeLimit is in: FirstSpeed or a number; "": each host's own
	MemoryLimit int64   `json:"memory_limit"`              // bytes
	OutputLimit int64   `json:"output_limit"`              // bytes a test
	Fingerprint string  `json:"fingerprint"`               // of the first environment that judged; "" until then
}

// FirstSpeed is the reference speed that is the first evaluator's.
const FirstSpeed = "first"

// Limit says what the time limit is, in words.
func (j Judge) Limit() string {
	limit := fmt.Sprintf("%v s", j.TimeLimit)
	if j.Reference != "" {
		limit += " of reference speed " + j.Reference
	}
	if j.AuditShare > 0 {
		limit += fmt.Sprintf(", audited at a share of %v", j.AuditShare)
	}
	return limit
}

// Wanted returns the number of samples wanted of question q at a temperature.
func (m *Manifest) Wanted(q Question, t stream.Temperature) int {
	if cuts := m.cuts(q, t); len(cuts) > 0 {
		return cuts[len(cuts)-1]
	}
	return 0
}

// cuts returns those of question q that hold at a temperature: the first ones, so that a
// temperature which ends, or goes on after it had ended, has units with the names that they
// have elsewhere.
func (m *Manifest) cuts(q Question, t stream.Temperature) []int {
	for _, e := range m.Fewer {
		if e.Temperature == t {
			n := sort.SearchInts(q.Cuts, e.N+1)
			return q.Cuts[:n]
		}
	}
	return q.Cuts
}

// Tasks returns the units of one cell of question q, in order.
func (m *Manifest) Tasks(q Question, t stream.Temperature) []stream.Task {
	return slices.Collect(m.tasks(q, t))
}

// tasks yields the units of one cell of question q, in order.
func (m *Manifest) tasks(q Question, t stream.Temperature) iter.Seq[stream.Task] {
	return func(yield func(stream.Task) bool) {
		from, index := 0, 0
		for _, cut := range m.cuts(q, t) {
			for ; from < cut; from += m.UnitSize {
				task := stream.Task{
					Unit:  stream.Unit{Cell: stream.Cell{Run: m.ID, Question: q.Index, Temperature: t}, Index: index},
					First: from, N: min(m.UnitSize, cut-from),
				}
				if !yield(task) {
					return
				}
				index++
			}
			from = cut
		}
	}
}

// AllTasks yields every unit of the run, question by question: engines then find the
// prompts in their prefix caches.
func (m *Manifest) AllTasks() iter.Seq[stream.Task] {
	return func(yield func(stream.Task) bool) {
		for _, q := range m.Questions {
			for _, t := range m.Temperatures {
				for task := range m.tasks(q, t) {
					if !yield(task) {
						return
					}
				}
			}
		}
	}
}

// Task returns which samples of which question the unit is. It reports false if the
// run has no such unit.
func (m *Manifest) Task(u stream.Unit) (Question, stream.Task, bool) {
	q, ok := m.Question(u.Question)
	if !ok || u.Run != m.ID || u.Index < 0 || !slices.Contains(m.Temperatures, u.Temperature) {
		return Question{}, stream.Task{}, false
	}
	from, index := 0, 0
	for _, cut := range m.cuts(q, u.Temperature) {
		units := unitsIn(cut-from, m.UnitSize)
		if u.Index < index+units {
			first := from + (u.Index-index)*m.UnitSize
			return q, stream.Task{Unit: u, First: first, N: min(m.UnitSize, cut-first)}, true
		}
		from, index = cut, index+units
	}
	return Question{}, stream.Task{}, false
}

// unitsIn returns how many units hold n samples.
func unitsIn(n, size int) int { return (n + size - 1) / size }

// UnitsAfter returns how many units of the cell of question q at a temperature hold samples
// beyond the first have.
func (m *Manifest) UnitsAfter(q Question, t stream.Temperature, have int) int {
	from, n := 0, 0
	for _, cut := range m.cuts(q, t) {
		if cut > have {
			// Of the units between two cuts those that end within the first have are done.
			n += unitsIn(cut-from, m.UnitSize) - max(have-from, 0)/m.UnitSize
		}
		from = cut
	}
	return n
}

// Question returns the run's question with the given index in the problem set.
func (m *Manifest) Question(index int) (Question, bool) {
	for _, q := range m.Questions {
		if q.Index == index {
			return q, true
		}
	}
	return Question{}, false
}

// Cells returns the number of cells of the run, and Samples that of its samples.
func (m *Manifest) Cells() int { return len(m.Questions) * len(m.Temperatures) }

// Samples returns the number of samples the run wants in all.
func (m *Manifest) Samples() int {
	n := 0
	for _, q := range m.Questions {
		for _, t := range m.Temperatures {
			n += m.Wanted(q, t)
		}
	}
	return n
}

// Units returns the number of units of the run.
func (m *Manifest) Units() int {
	n := 0
	for _, q := range m.Questions {
		n += m.UnitsOf(q)
	}
	return n
}

// UnitsOf returns the number of units of question q at all temperatures.
func (m *Manifest) UnitsOf(q Question) int {
	n := 0
	for _, t := range m.Temperatures {
		n += m.UnitsAfter(q, t, 0)
	}
	return n
}

// Open reports whether there is work left to do for the run.
func (m *Manifest) Open() bool { return m.Finished == 0 && m.Cancelled == 0 }

// State says in a word or two what is going on with the run.
func (m *Manifest) State() string {
	switch {
	case m.Cancelled != 0:
		return "cancelled"
	case m.Finished != 0:
		return "finished"
	case m.Paused != 0:
		return "paused"
	case !m.Published:
		return "being published"
	default:
		return "running"
	}
}

// UnmarshalJSON reads a manifest, and refuses one with a setting that this lcbq does not know: to judge without it, or
// to write the manifest back without it, would make another run of it. What is noted of a run, and defines nothing, may
// be new.
func (m *Manifest) UnmarshalJSON(b []byte) error {
	type plain Manifest
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	// The notes and the windows hide those of plain. A window may say more or less: the questions of a run are named.
	read := struct {
		*plain
		Provenance json.RawMessage `json:"provenance"`
		Windows    json.RawMessage `json:"windows"`
	}{plain: (*plain)(m)}
	err := d.Decode(&read)
	if err == nil {
		return errors.Join(readNote(read.Provenance, &m.Provenance), readNote(read.Windows, &m.Windows))
	}
	*m = Manifest{}
	if failed := json.Unmarshal(b, (*plain)(m)); failed != nil {
		return failed
	}
	if m.Format > FormatVersion { // check says so
		return nil
	}
	return fmt.Errorf("%w: %w\nuse the lcbq that made it, version %s or later", ErrNewer, err, m.LCBQ)
}

// readNote reads a part of a manifest that may be absent.
func readNote(text json.RawMessage, into any) error {
	if text == nil {
		return nil
	}
	return json.Unmarshal(text, into)
}

// check refuses a manifest that this lcbq might misread, or that no lcbq wrote.
func (m *Manifest) check(key string) error {
	if m.Format > FormatVersion {
		return fmt.Errorf("read run %s: %w: %w: format %d, this lcbq knows %d\nuse the lcbq that made it, version %s or later", key, ErrUnreadable, ErrNewer, m.Format, FormatVersion, m.LCBQ)
	}
	err := stream.CheckRunID(m.ID)
	switch {
	case err != nil:
	case m.ID != key:
		err = fmt.Errorf("it says that it is run %q", m.ID)
	case m.UnitSize < 0 || m.UnitSize == 0 && len(m.Questions) > 0:
		err = fmt.Errorf("unit_size %d: want 1 or more", m.UnitSize)
	default:
		for _, q := range m.Questions {
			if !slices.IsSorted(q.Cuts) || len(q.Cuts) > 0 && q.Cuts[0] < 0 {
				err = fmt.Errorf("question %d has the sample counts %v: want them ascending", q.Index, q.Cuts)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("read run %s: %w: %w", key, ErrUnreadable, err)
	}
	if err := m.Model.Engine.Check(); err != nil && m.Model.Engine != "" {
		return fmt.Errorf("read run %s: %w: %w\nuse the lcbq that made it, version %s or later", m.ID, ErrNewer, err, m.LCBQ)
	}
	return nil
}
