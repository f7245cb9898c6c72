package snapshot

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
)

// findings returns what a person must know, the gravest first. s has everything else.
func (r *Reader) findings(in *raw, s *Snapshot) []Finding {
	f := finder{Reader: r, in: in, s: s, found: []Finding{}}
	switch {
	case !in.run.Open():
	case r.Idle:
		f.notRunning()
		f.lost()
	default:
		if in.run.Paused != 0 {
			f.add(Paused, false, "resume", "", "the run is paused since %s: none of its units is handed out", clock(in.run.Paused))
		} else {
			f.unserved()
			f.growing()
			f.stalled()
		}
		f.full()
		f.lost()
		f.workers()
	}
	f.deadUnits()
	f.speeds()
	f.answers()
	f.banned()
	f.forged()
	f.audited()
	slices.SortStableFunc(f.found, func(a, b Finding) int {
		switch {
		case a.Grave == b.Grave:
			return 0
		case a.Grave:
			return -1
		default:
			return 1
		}
	})
	return f.found
}

type finder struct {
	*Reader
	in    *raw
	s     *Snapshot
	found []Finding
}

// add records a finding. command is what follows "lcbq", to which the server and the run are added; "" for none.
func (f *finder) add(code Code, grave bool, command, remedy, format string, args ...any) {
	if command != "" {
		command = f.command(command)
	}
	f.found = append(f.found, Finding{Code: code, Grave: grave, Text: fmt.Sprintf(format, args...), Remedy: remedy, Command: command})
}

// ofRun are the commands that work on one run.
var ofRun = []string{"pause", "resume", "cancel", "dead list", "dead requeue", "verify"}

// command completes a command, so that it can be typed as it stands. A worker may be wanted on another machine.
func (r *Reader) command(verb string) string {
	c := "lcbq " + verb
	switch worker := slices.Contains(stream.Stages, stream.Stage(verb)); {
	case verb == "doctor":
	case worker && r.Server != "":
		c += " --nats " + Quote(r.Server)
	case r.Reach != "":
		c += " " + r.Reach
	}
	if slices.ContainsFunc(ofRun, func(v string) bool { return verb == v || strings.HasPrefix(verb, v+" ") }) {
		c += " --run " + r.run
	}
	return c
}

