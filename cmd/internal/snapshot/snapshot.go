// Package snapshot is one look at a run for all who watch it: status, top, the live page and metrics show the same
// numbers. It changes nothing and draws nothing.
package snapshot

import (
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
)

// A Snapshot is one run on one server at one moment. It is read-only: all viewers share it.
type Snapshot struct {
	At           int64         `json:"at_ms"`            // Unix milliseconds, by the server's clock
	Server       string        `json:"server,omitempty"` // its address
	Run          Run           `json:"run"`
	Others       []Run         `json:"other_runs"` // the other runs of the server that are not over, the oldest first
	Units        Units         `json:"units"`
	Stages       []Stage       `json:"stages"`              // generate, evaluate, combine
	Workers      []Worker      `json:"workers"`             // of the server, by stage and name
	Cards        []Card        `json:"gpus"`                // of the server's generators, by host and index
	Temperatures []Temperature `json:"temperatures"`        // pass@1, ascending
	Questions    []Question    `json:"questions"`           // the grid of cells, in order
	Findings     []Finding     `json:"findings"`            // what a person must know, the gravest first
	Left         *Left         `json:"time_left,omitempty"` // absent while nothing tells it
}

// A Run says which run it is and how far.
type Run struct {
	ID          string        `json:"id"`
	State       string        `json:"state"` // being published, running, paused, finished, cancelled, Stopped or Unknown
	Engine      stream.Engine `json:"engine"`
	Model       string        `json:"model"`
	Judge       string        `json:"judge"` // lcb or script
	Fingerprint string        `json:"fingerprint,omitempty"`
	OutputDir   string        `json:"output_dir"`
	Created     int64         `json:"created_ms"`
	Paused      int64         `json:"paused_ms,omitempty"` // since when
	Finished    int64         `json:"finished_ms,omitempty"`
	Cells       Share         `json:"cells"`          // finished, of all
	Samples     Share         `json:"samples"`        // in finished cells, of all
	Passed      int           `json:"samples_passed"` // of those in finished cells
	Dead        int           `json:"dead_units"`     // given up

	Provenance *store.Provenance `json:"provenance,omitempty"` // of the snapshot's own run
}

// The states that a run's manifest does not know.
const (
	Stopped = "stopped"      // it is not over, and no server runs
	Unknown = "out of reach" // the server does not answer
)

// A Share is how much of all is done.
type Share struct {
	Done int `json:"done"`
	All  int `json:"all"`
}

// Units says where the units of the run are. A unit that moves during the look may be counted in two places.
type Units struct {
	All       int `json:"all"`
	Generated int `json:"generated"` // and not lost since
	Judged    int `json:"judged"`
	Written   int `json:"written"` // in finished cells
	Dead      int `json:"dead"`    // given up
	Lost      int `json:"lost"`    // in no queue, as far as was looked: at most once a minute
}

// A Stage is one of the three queues of the run and those who serve it. What is not known is -1.
type Stage struct {
	Stage       stream.Stage `json:"stage"`
	Stream      string       `json:"stream"`
	Waiting     int          `json:"waiting"`         // units that nobody has
	InFlight    int          `json:"in_flight"`       // units that a worker has, or gave back for a later try
	Redelivered int          `json:"redelivered"`     // of those in flight, units that were tried before
	Rate        float64      `json:"units_per_s_1m"`  // settled in the last minute
	Rate15      float64      `json:"units_per_s_15m"` // in the last 15 minutes
	Samples     float64      `json:"samples_per_s"`   // Rate in samples
	Trend       float64      `json:"trend_per_s"`     // units by which the backlog grows a second, negative if it shrinks
	Backlog     float64      `json:"backlog_s"`       // seconds of work that wait and are in flight, at the rate of now; -1 without a rate
	Workers     int          `json:"workers"`         // that work
	Bytes       int64        `json:"bytes"`           // of the stream, all runs
	Most        int64        `json:"bytes_most"`      // that it may hold; 0 if only the server's disk limits it
}

// A Worker is one that serves the server's runs, or did until a moment ago.
type Worker struct {
	Stage       stream.Stage   `json:"stage"`
	Name        string         `json:"name"`
	Host        string         `json:"host"`
	PID         int            `json:"pid"`
	Slots       int            `json:"programs_at_once"` // of an evaluator; units at once of others
	Started     int64          `json:"started_ms"`
	Units       int64          `json:"units"` // settled since it started, of all runs
	Samples     int64          `json:"samples"`
	Cached      int64          `json:"samples_from_cache"`
	Faults      int64          `json:"units_given_back"`
	Rate        float64        `json:"units_per_s_1m"` // of the run
	Rate15      float64        `json:"units_per_s_15m"`
	LastSign    float64        `json:"last_sign_s"` // seconds since its last heartbeat
	State       State          `json:"state"`
	Slow        bool           `json:"slow"`                  // far slower than others of its stage
	Clock       float64        `json:"clock_off_s"`           // by how much its host's clock is ahead of the server's; 0 within a second
	Fingerprint string         `json:"fingerprint,omitempty"` // of the environment that an evaluator judges in
	Speed       float64        `json:"speed,omitempty"`       // of an evaluator's host, in million turns of a loop in a CPU second; absent while unknown
	Trouble     *store.Trouble `json:"trouble,omitempty"`     // what it waits for

	settled bool               // Speed is more than a first look
	lately  []store.Lately     // of an evaluator
	all15   float64            // units a second in the last 15 minutes, of all runs
	pace    string             // of one that is slow: how slow
	again   bool               // it was as fast as the others in the last two minutes
	Engine  *store.EngineState `json:"engine,omitempty"` // of a generator whose engine lcbq started

	// Of a generator.
	Ready      int64   `json:"ready,omitempty"`            // units in hand that wait for their turn
	Publishing int64   `json:"publishing_bytes,omitempty"` // on their way to the queue
	Waited     float64 `json:"blocked_s,omitempty"`        // that generating waited for the queue, summed over its units
}

