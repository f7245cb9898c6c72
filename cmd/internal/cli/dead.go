package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/queue"
)

// deadCmd deals with units that were given up.
type deadCmd struct {
	List    deadListCmd    `cmd:"" help:"list the units given up, with the reason"`
	Show    deadShowCmd    `cmd:"" help:"show one of them, with its message"`
	Requeue deadRequeueCmd `cmd:"" help:"put them back where they were"`
}

// deadTarget names the runs whose dead units are meant.
type deadTarget struct {
	located `embed:""`
	RunID   string `name:"run" placeholder:"ID" help:"run whose units are meant; by default that of -o, or all"`
}

// attach connects and calls f with the dead units.
func (t *deadTarget) attach(a *app, f func(s *session, dead []stream.Dead) error) error {
	if t.RunID != "" {
		if err := stream.CheckRunID(t.RunID); err != nil {
			return usageError{fmt.Errorf("--run: %w", err)}
		}
	}
	return attach(a, t.server, t.OutputDir, "dead", looks, func(s *session) error {
		dead, err := s.queue.DeadUnits(a.ctx, cmp.Or(t.RunID, s.run))
		if err != nil {
			return err
		}
		return f(s, dead)
	})
}

type deadListCmd struct {
	deadTarget `embed:""`
}

// Run lists dead units.
func (c *deadListCmd) Run(a *app) error {
	return c.attach(a, func(_ *session, dead []stream.Dead) error {
		if a.json {
			for i := range dead {
				dead[i].Body = nil // as long as the samples themselves; dead show has it
			}
			if dead == nil {
				dead = []stream.Dead{}
			}
			return a.printJSON(dead)
		}
		for _, d := range dead {
			line, _, _ := strings.Cut(d.Error, "\n")
			fmt.Fprintf(a.out, "%s  %s  %s, %d deliveries, last by %s: %s\n", time.UnixMilli(d.At).Format(time.DateTime), d.Subject, d.Reason, d.Deliveries, d.Worker, line)
		}
		fmt.Fprintf(a.err, "%d units given up\n", len(dead))
		return nil
	})
}

type deadShowCmd struct {
	located `embed:""`
	Subject string `arg:"" help:"the unit's subject, as 'lcbq dead list' shows it"`
}

// Run shows a dead unit and what it carried.
func (c *deadShowCmd) Run(a *app) error {
	return attach(a, c.server, c.OutputDir, "dead", looks, func(s *session) error {
		d, err := s.queue.DeadUnit(a.ctx, strings.TrimPrefix(c.Subject, "dead."))
		if errors.Is(err, queue.ErrNotFound) {
			return fmt.Errorf("dead show: %w\n'lcbq dead list' shows the subjects of the units given up", err)
		}
		if err != nil {
			return err
		}
		var message any
		if err := stream.Decode(d.Body, &message); err != nil {
			message = string(d.Body) // what made it poison
		}
		if a.json {
			d.Body = nil
			return a.printJSON(map[string]any{"unit": d, "message": message})
		}
		fmt.Fprintf(a.out, "subject     %s\nstage       %s\nreason      %s\ndeliveries  %d\nworker      %s\ngiven up    %s\nerror       %s\nmessage\n",
			d.Subject, d.Stage, d.Reason, d.Deliveries, d.Worker, time.UnixMilli(d.At).Format(time.DateTime), d.Error)
		return a.printJSON(message)
	})
}

type deadRequeueCmd struct {
	deadTarget `embed:""`
	Regenerate bool     `help:"have the units generated anew instead of putting back their messages, as for poison"`
	Subjects   []string `arg:"" optional:"" name:"subject" help:"subjects of the units to put back, as 'lcbq dead list' shows them; by default all"`
}

// Run puts dead units back.
func (c *deadRequeueCmd) Run(a *app) error {
	return c.attach(a, func(s *session, dead []stream.Dead) error {
		for _, subject := range c.Subjects {
			if !slices.ContainsFunc(dead, func(d stream.Dead) bool { return d.Subject == subject }) {
				return fmt.Errorf("dead requeue: no unit was given up as %q\n'lcbq dead list' shows the subjects", subject)
			}
		}
		requeue := s.queue.Requeue
		if c.Regenerate {
			requeue = s.sweeper().Regenerate
		}
		if len(c.Subjects) > 0 {
			dead = slices.DeleteFunc(dead, func(d stream.Dead) bool { return !slices.Contains(c.Subjects, d.Subject) })
		}
		back, err := putBack(a.ctx, dead, requeue)
		fmt.Fprintf(a.out, "%d units put back\n", back)
		return err
	})
}

// putBack requeues dead units and returns how many. One that cannot be put back keeps none of the others.
func putBack(ctx context.Context, dead []stream.Dead, requeue func(context.Context, stream.Dead) error) (back int, err error) {
	var errs []error
	for _, d := range dead {
		if err := requeue(ctx, d); err != nil {
			errs = append(errs, err)
			continue
		}
		back++
	}
	return back, errors.Join(errs...)
}
