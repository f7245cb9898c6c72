package snapshot_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lcbq/lcbq/cmd/internal/snapshot"
	"github.com/lcbq/lcbq/cmd/internal/snapshot/screen"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest"
	"github.com/lcbq/lcbq/stream/streamtest/patience"
	"github.com/lcbq/lcbq/stream/sweep"
)

func finding(s *snapshot.Snapshot, code snapshot.Code) *snapshot.Finding {
	i := slices.IndexFunc(s.Findings, func(f snapshot.Finding) bool { return f.Code == code })
	if i < 0 {
		return nil
	}
	return &s.Findings[i]
}

func (r *rig) sweeper() sweep.Sweeper { return sweep.Sweeper{Queue: r.Queue, Store: r.Store} }

// well has a worker of each stage say that it works at the run.
func (r *rig) well(tb testing.TB) {
	tb.Helper()
	for stage, name := range map[stream.Stage]string{stream.Generate: "gen0_h1-1", stream.Evaluate: "eval0_h1-1", stream.Combine: "combine0_h1-1"} {
		r.beat(tb, store.Worker{Stage: stage, Name: name, Rates: []store.RunRate{{Run: "r1", Minute: 1, Quarter: 1}}})
	}
}

// generate takes units from GENERATE and publishes them to EVALUATE.
func (r *rig) generate(tb testing.TB, n int) {
	tb.Helper()
	c := r.Consumer(tb, stream.Generate, "r1")
	for range n {
		msg := streamtest.Next(tb, c)
		_, u, err := stream.ParseSubject(msg.Subject())
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := r.Queue.Publish(tb.Context(), stream.Evaluate, u, stream.Batch{}); err != nil {
			tb.Fatal(err)
		}
		if err := msg.DoubleAck(tb.Context()); err != nil {
			tb.Fatal(err)
		}
	}
}

// TestBacklogAfterGenerating: where nothing is left to generate, no more comes than is judged, whatever rates say of before.
func TestBacklogAfterGenerating(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3) // 12 units
	r.well(t)
	r.generate(t, 11)
	r.beat(t, store.Worker{Stage: stream.Generate, Name: "gen0_h1-1", Rates: []store.RunRate{{Run: "r1", Minute: .02, Quarter: .02}}})
	r.beat(t, store.Worker{Stage: stream.Evaluate, Name: "eval0_h1-1", Slots: 8, Rates: []store.RunRate{{Run: "r1", Minute: .005, Quarter: .01}}})
	// The work is what the row of the stage says: 11 units at 0.005 a second.
	if f := finding(r.look(t), snapshot.LagGrows); f == nil || !strings.Contains(f.Text, "37 minutes of work") {
		t.Errorf("while a unit is to be generated: %+v", f)
	}
	r.generate(t, 1)
	if f := finding(r.look(t), snapshot.LagGrows); f != nil {
		t.Errorf("all is generated, and still %q", f.Text)
	}
}

