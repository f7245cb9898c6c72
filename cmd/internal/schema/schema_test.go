package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/invopop/jsonschema"
	validator "github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/lcbq/lcbq/cmd/internal/snapshot"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/combine/summary"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// sample is the type of what result.AppendSample writes: the fields of a Sample in
// the order in which a file holds them.
func sample(t *testing.T) reflect.Type {
	t.Helper()
	full := result.Sample{Sample: stream.Sample{LeftOut: "top_k", Redrawn: "cut off", AnsweredAs: "m"}, Judgement: stream.Judgement{Verdict: stream.Passed, Cached: true, Slowdown: 1.2, Draw: 0.1, Share: 0.5, Detail: "d"}}
	dec := json.NewDecoder(bytes.NewReader(result.AppendSample(nil, &full)))
	known := map[string]reflect.StructField{"passed": {Name: "Passed", Type: reflect.TypeFor[bool](), Tag: `json:"passed"`}}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[result.Sample]()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Type == reflect.TypeFor[*int]() {
			f.Tag += ` jsonschema:"oneof_type=integer;null"`
		}
		known[name] = reflect.StructField{Name: f.Name, Type: f.Type, Tag: f.Tag}
	}
	var fields []reflect.StructField
	if _, err := dec.Token(); err != nil { // the brace
		t.Fatal(err)
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			t.Fatal(err)
		}
		var value any
		if err := dec.Decode(&value); err != nil {
			t.Fatal(err)
		}
		f, ok := known[fmt.Sprint(key)]
		if !ok {
			t.Fatalf("a file holds %v, which is no field of a sample", key)
		}
		fields = append(fields, f)
	}
	return reflect.StructOf(fields)
}

// typeOf returns the type of what a schema is about.
func typeOf(t *testing.T, name string) reflect.Type {
	t.Helper()
	switch name {
	case "run_summary":
		return reflect.TypeFor[summary.Run]()
	case "summary":
		return reflect.TypeFor[result.Summary]()
	case "cell":
		header := reflect.StructField{Name: "Header", Type: reflect.TypeFor[result.Header](), Anonymous: true}
		completions := reflect.StructField{Name: "Completions", Type: reflect.SliceOf(sample(t)), Tag: `json:"completions"`}
		return reflect.StructOf([]reflect.StructField{header, completions})
	case "status":
		return reflect.TypeFor[snapshot.Snapshot]()
	default:
		t.Fatalf("schema %q: no type is known for it", name)
		return nil
	}
}

// generate makes the schema of a type. More keys may follow in later versions, so
// none is forbidden.
func generate(t *testing.T, name string) []byte {
	t.Helper()
	r := &jsonschema.Reflector{
		AllowAdditionalProperties: true, Anonymous: true,
		// Two packages have a Stage and a Provenance each.
		Namer: func(kind reflect.Type) string {
			if kind.Name() == "" || kind.PkgPath() == "" {
				return ""
			}
			return filepath.Base(kind.PkgPath()) + "_" + kind.Name()
		},
		Mapper: func(kind reflect.Type) *jsonschema.Schema {
			switch kind {
			case reflect.TypeFor[stream.Verdict]():
				var enum []any
				for _, v := range stream.Verdicts() {
					enum = append(enum, v.String())
				}
				return &jsonschema.Schema{Type: "string", Enum: enum}
			case reflect.TypeFor[map[stream.Verdict]int]():
				return &jsonschema.Schema{Type: "object", AdditionalProperties: &jsonschema.Schema{Type: "integer"}}
			case reflect.TypeFor[stream.Stage]():
				return &jsonschema.Schema{Type: "string"}
			case reflect.TypeFor[json.RawMessage]():
				return &jsonschema.Schema{Type: "object"}
			}
			return nil
		},
	}
	s := r.ReflectFromType(typeOf(t, name))
	s.Title, s.Description = names[name], "Written by lcbq."
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(text, '\n')
}

