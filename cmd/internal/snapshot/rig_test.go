package snapshot_test

import (
	"fmt"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/lcbq/lcbq/cmd/internal/snapshot"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest"
	"github.com/lcbq/lcbq/worker/process"
)

func TestMain(m *testing.M) { streamtest.Main(m) }

// A rig is a server with one run on it, and a reader of it.
type rig struct {
	*streamtest.Env
	run    *store.Manifest
	reader *snapshot.Reader
}

// newRig publishes a run of so many questions at two temperatures with two units a cell.
func newRig(tb testing.TB, questions int) *rig {
	tb.Helper()
	return newRigOf(tb, questions, []stream.Temperature{200, 700}, 20)
}

func newRigOf(tb testing.TB, questions int, temperatures []stream.Temperature, n int) *rig {
	tb.Helper()
	r := &rig{Env: streamtest.New(tb)}
	r.run = &store.Manifest{
		ID: "r1", OutputDir: "/out", UnitSize: 10, Temperatures: temperatures, Published: true, Created: time.Now().UnixMilli(),
		Model: store.Model{Engine: stream.EngineOpenAI, Name: "m", MaxTokens: 2000}, Judge: store.Judge{Mode: "lcb"},
	}
	for q := range questions {
		r.run.Questions = append(r.run.Questions, store.Question{Index: q, ID: fmt.Sprint("q", q), Title: "T", Cuts: []int{n}})
	}
	r.put(tb, r.run)
	r.Serve(tb, "r1")
	var tasks []stream.Task
	for t := range r.run.AllTasks() {
		tasks = append(tasks, t)
	}
	if err := r.Queue.PublishTasks(tb.Context(), tasks); err != nil {
		tb.Fatal(err)
	}
	r.reader = &snapshot.Reader{Queue: queue.New(r.JS), Store: r.Store, Server: "nats://h:4222", Reach: "--nats nats://h:4222"}
	return r
}

func (r *rig) put(tb testing.TB, m *store.Manifest) {
	tb.Helper()
	_, rev, err := r.Store.Run(tb.Context(), m.ID)
	if err != nil {
		rev = 0
	}
	if _, err := r.Store.PutRun(tb.Context(), m, rev); err != nil {
		tb.Fatal(err)
	}
}

// beat writes a heartbeat of a worker of this host whose process is unknown.
func (r *rig) beat(tb testing.TB, w store.Worker) {
	tb.Helper()
	if w.Host == "" {
		w.Host = "h1"
	}
	if w.Slots == 0 {
		w.Slots = 1
	}
	if err := r.Store.PutWorker(tb.Context(), w); err != nil {
		tb.Fatal(err)
	}
}

// finish marks a cell as written, with every other sample passed.
func (r *rig) finish(tb testing.TB, q int, t stream.Temperature) {
	tb.Helper()
	n := r.run.Questions[q].N()
	a := &stream.Answers{Finish: map[string]int{stream.FinishStop: n}, Texts: n, Bytes: int64(n) * 400}
	st := store.CellState{Counts: stream.Counts{N: n, Passed: n / 2, Tokens: int64(100 * n), JudgeCPU: float64(n), Answers: a}, DoneAt: time.Now().UnixMilli()}
	if err := r.Store.PutCell(tb.Context(), stream.Cell{Run: r.run.ID, Question: q, Temperature: t}, st, 0); err != nil {
		tb.Fatal(err)
	}
}

func (r *rig) look(tb testing.TB) *snapshot.Snapshot {
	tb.Helper()
	s, err := r.reader.Look(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// fresh gives r a reader and a store that remember nothing, as a new process has.
func (r *rig) fresh(tb testing.TB) {
	tb.Helper()
	s, err := store.Open(tb.Context(), r.JS)
	if err != nil {
		tb.Fatal(err)
	}
	r.reader = &snapshot.Reader{Queue: queue.New(r.JS), Store: s}
}

// wellAgain is well, as what helps.
func wellAgain(t *testing.T, r *rig) {
	t.Helper()
	r.well(t)
}

func (r *rig) remove(tb testing.TB, w store.Worker) {
	tb.Helper()
	if err := r.Store.RemoveWorker(tb.Context(), w); err != nil {
		tb.Fatal(err)
	}
}

// judge records the environment that the run is judged in.
func (r *rig) judge(tb testing.TB, fingerprint string) {
	tb.Helper()
	_, err := r.Store.UpdateRun(tb.Context(), r.run.ID, func(m *store.Manifest) bool {
		m.Judge.Fingerprint = fingerprint
		return true
	})
	if err != nil {
		tb.Fatal(err)
	}
}

// bury gives the run's first unit up, as a worker does.
func (r *rig) bury(tb testing.TB) {
	tb.Helper()
	msg := streamtest.Next(tb, r.Consumer(tb, stream.Generate, r.run.ID))
	if err := r.Queue.Bury(tb.Context(), stream.Dead{Subject: msg.Subject(), Reason: stream.Exhausted, Body: msg.Data()}); err != nil {
		tb.Fatal(err)
	}
	if err := msg.DoubleAck(tb.Context()); err != nil {
		tb.Fatal(err)
	}
}

// deadProcess returns the name of a process that has ended.
func deadProcess(t *testing.T) string {
	t.Helper()
	child := exec.CommandContext(t.Context(), "sleep", "600")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	id, err := process.Of(child.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // killed
	return id.String()
}

// allot limits what a stage's stream may hold, as the owner of a server does.
func (r *rig) allot(tb testing.TB, stage stream.Stage, bytes int) {
	tb.Helper()
	s, err := r.JS.Stream(tb.Context(), stage.Stream())
	if err != nil {
		tb.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	if cfg.Metadata == nil {
		cfg.Metadata = make(map[string]string)
	}
	cfg.Metadata["lcbq_max_bytes"] = strconv.Itoa(bytes)
	if _, err := r.JS.UpdateStream(tb.Context(), cfg); err != nil {
		tb.Fatal(err)
	}
}
