package generate_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest"
	"github.com/lcbq/lcbq/stream/sweep"
	"github.com/lcbq/lcbq/worker"
	"github.com/lcbq/lcbq/worker/engine"
	"github.com/lcbq/lcbq/worker/engine/sim"
	"github.com/lcbq/lcbq/worker/generate"
	"github.com/lcbq/lcbq/worker/lcb"
	"github.com/lcbq/lcbq/worker/lcb/sample"
)

func TestMain(m *testing.M) { streamtest.Main(m) }

// A fake is an engine that remembers what it was asked and answers as it is told.
type fake struct {
	answer func(call int, r engine.Request) ([]engine.Completion, error)

	mu    sync.Mutex
	asked []engine.Request
}

func (f *fake) Info() engine.Info {
	return engine.Info{Name: "sim", Model: "simulated", Version: "1.2.3", Simulated: true}
}

func (f *fake) Generate(_ context.Context, r engine.Request) ([]engine.Completion, error) {
	f.mu.Lock()
	f.asked = append(f.asked, r)
	call := len(f.asked)
	f.mu.Unlock()
	if f.answer != nil {
		return f.answer(call, r)
	}
	return texts(r.N), nil
}

func (f *fake) requests() []engine.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.asked)
}

// texts returns n completions that hold a program each.
func texts(n int) []engine.Completion {
	out := make([]engine.Completion, n)
	for i := range out {
		out[i] = engine.Completion{Text: fmt.Sprintf("So:\n```python\nprint(%d)\n```\n", i), Tokens: 9, FinishReason: "stop"}
	}
	return out
}

// submit makes a run of the first two built-in problems at one temperature, five
// samples a cell in units of three.
func submit(t *testing.T, env *streamtest.Env, change func(*store.Manifest)) *store.Manifest {
	t.Helper()
	problems := sample.Problems()[:2]
	m := &store.Manifest{
		ID: "r1", UnitSize: 3, Temperatures: []stream.Temperature{700}, Problems: store.ProblemSet{Digest: lcb.Digest(problems), Count: 2},
		Model: store.Model{Engine: "sim", Name: "simulated", Seed: 7, TopP: 0.95, TopK: 20, MinP: 0.1, MaxTokens: 512, Stop: []string{"###"}, Prompt: "lcb", Extract: "lcb"},
	}
	for i, p := range problems {
		m.Questions = append(m.Questions, store.Question{Index: i, ID: p.ID, Title: p.Title, Cuts: []int{5}})
	}
	if change != nil {
		change(m)
	}
	s := sweep.Sweeper{Queue: env.Queue, Store: env.Store}
	sub, err := s.Submit(t.Context(), m, func(q int) []byte { return problems[q].Row() })
	if err != nil {
		t.Fatal(err)
	}
	return sub.Manifest
}

// receipt returns the receipt of a unit.
func receipt(t *testing.T, env *streamtest.Env, m *store.Manifest, u stream.Unit) string {
	t.Helper()
	issuer, err := env.Store.Issuer(t.Context(), m)
	if err != nil || issuer == nil {
		t.Fatalf("the run's units have no receipts: %v", err)
	}
	return issuer.Receipt(u)
}

func newWorker(env *streamtest.Env, e engine.Engine) *generate.Worker {
	return &generate.Worker{
		Queue: env.Queue, Store: env.Store, Runs: &worker.Runs{Store: env.Store}, Engine: e, Slots: 2, Grace: time.Minute,
		Pulse: worker.NewPulse(stream.Generate, "gpu0", 2), Log: slog.New(slog.DiscardHandler),
	}
}

// drain runs w until GENERATE is empty.
func drain(t *testing.T, env *streamtest.Env, w *generate.Worker) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ran := make(chan error, 1)
	go func() { ran <- w.Run(ctx) }()
	env.WaitEmpty(t, stream.Generate)
	cancel()
	if err := <-ran; err != nil {
		t.Errorf("Run = %v, want nil after cancellation", err)
	}
}