// TestFilesFollowTheTypes: UPDATE_GOLDEN=1 writes the files anew.
func TestFilesFollowTheTypes(t *testing.T) {
	t.Parallel()
	for name := range names {
		want := generate(t, name)
		path := name + ".schema.json"
		if os.Getenv("UPDATE_GOLDEN") != "" { //nolint:forbidigo // the recipe that rewrites golden files asks for it so
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if got, err := Text(name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what the types say (%v): run UPDATE_GOLDEN=1 go test ./cmd/internal/schema", path, err)
		}
	}
	if _, err := Text("nothing"); err == nil || !strings.Contains(err.Error(), "run_summary") {
		t.Errorf("a name that is none: %v", err)
	}
}

func compile(t *testing.T, name string) *validator.Schema {
	t.Helper()
	text, err := Text(name)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := validator.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := validator.NewCompiler()
	if err := c.AddResource(name, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func check(t *testing.T, s *validator.Schema, path string) error {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // it was only read
	doc, err := validator.UnmarshalJSON(f)
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(doc)
}

// writeRun writes a results folder as the combiner does: n samples in each cell of
// two questions, none at all of a third.
func writeRun(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	m := &store.Manifest{
		ID: "r1", LCBQ: "v1", OutputDir: dir, UnitSize: 10, Temperatures: []stream.Temperature{0, 700},
		Problems: store.ProblemSet{Name: "v6", Digest: "d", Count: 175}, Model: store.Model{Engine: "vllm", Name: "m", Thinking: new(true)}, Judge: store.Judge{Mode: "lcb"},
		Provenance: store.Provenance{
			EngineVersion: "0.11", EngineArgs: []string{"--dtype", "half"}, GPUs: []store.GPU{{Name: "H100", MemoryBytes: 1 << 36}}, GPUIdleShare: new(0.1),
			SandboxLevel: "A", Environment: json.RawMessage(`{"python":"3.11.2"}`),
		},
	}
	states := make(map[stream.Cell]store.CellState)
	for q := range 3 {
		m.Questions = append(m.Questions, store.Question{Index: q, ID: fmt.Sprint("q", q), Title: "T", Origin: stream.Origin{Difficulty: "easy", Platform: "atcoder", ContestID: "abc301", ContestDate: "2025-01-04T00:00:00"}, Cuts: []int{n}})
		if q == 2 {
			continue
		}
		var headers []result.Header
		var digests []result.Digest
		var files []string
		for _, temperature := range m.Temperatures {
			var tally result.Tally
			var all []result.Sample
			for i := range n {
				s := result.Sample{
					Sample:    stream.Sample{Index: i, Completion: "\xed\xa0\x80", Code: "x", Tokens: 5},
					Judgement: stream.Judgement{Verdict: stream.WrongAnswer, ErrorCode: new(-2), Test: new(0), Detail: "no"},
				}
				if i%7 == 6 {
					s.Verdict, s.ErrorCode, s.Test, s.Detail = stream.Truncated, nil, nil, ""
				}
				if i%3 == q {
					s = result.Sample{Sample: stream.Sample{Index: i, Code: "y"}, Judgement: stream.Judgement{Verdict: stream.Passed}}
				}
				tally.Add(&s)
				all = append(all, s)
			}
			h := result.Header{QuestionIdx: q, QuestionID: fmt.Sprint("q", q), QuestionTitle: "T", Temperature: temperature.Float(), Counts: tally.Counts(), Engine: "vllm", Model: "m", Judge: "lcb", Fingerprint: "f"}
			h.GenTPS = 100
			path := result.CellPath(dir, q, h.Temperature)
			w, err := result.CreateCell(path, &h)
			if err != nil {
				t.Fatal(err)
			}
			for i := range all {
				if err := w.Add(&all[i]); err != nil {
					t.Fatal(err)
				}
			}
			d, err := w.Commit()
			if err != nil {
				t.Fatal(err)
			}
			headers, digests, files = append(headers, h), append(digests, d), append(files, filepath.Base(path))
			states[stream.Cell{Run: "r1", Question: q, Temperature: temperature}] = store.CellState{
				Counts:    h.Counts,
				Generated: store.Work{From: 1000, To: 2000, Retries: 1}, Judged: store.Work{From: 2000, To: 4000}, DoneAt: 5000,
			}
		}
		s, err := result.NewSummary(headers, digests, files)
		if err != nil {
			t.Fatal(err)
		}
		if err := result.WriteSummary(dir, s); err != nil {
			t.Fatal(err)
		}
	}
	s, err := summary.Of(m, states)
	if err != nil {
		t.Fatal(err)
	}
	if err := result.WriteJSONAtomic(result.RunSummaryPath(dir), s); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestOutputsAreValid holds real files against the schemas: of many samples, of
// one, and of a run whose third question has none.
func TestOutputsAreValid(t *testing.T) {
	t.Parallel()
	run, question, one := compile(t, "run_summary"), compile(t, "summary"), compile(t, "cell")
	for _, n := range []int{40, 1} {
		dir := writeRun(t, n)
		for path, s := range map[string]*validator.Schema{
			result.RunSummaryPath(dir): run, result.SummaryPath(dir, 0): question, result.SummaryPath(dir, 1): question,
			result.CellPath(dir, 0, 0): one, result.CellPath(dir, 1, 0.7): one,
		} {
			if err := check(t, s, path); err != nil {
				t.Errorf("n = %d: %s: %v", n, filepath.Base(path), err)
			}
		}
	}
	empty, err := summary.Of(&store.Manifest{ID: "r", Temperatures: []stream.Temperature{100}, Created: time.Now().UnixMilli()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "run_summary.json")
	if err := result.WriteJSONAtomic(path, empty); err != nil {
		t.Fatal(err)
	}
	if err := check(t, run, path); err != nil {
		t.Errorf("a run without cells: %v", err)
	}
}

// TestSchemasRefuse: a schema that takes everything is none.
func TestSchemasRefuse(t *testing.T) {
	t.Parallel()
	dir := writeRun(t, 5)
	for name, tt := range map[string]struct{ path, from, to string }{
		"run_summary": {result.RunSummaryPath(dir), `"value": `, `"worth": `},
		"summary":     {result.SummaryPath(dir, 0), `"passed": `, `"passed": "x`},
		"cell":        {result.CellPath(dir, 0, 0), `"verdict":"wrong_answer"`, `"verdict":"bad"`},
	} {
		text, err := os.ReadFile(tt.path)
		if err != nil {
			t.Fatal(err)
		}
		broken := bytes.Replace(text, []byte(tt.from), []byte(tt.to), 1)
		if strings.HasSuffix(tt.to, "x") {
			broken = bytes.Replace(text, []byte(tt.from+"2"), []byte(tt.to+`"`), 1)
		}
		if bytes.Equal(broken, text) {
			t.Fatalf("%s: nothing to break", name)
		}
		path := filepath.Join(t.TempDir(), "broken.json")
		if err := os.WriteFile(path, broken, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := check(t, compile(t, name), path); err == nil {
			t.Errorf("%s: the schema takes a broken file", name)
		}
	}
}

// TestAnswersAreInRunSummary: every answer that the analysis gives stands in run_summary.json under the name that the schema
// has. That the schema follows the types does not show it: a field that goes from the types goes from both.
func TestAnswersAreInRunSummary(t *testing.T) {
	t.Parallel()
	text, err := Text("run_summary")
	if err != nil {
		t.Fatal(err)
	}
	var schema, file map[string]any
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	if text, err = os.ReadFile(result.RunSummaryPath(writeRun(t, 40))); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if v, _ := file["schema_version"].(float64); int(v) != summary.SchemaVersion {
		t.Errorf("schema_version %v, want %d", file["schema_version"], summary.SchemaVersion)
	}
	asked := map[string]bool{ // what this run has no cause for
		"analysis.cutoff.temperatures.points.interval": true, "analysis.audited.false_stops": true, "analysis.temperatures.points.population.contest.low": true,
	}
	for _, path := range []string{
		"analysis.temperatures.points.value", "analysis.temperatures.points.pass_hat_k", "analysis.temperatures.points.reliable",
		"analysis.temperatures.points.sampling.low", "analysis.temperatures.points.anytime.low", "analysis.temperatures.points.population.low",
		"analysis.temperatures.points.population.contest.low", "analysis.temperatures.points.sampling_share",
		"analysis.temperatures.truncation.passed", "analysis.temperatures.truncation.others",
		"analysis.temperatures.cost_per_solved.tokens", "analysis.temperatures.cost_per_solved.card_seconds",
		"analysis.best.questions_like", "analysis.best.these_questions", "analysis.best.selected.questions_like",
		"analysis.best.choice.questions_like_lost", "analysis.best.standings.questions_like.behind.high",
		"analysis.union.points.single.interval.low", "analysis.mixing.greedy.questions_like.low", "analysis.mixing.pair.gain",
		"analysis.splits.by", "analysis.splits.name", "analysis.splits.temperatures.points.population.low",
		"analysis.flips.questions", "analysis.beyond.models.values", "analysis.beyond.k",
		"analysis.cutoff.temperatures.points.interval", "analysis.audited.false_stops", "analysis.notes.code",
	} {
		keys := strings.Split(path, ".")
		if !described(schema, schema, keys) {
			t.Errorf("the schema has no %s", path)
		}
		if !asked[path] && !holds(file, keys) {
			t.Errorf("the file has no %s", path)
		}
	}
	by := make(map[string]bool)
	analysis, _ := file["analysis"].(map[string]any)
	splits, _ := analysis["splits"].([]any)
	for _, s := range splits {
		x, _ := s.(map[string]any)
		by[fmt.Sprint(x["by"], " ", x["name"])] = true
	}
	for _, want := range []string{"difficulty easy", "platform atcoder", "month 2025-01"} {
		if !by[want] {
			t.Errorf("no split by %s: %v", want, by)
		}
	}
}

// holds says whether a document has a value at a path, in some element of each list on the way.
func holds(doc any, keys []string) bool {
	if list, ok := doc.([]any); ok {
		for _, x := range list {
			if holds(x, keys) {
				return true
			}
		}
		return len(keys) == 0
	}
	if len(keys) == 0 {
		return doc != nil
	}
	object, ok := doc.(map[string]any)
	if !ok {
		return false
	}
	next, ok := object[keys[0]]
	return ok && holds(next, keys[1:])
}

// described says whether a schema tells of a path.
func described(root, at map[string]any, keys []string) bool {
	for {
		ref, ok := at["$ref"].(string)
		if !ok {
			break
		}
		defs, _ := root["$defs"].(map[string]any)
		if at, ok = defs[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any); !ok {
			return false
		}
	}
	if items, ok := at["items"].(map[string]any); ok {
		return described(root, items, keys)
	}
	if len(keys) == 0 {
		return true
	}
	properties, _ := at["properties"].(map[string]any)
	next, ok := properties[keys[0]].(map[string]any)
	return ok && described(root, next, keys[1:])
}
