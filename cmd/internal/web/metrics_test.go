package web

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/lcbq/lcbq/cmd/internal/snapshot"
	"github.com/lcbq/lcbq/config/recipes"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest"
)

// scrape reads /metrics with Prometheus' own parser.
func scrape(t *testing.T, s *Server) map[string]*dto.MetricFamily {
	t.Helper()
	got := ask(t, "GET", s.URL+"metrics", "", bearer(s.Viewer)...)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(got.body))
	if err != nil {
		t.Fatalf("%v\n%s", err, got.body)
	}
	return families
}

// value returns that of the one metric with these labels, pairs of name and value.
func value(t *testing.T, families map[string]*dto.MetricFamily, name string, labels ...string) float64 {
	t.Helper()
	var found []float64
	for _, m := range families[name].GetMetric() {
		has := make(map[string]string)
		for _, l := range m.GetLabel() {
			has[l.GetName()] = l.GetValue()
		}
		fits := true
		for i := 0; i < len(labels); i += 2 {
			fits = fits && has[labels[i]] == labels[i+1]
		}
		if fits {
			found = append(found, m.GetGauge().GetValue()+m.GetCounter().GetValue())
		}
	}
	if len(found) != 1 {
		t.Fatalf("%s%q: %d metrics, want one", name, labels, len(found))
	}
	return found[0]
}

