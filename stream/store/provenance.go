package store

import "encoding/json"

// A Provenance is where a run's samples and verdicts came from, beyond what
// defines the run. Who starts an engine, reads its GPUs or judges first fills in
// its part by UpdateRun; what nobody knows is absent.
type Provenance struct {
	EngineVersion  string          `json:"engine_version,omitempty"`
	EngineArgs     []string        `json:"engine_args,omitempty"` // that the engine was started with
	EngineRestarts int             `json:"engine_restarts,omitempty"`
	GPUs           []GPU           `json:"gpus,omitempty"`
	CardEngines    []CardEngines   `json:"engines_per_gpu,omitempty"` // where several engines may share a card
	GPUIdleShare   *float64        `json:"gpu_idle_share,omitempty"`  // of the time in which samples were generated, mean over GPUs: 0 to 1
	SandboxLevel   string          `json:"sandbox_level,omitempty"`   // A, B or C, of the first environment that judged
	Environment    json.RawMessage `json:"environment,omitempty"`     // that environment: what its fingerprint is of
	JudgeHost      string          `json:"judge_host,omitempty"`      // of the first evaluator
	JudgeSpeed     float64         `json:"judge_speed,omitempty"`     // of that host, as far as it was known when the evaluator began
}

// A GPU is a card that generated.
type GPU struct {
	Name        string `json:"name"`
	UUID        string `json:"uuid,omitempty"`
	MemoryBytes int64  `json:"memory_bytes,omitempty"`
	Driver      string `json:"driver,omitempty"`

	// What was measured between the start of the card's first unit and the end of its last one.
	Seconds     float64 `json:"measured_s,omitempty"`
	Utilization float64 `json:"utilization_mean,omitempty"` // percent
	IdleShare   float64 `json:"idle_share"`                 // of that time, at 0 percent: 0 to 1
	Power       float64 `json:"power_mean_w,omitempty"`     // 0 where the driver does not tell
	PeakMemory  uint64  `json:"memory_peak_bytes,omitempty"`
}

// Merge adds what was measured of the same card at another time.
func (g *GPU) Merge(b GPU) {
	g.PeakMemory = max(g.PeakMemory, b.PeakMemory)
	if all := g.Seconds + b.Seconds; all > 0 {
		mean := func(x, y float64) float64 { return (x*g.Seconds + y*b.Seconds) / all }
		g.Utilization, g.IdleShare, g.Power = mean(g.Utilization, b.Utilization), mean(g.IdleShare, b.IdleShare), mean(g.Power, b.Power)
		g.Seconds = all
	}
}

// SetIdle derives GPUIdleShare from the cards.
func (p *Provenance) SetIdle() {
	n, sum := 0, 0.0
	for _, g := range p.GPUs {
		if g.Seconds > 0 {
			n, sum = n+1, sum+g.IdleShare
		}
	}
	p.GPUIdleShare = nil
	if n > 0 {
		mean := sum / float64(n)
		p.GPUIdleShare = &mean
	}
}

// CardEngines is how many engines share a card, and why it is that number.
type CardEngines struct {
	GPU     int          `json:"gpu"` // index
	UUID    string       `json:"uuid,omitempty"`
	Engines int          `json:"engines"`
	Share   float64      `json:"memory_share"`       // of the card's memory that each claims, 0 to 1
	Settled bool         `json:"settled"`            // the number stays
	Why     string       `json:"because,omitempty"`  // it is that number; absent while that is being found
	Steps   []EngineStep `json:"measured,omitempty"` // with one engine, with two, and so on
	Made    []EngineMade `json:"made,omitempty"`     // by each engine that generated for the run
}

// An EngineStep is what was measured of a card with a number of engines.
type EngineStep struct {
	Engines     int     `json:"engines"`
	TokensPer   float64 `json:"tokens_per_s"`                  // of the card
	Before      float64 `json:"tokens_per_s_before,omitempty"` // with one engine fewer, just before the last one served
	Utilization float64 `json:"utilization_mean"`              // percent; -1 unknown
	Loop        float64 `json:"engine_loop"`                   // processors that the busiest process of an engine used; -1 unknown
	Waiting     float64 `json:"waiting_mean"`                  // sequences without a place in a batch
}

// EngineMade is what one engine of a card made for a run.
type EngineMade struct {
	Engine   int   `json:"engine"` // of the card, from 1
	Samples  int64 `json:"samples"`
	Tokens   int64 `json:"tokens"`
	Restarts int   `json:"restarts"`
}

// Merge adds what engines of the same card made for the same run at another time.
func (c *CardEngines) Merge(b CardEngines) {
	for _, e := range b.Made {
		i := 0
		for i < len(c.Made) && c.Made[i].Engine != e.Engine {
			i++
		}
		if i == len(c.Made) {
			c.Made = append(c.Made, EngineMade{Engine: e.Engine})
		}
		c.Made[i].Samples += e.Samples
		c.Made[i].Tokens += e.Tokens
		c.Made[i].Restarts += e.Restarts
	}
}
