package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream"
)

// FormatVersion is the version of what the store holds. A store of a higher one
// was made by a newer lcbq and is refused.
const FormatVersion = 1

// A Manifest is everything that defines a run and that workers need to serve it.
type Manifest struct {
	Format       int                  `json:"format"`
	ID           string               `json:"id"`
	Created      int64                `json:"created_ms"`
	LCBQ         string               `json:"lcbq"` // version that made it
	OutputDir    string               `json:"output_dir"`
	Problems     ProblemSet           `json:"problems"`
	Questions    []Question           `json:"questions"`    // in order of Index
	Temperatures []stream.Temperature `json:"temperatures"` // ascending
	UnitSize     int                  `json:"unit_size"`
	Model        Model                `json:"model"`
	Judge        Judge                `json:"judge"`
	Published    bool                 `json:"published"` // every unit has been put into GENERATE once
	Finished     int64                `json:"finished_ms,omitempty"`
	Paused       int64                `json:"paused_ms,omitempty"`    // since when its units are not handed out
	Cancelled    int64                `json:"cancelled_ms,omitempty"` // since when its units are dropped
	Provenance   Provenance           `json:"provenance"`
}

// A ProblemSet says which problems a run is about.
type ProblemSet struct {
	Name     string `json:"name"`               // "sample", "v6" or a file's name
	Revision string `json:"revision,omitempty"` // of the dataset on its hub
	Digest   string `json:"digest"`             // SHA-256 over all rows
	Count    int    `json:"count"`              // questions in the set, not only those of the run
}

// A Question is one question of a run. Cuts are its sample counts after each
// submission, ascending: a run that was raised from 50 to 150 samples has [50
// 150], and no unit spans a cut, so units published before keep their identity.
type Question struct {
	Index      int    `json:"index"`
	ID         string `json:"id"`
	Title      string `json:"title"`
	Difficulty string `json:"difficulty,omitempty"`
	Platform   string `json:"platform,omitempty"`
	Cuts       []int  `json:"cuts"`
}

// N returns the number of samples wanted of the question at each temperature.
func (q Question) N() int {
	if len(q.Cuts) == 0 {
		return 0
	}
	return q.Cuts[len(q.Cuts)-1]
}

// A Model says what generates a run's samples and how.
type Model struct {
	Engine    string   `json:"engine"` // vllm, openai, replay or sim
	Name      string   `json:"name"`
	Seed      uint64   `json:"seed"`
	TopP      float64  `json:"top_p"`
	TopK      int      `json:"top_k"`
	MinP      float64  `json:"min_p"`
	MaxTokens int      `json:"max_tokens"`
	Stop      []string `json:"stop,omitempty"`
	Prompt    string   `json:"prompt_style"`
	Template  string   `json:"prompt_template,omitempty"` // text of the user's own
	Thinking  *bool    `json:"thinking,omitempty"`
	Extract   string   `json:"extract"`
	SimUnique float64  `json:"sim_unique,omitempty"` // share of textually unique programs
	Serve     *Serve   `json:"serve,omitempty"`      // with engine vllm
}

// A Serve is what shapes the samples of an engine that lcbq starts.
type Serve struct {
	DType       string   `json:"dtype"`
	MaxModelLen int      `json:"max_model_len"`
	Args        []string `json:"args,omitempty"` // further ones of the user's
}

// A Judge says how a run's samples are judged.
type Judge struct {
	Mode        string  `json:"mode"`         // lcb or script
	TimeLimit   float64 `json:"time_limit_s"` // CPU seconds a test
	MemoryLimit int64   `json:"memory_limit"` // bytes
	OutputLimit int64   `json:"output_limit"` // bytes a test
	Fingerprint string  `json:"fingerprint"`  // of the first environment that judged; "" until then
}

