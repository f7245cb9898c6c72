package stream

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// A Stage is one of the three queues a unit passes through, in this order.
type Stage string

// The stages. A stage's name is the first token of its subjects; its stream has
// the same name in capitals.
const (
	Generate Stage = "generate"
	Evaluate Stage = "evaluate"
	Combine  Stage = "combine"
)

// Stages lists the stages in the order a unit passes through them. Whoever looks
// for a unit must look in this order: a unit is published to the next stage
// before it leaves the one before, so a forward scan cannot miss it.
var Stages = []Stage{Generate, Evaluate, Combine}

// Stream returns the name of the stage's JetStream stream.
func (s Stage) Stream() string { return strings.ToUpper(string(s)) }

// DeadStream is the stream of units given up, subjects dead.<stage>.<run>....
const DeadStream = "DEAD"

// A Cell is one question at one temperature of a run.
type Cell struct {
	Run         string      `json:"run"`
	Question    int         `json:"question"` // 0-based place in the problem set sorted by question_id
	Temperature Temperature `json:"temperature"`
}

// Key returns the cell's key in the store, "<run>.q12.t0_7".
func (c Cell) Key() string {
	return fmt.Sprintf("%s.q%d.%s", c.Run, c.Question, c.Temperature.Token())
}

// Filter returns the subject that matches all units of the cell at a stage.
func (c Cell) Filter(s Stage) string { return string(s) + "." + c.Key() + ".>" }

// ParseCell is the inverse of Key.
func ParseCell(key string) (Cell, error) {
	c, err := parseCell(strings.Split(key, "."))
	if err != nil {
		return Cell{}, fmt.Errorf("cell key %q: %w", key, err)
	}
	return c, nil
}

var errTokens = errors.New("want <run>.q<question>.t<major>_<minor>")

func parseCell(tok []string) (Cell, error) {
	if len(tok) != 3 || !strings.HasPrefix(tok[1], "q") {
		return Cell{}, errTokens
	}
	q, err := canonicalInt(tok[1][1:])
	if err != nil {
		return Cell{}, err
	}
	t, err := parseTemperatureToken(tok[2])
	if err != nil {
		return Cell{}, err
	}
	if err := CheckRunID(tok[0]); err != nil {
		return Cell{}, err
	}
	return Cell{Run: tok[0], Question: q, Temperature: t}, nil
}

// A Unit is a slice of a cell, the thing that a message carries and that is
// redelivered. Its identity is a pure function of run, question, temperature and
// index: never of attempt, worker or time.
type Unit struct {
	Cell
	Index int `json:"unit"`
}

// Subject returns the unit's subject at a stage: "generate.r1.q12.t0_7.u0042".
func (u Unit) Subject(s Stage) string {
	return fmt.Sprintf("%s.%s.u%04d", s, u.Key(), u.Index)
}

// DeadSubject returns the subject under which the unit is given up at a stage.
func (u Unit) DeadSubject(s Stage) string { return "dead." + u.Subject(s) }

// ParseSubject is the inverse of Subject. It accepts canonical spellings only:
// two subjects for one unit would be two ledger entries for it.
func ParseSubject(subject string) (Stage, Unit, error) {
	tok := strings.Split(subject, ".")
	if len(tok) != 5 {
		return "", Unit{}, fmt.Errorf("subject %q: want <stage>.<run>.q<question>.t<major>_<minor>.u<unit>", subject)
	}
	c, err := parseCell(tok[1:4])
	if err != nil {
		return "", Unit{}, fmt.Errorf("subject %q: %w", subject, err)
	}
	digits, ok := strings.CutPrefix(tok[4], "u")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || n < 0 {
		return "", Unit{}, fmt.Errorf("subject %q: unit token %q: want u<number>", subject, tok[4])
	}
	u := Unit{Cell: c, Index: n}
	stage := Stage(tok[0])
	switch stage {
	case Generate, Evaluate, Combine, Lent:
	default:
		return "", Unit{}, fmt.Errorf("subject %q: unknown stage %q", subject, tok[0])
	}
	if u.Subject(stage) != subject {
		return "", Unit{}, fmt.Errorf("subject %q: want %q", subject, u.Subject(stage))
	}
	return stage, u, nil
}

// canonicalInt reads a non-negative number without leading zeros.
func canonicalInt(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || strconv.Itoa(n) != s {
		return 0, fmt.Errorf("number %q: want digits without leading zeros", s)
	}
	return n, nil
}

var runID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)

// CheckRunID refuses an id that could not be a subject token, a key and a folder
// name at once.
func CheckRunID(id string) error {
	if !runID.MatchString(id) {
		return fmt.Errorf("run id %q: want 1 to 64 letters, digits, '-' or '_', the first a letter or digit", id)
	}
	return nil
}
