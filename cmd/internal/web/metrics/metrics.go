// Package metrics serves what is known of a server and its runs in Prometheus' text format. No label names a
// question, a cell, a worker or a process: their number grows with the work.
package metrics

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/lcbq/lcbq/cmd/internal/snapshot"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/embed"
	"github.com/lcbq/lcbq/stream/store"
)

// A Source is where metrics come from.
type Source struct {
	Version   string
	JetStream func() (embed.JetStream, error)
	// Look returns how a run is now, "" for the one that is worked on, nil where there is none.
	Look func(ctx context.Context, run string) (*snapshot.Snapshot, error)
}

// Bounds of one scrape.
const (
	lookLimit = 5 * time.Second
	mostRuns  = 16 // that are shown at once
	inFlight  = 4  // scrapes at the same time
)

// Handler returns what answers /metrics.
func Handler(s Source, log *slog.Logger) http.Handler {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), newNATS(s.JetStream), newRuns(s))
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), ErrorHandling: promhttp.ContinueOnError, // half of the numbers are better than none
		MaxRequestsInFlight: inFlight,
	})
}

// Runs collects lcbq's own metrics.
type runs struct {
	Source
	all                                                                                       []*prometheus.Desc
	up, build                                                                                 *prometheus.Desc
	backlog, inFlight, seconds, rate, queueBytes, dead, lost, eta, etaLow, etaHigh, finding   *prometheus.Desc
	samples, cells, pass, passLow, passHigh                                                   *prometheus.Desc
	workers, slots, cached, judged, givenBack                                                 *prometheus.Desc
	gpuUse, gpuMemory, gpuTotal, gpuPower, gpuTemperature, gpuIdle, engines, running, waiting *prometheus.Desc

	mu    sync.Mutex
	tally map[stream.Stage]*counted
	known map[worker]counted
}

// A worker is one process' worker: a name that another process takes again is another one.
type worker struct {
	stage   stream.Stage
	name    string
	host    string
	started int64
}

// counted is what workers have counted since this process began to look.
type counted struct{ samples, cached, givenBack int64 }

func newRuns(s Source) *runs {
	r := &runs{Source: s, tally: make(map[stream.Stage]*counted), known: make(map[worker]counted)}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		d := prometheus.NewDesc(name, help, labels, nil)
		r.all = append(r.all, d)
		return d
	}
	r.up = desc("lcbq_up", "1 if the runs could be read, 0 if the server did not answer.")
	r.build = desc("lcbq_build_info", "Always 1; the version is a label.", "version")

	r.backlog = desc("lcbq_backlog_units", "Units of the run that wait for a worker of the stage.", "run", "stage")
	r.inFlight = desc("lcbq_in_flight_units", "Units that a worker of the stage has, or gave back for a later try.", "run", "stage")
	r.seconds = desc("lcbq_backlog_seconds", "Seconds of work that wait and are in flight, at the rate of now; absent while no rate is known.", "run", "stage")
	r.rate = desc("lcbq_units_per_second", "Units that the stage settled a second, in the last minute.", "run", "stage")
	r.queueBytes = desc("lcbq_queue_bytes", "Bytes of the stage's stream, all runs together.", "stage")
	r.dead = desc("lcbq_dead_units", "Units given up.", "run")
	r.lost = desc("lcbq_lost_units", "Units that are in no queue, as far as was looked.", "run")
	r.eta = desc("lcbq_eta_seconds", "Seconds to the end of the run, if the workers stay; absent while nothing tells it.", "run")
	r.etaLow = desc("lcbq_eta_low_seconds", "Lower end of the range of lcbq_eta_seconds, which holds 8 of 10 times.", "run")
	r.etaHigh = desc("lcbq_eta_high_seconds", "Upper end of that range.", "run")
	r.finding = desc("lcbq_finding", "1 for each thing that a person must know, by its code; grave is true where the run stands still or its numbers say nothing.", "run", "code", "grave")

	r.samples = desc("lcbq_samples_total", "Scored samples in finished cells; verdict is passed or failed.", "run", "temperature", "verdict")
	r.cells = desc("lcbq_cells", "Cells of the run; state is finished or open.", "run", "temperature", "state")
	r.pass = desc("lcbq_pass_at_1", "pass@1 over the finished cells, 0 to 1; absent without one.", "run", "temperature")
	r.passLow = desc("lcbq_pass_at_1_low", "Lower end of its 95 % interval, if the same questions were sampled again.", "run", "temperature")
	r.passHigh = desc("lcbq_pass_at_1_high", "Upper end of that interval.", "run", "temperature")

	r.workers = desc("lcbq_workers", "Workers by their state: working, starting, silent or ended.", "stage", "state")
	r.slots = desc("lcbq_worker_slots", "What the living workers of the stage do at once: programs of evaluators, units of others.", "stage")
	r.judged = desc("lcbq_worker_samples_total", "Samples that workers of the stage handled since this process began. What one did between its last heartbeat and its end is not in it.", "stage")
	r.cached = desc("lcbq_verdict_cache_hits_total", "Of those of evaluators, the samples that the verdict cache answered.")
	r.givenBack = desc("lcbq_units_given_back_total", "Units that workers of the stage gave back for another try, since this process began.", "stage")

	gpu := []string{"host", "gpu", "uuid", "name"}
	r.gpuUse = desc("lcbq_gpu_utilization_ratio", "Share of the last moment in which the GPU computed, 0 to 1.", gpu...)
	r.gpuMemory = desc("lcbq_gpu_memory_used_bytes", "Memory of the GPU in use.", gpu...)
	r.gpuTotal = desc("lcbq_gpu_memory_total_bytes", "Memory of the GPU.", gpu...)
	r.gpuPower = desc("lcbq_gpu_power_watts", "Power that the GPU takes.", gpu...)
	r.gpuTemperature = desc("lcbq_gpu_temperature_celsius", "Temperature of the GPU.", gpu...)
	r.gpuIdle = desc("lcbq_gpu_idle_ratio", "Share of the time between the first unit and now in which the GPU's engines had nothing to do, 0 to 1.", gpu...)
	r.engines = desc("lcbq_gpu_engines", "Engines that serve on the GPU.", gpu...)
	r.running = desc("vllm:num_requests_running", "Sequences in the batches of the engines on the GPU, as they say themselves.", "host", "gpu")
	r.waiting = desc("vllm:num_requests_waiting", "Sequences that wait for a place in those batches.", "host", "gpu")
	return r
}

