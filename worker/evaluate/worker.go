package evaluate

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker"
	"github.com/lcbq/lcbq/worker/background"
	"github.com/lcbq/lcbq/worker/sandbox"
)

// A Worker judges the units of EVALUATE. Any number of them, on any hosts, share
// the backlog.
type Worker struct {
	Queue  *queue.Queue
	Store  *store.Store
	Runs   *worker.Runs
	Grader *Grader
	Pulse  *worker.Pulse
	Slots  int           // programs judged at once, the grader's
	Units  *worker.Gate  // limits the units in hand; nil for one more than Slots
	Grace  time.Duration // for units in flight when told to stop
	Hurry  *worker.Hurry // cuts Grace short; may be nil
	Log    *slog.Logger

	// Guest is set where nobody trusts this worker: it judges what it is lent, and claims what it found.
	Guest *stream.Guest
	Ready func() // called when this host's speed is known, before the first unit; may be nil

	questions questions
	audits    audits
	atOnce    atOnce
	gauge     gauge
	host      string // instead of the Pulse's, for tests
}

// Run judges until ctx is done, then finishes the units in hand. It returns as
// worker.Loop.Run does.
func (w *Worker) Run(ctx context.Context) error {
	env := w.Grader.Host().Environment()
	w.Pulse.Judges(env.Digest())
	if env.Reference != "" {
		speed, err := w.Grader.Speed(ctx)
		if err != nil {
			return fmt.Errorf("--reference-speed %s: %w", env.Reference, err)
		}
		w.gauge.measured(speed)
	}
	if !w.gauge.begin(ctx, w.Grader.burst, w.Log) {
		return nil // told to stop
	}
	w.tellSpeed()
	defer background.Start(ctx, func(ctx context.Context) { w.gauge.follow(ctx, w.Grader.burst, w.tellSpeed, w.Log) })()
	if w.Ready != nil {
		w.Ready()
	}
	if w.Units == nil {
		w.Units = NewUnits(w.Slots)
	}
	from := stream.Evaluate
	if w.Guest != nil {
		from = stream.Lent
	}
	loop := worker.Loop{
		Stage: from, Queue: w.Queue, Handle: w.handle, Serves: w.serves,
		Slots: unitsFor(w.Slots), Gate: door{w.Units, w.Grader.pool.who}, Grace: w.Grace, Hurry: w.Hurry, Pulse: w.Pulse, Log: w.Log,
		Samples: w.Runs.Samples, Again: "judged",
	}
	return loop.Run(ctx)
}

// tellSpeed has heartbeats say how fast this host is.
func (w *Worker) tellSpeed() {
	speed, settled := w.gauge.speed()
	w.Pulse.Speed(speed, settled)
}

// paceFor returns how fast this host is against the run's reference, if it has one.
func (w *Worker) paceFor(m *store.Manifest) (Pace, error) {
	var p Pace
	speed, _ := w.gauge.speed()
	switch m.Judge.Reference {
	case "":
		return p, nil
	case store.FirstSpeed:
		if p = (Pace{m.Provenance.JudgeSpeed, speed}); m.Judge.Fingerprint == "" {
			p.Reference = speed // this host's may become the first
		} else if p.Reference == 0 {
			p.Reference = math.NaN() // what the first evaluator should have noted
		} else if w.wasFirst(m) {
			p.Host = p.Reference // whatever its neighbours made of a measurement
		}
	default:
		reference, err := strconv.ParseFloat(m.Judge.Reference, 64)
		if err != nil {
			reference = math.NaN()
		}
		p = Pace{reference, speed}
	}
	if err := p.Check(); err != nil {
		return p, fmt.Errorf("run %s has --reference-speed %s: %w: %w", m.ID, m.Judge.Reference, worker.ErrUnfit, err)
	}
	return p, nil
}

// hostName names this host.
func (w *Worker) hostName() string { return cmp.Or(w.host, worker.HostOf(w.Pulse.Name())) }

// wasFirst reports whether the run's first evaluator was of this host and interpreter.
func (w *Worker) wasFirst(m *store.Manifest) bool {
	var env struct {
		Interpreter string `json:"interpreter"`
	}
	return m.Provenance.JudgeHost == w.hostName() && json.Unmarshal(m.Provenance.Environment, &env) == nil &&
		env.Interpreter == w.Grader.Host().Environment().Interpreter
}

// unitsFor returns how many units keep the slots busy: one more, so that the next unit has begun while one
// waits for its last program.
func unitsFor(slots int) int { return slots + 1 }

// serves returns nil if this host judges as the run wants to be judged.
func (w *Worker) serves(ctx context.Context, run string) error {
	m, err := w.Runs.Run(ctx, run)
	if err != nil {
		return err
	}
	env := w.Grader.Host().Environment()
	if !fits(m.Judge, env) {
		return unfitSettings(m, env)
	}
	if m.Judge.Fingerprint != "" && m.Judge.Fingerprint != env.Digest() {
		return unfitHost(m, env)
	}
	_, err = w.paceFor(m)
	return err
}

