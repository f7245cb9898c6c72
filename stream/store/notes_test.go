package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest"
)

// judgedBy notes an environment unless there is one.
func judgedBy(fingerprint string) func(*store.Manifest) bool {
	return func(m *store.Manifest) bool {
		if m.Judge.Fingerprint != "" {
			return false
		}
		m.Judge.Fingerprint, m.Provenance.SandboxLevel, m.Provenance.Environment = fingerprint, "C", []byte(`{"of":"`+fingerprint+`"}`)
		m.Provenance.JudgeHost, m.Provenance.JudgeSpeed = "h", 9.5
		return true
	}
}

// TestFirstJudgeStays: of many evaluators one notes its environment, all see that one, and a plain publish does
// not replace it.
func TestFirstJudgeStays(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	ctx := t.Context()
	if _, err := env.Store.PutRun(ctx, &store.Manifest{ID: "r"}, 0); err != nil {
		t.Fatal(err)
	}
	var seen [8]string
	var wg sync.WaitGroup
	for i := range seen {
		wg.Go(func() {
			m, err := env.Store.Note(ctx, stream.Evaluate, "r", judgedBy(fmt.Sprint("f", i)))
			if err != nil {
				t.Error(err)
				return
			}
			seen[i] = m.Judge.Fingerprint
		})
	}
	wg.Wait()
	if _, err := env.JS.Publish(ctx, store.JudgeSubject("r"), []byte(`{"fingerprint":"forged"}`)); err == nil {
		t.Error("a plain publish replaced the environment")
	}
	m, _, err := env.Store.Run(ctx, "r")
	if err != nil || m.Judge.Fingerprint == "" || string(m.Provenance.Environment) != `{"of":"`+m.Judge.Fingerprint+`"}` || m.Provenance.SandboxLevel != "C" || m.Provenance.JudgeHost != "h" || m.Provenance.JudgeSpeed != 9.5 {
		t.Fatalf("Run = %+v, %v, want the first note", m, err)
	}
	for i, s := range seen {
		if s != m.Judge.Fingerprint {
			t.Errorf("evaluator %d saw %q, want %q", i, s, m.Judge.Fingerprint)
		}
	}
	if all, _, err := env.Store.Runs(ctx); err != nil || len(all) != 1 || all[0].Judge.Fingerprint != m.Judge.Fingerprint {
		t.Errorf("Runs = %+v, %v, want the same environment", all, err)
	}
	// What the owner writes keeps it.
	if m, err = env.Store.UpdateRun(ctx, "r", func(m *store.Manifest) bool { m.UnitSize = 7; return true }); err != nil || m.Judge.Fingerprint != seen[0] {
		t.Errorf("UpdateRun = %+v, %v, want the environment kept", m, err)
	}
}