// A State is whether a worker works.
type State string

// The states of workers.
const (
	Working  State = "working"
	Starting State = "starting" // or waits for a run that it can work for
	Silent   State = "silent"   // no sign of life: hung, killed or cut off
	Ended    State = "ended"    // its process is gone, without a word
)

// Lives reports whether a worker in this state can be counted on.
func (s State) Lives() bool { return s == Working || s == Starting }

// A Card is a GPU and what runs on it.
type Card struct {
	Host    string   `json:"host"`
	Workers []string `json:"workers"` // names of the generators whose engines share it
	Engines int      `json:"engines"` // that serve now
	store.CardState
}

// A Temperature is pass@1 at one temperature as far as its cells are finished. It is the mean over those questions.
type Temperature struct {
	Temperature float64 `json:"temperature"`
	Cells       Share   `json:"cells"`
	Samples     int     `json:"samples"`
	Passed      int     `json:"passed"`
	PassAt1     float64 `json:"pass_at_1"` // 0 to 1; -1 without a cell
	Low         float64 `json:"low"`       // of the 95 % interval, if the same questions were sampled again
	High        float64 `json:"high"`
	Complete    bool    `json:"complete"` // all cells are there; until then the questions are not those of other temperatures
}

// A Question is a row of the grid.
type Question struct {
	Index      int    `json:"question_idx"`
	ID         string `json:"question_id"`
	Title      string `json:"title"`
	Difficulty string `json:"difficulty,omitempty"`
	N          int    `json:"n"`     // samples wanted at each temperature
	Cells      []Cell `json:"cells"` // in the order of the temperatures
}

// A Cell is what is known of a cell: nothing, all zero, until it is written.
type Cell struct {
	N      int `json:"n"`
	Passed int `json:"passed"`
}

// Left is the time to the end of the run, as if the workers of the last minutes stayed.
type Left struct {
	Seconds float64 `json:"seconds"`
	Low     float64 `json:"low_s"` // 8 of 10 times it takes longer than Low and shorter than High
	High    float64 `json:"high_s"`
}

// A Finding is something that a person must know, and what helps.
type Finding struct {
	Code    Code   `json:"code"`
	Grave   bool   `json:"grave"` // the run stands still, or its numbers say nothing
	Text    string `json:"text"`
	Remedy  string `json:"remedy,omitempty"`  // in words
	Command string `json:"command,omitempty"` // to type
}

// A Code names a kind of finding. The codes of worker/health are codes too.
type Code string

// The codes.
const (
	NoGenerator  Code = "no_generator"     // units to generate and nobody who does
	NoEvaluator  Code = "no_evaluator"     // units to judge and nobody who does
	NoCombiner   Code = "no_combiner"      // judged units and nobody who writes
	OtherJudge   Code = "no_fit_evaluator" // evaluators, but none with the environment that the run is judged in
	DeadUnits    Code = "dead_units"
	LostUnits    Code = "lost_units"
	LagGrows     Code = "lag_grows"     // evaluators do not keep up
	QueueFull    Code = "queue_full"    // a stream holds as much as it may
	NoHeartbeats Code = "no_heartbeats" // of nobody, though the server answers
	DiskFull     Code = "disk_full"     // a worker waits for room on a disk
	Blocked      Code = "worker_waits"  // a worker waits for something else
	ClockSkew    Code = "clock_skew"
	SpeedsDiffer Code = "speeds_differ" // evaluators on hosts of different speed, and no reference speed
	DeadWorker   Code = "dead_worker"   // ended without a word, or silent
	SlowWorker   Code = "slow_worker"
	EngineDown   Code = "engine_down" // an engine ended, or starts again and again
	Paused       Code = "paused"
	NotRunning   Code = "not_running"    // no server runs on the results folder
	Stalled      Code = "stalled"        // nothing was judged for a long time, though workers live
	StaleReading Code = "stale_reading"  // the server does not answer: these are old numbers
	FalseJudge   Code = "false_verdicts" // an evaluator that is not trusted was found out and banned
	ForgedUnits  Code = "forged_units"   // verdicts came from somebody whom the units were not handed
	Uncorrected  Code = "uncorrected"    // pass@1 counts programs that an audited time limit stopped as failed
)

// Grave reports whether any finding is grave.
func (s *Snapshot) Grave() bool {
	for i := range s.Findings {
		if s.Findings[i].Grave {
			return true
		}
	}
	return false
}

// Stage returns the row of a stage.
func (s *Snapshot) Stage(stage stream.Stage) Stage {
	for i := range s.Stages {
		if s.Stages[i].Stage == stage {
			return s.Stages[i]
		}
	}
	return Stage{Stage: stage}
}
