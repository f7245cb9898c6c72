package export

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/lcbq/lcbq/cmd/internal/report"
	"github.com/lcbq/lcbq/cmd/internal/report/folder"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest"
	"github.com/lcbq/lcbq/stream/streamtest/patience"
	"github.com/lcbq/lcbq/stream/sweep"
	"github.com/lcbq/lcbq/worker"
	"github.com/lcbq/lcbq/worker/combine"
	"github.com/lcbq/lcbq/worker/lcb/result"
	"github.com/lcbq/lcbq/worker/lcb/result/official"
)

func TestMain(m *testing.M) { streamtest.Main(m) }

type object = map[string]any

// TestFieldsReachEveryFile: a judged sample whose every field has a value of its own
// goes through the combiner into the cell's file, and from there into each file with
// all that is known of a sample. A field that is dropped on the way, or that a file
// has under another name, fails. That an engine's completion is whole in the message
// is package generate's to show.
func TestFieldsReachEveryFile(t *testing.T) {
	t.Parallel()
	u := stream.Scored{Batch: stream.Batch{Samples: make([]stream.Sample, 1)}, Judgements: make([]stream.Judgement, 1)}
	streamtest.Fill(t, &u.Samples[0])
	streamtest.Fill(t, &u.Judgements[0])
	// What carries half surrogates in a message is Encode's to set.
	u.Samples[0].RawCompletion, u.Samples[0].RawCode = "", ""
	u.Samples[0].Index, u.Judgements[0].Verdict, u.Judgements[0].ErrorCode = 0, stream.TimeLimit, new(-3)
	u.Judgements[0].Draw, u.Judgements[0].Share = 0.75, 0.5
	u.Generator, u.Evaluator, u.Fingerprint = "the generator", "the evaluator", "f00d"
	want := object{"passed": false, "generator": u.Generator, "evaluator": u.Evaluator}
	for _, part := range []any{u.Samples[0], u.Judgements[0]} {
		raw, err := json.Marshal(part)
		if err == nil {
			err = json.Unmarshal(raw, &want) // into the same map: keys are added
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := combined(t, u)
	path := result.CellPath(dir, 0, 0.1)
	cell := struct{ Completions []object }{}
	raw, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(raw, &cell)
	}
	if err != nil || len(cell.Completions) != 1 {
		t.Fatalf("cell %s: %v", raw, err)
	}
	compare(t, "the cell's file", cell.Completions[0], want)

	r := &Run{Questions: []Question{{Question: official.Question{ID: "q0"}}}, Cells: []Cell{{Temperature: 0.1, Path: path}}}
	_, files := write(t, r, "jsonl")
	var row object
	if raw, err = os.ReadFile(files[0]); err == nil {
		err = json.Unmarshal(raw, &row)
	}
	if err != nil {
		t.Fatalf("JSONL %s: %v", raw, err)
	}
	row["completion"] = row["output"] // the name that 'lcbq grade' reads
	compare(t, "JSONL", row, want)

	_, files = write(t, r, "parquet")
	rows, err := parquet.ReadFile[Row](files[0])
	if err != nil || len(rows) != 1 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	got := make(object)
	for i, f := range reflect.VisibleFields(reflect.TypeFor[Row]()) {
		name, _, _ := strings.Cut(f.Tag.Get("parquet"), ",")
		got[name] = reflect.ValueOf(rows[0]).Field(i).Interface()
	}
	compare(t, "Parquet", got, want)

	delete(want, "completion") // a page shows the program of it
	compare(t, "the report", shown(t, dir), want)
}

// shown returns the sample that the report's page of a run of one sample carries.
func shown(t *testing.T, dir string) object {
	t.Helper()
	results, err := folder.Open(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	r, err := report.New(results, report.Options{Samples: 1})
	if err != nil {
		t.Fatal(err)
	}
	var page bytes.Buffer
	if err := r.HTML(t.Context(), &page); err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(page.String(), `id="s0"`)
	_, rest, _ = strings.Cut(rest, ">")
	data, _, _ := strings.Cut(rest, "<")
	packed, err := base64.StdEncoding.DecodeString(strings.TrimSpace(data))
	if err != nil {
		t.Fatal(err)
	}
	in, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	var cells []struct {
		Samples []object `json:"s"`
	}
	if err := json.NewDecoder(in).Decode(&cells); err != nil || len(cells) != 1 || len(cells[0].Samples) != 1 {
		t.Fatalf("cells of the page %v, %v, want one with a sample", cells, err)
	}
	return cells[0].Samples[0]
}

// compare reports which fields a file does not have as they were.
func compare(t *testing.T, file string, got, want object) {
	t.Helper()
	plain := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if is, ok := got[name]; !ok || plain(is) != plain(want[name]) {
			t.Errorf("%s: %s = %s, want %s", file, name, plain(is), plain(want[name]))
		}
	}
}

// combined has a combiner write the results folder of a run of one sample.
func combined(t *testing.T, u stream.Scored) (dir string) {
	t.Helper()
	env, dir := streamtest.New(t), t.TempDir()
	s := sweep.Sweeper{Queue: env.Queue, Store: env.Store}
	sub, err := s.Submit(t.Context(), &store.Manifest{
		ID: "r1", OutputDir: dir, UnitSize: 10, Temperatures: []stream.Temperature{100}, Problems: store.ProblemSet{Digest: "d"},
		Model: store.Model{Engine: "sim"}, Judge: store.Judge{Mode: "lcb", AuditShare: 0.5}, Questions: []store.Question{{ID: "q0", Title: "T", Cuts: []int{1}}},
	}, func(int) []byte { return []byte("{}") })
	if err != nil {
		t.Fatal(err)
	}
	u.Unit = sub.Manifest.Tasks(sub.Manifest.Questions[0], 100)[0].Unit
	issuer, err := env.Store.Issuer(t.Context(), sub.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	u.Receipt = issuer.Receipt(u.Unit)
	if _, err := env.Queue.Publish(t.Context(), stream.Combine, u.Unit, u); err != nil {
		t.Fatal(err)
	}
	w := combine.Worker{
		Queue: env.Queue, Store: env.Store, Runs: &worker.Runs{Store: env.Store}, Grace: time.Minute,
		Pulse: worker.NewPulse(stream.Combine, "combine", 1), Log: slog.New(slog.DiscardHandler),
	}
	ctx, cancel := patience.Context(t.Context(), patience.Base)
	defer cancel()
	w.Closed = func(context.Context, string) { cancel() }
	if err := w.Run(ctx); err != nil {
		t.Fatal(err)
	}
	return dir
}