// A Provenance is where a run's samples and verdicts came from, beyond what
// defines the run. Who starts an engine, reads its GPUs or judges first fills in
// its part by UpdateRun; what nobody knows is absent.
type Provenance struct {
	EngineVersion  string          `json:"engine_version,omitempty"`
	EngineArgs     []string        `json:"engine_args,omitempty"` // that the engine was started with
	EngineRestarts int             `json:"engine_restarts,omitempty"`
	GPUs           []GPU           `json:"gpus,omitempty"`
	GPUIdleShare   *float64        `json:"gpu_idle_share,omitempty"` // of the time in which samples were generated, mean over GPUs: 0 to 1
	SandboxLevel   string          `json:"sandbox_level,omitempty"`  // A, B or C, of the first environment that judged
	Environment    json.RawMessage `json:"environment,omitempty"`    // that environment: what its fingerprint is of
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

// Tasks returns the units of one cell of question q, in order.
func (m *Manifest) Tasks(q Question, t stream.Temperature) []stream.Task {
	var tasks []stream.Task
	from := 0
	for _, cut := range q.Cuts {
		for ; from < cut; from += m.UnitSize {
			tasks = append(tasks, stream.Task{
				Unit:  stream.Unit{Cell: stream.Cell{Run: m.ID, Question: q.Index, Temperature: t}, Index: len(tasks)},
				First: from, N: min(m.UnitSize, cut-from),
			})
		}
		from = cut
	}
	return tasks
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
		n += q.N() * len(m.Temperatures)
	}
	return n
}

// Units returns the number of units of the run.
func (m *Manifest) Units() int {
	n := 0
	for _, q := range m.Questions {
		n += len(m.Tasks(q, 0)) * len(m.Temperatures)
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

// Run returns a run's manifest and its revision, or ErrNotFound.
func (s *Store) Run(ctx context.Context, id string) (*Manifest, uint64, error) {
	var m Manifest
	rev, err := get(ctx, s.conn, s.runs, id, &m)
	if err != nil {
		return nil, 0, err
	}
	if err := m.check(); err != nil {
		return nil, 0, err
	}
	return &m, rev, nil
}

// check refuses a manifest that this lcbq might misread.
func (m *Manifest) check() error {
	if m.Format > FormatVersion {
		return fmt.Errorf("read run %s: %w: format %d, this lcbq knows %d\nuse the lcbq that made it, version %s or later", m.ID, ErrNewer, m.Format, FormatVersion, m.LCBQ)
	}
	return nil
}

// PutRun writes a manifest by compare-and-set and returns its new revision;
// revision 0 means that the run is new.
func (s *Store) PutRun(ctx context.Context, m *Manifest, revision uint64) (uint64, error) {
	m.Format = FormatVersion
	return put(ctx, s.conn, s.runs, m.ID, m, revision)
}

// UpdateRun applies change to a run's manifest until no one else's write gets in
// between. change may be called several times; it returns false to leave the
// manifest as it is.
func (s *Store) UpdateRun(ctx context.Context, id string, change func(*Manifest) bool) (*Manifest, error) {
	for {
		m, rev, err := s.Run(ctx, id)
		if err != nil {
			return nil, err
		}
		if !change(m) {
			return m, nil
		}
		switch _, err := s.PutRun(ctx, m, rev); {
		case errors.Is(err, ErrChanged):
			continue
		case err != nil:
			return nil, err
		}
		return m, nil
	}
}

// Runs returns the manifests of all runs, the oldest first.
func (s *Store) Runs(ctx context.Context) ([]*Manifest, error) {
	var all []*Manifest
	err := values(ctx, s.runs, ">", func(e jetstream.KeyValueEntry) error {
		m := new(Manifest)
		if err := json.Unmarshal(e.Value(), m); err != nil {
			return fmt.Errorf("decode %s/%s: %w", runsBucket, e.Key(), err)
		}
		all = append(all, m)
		return m.check()
	})
	slices.SortFunc(all, func(a, b *Manifest) int {
		return cmp.Or(cmp.Compare(a.Created, b.Created), cmp.Compare(a.ID, b.ID))
	})
	return all, err
}

// PutProblem stores one problem row of a set, unless it is there already.
func (s *Store) PutProblem(ctx context.Context, setDigest string, question int, row []byte) error {
	name := problemName(setDigest, question)
	info, err := s.problems.GetInfo(ctx, name)
	if err == nil && info.Size == uint64(len(row)) {
		return nil
	}
	if err != nil && !errors.Is(err, jetstream.ErrObjectNotFound) {
		return fmt.Errorf("look up problem %s: %w", name, err)
	}
	if _, err := s.problems.PutBytes(ctx, name, row); err != nil {
		return fmt.Errorf("store problem %s: %w", name, err)
	}
	return nil
}

// Problem returns a stored problem row, or ErrNotFound.
func (s *Store) Problem(ctx context.Context, setDigest string, question int) ([]byte, error) {
	name := problemName(setDigest, question)
	row, err := s.problems.GetBytes(ctx, name)
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return nil, fmt.Errorf("read problem %s: %w", name, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read problem %s: %w", name, err)
	}
	return row, nil
}

func problemName(setDigest string, question int) string {
	return fmt.Sprintf("%s/q%d", setDigest, question)
}