// TestFindings provokes each finding once, wants its words and what to type, and wants it gone after that did what it does.
func TestFindings(t *testing.T) {
	t.Parallel()
	evaluator := func(w store.Worker) store.Worker {
		w.Stage, w.Rates = stream.Evaluate, append(w.Rates, store.RunRate{Run: "r1", Minute: 1, Quarter: 1})
		return w
	}
	for _, tt := range []struct {
		code    snapshot.Code
		provoke func(t *testing.T, r *rig)
		words   string // of the text
		command string
		grave   bool
		help    func(t *testing.T, r *rig)
	}{
		{
			snapshot.Paused, func(t *testing.T, r *rig) {
				t.Helper()
				if _, err := r.sweeper().Pause(t.Context(), "r1"); err != nil {
					t.Fatal(err)
				}
			}, "the run is paused since", "lcbq resume --nats nats://h:4222 --run r1", false,
			func(t *testing.T, r *rig) {
				t.Helper()
				if _, err := r.sweeper().Resume(t.Context(), "r1"); err != nil {
					t.Fatal(err)
				}
			},
		},
		{
			snapshot.NoGenerator, func(t *testing.T, r *rig) {
				t.Helper()
				r.remove(t, store.Worker{Stage: stream.Generate, Name: "gen0_h1-1"})
			}, "nobody generates: 12 units wait in GENERATE and no worker lives", "lcbq generate --nats nats://h:4222", true, wellAgain,
		},
		{
			snapshot.NoEvaluator, func(t *testing.T, r *rig) {
				t.Helper()
				r.generate(t, 1)
				r.remove(t, store.Worker{Stage: stream.Evaluate, Name: "eval0_h1-1"})
			}, "nobody judges: 1 unit waits in EVALUATE and no worker lives", "lcbq evaluate --nats nats://h:4222", true, wellAgain,
		},
		{
			snapshot.OtherJudge, func(t *testing.T, r *rig) {
				t.Helper()
				r.generate(t, 1)
				r.judge(t, "the run's")
				r.beat(t, evaluator(store.Worker{Name: "eval0_h1-1", Fingerprint: "another"}))
			}, "no evaluator judges in the environment of the run, the run's: 1 unit waits", "lcbq doctor", true,
			func(t *testing.T, r *rig) {
				t.Helper()
				r.beat(t, evaluator(store.Worker{Name: "eval1_h2-1", Fingerprint: "the run's"}))
			},
		},
		{
			snapshot.LagGrows, func(t *testing.T, r *rig) {
				t.Helper()
				r.generate(t, 10)
				r.beat(t, store.Worker{Stage: stream.Generate, Name: "gen0_h1-1", Rates: []store.RunRate{{Run: "r1", Minute: .02, Quarter: .02}}})
				r.beat(t, store.Worker{Stage: stream.Evaluate, Name: "eval0_h1-1", Slots: 8, Rates: []store.RunRate{{Run: "r1", Minute: .01, Quarter: .01}}})
			}, "evaluators do not keep up: 10 units wait to be judged, 17 minutes of work, and 2.0 come for each that is done", "lcbq evaluate --nats nats://h:4222", false,
			func(t *testing.T, r *rig) {
				t.Helper()
				r.beat(t, evaluator(store.Worker{Name: "eval1_h2-1"}))
			},
		},
		{
			snapshot.DeadUnits, func(t *testing.T, r *rig) {
				t.Helper()
				r.bury(t)
				r.look(t)
				r.bury(t)
				if u := r.look(t).Units; u.Dead != 2 {
					t.Errorf("units %+v, want two given up", u)
				}
				dead, err := r.Queue.DeadUnits(t.Context(), "r1")
				if err != nil || len(dead) != 2 {
					t.Fatal(dead, err)
				}
				if err := r.Queue.Requeue(t.Context(), dead[0]); err != nil {
					t.Fatal(err)
				}
				if u := r.look(t).Units; u != (snapshot.Units{All: 12, Dead: 1}) {
					t.Errorf("units %+v, want one given up and none generated", u)
				}
			}, "1 unit is given up", "lcbq dead requeue --nats nats://h:4222 --run r1", false,
			func(t *testing.T, r *rig) {
				t.Helper()
				dead, err := r.Queue.DeadUnits(t.Context(), "r1")
				if err != nil || len(dead) != 1 {
					t.Fatal(dead, err)
				}
				if err := r.Queue.Requeue(t.Context(), dead[0]); err != nil {
					t.Fatal(err)
				}
			},
		},
		{
			snapshot.LostUnits, func(t *testing.T, r *rig) {
				t.Helper()
				if err := r.Queue.PurgeRun(t.Context(), "r1"); err != nil {
					t.Fatal(err)
				}
				r.fresh(t)
				s := r.look(t)
				if s.Units != (snapshot.Units{All: 12, Lost: 12}) || s.Stage(stream.Combine).Waiting != 0 {
					t.Errorf("units %+v, COMBINE %+v, want none generated, judged, or waiting for a combiner", s.Units, s.Stage(stream.Combine))
				}
			}, "12 units are gone from every queue", "lcbq verify --queues --nats nats://h:4222 --run r1", true,
			func(t *testing.T, r *rig) { // what the remedy says: submit publishes them
				t.Helper()
				if err := r.Queue.PublishTasks(t.Context(), slices.Collect(r.run.AllTasks())); err != nil {
					t.Fatal(err)
				}
				r.fresh(t)
			},
		},
		{
			snapshot.DiskFull, func(t *testing.T, r *rig) {
				t.Helper()
				r.beat(t, store.Worker{Stage: stream.Combine, Name: "combine0_h1-1", Trouble: &store.Trouble{Code: store.TroubleDisk, Text: "write /out/q0: no space left on device", Remedy: "make room on the results folder's disk", Since: time.Now().UnixMilli()}})
			}, "combine0_h1-1 on h1 waits since", "df -h /out", true, wellAgain,
		},
		{
			snapshot.ClockSkew, func(t *testing.T, r *rig) {
				t.Helper()
				r.beat(t, evaluator(store.Worker{Name: "eval0_h1-1", Clock: time.Now().Add(-time.Hour).UnixMilli()}))
			}, "the clock of h1 is 60 minutes behind the server's", "timedatectl set-ntp true", false,
			func(t *testing.T, r *rig) {
				t.Helper()
				for wait := patience.Begin(patience.Base); ; {
					r.beat(t, evaluator(store.Worker{Name: "eval0_h1-1", Clock: time.Now().UnixMilli()}))
					if finding(r.look(t), snapshot.ClockSkew) == nil || wait.Over() { // a beat may be seconds on its way
						return
					}
				}
			},
		},
		{
			snapshot.SpeedsDiffer, func(t *testing.T, r *rig) {
				t.Helper()
				r.beat(t, evaluator(store.Worker{Name: "eval0_h1-1", Speed: 10, SpeedSettled: true}))
				r.beat(t, evaluator(store.Worker{Name: "eval0_h1-2", Speed: 8, SpeedSettled: true})) // the same host, beside neighbours
				r.beat(t, evaluator(store.Worker{Name: "eval0_h2-1", Host: "h2", Speed: 9.1, SpeedSettled: true}))
				r.beat(t, evaluator(store.Worker{Name: "eval0_h3-1", Host: "h3", Speed: 4})) // a first look
				r.beat(t, evaluator(store.Worker{Name: "eval0_h4-1", Host: "h4"}))
				if s := r.look(t); slices.ContainsFunc(s.Findings, func(f snapshot.Finding) bool { return f.Code == snapshot.SpeedsDiffer }) {
					t.Errorf("findings of hosts of one speed: %+v", s.Findings)
				}
				r.beat(t, evaluator(store.Worker{Name: "eval0_h2-1", Host: "h2", Speed: 6.251, SpeedSettled: true}))
			}, "evaluators run on hosts of different speed: 10 on h1, 6.25 on h2", "lcbq doctor", false,
			func(t *testing.T, r *rig) {
				t.Helper()
				r.remove(t, store.Worker{Stage: stream.Evaluate, Name: "eval0_h2-1"})
			},
		},
		{
			snapshot.DeadWorker, func(t *testing.T, r *rig) {
				t.Helper()
				r.beat(t, evaluator(store.Worker{Name: "eval7_h1-1", Process: deadProcess(t)}))
			}, "eval7_h1-1 on h1 ended without a word", "lcbq evaluate --nats nats://h:4222", false,
			func(t *testing.T, r *rig) {
				t.Helper()
				r.remove(t, store.Worker{Stage: stream.Evaluate, Name: "eval7_h1-1"})
			},
		},
		{
			snapshot.SlowWorker, func(t *testing.T, r *rig) {
				t.Helper()
				lately := func(share float64) []store.Lately {
					l := store.Lately{Seconds: 120, Slots: 960, Samples: int64(960 * share), CPU: 480 * share}
					return []store.Lately{l, {Seconds: 900, Slots: 7200, Samples: 7000, CPU: 3500}} // it became slow just now
				}
				for i := range 3 {
					r.beat(t, evaluator(store.Worker{Name: fmt.Sprintf("eval%d_h%d-1", i, i), Slots: 8, Lately: lately(1)}))
				}
				r.beat(t, evaluator(store.Worker{Name: "eval9_h9-1", Host: "h9", Slots: 8, Lately: lately(.1)}))
				r.remove(t, store.Worker{Stage: stream.Evaluate, Name: "eval0_h1-1"})
			}, "eval9_h9-1 on h9 is slow: in the last 2 minutes it did 10 % of what the others do for each program at once", "lcbq doctor", false,
			func(t *testing.T, r *rig) {
				t.Helper()
				r.remove(t, store.Worker{Stage: stream.Evaluate, Name: "eval9_h9-1"})
			},
		},
		{
			snapshot.SlowWorker, func(t *testing.T, r *rig) {
				t.Helper()
				for i, rate := range []float64{.05, 1, 1, 1} {
					r.beat(t, store.Worker{Stage: stream.Generate, Name: fmt.Sprintf("gpu%d_h2-1", i), Host: "h2", Units: 900, Rates: []store.RunRate{{Run: "r1", Minute: rate, Quarter: rate}}})
				}
			}, "gpu0_h2-1 on h2 is slow: in the last 15 minutes it did 5 %", "lcbq doctor", false,
			func(t *testing.T, r *rig) {
				t.Helper()
				r.remove(t, store.Worker{Stage: stream.Generate, Name: "gpu0_h2-1"})
			},
		},
		{
			snapshot.EngineDown, func(t *testing.T, r *rig) {
				t.Helper()
				r.beat(t, store.Worker{Stage: stream.Generate, Name: "gpu0_h1-1", Engine: &store.EngineState{Phase: "ended", Restarts: 3}})
			}, "the engine of gpu0_h1-1 on h1 has ended", "lcbq generate --nats nats://h:4222", true,
			func(t *testing.T, r *rig) {
				t.Helper()
				r.beat(t, store.Worker{Stage: stream.Generate, Name: "gpu0_h1-1", Engine: &store.EngineState{Phase: "serving"}})
			},
		},
		{
			snapshot.EngineDown, func(t *testing.T, r *rig) {
				t.Helper()
				r.beat(t, store.Worker{Stage: stream.Generate, Name: "gen0_h1-1", Trouble: &store.Trouble{Code: store.TroubleEngine, Text: "no answer from http://gpu:8000/v1: connection refused", Remedy: "start that server again", Since: time.Now().UnixMilli()}})
			}, "gen0_h1-1 on h1 waits since", "lcbq generate --nats nats://h:4222 --endpoint http://HOST:8000/v1", true, wellAgain,
		},
		{
			snapshot.NoCombiner, func(t *testing.T, r *rig) {
				t.Helper()
				r.generate(t, 1)
				msg := streamtest.Next(t, r.Consumer(t, stream.Evaluate, "r1"))
				_, u, err := stream.ParseSubject(msg.Subject())
				if err != nil {
					t.Fatal(err)
				}
				if _, err := r.Queue.Publish(t.Context(), stream.Combine, u, stream.Batch{}); err != nil {
					t.Fatal(err)
				}
				if err := msg.DoubleAck(t.Context()); err != nil {
					t.Fatal(err)
				}
				r.remove(t, store.Worker{Stage: stream.Combine, Name: "combine0_h1-1"})
			}, "nobody writes results: 1 unit waits in COMBINE and no worker lives", "lcbq combine --nats nats://h:4222", true, wellAgain,
		},
		{
			snapshot.QueueFull, func(t *testing.T, r *rig) {
				t.Helper()
				r.generate(t, 3)
				r.allot(t, stream.Evaluate, 100)
			}, "EVALUATE holds 0 MiB, all that it may: those who fill it wait", "lcbq evaluate --nats nats://h:4222", false,
			func(t *testing.T, r *rig) { // its evaluator takes the units out
				t.Helper()
				for range 3 {
					if err := streamtest.Next(t, r.Consumer(t, stream.Evaluate, "r1")).DoubleAck(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			},
		},
		{
			snapshot.Blocked, func(t *testing.T, r *rig) {
				t.Helper()
				r.beat(t, evaluator(store.Worker{Name: "eval0_h1-1", Trouble: &store.Trouble{Code: store.TroubleWaits, Text: "publish: no responders", Remedy: "start the server", Since: time.Now().UnixMilli()}}))
			}, "eval0_h1-1 on h1 waits since", "lcbq status --nats nats://h:4222 --long", false, wellAgain,
		},
		{
			"empty_answers", func(t *testing.T, r *rig) {
				t.Helper()
				a := &stream.Answers{Finish: map[string]int{stream.FinishStop: 20}, Empty: 20, Texts: 1}
				st := store.CellState{Counts: stream.Counts{N: 20, Answers: a, Verdicts: map[stream.Verdict]int{stream.NoCode: 20}}, DoneAt: 1}
				if err := r.Store.PutCell(t.Context(), stream.Cell{Run: "r1", Question: 0, Temperature: 200}, st, 0); err != nil {
					t.Fatal(err)
				}
			}, "all 20 answers are empty", "lcbq pause --nats nats://h:4222 --run r1", true, nil, // pausing keeps more of them from being made
		},
	} {
		t.Run(string(tt.code), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 3)
			r.well(t)
			if s := r.look(t); len(s.Findings) > 0 {
				t.Fatalf("a run that is well has findings: %+v", s.Findings)
			}
			tt.provoke(t, r)
			r.fresh(t)
			r.reader.Server, r.reader.Reach = "nats://h:4222", "--nats nats://h:4222"
			s := r.look(t)
			f := finding(s, tt.code)
			if f == nil {
				t.Fatalf("no finding: %+v\n%+v", s.Findings, s.Workers)
			}
			if !strings.HasPrefix(f.Text, tt.words) || f.Command != tt.command || f.Grave != tt.grave {
				t.Errorf("finding %+v, want %q, %q, grave %v", f, tt.words, tt.command, tt.grave)
			}
			// Who knows only the screen finds both there.
			shown := strings.Join(strings.Fields(strings.Join(screen.Lines(s, screen.Columns, screen.Rows), " ")), " ")
			if !strings.Contains(shown, tt.words) || !strings.Contains(shown, "type: "+tt.command) {
				t.Errorf("the screen lacks the finding or what to type:\n%s", strings.Join(screen.Lines(s, screen.Columns, screen.Rows), "\n"))
			}
			if tt.help == nil {
				return
			}
			tt.help(t, r)
			if f := finding(r.look(t), tt.code); f != nil {
				t.Errorf("it is still there after what helps: %+v", f)
			}
		})
	}
}

// TestAuditedIsSaid wants pass@1 of a run with an audited time limit to be called what it is: uncorrected.
func TestAuditedIsSaid(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	said := func() (text string) {
		for _, f := range r.look(t).Findings {
			if f.Code == snapshot.Uncorrected {
				text = f.Text + "; " + f.Remedy
			}
		}
		return text
	}
	if got := said(); got != "" {
		t.Errorf("a run with a full limit says %q", got)
	}
	r.run.Judge.AuditShare = 0.1
	r.put(t, r.run)
	r.fresh(t)
	if got := said(); !strings.Contains(got, "all but 10 % are stopped, and counted as failed; the report and run_summary.json correct it: lcbq report ") {
		t.Errorf("a run with an audited limit says %q", got)
	}
}