// Describe implements prometheus.Collector.
func (r *runs) Describe(out chan<- *prometheus.Desc) {
	for _, d := range r.all {
		out <- d
	}
}

// A sink sends metrics. What cannot be sent, such as a name that is no UTF-8, costs itself.
type sink chan<- prometheus.Metric

func (s sink) gauge(d *prometheus.Desc, value float64, labels ...string) {
	s.send(d, prometheus.GaugeValue, value, labels)
}

func (s sink) counter(d *prometheus.Desc, value float64, labels ...string) {
	s.send(d, prometheus.CounterValue, value, labels)
}

func (s sink) send(d *prometheus.Desc, kind prometheus.ValueType, value float64, labels []string) {
	m, err := prometheus.NewConstMetric(d, kind, value, labels...)
	if err != nil {
		m = prometheus.NewInvalidMetric(d, err)
	}
	s <- m
}

// Collect implements prometheus.Collector.
func (r *runs) Collect(metrics chan<- prometheus.Metric) {
	out := sink(metrics)
	ctx, cancel := context.WithTimeout(context.Background(), lookLimit)
	defer cancel()
	out.gauge(r.build, 1, r.Version)
	first, err := r.Look(ctx, "")
	out.gauge(r.up, number(err == nil))
	if err != nil || first == nil {
		return
	}
	r.ofServer(out, first)
	r.ofRun(out, first)
	for _, other := range first.Others[:min(len(first.Others), mostRuns-1)] {
		if s, err := r.Look(ctx, other.ID); err == nil && s != nil && s.Run.ID != first.Run.ID {
			r.ofRun(out, s)
		}
	}
}

// ofRun sends what is a run's.
func (r *runs) ofRun(out sink, s *snapshot.Snapshot) {
	run := s.Run.ID
	for i := range s.Stages {
		st := &s.Stages[i]
		stage := string(st.Stage)
		known(out, r.backlog, float64(st.Waiting), run, stage)
		known(out, r.inFlight, float64(st.InFlight), run, stage)
		known(out, r.seconds, st.Backlog, run, stage)
		known(out, r.rate, st.Rate, run, stage)
	}
	out.gauge(r.dead, float64(s.Units.Dead), run)
	out.gauge(r.lost, float64(s.Units.Lost), run)
	if s.Left != nil {
		out.gauge(r.eta, s.Left.Seconds, run)
		out.gauge(r.etaLow, s.Left.Low, run)
		out.gauge(r.etaHigh, s.Left.High, run)
	}
	told := make(map[snapshot.Code]bool)
	for i := range s.Findings {
		if f := &s.Findings[i]; !told[f.Code] { // several workers may have the same trouble
			told[f.Code] = true
			out.gauge(r.finding, 1, run, string(f.Code), strconv.FormatBool(f.Grave))
		}
	}
	for i := range s.Temperatures {
		t := &s.Temperatures[i]
		at := strconv.FormatFloat(t.Temperature, 'g', -1, 64)
		out.counter(r.samples, float64(t.Passed), run, at, "passed")
		out.counter(r.samples, float64(t.Samples-t.Passed), run, at, "failed")
		out.gauge(r.cells, float64(t.Cells.Done), run, at, "finished")
		out.gauge(r.cells, float64(t.Cells.All-t.Cells.Done), run, at, "open")
		if t.PassAt1 >= 0 {
			out.gauge(r.pass, t.PassAt1, run, at)
			out.gauge(r.passLow, t.Low, run, at)
			out.gauge(r.passHigh, t.High, run, at)
		}
	}
}