// TestMetricsOfNATS compares each number with what the server says by its own interface at the same moment.
func TestMetricsOfNATS(t *testing.T) {
	t.Parallel()
	r := newRig(t, small())
	nc, err := r.server.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	q := queue.New(js)
	if err := q.Declare(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := q.Serve(t.Context(), []queue.Run{{ID: "r1"}}); err != nil {
		t.Fatal(err)
	}
	for i := range 7 {
		u := stream.Unit{Cell: stream.Cell{Run: "r1"}, Index: i}
		if _, err := q.Publish(t.Context(), stream.Evaluate, u, "x"); err != nil {
			t.Fatal(err)
		}
	}
	consumer, err := js.Consumer(t.Context(), "EVALUATE", "evaluators-r1")
	if err != nil {
		t.Fatal(err)
	}
	streamtest.WaitFor(t, "the consumer to know of the units", func(ctx context.Context) (bool, error) {
		info, err := consumer.Info(ctx)
		return err == nil && info.NumPending == 7, err
	})
	batch, err := consumer.FetchNoWait(3)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for m := range batch.Messages() {
		if n++; n == 1 {
			if err := m.DoubleAck(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	// A consumer without a durable name is one of a listing: it is not shown.
	if _, err := js.CreateConsumer(t.Context(), "COMBINE", jetstream.ConsumerConfig{}); err != nil {
		t.Fatal(err)
	}
	s := r.open(t, "127.0.0.1:0")
	families := scrape(t, s)
	info, err := consumer.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	of := []string{"account", "$G", "stream_name", "EVALUATE", "is_stream_leader", "true", "consumer_name", "evaluators-r1", "is_consumer_leader", "true", "consumer_desc", "completions to judge", "server_name", "lcbq", "is_meta_leader", "true"}
	for name, want := range map[string]float64{
		"num_pending": float64(info.NumPending), "num_ack_pending": float64(info.NumAckPending), "num_redelivered": float64(info.NumRedelivered), "num_waiting": float64(info.NumWaiting),
		"delivered_consumer_seq": float64(info.Delivered.Consumer), "delivered_stream_seq": float64(info.Delivered.Stream),
		"ack_floor_consumer_seq": float64(info.AckFloor.Consumer), "ack_floor_stream_seq": float64(info.AckFloor.Stream),
	} {
		if got := value(t, families, "jetstream_consumer_"+name, of...); got != want {
			t.Errorf("%s = %v, the server says %v", name, got, want)
		}
	}
	if info.NumPending != 4 || info.NumAckPending != 2 || info.Delivered.Consumer != 3 || info.AckFloor.Stream != 1 {
		t.Errorf("the server says %+v: nothing to compare", info)
	}
	st, err := js.Stream(t.Context(), "EVALUATE")
	if err != nil {
		t.Fatal(err)
	}
	state := st.CachedInfo().State
	for name, want := range map[string]float64{
		"total_messages": float64(state.Msgs), "total_bytes": float64(state.Bytes), "first_seq": float64(state.FirstSeq), "last_seq": float64(state.LastSeq), "consumer_count": float64(state.Consumers),
	} {
		if got := value(t, families, "jetstream_stream_"+name, "stream_name", "EVALUATE"); got != want {
			t.Errorf("%s = %v, the server says %v", name, got, want)
		}
	}
	for _, m := range families["jetstream_consumer_num_pending"].GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == "stream_name" && l.GetValue() == "COMBINE" {
				if !strings.Contains(m.String(), `"combiner"`) {
					t.Errorf("a consumer of a listing is shown: %s", m)
				}
			}
		}
	}
	compareWithJSZ(t, s, families, nc)
}

// compareWithJSZ compares the server's totals with what its own monitoring says behind the same listener.
func compareWithJSZ(t *testing.T, s *Server, families map[string]*dto.MetricFamily, nc *nats.Conn) {
	t.Helper()
	var jsz struct {
		ServerID  string `json:"server_id"`
		Streams   int    `json:"streams"`
		Consumers int    `json:"consumers"`
		Messages  int    `json:"messages"`
		Config    struct {
			MaxStore float64 `json:"max_storage"`
		} `json:"config"`
	}
	got := ask(t, "GET", s.URL+"jsz?acc=$G&consumers=true&config=true", "", bearer(s.Viewer)...)
	if err := json.Unmarshal([]byte(got.body), &jsz); err != nil {
		t.Fatal(err)
	}
	if jsz.ServerID != nc.ConnectedServerId() || !strings.Contains(got.body, `"evaluators-r1"`) {
		t.Errorf("/jsz: %.300s", got.body)
	}
	for name, want := range map[string]float64{"total_streams": float64(jsz.Streams), "total_messages": float64(jsz.Messages), "max_storage": jsz.Config.MaxStore, "jetstream_disabled": 0} {
		if got := value(t, families, "jetstream_server_"+name, "server_id", jsz.ServerID); got != want {
			t.Errorf("%s = %v, /jsz says %v", name, got, want)
		}
	}
}

// TestMetricsOfRuns compares lcbq's own with the snapshot that /api/snapshot serves.
func TestMetricsOfRuns(t *testing.T) {
	t.Parallel()
	first, second := small(), small()
	second.Run.ID = "r2"
	first.Others = []snapshot.Run{{ID: "r2"}}
	first.Workers[0].Engine = &store.EngineState{Running: 7, Waiting: 3, Cards: []store.CardState{{Index: 1}}}
	first.Cards = []snapshot.Card{{Host: "a", Engines: 1, CardState: store.CardState{Index: 1, UUID: "GPU-1", Name: "H200", Utilization: 50, MemoryUsed: 10, MemoryTotal: 20, Power: -1, Temperature: 60, IdleShare: 0.25}}}
	r := newRig(t, first)
	r.runs["r2"] = second
	s := r.open(t, "127.0.0.1:0")
	var served snapshot.Snapshot
	if err := json.Unmarshal([]byte(ask(t, "GET", s.URL+"api/snapshot", "", bearer(s.Viewer)...).body), &served); err != nil {
		t.Fatal(err)
	}
	families := scrape(t, s)
	for i := range served.Stages {
		st := &served.Stages[i]
		of := []string{"run", served.Run.ID, "stage", string(st.Stage)}
		for name, want := range map[string]float64{"lcbq_backlog_units": float64(st.Waiting), "lcbq_in_flight_units": float64(st.InFlight), "lcbq_backlog_seconds": st.Backlog, "lcbq_units_per_second": st.Rate} {
			if want < 0 { // not known: absent, and no number below 0
				if strings.Contains(families[name].String(), `"`+string(st.Stage)+`"`) {
					t.Errorf("%s of %s is there: %s", name, st.Stage, families[name])
				}
				continue
			}
			if got := value(t, families, name, of...); got != want {
				t.Errorf("%s%q = %v, want %v", name, of, got, want)
			}
		}
	}
	run := []string{"run", "r1"}
	for _, c := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"lcbq_up", nil, 1},
		{"lcbq_build_info", []string{"version", "test"}, 1},
		{"lcbq_dead_units", run, 2},
		{"lcbq_eta_seconds", run, 100},
		{"lcbq_eta_low_seconds", run, 60},
		{"lcbq_eta_high_seconds", run, 200},
		{"lcbq_finding", []string{"run", "r1", "code", "no_evaluator", "grave", "true"}, 1},
		{"lcbq_samples_total", []string{"run", "r1", "temperature", "0.2", "verdict", "passed"}, 40},
		{"lcbq_samples_total", []string{"run", "r1", "temperature", "0.2", "verdict", "failed"}, 60},
		{"lcbq_cells", []string{"run", "r1", "temperature", "0.2", "state", "open"}, 2},
		{"lcbq_pass_at_1", []string{"run", "r1"}, 0.4}, // and none of the temperature without a cell
		{"lcbq_workers", []string{"stage", "evaluate", "state", "silent"}, 1},
		{"lcbq_workers", []string{"stage", "combine", "state", "working"}, 0},
		{"lcbq_worker_slots", []string{"stage", "generate"}, 4},
		{"lcbq_worker_slots", []string{"stage", "evaluate"}, 0},
		{"lcbq_queue_bytes", []string{"stage", "evaluate"}, 2000},
		{"lcbq_gpu_utilization_ratio", []string{"host", "a", "gpu", "1", "uuid", "GPU-1"}, 0.5},
		{"lcbq_gpu_idle_ratio", []string{"gpu", "1"}, 0.25},
		{"vllm:num_requests_running", []string{"host", "a", "gpu", "1"}, 7},
		{"vllm:num_requests_waiting", []string{"host", "a", "gpu", "1"}, 3},
		{"lcbq_backlog_units", []string{"run", "r2", "stage", "evaluate"}, 10},
	} {
		if got := value(t, families, c.name, c.labels...); got != c.want {
			t.Errorf("%s%q = %v, want %v", c.name, c.labels, got, c.want)
		}
	}
	if families["lcbq_gpu_power_watts"] != nil {
		t.Error("a power that is not known is served")
	}
	for _, secret := range []string{"q_a", "Title of", "eval0-a", "gen0-a"} {
		for name, f := range families {
			if strings.Contains(f.String(), secret) {
				t.Errorf("%s has a label for %s: their number grows with the work", name, secret)
			}
		}
	}
	r.mu.Lock()
	r.err = errors.New("no answer")
	r.mu.Unlock()
	if down := scrape(t, s); value(t, down, "lcbq_up") != 0 || down["jetstream_server_total_streams"] == nil {
		t.Error("of a server whose runs cannot be read the rest is not served")
	}
}