// Quote returns text as a shell takes it for one word.
func Quote(text string) string {
	if text != "" && strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-:@%+=,[]") == "" {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// notRunning is about a run that nobody serves: `lcbq run` ended before it was finished.
func (f *finder) notRunning() {
	if f.in.run.OutputDir == "" {
		return
	}
	f.add(NotRunning, true, "", "the command that started it goes on with it, as does this one", "no server runs on this folder, and the run is not finished")
	f.found[len(f.found)-1].Command = "lcbq run --config " + Quote(f.in.run.OutputDir+"/run.toml") + " -o " + Quote(f.in.run.OutputDir)
}

func clock(ms int64) string { return time.UnixMilli(ms).Format("15:04 on 2 January") }

func span(seconds float64) string {
	switch {
	case seconds >= 48*3600:
		return fmt.Sprintf("%.0f days", seconds/86400)
	case seconds >= 2*3600:
		return fmt.Sprintf("%.0f hours", seconds/3600)
	case seconds >= 120:
		return fmt.Sprintf("%.0f minutes", seconds/60)
	default:
		return fmt.Sprintf("%.0f s", seconds)
	}
}

// thousands writes a number as the rows of status do.
func thousands(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// unserved is about stages in which units wait and that nobody serves.
func (f *finder) unserved() {
	for _, x := range []struct {
		stage stream.Stage
		code  Code
		does  string
	}{
		{stream.Generate, NoGenerator, "generates"}, {stream.Evaluate, NoEvaluator, "judges"}, {stream.Combine, NoCombiner, "writes results"},
	} {
		row := f.s.Stage(x.stage)
		units := row.Waiting + row.InFlight
		if units == 0 {
			continue
		}
		idle, starting := f.idle(x.stage)
		switch unfit := f.unfit(x.stage); {
		case x.stage == stream.Evaluate && f.in.run.Judge.Fingerprint != "" && row.Workers == unfit && unfit+idle > 0:
			f.add(OtherJudge, true, "doctor", "use the same interpreter, packages, limits and sandbox level on each host: compare what this says there",
				"no evaluator judges in the environment of the run, %.12s: %s, and %s with another or none idle", f.in.run.Judge.Fingerprint, wait(units), count(unfit+idle, "evaluator"))
		case starting:
		case row.Workers == 0:
			remedy := "start one, on any machine that reaches the server"
			if judged := f.in.run.Judge.Fingerprint; x.stage == stream.Evaluate && judged != "" {
				remedy += fmt.Sprintf("; one with another environment than the run's, %.12s, ends at once and says so: interpreter, packages, limits, sandbox level and --no-normal-form must be the same", judged)
			}
			f.add(x.code, true, string(x.stage), remedy, "nobody %s: %s in %s and no worker lives", x.does, wait(units), row.Stream)
		}
	}
}

// startWait is for how long a worker may start before it is called idle.
const startWait = time.Minute

// idle returns how many workers of a stage wait for a run that they can work for, and whether some have only just started.
func (f *finder) idle(stage stream.Stage) (n int, starting bool) {
	for i := range f.s.Workers {
		if w := &f.s.Workers[i]; w.Stage == stage && w.State == Starting {
			if f.in.now.Sub(time.UnixMilli(w.Started)) < startWait {
				starting = true
				continue
			}
			n++
		}
	}
	return n, starting
}

func wait(units int) string {
	if units == 1 {
		return "1 unit waits"
	}
	return thousands(units) + " units wait"
}

// unfit returns how many evaluators at work have another environment than the run's.
func (f *finder) unfit(stage stream.Stage) int {
	n := 0
	for i := range f.s.Workers {
		if w := &f.s.Workers[i]; w.Stage == stage && w.State == Working && w.Fingerprint != "" && w.Fingerprint != f.in.run.Judge.Fingerprint {
			n++
		}
	}
	return n
}

// Evaluators do not keep up where the backlog is more than a quarter of an hour's work and grows by a tenth or more.
const (
	muchBacklog = 15 * time.Minute
	fasterBy    = 1.1
)

// growing is about evaluators that do not keep up with generators.
func (f *finder) growing() {
	in, out := f.s.Stage(stream.Generate), f.s.Stage(stream.Evaluate)
	if in.Waiting+in.InFlight == 0 { // no more comes: the time left says the rest
		return
	}
	if out.Workers == 0 || out.Rate15 <= 0 || in.Rate15 < fasterBy*out.Rate15 || float64(out.Waiting)/out.Rate15 < muchBacklog.Seconds() {
		return
	}
	work := out.Backlog // as the rows of the stages say it
	if work < 0 {
		work = float64(out.Waiting) / out.Rate15
	}
	slots := 0
	for i := range f.s.Workers {
		if w := &f.s.Workers[i]; w.Stage == stream.Evaluate && w.State.Lives() {
			slots += w.Slots
		}
	}
	more := max(1, int(float64(slots)*(in.Rate15/out.Rate15-1)+0.5))
	f.add(LagGrows, false, "evaluate", fmt.Sprintf("start evaluators on other machines, for about %s more at once; where processors are idle, 'lcbq set evaluators=N --host HOST' gives those there more", count(more, "program")),
		"evaluators do not keep up: %s to be judged, %s of work, and %.1f come for each that is done", wait(out.Waiting), span(work), in.Rate15/out.Rate15)
}

// long is after how much time without a judged unit a run is called stalled.
const long = 10 * time.Minute

// stalled is about a run in which nothing moves though all stages are served.
func (f *finder) stalled() {
	still := f.in.now.Sub(f.moved)
	served := len(f.found) == 0
	if f.in.run.Published && served && still >= long && f.s.Units.Judged < f.s.Units.All-f.s.Units.Dead {
		f.add(Stalled, true, "status --json", "look at what the workers wait for, and into their logs", "nothing was judged for %s, though workers live", span(still.Seconds()))
	}
}

// nearlyFull is the share of a stream from which it is called full: publishers wait before it is.
const nearlyFull = 0.98

// full is about streams without room.
func (f *finder) full() {
	for _, row := range f.s.Stages {
		if row.Most > 0 && float64(row.Bytes) >= nearlyFull*float64(row.Most) {
			next := map[stream.Stage]string{stream.Evaluate: "evaluate", stream.Combine: "combine"}[row.Stage]
			f.add(QueueFull, false, next, "it goes on by itself when units have been judged and written; for more room start the server with a larger --store-max",
				"%s holds %d MiB, all that it may: those who fill it wait", row.Stream, row.Bytes>>20)
		}
	}
}

func (f *finder) lost() {
	if n := f.s.Units.Lost; n > 0 {
		f.add(LostUnits, true, "verify --queues", "type the same 'lcbq submit' or 'lcbq run' again: it publishes them, and nothing twice; this command shows them", "%s gone from every queue", are(n))
	}
}

func are(n int) string {
	if n == 1 {
		return "1 unit is"
	}
	return thousands(n) + " units are"
}

// deadUnits is about units that were given up.
func (f *finder) deadUnits() {
	n := f.s.Units.Dead
	if n == 0 {
		return
	}
	alone := f.s.waitsForDead()
	rest := ""
	if alone {
		rest = ", and nothing else is left to judge: the run waits for them"
	}
	f.add(DeadUnits, alone, "dead requeue", "'"+f.command("dead list")+"' shows why; mend the cause first, then this tries them again", "%s given up: their cells are not written%s", are(n), rest)
}

// waitsForDead reports whether all that is left of a run waits for units that were given up.
func (s *Snapshot) waitsForDead() bool {
	return s.Units.Dead > 0 && s.Run.Finished == 0 && s.Units.Lost == 0 && s.Units.Judged >= s.Units.All-s.Units.Dead
}

// answers is about what the finished cells say of the server that generates.
func (f *finder) answers() {
	for _, h := range f.derived.health {
		command := ""
		if h.Grave && f.in.run.Open() && f.in.run.Paused == 0 {
			command = "pause"
		}
		f.add(Code(h.Code), h.Grave, command, h.Remedy, "%s", h.Text)
	}
}

// banned is about evaluators that are not trusted and gave false verdicts.
func (f *finder) banned() {
	for _, b := range f.bans {
		if b.Run != f.in.run.ID {
			continue
		}
		again := fmt.Sprintf("%s judged again", are(b.Spared+b.Requeued))
		if b.Expelled == 0 && f.in.run.Open() {
			again = "what it judged is taken back when the combiner looks, within seconds"
		}
		f.add(FalseJudge, b.Expelled == 0 && f.in.run.Open(), "", "none is needed for the counts; see who had the token: "+b.ID,
			"evaluator %s gave a false verdict and is banned (%s, %s): %s", b.Judge, b.Unit, b.Reason, again)
	}
}

// forged is about verdicts without a receipt.
func (f *finder) forged() {
	r := f.in.run.Refused
	if r == nil {
		return
	}
	what := "1 message was"
	if r.Messages > 1 {
		what = thousands(r.Messages) + " messages were"
	}
	f.add(ForgedUnits, f.in.run.Open(), "", "none is needed for the counts; somebody misuses the token of an evaluator: find whose, by the addresses in the server's log, and end it with 'lcbq token --revoke'",
		"%s put among the verdicts by somebody who was not handed the units, the last at %s (%s): removed, and counted nowhere", what, clock(r.At), r.Last)
}

// audited says that the counts are those of an audited time limit, as they were seen.
func (f *finder) audited() {
	if share := f.in.run.Judge.AuditShare; share > 0 {
		f.add(Uncorrected, false, "", "the report and run_summary.json correct it: lcbq report "+Quote(f.in.run.OutputDir),
			"pass@1 is from below here: of the programs beyond the soft limit all but %.3g %% are stopped, and counted as failed", 100*share)
	}
}

// speeds is about evaluators on hosts of different speed, whose seconds are not the same: a program near the time limit
// passes on one and not on another.
func (f *finder) speeds() {
	if f.in.run.Judge.Reference != "" {
		return
	}
	hosts := map[string]float64{}
	for i := range f.s.Workers {
		if w := &f.s.Workers[i]; w.Stage == stream.Evaluate && w.State == Working && w.settled && w.Fingerprint == f.in.run.Judge.Fingerprint {
			hosts[w.Host] = max(hosts[w.Host], w.Speed)
		}
	}
	var slow, fast string
	for _, host := range slices.Sorted(maps.Keys(hosts)) {
		if slow == "" || hosts[host] < hosts[slow] {
			slow = host
		}
		if fast == "" || hosts[host] > hosts[fast] {
			fast = host
		}
	}
	if slow == fast || store.SameSpeed(hosts[slow], hosts[fast]) {
		return
	}
	f.add(SpeedsDiffer, false, "doctor", "a run that is made with --reference-speed first has limits in seconds of one host; one that has begun keeps what it has; this says on each host how fast it is",
		"evaluators run on hosts of different speed: %s on %s, %s on %s; a program near the time limit can pass on one and fail on the other", speed(hosts[fast]), fast, speed(hosts[slow]), slow)
}

func speed(s float64) string { return strconv.FormatFloat(s, 'g', 3, 64) }