// TestForeignNotes: what no lcbq wrote costs nobody but the run's evaluators, who name it.
func TestForeignNotes(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	ctx := t.Context()
	for i, text := range []string{"garbage", `{"fingerprint":7}`, `{"fingerprint":"` + strings.Repeat("x", 1000) + `"}`} {
		run := fmt.Sprint("r", i)
		if _, err := env.Store.PutRun(ctx, &store.Manifest{ID: run}, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := env.JS.Publish(ctx, store.JudgeSubject(run), []byte(text)); err != nil {
			t.Fatal(err)
		}
		if _, err := env.JS.Publish(ctx, "$KV.lcbq_engines."+run, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if m, _, err := env.Store.Run(ctx, run); err != nil || m.Judge.Fingerprint != "" || m.Provenance.EngineVersion != "" {
			t.Errorf("Run beside %.20s = %+v, %v", text, m, err)
		}
		if _, err := env.Store.Note(ctx, stream.Evaluate, run, judgedBy("f")); !errors.Is(err, store.ErrUnreadable) {
			t.Errorf("Note over %.20s = %v, want ErrUnreadable", text, err)
		}
		if m, err := env.Store.Note(ctx, stream.Generate, run, func(m *store.Manifest) bool { m.Provenance.EngineVersion = "v"; return true }); err != nil || m.Provenance.EngineVersion != "v" {
			t.Errorf("Note over %.20s = %v", text, err)
		}
	}
	if runs, unread, err := env.Store.Runs(ctx); err != nil || len(runs) != 3 || len(unread) != 0 {
		t.Errorf("Runs = %d, %v, %v, want all three", len(runs), unread, err)
	}
	if _, err := env.JS.Publish(ctx, store.JudgeSubject("large"), bytes.Repeat([]byte("x"), 1<<20)); err == nil {
		t.Error("a note of 1 MiB was taken")
	}
}

// TestEnginesNote: generators add to one note, none of their changes is lost, and they touch nothing else.
func TestEnginesNote(t *testing.T) {
	t.Parallel()
	s := streamtest.New(t).Store
	ctx := t.Context()
	if _, err := s.PutRun(ctx, &store.Manifest{ID: "r", Provenance: store.Provenance{EngineRestarts: 5}}, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Note(ctx, stream.Evaluate, "r", judgedBy("f")); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			_, err := s.Note(ctx, stream.Generate, "r", func(m *store.Manifest) bool {
				m.Provenance.EngineRestarts++
				m.Finished, m.Judge.Fingerprint, m.Provenance.SandboxLevel, m.Provenance.JudgeHost = 1, "another", "A", "i" // none of its business
				return true
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	m, _, err := s.Run(ctx, "r")
	if err != nil || m.Provenance.EngineRestarts != 15 || m.Finished != 0 || m.Judge.Fingerprint != "f" || m.Provenance.SandboxLevel != "C" || m.Provenance.JudgeHost != "h" || m.Provenance.JudgeSpeed != 9.5 {
		t.Errorf("Run = %+v, %v, want 15 restarts and all else as it was", m, err)
	}
	if all, _, err := s.Runs(ctx); err != nil || len(all) != 1 || all[0].Provenance.EngineRestarts != 15 {
		t.Errorf("Runs = %+v, %v", all, err)
	}
}

// TestNotesOnAnOlderServer: without a place for notes they go into the manifest, as an older lcbq has them.
func TestNotesOnAnOlderServer(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	ctx := t.Context()
	if _, err := env.Store.PutRun(ctx, &store.Manifest{ID: "r"}, 0); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(env.JS.DeleteKeyValue(ctx, "lcbq_engines"), env.JS.DeleteStream(ctx, store.JudgeStream)); err != nil {
		t.Fatal(err)
	}
	old, err := store.Open(ctx, env.JS)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.Note(ctx, stream.Evaluate, "r", judgedBy("f")); err != nil {
		t.Fatal(err)
	}
	if m, _, err := old.Run(ctx, "r"); err != nil || m.Judge.Fingerprint != "f" {
		t.Errorf("Run = %+v, %v, want the environment", m, err)
	}
}

// TestReadingMakesNoConsumer reads more keys than one request answers, and an object of several parts.
func TestReadingMakesNoConsumer(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	ctx := t.Context()
	made := make(chan string, 64)
	sub, err := env.Conn.Subscribe("$JS.EVENT.ADVISORY.CONSUMER.CREATED.>", func(m *nats.Msg) { made <- m.Subject })
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	const workers = 1200
	for i := range workers {
		if _, err := env.JS.PublishAsync("$KV.lcbq_workers.evaluate.w"+fmt.Sprint(i), fmt.Appendf(nil, `{"name":"w%d"}`, i)); err != nil {
			t.Fatal(err)
		}
	}
	<-env.JS.PublishAsyncComplete()
	row := bytes.Repeat([]byte("0123456789abcdef"), 20_000) // three parts
	if err := env.Store.PutProblem(ctx, "set", 0, row); err != nil {
		t.Fatal(err)
	}
	for len(made) > 0 {
		<-made // of the store's own put
	}
	all, err := env.Store.Workers(ctx)
	if err != nil || len(all) != workers {
		t.Errorf("Workers = %d, %v, want %d", len(all), err, workers)
	}
	if got, err := env.Store.Problem(ctx, "set", 0); err != nil || !bytes.Equal(got, row) {
		t.Errorf("Problem = %d bytes, %v, want %d", len(got), err, len(row))
	}
	if _, err := env.Store.Cells(ctx, "r", -1); err != nil {
		t.Error(err)
	}
	if _, _, err := env.Store.Runs(ctx); err != nil {
		t.Error(err)
	}
	if err := env.Conn.Flush(); err != nil {
		t.Fatal(err)
	}
	if n := len(made); n > 0 {
		t.Errorf("%d consumers were made, the first %s", n, <-made)
	}
	// A part that is gone is found out.
	s, err := env.JS.Stream(ctx, "OBJ_lcbq_problems")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteMsg(ctx, s.CachedInfo().State.FirstSeq); err != nil {
		t.Fatal(err)
	}
	if _, err := env.Store.Problem(ctx, "set", 0); !errors.Is(err, store.ErrUnreadable) {
		t.Errorf("Problem without its first part = %v, want ErrUnreadable", err)
	}
}
