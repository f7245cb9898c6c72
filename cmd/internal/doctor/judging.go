package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/lcbq/lcbq/worker/evaluate"
	"github.com/lcbq/lcbq/worker/sandbox"
)

// Judging probes the interpreter and the sandbox.
func Judging(cfg sandbox.Config) Check {
	return func(ctx context.Context) []Finding {
		host, err := sandbox.Probe(ctx, cfg)
		if err != nil {
			says, remedy, _ := strings.Cut(err.Error(), "\n")
			return []Finding{{Check: "judging", Result: Fail, Says: says, Remedy: remedy}}
		}
		env := host.Environment()
		room, why := host.Room()
		found := []Finding{
			{Check: "python", Result: Pass, Says: env.Interpreter},
			packageFinding("numpy", env.Packages["numpy"]),
			speedFinding(ctx, host),
			{Check: "sandbox level", Result: Pass, Says: host.Level().String() + ", fingerprint " + env.Digest()[:12]},
			{Check: "slots", Result: Pass, Says: fmt.Sprintf("room for %d programs at once: %s", room, why)},
		}
		var on []string
		for _, l := range host.Layers() {
			if l.On {
				on = append(on, l.Name)
			} else {
				found = append(found, Finding{Check: "sandbox layer", Result: Warn, Says: l.Name + ": " + l.Why, Remedy: "lcbq help sandbox"})
			}
		}
		return append(found, Finding{Check: "sandbox layers on", Result: Pass, Says: strings.Join(on, "; ")})
	}
}

func packageFinding(name, version string) Finding {
	if version == "" {
		return Finding{
			Check: name, Result: Warn, Says: "not importable: programs that import it fail, as they would not with the official judge",
			Remedy: "install " + name + " for this interpreter, or name one that has it with --python",
		}
	}
	return Finding{Check: name, Result: Pass, Says: version}
}

// speedFinding says how fast the interpreter is, which is what --reference-speed compares.
func speedFinding(ctx context.Context, host *sandbox.Host) Finding {
	speed, err := evaluate.SpeedOf(ctx, host)
	if err != nil {
		return Finding{
			Check: "speed", Result: Warn, Says: err.Error(),
			Remedy: "judge here without --reference-speed",
		}
	}
	return Finding{Check: "speed", Result: Pass, Says: fmt.Sprintf("%.3g million turns of a loop in a CPU second", speed)}
}