func batch(t *testing.T, env *streamtest.Env, u stream.Unit) stream.Batch {
	t.Helper()
	var b stream.Batch
	if err := env.Queue.Get(t.Context(), stream.Evaluate, u, &b); err != nil {
		t.Fatal(err)
	}
	return b
}

func dead(t *testing.T, env *streamtest.Env) []stream.Dead {
	t.Helper()
	d, err := env.Queue.DeadUnits(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestUnitsBecomeBatches runs the simulated model over a run and compares every
// sample with what the model says when it is asked directly.
func TestUnitsBecomeBatches(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	m := submit(t, env, nil)
	model, err := sim.New(sim.Config{})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorker(env, model)
	before := time.Now().UnixMilli()
	drain(t, env, w)
	for _, q := range m.Questions {
		want, err := model.Generate(t.Context(), engine.Request{Seed: 7, QuestionID: q.ID, N: 5, Sampling: engine.Sampling{Temperature: 0.7}})
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range m.Tasks(q, 700) {
			b := batch(t, env, task.Unit)
			if b.Unit != task.Unit || !m.Issued(task.Unit, b.Receipt) || b.Generator != w.Pulse.Name() || b.Started < before || b.Ended < b.Started || b.Attempts != 1 {
				t.Errorf("batch = %+v", b)
			}
			if len(b.Samples) != task.N {
				t.Fatalf("%d samples, want %d", len(b.Samples), task.N)
			}
			for i, s := range b.Samples {
				c := want[task.First+i]
				if s.Index != task.First+i || s.Completion != c.Text || s.Tokens != c.Tokens || s.FinishReason != c.FinishReason || s.Code != extracted(t, c.Text) {
					t.Errorf("sample %d of %s = %+v, want %+v", task.First+i, q.ID, s, c)
				}
			}
		}
	}
	if n := w.Pulse.Samples.Load(); n != 10 || w.Pulse.Units() != 4 {
		t.Errorf("pulse counts %d samples and %d units, want 10 and 4", n, w.Pulse.Units())
	}
}

// TestRequest: every setting of the run reaches the engine, and the prompt is
// that of the question.
func TestRequest(t *testing.T) {
	t.Parallel()
	off := false
	template := "Solve {{.Title}}: {{.Content}}"
	tests := []struct {
		name   string
		change func(*store.Manifest)
		prompt string // is in the prompt of the second question
		raw    bool
	}{
		{"chat", func(m *store.Manifest) { m.Model.Thinking = &off }, "board", false},
		{"own template", func(m *store.Manifest) { m.Model.Template, m.Model.OnRefused = template, "redraw" }, "Ferry Queue", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			env := streamtest.New(t)
			m := submit(t, env, tt.change)
			e := &fake{}
			drain(t, env, newWorker(env, e))
			asked := e.requests()
			if len(asked) != 4 {
				t.Fatalf("%d requests, want one a unit", len(asked))
			}
			i := slices.IndexFunc(asked, func(r engine.Request) bool { return r.Question == 1 && r.First == 3 })
			r := asked[i]
			want := engine.Sampling{Temperature: 0.7, TopP: 0.95, TopK: 20, MinP: 0.1, RepetitionPenalty: 1, MaxTokens: 512, Stop: []string{"###"}}
			if r.Run != "r1" || r.Seed != 7 || r.QuestionID != m.Questions[1].ID || r.N != 2 || fmt.Sprint(r.Sampling) != fmt.Sprint(want) {
				t.Errorf("request = %+v, want sampling %+v", r, want)
			}
			if r.Redraw != (m.Model.OnRefused == "redraw") {
				t.Errorf("redraw = %v, the run says %q", r.Redraw, m.Model.OnRefused)
			}
			if (r.Thinking == nil) != (m.Model.Thinking == nil) {
				t.Errorf("thinking = %v, the run says %v", r.Thinking, m.Model.Thinking)
			}
			prompt := r.Raw
			for _, msg := range r.Messages {
				prompt += msg.Content
			}
			if !strings.Contains(prompt, tt.prompt) || (r.Raw != "") != tt.raw {
				t.Errorf("prompt %q, raw %v, want %q in it", prompt, r.Raw != "", tt.prompt)
			}
		})
	}
}

// TestWrongModel: a generator whose engine is not the run's stops, and its unit
// waits for another.
func TestWrongModel(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*store.Manifest){
		"model":  func(m *store.Manifest) { m.Model.Name = "another" },
		"engine": func(m *store.Manifest) { m.Model.Engine = "vllm" },
		"engine settings": func(m *store.Manifest) {
			m.Model.Serve = &store.Serve{DType: "half", MaxModelLen: 2182, Args: []string{"--enforce-eager"}}
		},
		"rule": func(m *store.Manifest) { m.Model.Extract = "of a newer lcbq" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := streamtest.New(t)
			submit(t, env, change)
			e := &fake{}
			ended := make(chan error, 1)
			go func() { ended <- newWorker(env, e).Run(t.Context()) }()
			if err := streamtest.Receive(t, "the generator to end", ended); !errors.Is(err, worker.ErrUnfit) {
				t.Errorf("Run = %v, want ErrUnfit", err)
			}
			lag, err := env.Queue.Lag(t.Context(), stream.Generate)
			if err != nil || lag.Stored != 4 || len(dead(t, env)) != 0 || len(e.requests()) != 0 {
				t.Errorf("GENERATE holds %d units, %v, %d dead, %d requests; want all 4 waiting", lag.Stored, err, len(dead(t, env)), len(e.requests()))
			}
		})
	}
}