// known sends a value that is there: below 0 it is not known.
func known(out sink, d *prometheus.Desc, value float64, labels ...string) {
	if value >= 0 {
		out.gauge(d, value, labels...)
	}
}

// ofServer sends what all runs of the server share.
func (r *runs) ofServer(out sink, s *snapshot.Snapshot) {
	for i := range s.Stages {
		known(out, r.queueBytes, float64(s.Stages[i].Bytes), string(s.Stages[i].Stage))
	}
	queues := make(map[place][2]float64) // running and waiting: engines may share a card
	states, slots := make(map[stream.Stage]map[snapshot.State]int), make(map[stream.Stage]int)
	for _, stage := range stream.Stages {
		states[stage] = map[snapshot.State]int{snapshot.Working: 0, snapshot.Starting: 0, snapshot.Silent: 0, snapshot.Ended: 0}
	}
	for i := range s.Workers {
		w := &s.Workers[i]
		if states[w.Stage] == nil { // of a program that is not this lcbq
			continue
		}
		states[w.Stage][w.State]++
		if w.State.Lives() {
			slots[w.Stage] += w.Slots
		}
		if w.Engine != nil && w.State.Lives() {
			at := place{w.Host, cardsOf(w.Engine)}
			queues[at] = [2]float64{queues[at][0] + w.Engine.Running, queues[at][1] + w.Engine.Waiting}
		}
	}
	for at, q := range queues {
		out.gauge(r.running, q[0], at.host, at.cards)
		out.gauge(r.waiting, q[1], at.host, at.cards)
	}
	counts := r.count(s.Workers)
	for _, stage := range stream.Stages {
		for state, n := range states[stage] {
			out.gauge(r.workers, float64(n), string(stage), string(state))
		}
		out.gauge(r.slots, float64(slots[stage]), string(stage))
		out.counter(r.judged, float64(counts[stage].samples), string(stage))
		out.counter(r.givenBack, float64(counts[stage].givenBack), string(stage))
	}
	out.counter(r.cached, float64(counts[stream.Evaluate].cached))
	for i := range s.Cards {
		c := &s.Cards[i]
		of := []string{c.Host, strconv.Itoa(c.Index), c.UUID, c.Name}
		if c.Utilization >= 0 {
			out.gauge(r.gpuUse, float64(c.Utilization)/100, of...)
		}
		out.gauge(r.gpuMemory, float64(c.MemoryUsed), of...)
		out.gauge(r.gpuTotal, float64(c.MemoryTotal), of...)
		known(out, r.gpuPower, c.Power, of...)
		known(out, r.gpuTemperature, float64(c.Temperature), of...)
		known(out, r.gpuIdle, c.IdleShare, of...)
		out.gauge(r.engines, float64(c.Engines), of...)
	}
}

// A place is where engines compute.
type place struct{ host, cards string }

// cardsOf returns the indices of an engine's cards: one, or several with commas between, or "" of the processor.
func cardsOf(e *store.EngineState) string {
	var all []string
	for i := range e.Cards {
		all = append(all, strconv.Itoa(e.Cards[i].Index))
	}
	return strings.Join(all, ",")
}

// count adds what workers have done since the last scrape and returns the sums by stage. A sum over the workers
// of now would fall when one leaves.
func (r *runs) count(workers []snapshot.Worker) map[stream.Stage]counted {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := make(map[worker]counted, len(workers))
	for i := range workers {
		w := &workers[i]
		id := worker{w.Stage, w.Name, w.Host, w.Started}
		now, before := counted{w.Samples, w.Cached, w.Faults}, r.known[id]
		sum := r.tally[w.Stage]
		if sum == nil {
			sum = new(counted)
			r.tally[w.Stage] = sum
		}
		sum.samples += max(0, now.samples-before.samples)
		sum.cached += max(0, now.cached-before.cached)
		sum.givenBack += max(0, now.givenBack-before.givenBack)
		seen[id] = now
	}
	r.known = seen
	out := make(map[stream.Stage]counted, len(r.tally))
	for k, sum := range r.tally {
		out[k] = *sum
	}
	return out
}
