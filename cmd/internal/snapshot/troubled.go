package snapshot

import (
	"fmt"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
)

// workers is about workers that are gone, slow, wrong in time or waiting.
func (f *finder) workers() {
	if f.silent() {
		return
	}
	// What is wrong with several workers of a host, or of all hosts, is one finding.
	type group struct {
		what  string
		stage stream.Stage
		host  string
	}
	groups := make(map[group][]*Worker)
	var order []group
	note := func(what string, stage stream.Stage, host string, w *Worker) {
		g := group{what, stage, host}
		if groups[g] == nil {
			order = append(order, g)
		}
		groups[g] = append(groups[g], w)
	}
	for i := range f.s.Workers {
		w := &f.s.Workers[i]
		if !w.State.Lives() {
			note(string(w.State), w.Stage, w.Host, w)
			continue
		}
		if w.Slow {
			note("slow", w.Stage, w.Host, w)
		}
		if w.Clock != 0 {
			note("clock", "", w.Host, w)
		}
		if w.Trouble != nil {
			note(w.Trouble.Code, w.Stage, "", w)
		}
		f.engine(w)
	}
	for _, g := range order {
		w := groups[g][0]
		names := w.Name + " on " + w.Host
		if more := len(groups[g]) - 1; more > 0 {
			names += fmt.Sprintf(" (and %d more)", more)
		}
		switch g.what {
		case string(Ended):
			f.add(DeadWorker, false, string(w.Stage), "its units are handed out again; start it anew", "%s ended without a word", names)
		case string(Silent):
			f.add(DeadWorker, false, string(w.Stage), "its units are handed out again; look at the host, and start it anew", "%s shows no sign of life for %s: hung, killed or cut off", names, span(w.LastSign))
		case "slow":
			f.add(SlowWorker, false, "doctor", "look on "+w.Host+" at what else runs there, and type this there; 'lcbq stop' there takes the worker out", "%s is slow: %s", names, w.pace)
		case "clock":
			way := "ahead of"
			if w.Clock < 0 {
				way = "behind"
			}
			f.add(ClockSkew, false, "", "set the clock there, with what this host uses: chrony, ntpd or systemd-timesyncd", "the clock of %s is %s %s the server's: rates and durations of its units are wrong, counts are not", w.Host, span(max(w.Clock, -w.Clock)), way)
			f.found[len(f.found)-1].Command = "timedatectl set-ntp true"
		default:
			f.trouble(w, names)
		}
	}
}

// held reports whether a stage has workers, and each of them waits for something that a person may have to mend.
func (s *Snapshot) held(stage stream.Stage) bool {
	n := 0
	for i := range s.Workers {
		if w := &s.Workers[i]; w.Stage == stage && w.State == Working {
			if w.Trouble == nil {
				return false
			}
			n++
		}
	}
	return n > 0
}

// silent is about a server that stores no heartbeat any more, of whichever stage. It reports whether that is so.
func (f *finder) silent() bool {
	stages := map[stream.Stage]bool{}
	sign := 0.
	for i := range f.s.Workers {
		w := &f.s.Workers[i]
		if w.State != Silent {
			return false
		}
		stages[w.Stage], sign = true, max(sign, w.LastSign)
	}
	if len(stages) < 2 {
		return false
	}
	f.add(NoHeartbeats, true, "", "make room on the disk of the server's --store-dir, or look at the hosts and the network", "no worker gave a sign for %s, of any stage: the server's disk is full, or they are cut off", span(sign))
	f.found[len(f.found)-1].Command = "df -h"
	return true
}

// trouble is about what a worker waits for.
func (f *finder) trouble(w *Worker, names string) {
	t := w.Trouble
	code, command, grave := Blocked, f.command("status")+" --long", false
	switch t.Code {
	case store.TroubleDisk:
		code, command, grave = DiskFull, "df -h", true
		if w.Stage == stream.Combine {
			command += " " + Quote(f.in.run.OutputDir)
		}
	case store.TroubleEngine:
		code, command, grave = EngineDown, f.command("generate")+" --endpoint http://HOST:8000/v1", f.s.held(stream.Generate)
	}
	f.add(code, grave, "", t.Remedy, "%s waits since %s: %s", names, clock(t.Since), t.Text)
	f.found[len(f.found)-1].Command = command
}

// engine is about an engine that generates nothing.
func (f *finder) engine(w *Worker) {
	if w.Engine == nil {
		return
	}
	switch w.Engine.Phase {
	case "ended":
		f.add(EngineDown, true, "generate", "look into its log, in logs/ of the results folder or of the generator; then start the generator anew", "the engine of %s on %s has ended: nothing is generated there", w.Name, w.Host)
	case "loading", "waiting":
		if w.Engine.Restarts > 0 {
			f.add(EngineDown, false, "doctor", "look into its log, in logs/ of the results folder or of the generator", "the engine of %s on %s starts again, for the %s time", w.Name, w.Host, ordinal(w.Engine.Restarts))
		}
	}
}

func ordinal(n int) string {
	if n%100 < 11 || n%100 > 13 {
		switch n % 10 {
		case 1:
			return fmt.Sprintf("%dst", n)
		case 2:
			return fmt.Sprintf("%dnd", n)
		case 3:
			return fmt.Sprintf("%drd", n)
		}
	}
	return fmt.Sprintf("%dth", n)
}
