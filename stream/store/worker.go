package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/lcbq/lcbq/stream"
)

// A Worker is a heartbeat: who is at work on what, and how much it has done.
type Worker struct {
	Stage   stream.Stage `json:"stage"`
	Name    string       `json:"name"`
	Host    string       `json:"host"`
	PID     int          `json:"pid"`
	Process string       `json:"process,omitempty"` // names the process as worker/process does; "" where that cannot be known
	Slots   int          `json:"slots"`
	Started int64        `json:"started_ms"`
	Units   int64        `json:"units"`
	Samples int64        `json:"samples"`
	Cached  int64        `json:"cached"` // samples answered by the verdict cache
	Faults  int64        `json:"faults"` // units given back
	Rates   []RunRate    `json:"rates,omitempty"`
	Clock   int64        `json:"clock_ms,omitempty"` // of its host, when the heartbeat was written
	Seen    int64        `json:"seen_ms,omitempty"`  // the server's time of the heartbeat, where it was read
	Trouble *Trouble     `json:"trouble,omitempty"`  // what it waits for; nil if it works

	OrdersAt string  `json:"orders_at,omitempty"` // it obeys what Store.Order returns: where its token lets it look; "" if it does not look
	Obeyed   *Obeyed `json:"obeyed,omitempty"`    // what came of the last order; nil if there was none

	// Of an evaluator: of the environment that it judges in, once that is known.
	Fingerprint string `json:"fingerprint,omitempty"`
	// Of an evaluator: of its host, as evaluate.Grader.Speed measures it; 0 while that is unknown. A
	// first look may be wrong by a tenth and more.
	Speed        float64 `json:"speed,omitempty"`
	SpeedSettled bool    `json:"speed_settled,omitempty"` // it is more than a first look
	// Of an evaluator: of the last two minutes and the last fifteen, or since its first unit; absent before that one.
	Lately []Lately `json:"lately,omitempty"`

	// Of a generator.
	Ready      int64        `json:"ready,omitempty"`            // units in hand that wait for their turn
	Publishing int64        `json:"publishing_bytes,omitempty"` // on their way to the queue
	Blocked    float64      `json:"blocked_s,omitempty"`        // that generating waited for the queue, summed over its units
	Engine     *EngineState `json:"engine,omitempty"`           // of a generator whose engine lcbq started
}

// An Obeyed says what came of an order that was left for a worker.
type Obeyed struct {
	Order uint64          `json:"order"` // its number
	Reply json.RawMessage `json:"reply"` // as package steer has it
}

// A RunRate is how fast a worker settled the units of a run lately.
type RunRate struct {
	Run     string  `json:"run"`
	Minute  float64 `json:"units_per_s_1m"`
	Quarter float64 `json:"units_per_s_15m"`
}

// A Lately is what an evaluator did, of all runs, in a time that ends with the heartbeat.
type Lately struct {
	Seconds float64 `json:"seconds"`
	Slots   float64 `json:"slot_s"`    // programs at once, each for as long as it was so many
	Samples int64   `json:"samples"`   // judged
	CPU     float64 `json:"cpu_s"`     // of the programs of these, in the runs that their judgements are from
	Starved float64 `json:"starved_s"` // there was room for another unit, and none came
}

// A Trouble is something that a worker waits for and that may need a person.
type Trouble struct {
	Code   string `json:"code"` // one of those below
	Text   string `json:"text"`
	Remedy string `json:"remedy,omitempty"`
	Since  int64  `json:"since_ms"` // by the worker's clock
}

// The codes of troubles.
const (
	TroubleDisk   = "disk_full"   // no room on a disk
	TroubleEngine = "engine_down" // no server answers that a generator asks
	TroubleWaits  = "waiting"     // any other
)

// An EngineState is how an engine is doing, and the cards under it.
type EngineState struct {
	Phase    string      `json:"phase"` // waiting, loading, serving, stopping or ended
	Version  string      `json:"version,omitempty"`
	Restarts int         `json:"restarts"`
	Running  float64     `json:"running"`   // sequences in its batch
	Waiting  float64     `json:"waiting"`   // sequences that wait for a place
	InFlight int         `json:"in_flight"` // most samples asked for at once
	Cards    []CardState `json:"gpus,omitempty"`
	// PerCard is how many engines share the card; nil where one was asked for.
	PerCard *CardEngines `json:"engines_per_gpu,omitempty"`
}

// A CardState is one GPU at one moment. What the driver does not tell is -1.
type CardState struct {
	Index       int           `json:"index"`
	UUID        string        `json:"uuid"`
	Name        string        `json:"name"`
	Utilization int           `json:"utilization"` // percent
	MemoryUsed  uint64        `json:"memory_used"` // bytes
	MemoryTotal uint64        `json:"memory_total"`
	Power       float64       `json:"power_w"`
	Temperature int           `json:"temperature_c"`
	IdleShare   float64       `json:"idle_share"` // between the first unit and the last: 0 to 1
	Processes   []CardProcess `json:"processes"`
}

// A CardProcess holds memory of a card.
type CardProcess struct {
	PID    int    `json:"pid"`
	Memory uint64 `json:"memory"` // bytes
	State  string `json:"state"`  // ours, foreign, zombie, gone or elsewhere
}

// PutWorker writes a worker's heartbeat. It expires unless it is written again.
func (s *Store) PutWorker(ctx context.Context, w Worker) error {
	b, err := json.Marshal(w)
	if err != nil {
		return fmt.Errorf("encode heartbeat of %s: %w", w.Name, err)
	}
	ctx, cancel := writing(ctx, s.conn)
	defer cancel()
	if _, err := s.workers.Put(ctx, string(w.Stage)+"."+w.Name, b); err != nil {
		return fmt.Errorf("write heartbeat of %s: %w", w.Name, err)
	}
	return nil
}

// RemoveWorker removes the heartbeat of a worker that ends in good order.
func (s *Store) RemoveWorker(ctx context.Context, w Worker) error {
	if err := s.workers.Delete(ctx, string(w.Stage)+"."+w.Name); err != nil {
		return fmt.Errorf("remove heartbeat of %s: %w", w.Name, err)
	}
	return nil
}

// Workers returns the heartbeats that have not expired. One that cannot be read is left out.
func (s *Store) Workers(ctx context.Context) ([]Worker, error) {
	var ws []Worker
	err := s.values(ctx, s.workers, ">", 1, func(v value) error {
		var w Worker
		if json.Unmarshal(v.Data, &w) == nil {
			w.Seen = v.Time.UnixMilli()
			ws = append(ws, w)
		}
		return nil
	})
	return ws, err
}