// TestPoison: units that no engine can serve are given up at once with a reason,
// and the others are served.
func TestPoison(t *testing.T) {
	t.Parallel()
	unit := stream.Unit{Cell: stream.Cell{Run: "r1", Temperature: 700}}
	tests := []struct {
		name   string
		change func(*store.Manifest)
		unit   stream.Unit
		body   any
		reason string
	}{
		{"task with other samples", nil, unit, stream.Task{Unit: unit, First: 1, N: 3}, "task says samples 3 from 1"},
		{"task of another unit", nil, unit, stream.Task{Unit: stream.Unit{Cell: unit.Cell, Index: 1}, First: 0, N: 3}, "task says"},
		{"no task", nil, unit, "hello", "decode"},
		{"unit the run has not", nil, stream.Unit{Cell: unit.Cell, Index: 2}, stream.Task{}, "has no unit 2"},
		{"unknown prompt style", func(m *store.Manifest) { m.Model.Prompt = "nonsense" }, unit, nil, "nonsense"},
		{"template that does not parse", func(m *store.Manifest) { m.Model.Template = "{{" }, unit, nil, "template"},
		{"template that does not render with this question", func(m *store.Manifest) {
			m.Model.Template = "{{if .Title}}{{index .Title 1000}}{{end}}{{.Content}}"
		}, unit, nil, "question"},
		{"template that does not render", func(m *store.Manifest) { m.Model.Template = "{{.Nonsense}}" }, unit, nil, "Nonsense"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			env := streamtest.New(t)
			m := submit(t, env, tt.change)
			want := 4
			if tt.body != nil {
				want = 1
				if err := env.Queue.Remove(t.Context(), stream.Generate, tt.unit); err != nil {
					t.Fatal(err)
				}
				if task, ok := tt.body.(stream.Task); ok {
					task.Receipt = receipt(t, env, m, tt.unit)
					tt.body = task
				}
				if _, err := env.Queue.Publish(t.Context(), stream.Generate, tt.unit, tt.body); err != nil {
					t.Fatal(err)
				}
			}
			drain(t, env, newWorker(env, &fake{}))
			d := dead(t, env)
			if len(d) != want {
				t.Fatalf("%d dead units, want %d", len(d), want)
			}
			if !strings.Contains(d[0].Error, tt.reason) || d[0].Deliveries != 1 || (want == 1 && d[0].Subject != tt.unit.Subject(stream.Generate)) {
				t.Errorf("dead unit = %+v, want reason %q at the first delivery", d[0], tt.reason)
			}
		})
	}
}