// TestCountersOnlyGrow: a worker that leaves takes nothing from a counter, and one with its name begins anew.
func TestCountersOnlyGrow(t *testing.T) {
	t.Parallel()
	r := newRig(t, small())
	s := r.open(t, "127.0.0.1:0")
	of := []string{"stage", "evaluate"}
	step := func(want float64, change func(*snapshot.Snapshot)) {
		t.Helper()
		next := small()
		change(next)
		r.set(next)
		if got := value(t, scrape(t, s), "lcbq_worker_samples_total", of...); got != want {
			t.Errorf("%v samples, want %v", got, want)
		}
	}
	step(1000, func(*snapshot.Snapshot) {})
	step(1250, func(n *snapshot.Snapshot) { n.Workers[1].Samples = 1250 })
	step(1250, func(n *snapshot.Snapshot) { n.Workers = nil })
	step(1260, func(n *snapshot.Snapshot) { n.Workers[1].Samples, n.Workers[1].Started = 10, 5 })
}

// metricName finds names in a query: words that are not labels in braces or functions.
var (
	braces     = regexp.MustCompile(`\{[^}]*\}|by \([^)]*\)|on \([^)]*\)|"[^"]*"|\[[^\]]*\]|\$\w+`)
	metricName = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*`)
	functions  = map[string]bool{"sum": true, "max": true, "min": true, "rate": true, "increase": true, "on": true, "by": true, "clamp_min": true, "or": true, "vector": true, "group_left": true, "label_values": true, "run": true}
)

// TestGrafana: every query of the dashboard names only metrics that are served, by labels that they have.
func TestGrafana(t *testing.T) {
	t.Parallel()
	full := small()
	full.Workers[0].Engine = &store.EngineState{Cards: []store.CardState{{Index: 1}}}
	full.Cards = []snapshot.Card{{Host: "a", CardState: store.CardState{UUID: "GPU-1"}}}
	r := newRig(t, full)
	nc, err := r.server.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if err := queue.New(js).Declare(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	families := scrape(t, r.open(t, "127.0.0.1:0"))
	var board any
	if err := json.Unmarshal(recipes.Grafana, &board); err != nil {
		t.Fatal(err)
	}
	queries := 0
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			for key, e := range v {
				if text, ok := e.(string); ok && (key == "expr" || key == "query" && strings.HasPrefix(text, "label_values(")) {
					queries++
					checkQuery(t, text, families)
				}
				walk(e)
			}
		}
	}
	walk(board)
	if queries < 15 {
		t.Errorf("%d queries", queries)
	}
}

func checkQuery(t *testing.T, query string, families map[string]*dto.MetricFamily) {
	t.Helper()
	labels := make(map[string]bool)
	names := 0
	for _, name := range metricName.FindAllString(braces.ReplaceAllString(query, " "), -1) {
		if functions[name] {
			continue
		}
		if _, err := strconv.ParseFloat(name, 64); err == nil {
			continue
		}
		f := families[name]
		if f == nil {
			t.Errorf("%s: %s is not served", query, name)
			continue
		}
		names++
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels[l.GetName()] = true
		}
	}
	if names == 0 {
		t.Errorf("%s names no metric", query)
	}
	for _, used := range regexp.MustCompile(`[{,]\s*(\w+)\s*(?:=~|!~|=|!=)|(?:by|on) \(([^)]*)\)`).FindAllStringSubmatch(query, -1) {
		for label := range strings.SplitSeq(used[1]+used[2], ",") {
			if label = strings.TrimSpace(label); !labels[label] {
				t.Errorf("%s: no metric in it has the label %s", query, label)
			}
		}
	}
}

// TestOneFindingOfACode wants a code once, as grave as the gravest, however many workers have the trouble.
func TestOneFindingOfACode(t *testing.T) {
	t.Parallel()
	run := small()
	run.Findings = append(run.Findings, snapshot.Finding{Code: run.Findings[0].Code, Text: "another of it"})
	s := newRig(t, run).open(t, "127.0.0.1:0")
	a := ask(t, "GET", s.URL+"metrics", "", bearer(s.Viewer)...)
	if n := strings.Count(a.body, "\nlcbq_finding{"); a.status != 200 || n != 1 || !strings.Contains(a.body, `grave="true"`) {
		t.Errorf("%d, %d findings, want 200 and one that is grave", a.status, n)
	}
}