func unfitSettings(m *store.Manifest, env sandbox.Environment) error {
	return fmt.Errorf("run %s is judged in mode %s with %v s%s, this host judges in mode %s with %v s%s: %w\nstart an evaluator for it with --run %s",
		m.ID, m.Judge.Mode, m.Judge.TimeLimit, ofReference(m.Judge.Reference), env.Mode, env.Limits.CPU.Seconds(), ofReference(env.Reference), worker.ErrUnfit, m.ID)
}

func ofReference(name string) string {
	if name == "" {
		return ""
	}
	return " of reference speed " + name
}

func unfitHost(m *store.Manifest, env sandbox.Environment) error {
	return fmt.Errorf("run %s was judged under %.12s, this host is %.12s: %w\nuse the same interpreter, packages, limits, sandbox level (lcbq doctor shows them) and --no-normal-form",
		m.ID, m.Judge.Fingerprint, env.Digest(), worker.ErrUnfit)
}

// fits reports whether an environment has the run's mode and limits. A limit of 0 in the run
// fits every environment.
func fits(j store.Judge, env sandbox.Environment) bool {
	return j.Mode == env.Mode && j.Reference == env.Reference &&
		(j.TimeLimit == 0 || j.TimeLimit == env.Limits.CPU.Seconds()) &&
		(j.MemoryLimit == 0 || j.MemoryLimit == env.Limits.Memory) &&
		(j.OutputLimit == 0 || j.OutputLimit == env.Limits.Output)
}

// handle judges one unit and publishes it to COMBINE, or claims what it found where nobody trusts it.
func (w *Worker) handle(ctx context.Context, msg worker.Message) error {
	j, err := w.take(ctx, msg)
	if j == nil || err != nil {
		return err
	}
	scored, err := w.score(ctx, j)
	if err != nil {
		return err
	}
	if w.Guest != nil {
		return w.claim(ctx, scored)
	}
	return w.publish(ctx, j.run, scored)
}

// A job is a unit that is to be judged.
type job struct {
	run        *store.Manifest
	question   *Question
	batch      stream.Batch
	deliveries uint64
}

// take reads a unit. It returns nil if the unit has been judged already, or if the message is none of the unit's.
func (w *Worker) take(ctx context.Context, msg worker.Message) (*job, error) {
	m, q, task, err := w.Runs.Unit(ctx, msg.Unit)
	if err != nil {
		return nil, err
	}
	if w.Guest == nil {
		if done, err := w.alreadyJudged(ctx, m, task); done || err != nil {
			return nil, err
		}
	}
	j := &job{deliveries: msg.Deliveries}
	if err := stream.Decode(msg.Body, &j.batch); err != nil {
		return nil, err
	}
	if w.Guest == nil { // its lender keeps the receipt
		issued, err := w.Runs.Issued(ctx, m, msg.Unit, j.batch.Receipt)
		if err != nil {
			return nil, err
		}
		if !issued {
			w.Log.Error("completions without a receipt are thrown away: somebody who was not handed the unit put them there", "unit", msg.Unit.Subject(stream.Evaluate), "generator", j.batch.Generator)
			return nil, nil
		}
	}
	if m, err = w.admit(ctx, m); err != nil {
		return nil, err
	}
	pace, err := w.paceFor(m)
	if err != nil {
		return nil, err
	}
	j.run = m
	if j.batch.Unit != msg.Unit || len(j.batch.Samples) != task.N {
		return nil, fmt.Errorf("batch holds %d samples of unit %d of %s, want %d: %w", len(j.batch.Samples), j.batch.Index, j.batch.Key(), task.N, stream.ErrPoison)
	}
	question, err := w.questions.get(ctx, w.Store, m.Problems.Digest, q.Index)
	if err != nil {
		return nil, err
	}
	j.question, err = w.audited(ctx, m, q.Index, question.At(pace))
	return j, err
}

// score judges a unit.
func (w *Worker) score(ctx context.Context, j *job) (stream.Scored, error) {
	scored := stream.Scored{
		Batch: j.batch, Judgements: make([]stream.Judgement, len(j.batch.Samples)),
		Evaluator: w.Pulse.Name(), Fingerprint: w.Grader.Host().Environment().Digest(),
		JudgeStarted: time.Now().UnixMilli(), JudgeAttempts: int(min(j.deliveries, math.MaxInt32)),
	}
	err := w.judgeAll(ctx, j.question, &scored, j.deliveries)
	scored.JudgeEnded, scored.JudgeSpeed = time.Now().UnixMilli(), w.speedNow()
	return scored, err
}