// TestNothingIsGeneratedTwice: a unit whose output is somewhere costs no engine
// call.
func TestNothingIsGeneratedTwice(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	ctx := t.Context()
	m := submit(t, env, nil)
	first, second := m.Tasks(m.Questions[0], 700), m.Tasks(m.Questions[1], 700)
	if _, err := env.Queue.Publish(ctx, stream.Evaluate, first[0].Unit, stream.Batch{Unit: first[0].Unit, Generator: "former", Receipt: receipt(t, env, m, first[0].Unit)}); err != nil {
		t.Fatal(err)
	}
	if _, err := env.Queue.Publish(ctx, stream.Combine, first[1].Unit, stream.Scored{Batch: stream.Batch{Receipt: receipt(t, env, m, first[1].Unit)}}); err != nil {
		t.Fatal(err)
	}
	// The cell is done with the first unit's samples only: it was raised since.
	if err := env.Store.PutCell(ctx, second[0].Cell, store.CellState{Counts: stream.Counts{N: 3}}, 0); err != nil {
		t.Fatal(err)
	}
	e := &fake{}
	drain(t, env, newWorker(env, e))
	asked := e.requests()
	if len(asked) != 1 || asked[0].Question != 1 || asked[0].First != 3 {
		t.Errorf("engine was asked %+v, want the one unit that was nowhere", asked)
	}
	if b := batch(t, env, first[0].Unit); b.Generator != "former" {
		t.Errorf("the former output was replaced by that of %s", b.Generator)
	}
	if has, err := env.Queue.Has(ctx, stream.Evaluate, first[1].Unit); has || err != nil {
		t.Errorf("a unit that was judged is in EVALUATE again: %v, %v", has, err)
	}
}

// TestForgedCompletionsComeFirst: completions without the unit's receipt lie where a generator's are to go. It must generate
// the unit all the same, keep it in hand while they lie there, and store its own when they are removed. A task without a
// receipt is given up before the engine is asked.
func TestForgedCompletionsComeFirst(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	m := submit(t, env, nil)
	tasks := m.Tasks(m.Questions[0], 700)
	forged := stream.Batch{Unit: tasks[0].Unit, Generator: "forger", Receipt: receipt(t, env, m, tasks[1].Unit)}
	if _, err := env.Queue.Publish(t.Context(), stream.Evaluate, tasks[0].Unit, forged); err != nil {
		t.Fatal(err)
	}
	if err := env.Queue.Remove(t.Context(), stream.Generate, tasks[1].Unit); err != nil {
		t.Fatal(err)
	}
	if _, err := env.Queue.Publish(t.Context(), stream.Generate, tasks[1].Unit, tasks[1]); err != nil {
		t.Fatal(err)
	}
	e := &fake{}
	w := newWorker(env, e)
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- w.Run(ctx) }()
	streamtest.WaitFor(t, "the generator to wait", func(ctx context.Context) (bool, error) {
		if err := w.Pulse.Announce(ctx, env.Store); err != nil {
			return false, err
		}
		all, err := env.Store.Workers(ctx)
		return len(all) == 1 && all[0].Trouble != nil && strings.Contains(all[0].Trouble.Text, "without the unit's receipt"), err
	})
	if there, err := env.Queue.Has(t.Context(), stream.Generate, tasks[0].Unit); !there || err != nil {
		t.Errorf("the unit is settled (%v, %v), though what lies in its place is none of it", !there, err)
	}
	if err := env.Queue.Remove(t.Context(), stream.Evaluate, tasks[0].Unit); err != nil {
		t.Fatal(err)
	}
	env.WaitEmpty(t, stream.Generate)
	cancel()
	if err := <-ran; err != nil {
		t.Errorf("Run = %v, want nil after cancellation", err)
	}
	if b := batch(t, env, tasks[0].Unit); b.Generator != w.Pulse.Name() || !m.Issued(tasks[0].Unit, b.Receipt) {
		t.Errorf("stored is what %q made, with the receipt %q", b.Generator, b.Receipt)
	}
	dead, err := env.Queue.DeadUnits(t.Context(), "r1")
	if err != nil || len(dead) != 1 || dead[0].Subject != tasks[1].Subject(stream.Generate) || !strings.Contains(dead[0].Error, "no receipt") {
		t.Errorf("dead units %+v, %v, want the one whose task has no receipt", dead, err)
	}
	if asked := e.requests(); len(asked) != 3 {
		t.Errorf("engine was asked for %d units, want 3", len(asked))
	}
}

