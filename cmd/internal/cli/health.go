package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/worker"
	"github.com/lcbq/lcbq/worker/combine/summary"
	"github.com/lcbq/lcbq/worker/health"
)

// errUnhealthy says that the answers do not come from a working model: numbers made of them say
// nothing.
var errUnhealthy = errors.New("the answers say nothing about the model")

// goOn is the second remedy for every finding that ends a run.
const goOn = "or pass --on-unhealthy warn to go on, if this is what the model does"

// onUnhealthy returns what generators do about such answers: halt, or warn. All generators
// together warn once of each kind.
func onUnhealthy(g config.Generators) func(log *slog.Logger) func(health.Finding) error {
	var mu sync.Mutex
	told := make(map[health.Code]bool)
	return func(log *slog.Logger) func(health.Finding) error {
		return func(f health.Finding) error {
			if g.OnUnhealthy != "warn" {
				return fmt.Errorf("%w: %w: %s\n%s", worker.ErrHalt, errUnhealthy, f, goOn)
			}
			mu.Lock()
			defer mu.Unlock()
			if !told[f.Code] {
				told[f.Code] = true
				log.Warn("health of the answers: the numbers say nothing about the model", "finding", f.Text, "remedy", f.Remedy)
			}
			return nil
		}
	}
}

// meaningless returns an error if the numbers of a finished run say nothing about the
// model, unless that is to be a warning.
func meaningless(s *summary.Run, g config.Generators) error {
	grave := health.Grave(s.Health)
	if len(grave) == 0 || g.OnUnhealthy == "warn" {
		return nil
	}
	return fmt.Errorf("%w: %s\n%s", errUnhealthy, grave[0], goOn)
}
