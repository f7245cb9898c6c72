package web

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/lcbq/lcbq/cmd/internal/snapshot"
	"github.com/lcbq/lcbq/stream"
)

// An api answers programs.
type api struct {
	Parts
	log     *slog.Logger
	reading chan struct{} // holds a token for each cell that is being read
}

// fail says that the server's streams could not be read.
func (a *api) fail(w http.ResponseWriter, err error) {
	a.log.Debug("request not answered", "err", err)
	http.Error(w, "lcbq: "+err.Error(), http.StatusServiceUnavailable)
}

// look returns the run that a request names, and reports whether there is one. It has answered otherwise.
func (a *api) look(w http.ResponseWriter, r *http.Request) (*snapshot.Snapshot, bool) {
	run, ok := runOf(w, r)
	if !ok {
		return nil, false
	}
	s, err := a.Look(r.Context(), run)
	switch {
	case err != nil:
		a.fail(w, err)
	case s == nil:
		http.Error(w, "lcbq: the server has no such run\n'lcbq runs' lists them", http.StatusNotFound)
	}
	return s, err == nil && s != nil
}

// runOf returns the run that a request names, "" for none. It has answered if it reports false.
func runOf(w http.ResponseWriter, r *http.Request) (string, bool) {
	run := r.URL.Query().Get("run")
	if run == "" {
		return "", true
	}
	if err := stream.CheckRunID(run); err != nil {
		http.Error(w, "lcbq: run: "+err.Error(), http.StatusBadRequest)
		return "", false
	}
	return run, true
}

func (a *api) snapshot(w http.ResponseWriter, r *http.Request) {
	if s, ok := a.look(w, r); ok {
		writeJSON(w, s)
	}
}

// A backlog is what waits in a stage, for an autoscaler.
type backlog struct {
	Units    int     `json:"units"` // that wait or are in flight
	Waiting  int     `json:"waiting"`
	InFlight int     `json:"in_flight"`
	Seconds  float64 `json:"seconds"` // of work for the workers of now; a second a unit while no rate is known
	Workers  int     `json:"workers"`
}

// backlog sums what waits over all runs that are worked on, or that of one run. A paused run wants no workers.
func (a *api) backlog(w http.ResponseWriter, r *http.Request) {
	run, ok := runOf(w, r)
	if !ok {
		return
	}
	runs, err := lookAll(r.Context(), a.Look, run)
	if err != nil {
		a.fail(w, err)
		return
	}
	out := make(map[stream.Stage]*backlog, len(stream.Stages))
	for _, stage := range stream.Stages {
		out[stage] = &backlog{}
	}
	for _, s := range runs {
		if s.Run.Paused != 0 {
			continue
		}
		for i := range s.Stages {
			st := &s.Stages[i]
			b := out[st.Stage]
			if b == nil {
				continue
			}
			units := max(0, st.Waiting) + max(0, st.InFlight)
			b.Units, b.Waiting, b.InFlight = b.Units+units, b.Waiting+max(0, st.Waiting), b.InFlight+max(0, st.InFlight)
			b.Workers = max(b.Workers, st.Workers) // they serve every run
			if st.Backlog >= 0 {
				b.Seconds += st.Backlog
			} else {
				b.Seconds += float64(units)
			}
		}
	}
	writeJSON(w, out)
}

// mostDead bounds how many units given up are listed at once.
const mostDead = 1000

// A deadList is the units of a run that were given up, without what they carry.
type deadList struct {
	Units []stream.Dead `json:"units"`
	All   int           `json:"all"` // more than the units if not all are listed
}

func (a *api) dead(w http.ResponseWriter, r *http.Request) {
	s, ok := a.look(w, r)
	if !ok {
		return
	}
	dead, err := a.Dead(r.Context(), s.Run.ID)
	if err != nil {
		a.fail(w, err)
		return
	}
	out := deadList{Units: []stream.Dead{}, All: len(dead)}
	for _, d := range dead[:min(len(dead), mostDead)] {
		d.Body = nil
		out.Units = append(out.Units, d)
	}
	writeJSON(w, out)
}

// A requeueOrder says which units to put back.
type requeueOrder struct {
	Run      string   `json:"run"`
	Subjects []string `json:"subjects"` // none: all of the run
}

// A requeueAnswer says what was done. A unit that cannot be put back keeps none of the others.
type requeueAnswer struct {
	Requeued int      `json:"requeued"`
	Errors   []string `json:"errors"`
}

func (a *api) requeue(w http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		http.Error(w, "lcbq: want application/json", http.StatusUnsupportedMediaType)
		return
	}
	var order requeueOrder
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&order); err != nil {
		http.Error(w, fmt.Sprintf("lcbq: read order: %v", err), http.StatusBadRequest)
		return
	}
	if err := stream.CheckRunID(order.Run); err != nil {
		http.Error(w, "lcbq: run: "+err.Error(), http.StatusBadRequest)
		return
	}
	dead, err := a.Dead(r.Context(), order.Run)
	if err != nil {
		a.fail(w, err)
		return
	}
	answer := requeueAnswer{Errors: []string{}}
	for _, d := range dead {
		if len(order.Subjects) > 0 && !slices.Contains(order.Subjects, d.Subject) {
			continue
		}
		if err := a.Requeue(r.Context(), d); err != nil {
			answer.Errors = append(answer.Errors, err.Error())
			continue
		}
		answer.Requeued++
	}
	a.log.Info("units put back, as the page's operator asked", "run", order.Run, "units", answer.Requeued)
	writeJSON(w, answer)
}