// TestEngineFaults: what may pass is tried again, what cannot is given up.
func TestEngineFaults(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		first func(n int) ([]engine.Completion, error) // the answer to the first call for the unit
		calls int
		dead  int
	}{
		{"fault", func(int) ([]engine.Completion, error) { return nil, errors.New("engine gone") }, 2, 0},
		{"too few completions", func(n int) ([]engine.Completion, error) { return texts(n - 1), nil }, 2, 0},
		{"rejected", func(int) ([]engine.Completion, error) { return nil, fmt.Errorf("prompt: %w", engine.ErrRejected) }, 1, 1},
		{"larger than a message", func(n int) ([]engine.Completion, error) {
			out := texts(n)
			out[0].Code, out[0].Text = new(noise(18<<20)), ""
			return out, nil
		}, 1, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			env := streamtest.New(t)
			submit(t, env, func(m *store.Manifest) { m.Questions = m.Questions[:1]; m.Questions[0].Cuts = []int{2} })
			e := &fake{answer: func(call int, r engine.Request) ([]engine.Completion, error) {
				if call == 1 {
					return tt.first(r.N)
				}
				return texts(r.N), nil
			}}
			w := newWorker(env, e)
			drain(t, env, w)
			if calls, d := len(e.requests()), dead(t, env); calls != tt.calls || len(d) != tt.dead {
				t.Errorf("%d engine calls, dead %+v, want %d calls and %d dead", calls, d, tt.calls, tt.dead)
			}
			m, _, err := env.Store.Run(t.Context(), "r1")
			if err != nil || m.Provenance.EngineVersion != "1.2.3" {
				t.Errorf("provenance = %+v, %v, want the engine's version", m.Provenance, err)
			}
			if tt.dead == 0 {
				if b := batch(t, env, m.Tasks(m.Questions[0], 700)[0].Unit); b.Attempts != tt.calls {
					t.Errorf("%d attempts, want %d", b.Attempts, tt.calls)
				}
			}
			lag, err := env.Queue.Lag(t.Context(), stream.Evaluate)
			if err != nil || int(lag.Stored) != 1-tt.dead {
				t.Errorf("EVALUATE holds %d units, %v", lag.Stored, err)
			}
		})
	}
}

// noise returns n bytes that no compressor shortens much.
func noise(n int) string {
	var b strings.Builder
	x := uint64(88172645463325252)
	for b.Len() < n {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		fmt.Fprintf(&b, "%016x", x)
	}
	return b.String()
}

// TestRecordedPrograms: a recording may hold programs without the texts they came
// from. They are kept as they are; from a text the program is taken.
func TestRecordedPrograms(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	m := submit(t, env, func(m *store.Manifest) { m.Questions = m.Questions[:1]; m.Questions[0].Cuts = []int{3} })
	e := &fake{answer: func(int, engine.Request) ([]engine.Completion, error) {
		return []engine.Completion{
			{Code: new("print(1) # no ``` fences")}, {Text: "```\nprint(2)\n```", Code: new("print(3)")}, {Code: new("")},
		}, nil
	}}
	drain(t, env, newWorker(env, e))
	b := batch(t, env, m.Tasks(m.Questions[0], 700)[0].Unit)
	for i, want := range []stream.Sample{
		{Code: "print(1) # no ``` fences"}, {Index: 1, Code: "print(2)", Completion: "```\nprint(2)\n```"}, {Index: 2},
	} {
		if b.Samples[i] != want {
			t.Errorf("sample %d = %+v, want %+v", i, b.Samples[i], want)
		}
	}
}

// extracted returns what the official rule finds in text.
func extracted(t *testing.T, text string) string {
	t.Helper()
	code, err := lcb.Extract(text, lcb.ExtractLCB)
	if err != nil {
		t.Fatal(err)
	}
	return code
}
