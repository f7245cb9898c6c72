package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/lcbq/lcbq/worker/background"
)

// A ToldError says that a signal ends the command. It is the cause of the context's end.
type ToldError struct{ Signal os.Signal }

func (t ToldError) Error() string { return fmt.Sprintf("ended by signal (%v)", t.Signal) }

// Is makes a ToldError count as context.Canceled, for callers that look no closer.
func (t ToldError) Is(err error) bool { return err == context.Canceled }

// A stopped is the error of an interrupted command that can say what is kept. It wraps
// errInterrupted.
type stopped struct{ kept string }

func (s stopped) Error() string { return "stopped: " + s.kept }
func (s stopped) Unwrap() error { return errInterrupted }

// whileStarting returns the error of a start. Where a signal cut the start short, some request was broken off
// and says so in its own way: what counts then is that nothing is lost.
func whileStarting(a *app, err error) error {
	if err == nil || a.ctx.Err() == nil || errors.Is(err, errInterrupted) {
		return err
	}
	return stopped{fmt.Sprintf("while starting (%v); the same command resumes", err)}
}

// announce logs each signal at once: finishing what is in hand may take a minute, and silence would
// look like a hang. It ends when the returned function is called.
func (a *app) announce(log *slog.Logger) (enough func()) {
	return background.Start(context.WithoutCancel(a.ctx), func(over context.Context) {
		select {
		case <-over.Done():
			return
		case <-a.ctx.Done():
		}
		signal := "none"
		if told, ok := errors.AsType[ToldError](context.Cause(a.ctx)); ok { //nolint:contextcheck // why the command ends, not why this watch does
			signal = told.Signal.String()
		}
		log.Info("interrupted, finishing what is in hand; interrupt again to hurry", "signal", signal)
		select {
		case <-over.Done():
		case <-a.hurry.Watch():
			log.Info("interrupted again: what is in hand is given back now, in the same order")
		}
	})
}

// interrupted returns how a worker ends that runs until a signal. Supervisors send SIGTERM and
// terminals SIGHUP: after the drain that is success, and so is a start that they cut short. Ctrl-C
// comes from a person, and scripts must not go on after it.
func interrupted(a *app, err error) error {
	_, cut := err.(stopped) //nolint:errorlint // alone: what failed as well is to be said
	if err != nil && !cut || a.ctx.Err() == nil {
		return err
	}
	told, ok := errors.AsType[ToldError](context.Cause(a.ctx))
	if ok && told.Signal != os.Interrupt && !a.hurry.Called() {
		return nil
	}
	if cut {
		return err
	}
	return stopped{"what was in hand is finished or given back"}
}