// publish stores a judged unit in COMBINE.
func (w *Worker) publish(ctx context.Context, m *store.Manifest, scored stream.Scored) error {
	fresh, err := w.Pulse.Publish(ctx, w.Queue, w.Log, stream.Combine, scored.Unit, m.Receipts, scored)
	if err == nil && !fresh {
		w.Log.Debug("duplicate refused, the first output stays", "subject", scored.Subject(stream.Combine))
	}
	return err
}

// alreadyJudged reports whether the unit's output exists, so that a unit handed
// out twice is not judged twice.
func (w *Worker) alreadyJudged(ctx context.Context, m *store.Manifest, t stream.Task) (bool, error) {
	if there, err := w.Queue.Holds(ctx, stream.Combine, t.Unit, m.Receipts); there || err != nil {
		return there, err
	}
	// The cell last: a unit leaves COMBINE only after its cell is done.
	return w.Store.CellDone(ctx, t.Cell, t.First+t.N)
}

// judgeAll judges the samples of a unit; deliveries is how often the unit was handed out. A
// fault of the sandbox costs the unit another try, for which the cache keeps the samples
// that were judged. From faultTries on it costs only the samples that it hits, if the host
// is well.
func (w *Worker) judgeAll(ctx context.Context, q *Question, s *stream.Scored, deliveries uint64) error {
	faults := make([]error, len(s.Samples))
	turn := w.Grader.turn()
	group, judging := errgroup.WithContext(ctx)
	atOnce := w.Grader.inLine()
	group.SetLimit(atOnce)
	last := min(atOnce, len(s.Samples)) - 1
	lined := func() {}
	defer func() { lined() }()
	for i := range s.Samples {
		group.Go(func() error {
			j, known, err := w.Grader.judgeIn(judging, turn, q, s.Samples[i])
			if errors.Is(err, ErrFault) {
				faults[i] = fmt.Errorf("judge sample %d: %w", s.Samples[i].Index, err)
				return nil
			}
			if err != nil {
				return fmt.Errorf("judge sample %d: %w", s.Samples[i].Index, err)
			}
			j.Cached = known
			s.Judgements[i] = j
			w.Pulse.Judged(j.CPU, known)
			return nil
		})
		if i == last {
			lined = w.Grader.pool.who.line()
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	hit := slices.IndexFunc(faults, func(err error) bool { return err != nil })
	if hit < 0 {
		return nil
	}
	if deliveries < faultTries {
		return faults[hit]
	}
	if err := w.Grader.Well(ctx, q); err != nil {
		return fmt.Errorf("%w\nno other program of the question can be judged here either: %w", faults[hit], err)
	}
	for i, err := range faults {
		if err != nil {
			w.Log.Error("sample given up", "question", q.ID, "sample", s.Samples[i].Index, "deliveries", deliveries, "err", err)
			s.Judgements[i] = stream.Judgement{Verdict: stream.JudgeFault, Detail: shorten(err.Error())}
		}
	}
	return nil
}

// faultTries is how often a unit is handed out before a fault that hits the same samples each
// time counts as theirs. With the pauses between tries an overloaded machine has time to
// recover.
const faultTries = 3

// speedNow returns what is known of this host's speed, 0 for nothing.
func (w *Worker) speedNow() float64 {
	speed, _ := w.gauge.speed()
	return speed
}

// admit holds a run to one judging environment, because the verdicts of two could differ. The
// first evaluator records its fingerprint and its speed. An evaluator with another fingerprint is unfit.
// It returns the manifest with what was recorded.
func (w *Worker) admit(ctx context.Context, m *store.Manifest) (*store.Manifest, error) {
	env := w.Grader.Host().Environment()
	mine := env.Digest()
	if m.Judge.Fingerprint == mine {
		return m, nil
	}
	if !fits(m.Judge, env) {
		return nil, unfitSettings(m, env)
	}
	if w.Guest != nil { // the lender noted its own before it lent anything, but perhaps after m was read
		m, err := w.Runs.Fresh(ctx, m.ID)
		if err == nil && m.Judge.Fingerprint != mine {
			err = unfitHost(m, env)
		}
		return m, err
	}
	environment, err := json.Marshal(env)
	if err != nil {
		return nil, fmt.Errorf("describe the judging environment: %w", err)
	}
	speed := w.speedNow()
	m, err = w.Store.Note(ctx, stream.Evaluate, m.ID, func(m *store.Manifest) bool {
		if m.Judge.Fingerprint != "" {
			return false
		}
		m.Judge.Fingerprint = mine
		m.Provenance.SandboxLevel, m.Provenance.Environment, m.Provenance.JudgeHost = env.Level.String(), environment, w.hostName()
		m.Provenance.JudgeSpeed = speed
		return true
	})
	if err != nil {
		return nil, err
	}
	w.Runs.Learn(m)
	if m.Judge.Fingerprint != mine {
		return nil, unfitHost(m, env)
	}
	return m, nil
}
