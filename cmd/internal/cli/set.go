package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lcbq/lcbq/cmd/internal/snapshot"
	"github.com/lcbq/lcbq/cmd/internal/snapshot/screen"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/steer"
)

// setCmd changes workers while they live.
type setCmd struct {
	target `embed:""`
	What   string `arg:"" name:"evaluators=N" help:"programs that each evaluator judges at once from now on: evaluators=24, or evaluators=auto for as many as it began with"`
	Hosts  string `name:"host" placeholder:"HOST" help:"host of the evaluators, as status shows it; all for every host; by default the only one"`
	Worker string `placeholder:"NAME" help:"the one evaluator to change, as status shows it"`
}

// setWait bounds one order: opening a hundred sandboxes on a busy machine takes a minute.
const setWait = 2 * time.Minute

// setAtOnce is how many workers are given an order at once: one that looks for orders answers after seconds, one that hangs
// after setWait, and whoever waits for one of them reads all heartbeats meanwhile.
const setAtOnce = 8

// A setRow is what was done to one evaluator.
type setRow struct {
	Worker string `json:"worker"`
	Host   string `json:"host"`
	steer.Answer

	Error string `json:"error,omitempty"`
}

// Run orders the evaluators to judge another number of programs at once and says what each did.
func (c *setCmd) Run(a *app) error {
	order, err := orderOf(c.What)
	if err != nil {
		return usageError{err}
	}
	if c.Hosts != "" && c.Worker != "" {
		return usageError{errors.New("--host and --worker are both given: the worker's name is enough")}
	}
	if err := c.checkRun(); err != nil {
		return err
	}
	return attach(a, c.server, c.OutputDir, "set", looks, func(s *session) error {
		r, err := c.reader(a, s)
		if err != nil {
			return err
		}
		shot, err := r.Look(a.ctx)
		if err != nil {
			return err
		}
		if state := shot.Run.State; shot.Run.Finished != 0 || state == "cancelled" {
			return fmt.Errorf("set %s: run %s is %s: no evaluator works for it\nname one that goes on with --run: 'lcbq runs' lists them", c.What, shot.Run.ID, state)
		}
		chosen, err := evaluatorsOf(shot.Workers, c.Hosts, c.Worker)
		if err != nil {
			return fmt.Errorf("set %s: %w", c.What, err)
		}
		rows, errs := make([]setRow, len(chosen)), make([]error, len(chosen))
		var all errgroup.Group
		all.SetLimit(setAtOnce)
		for i := range chosen {
			all.Go(func() error {
				w := &chosen[i]
				rows[i] = setRow{Worker: w.Name, Host: w.Host}
				if rows[i].Answer, errs[i] = give(a.ctx, s, w, order, setWait); errs[i] != nil {
					rows[i].Error = errs[i].Error()
				}
				return nil
			})
		}
		_ = all.Wait() // each has its own error
		return errors.Join(c.show(a, rows), errors.Join(errs...))
	})
}

func (c *setCmd) show(a *app, rows []setRow) error {
	if a.json {
		return a.printJSON(rows)
	}
	for i := range rows {
		if r := &rows[i]; r.Error == "" {
			fmt.Fprintln(a.out, screen.Plain(r.Worker)+": "+changed(r.Answer))
		}
	}
	return nil
}

// changed says what an evaluator did.
func changed(did steer.Answer) string {
	text := fmt.Sprintf("%d programs at once, before %d", did.Now, did.Before)
	if did.Why != "" {
		text += "; no more: " + screen.Plain(did.Why)
	}
	return text
}

// orderOf reads NAME=VALUE.
func orderOf(what string) (steer.Order, error) {
	name, value, _ := strings.Cut(what, "=")
	if name != "evaluators" {
		return steer.Order{}, fmt.Errorf("%q: want evaluators=N or evaluators=auto\nother settings of a run do not change while it is worked on", what)
	}
	if value == "auto" {
		return steer.Order{Auto: true}, nil
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > steer.Most {
		return steer.Order{}, fmt.Errorf("evaluators = %q: want auto, or 1 to %d", value, steer.Most)
	}
	return steer.Order{Slots: n}, nil
}

// evaluatorsOf returns the evaluators that are meant. Those that are gone are not: an order to them would
// do nothing.
func evaluatorsOf(all []snapshot.Worker, host, name string) ([]snapshot.Worker, error) {
	var alive, chosen []snapshot.Worker
	var hosts []string
	gone := ""
	for i := range all {
		w := &all[i]
		if w.Stage != stream.Evaluate {
			continue
		}
		meant := name != "" && w.Name == name || name == "" && (host == "all" || host == "" || w.Host == plainHost(host))
		if w.State != snapshot.Working {
			if meant && gone == "" {
				gone = fmt.Sprintf("evaluator %s of host %s is %s", screen.Plain(w.Name), screen.Plain(w.Host), w.State)
			}
			continue
		}
		alive = append(alive, *w)
		if !slices.Contains(hosts, w.Host) {
			hosts = append(hosts, w.Host)
		}
		if meant {
			chosen = append(chosen, *w)
		}
	}
	shown := screen.Plain(strings.Join(hosts, ", "))
	switch {
	case len(alive) == 0 && gone == "" && host != "" && host != "all":
		return nil, fmt.Errorf("no evaluator works on host %q, nor on any other\nstart one with 'lcbq evaluate'", host)
	case len(alive) == 0 && gone == "":
		return nil, errors.New("no evaluator works here\nstart one with 'lcbq evaluate', on any host")
	case len(alive) == 0:
		return nil, fmt.Errorf("%s, and no other works here\nstart one with 'lcbq evaluate', on any host", gone)
	case len(chosen) == 0 && gone != "":
		return nil, fmt.Errorf("%s\nevaluators work on: %s", gone, shown)
	case len(chosen) == 0 && name != "":
		return nil, fmt.Errorf("there is no evaluator %q\n'lcbq status --long' lists them", name)
	case len(chosen) == 0:
		return nil, fmt.Errorf("no evaluator works on host %q\nevaluators work on: %s", host, shown)
	case host == "" && name == "" && len(hosts) > 1:
		return nil, fmt.Errorf("evaluators work on %d hosts: name one with --host, or --host all\nthey are: %s", len(hosts), shown)
	}
	return chosen, nil
}

// plainHost writes a host's name as heartbeats do.
func plainHost(host string) string { return strings.ReplaceAll(host, ".", "_") }

// give orders one worker and waits for its answer.
func give(ctx context.Context, s *session, w *snapshot.Worker, o steer.Order, wait time.Duration) (steer.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	did, err := steer.Ask(ctx, s.conn, w.Stage, w.Name, o)
	if errors.Is(err, steer.ErrGone) { // it may be in an account of its own
		did, err = steer.Leave(ctx, s.store, w.Stage, w.Name, o)
	}
	if errors.Is(err, steer.ErrGone) {
		err = fmt.Errorf("%w\n'lcbq status' shows who works", err)
	}
	return did, err
}
