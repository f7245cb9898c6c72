// Package spent sums a processor profile up: how much of it each stage of a benchmark took, and on what. It
// knows which packages do which kind of work, and nothing of what was measured.
package spent

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/pprof"
	"slices"
	"strings"

	"github.com/google/pprof/profile"
)

// label is the name under which goroutines carry their stage.
const label = "stage"

// Do runs f as a part of a stage. The goroutines that f starts, and those that they start, are its too.
func Do(ctx context.Context, stage string, f func(ctx context.Context)) {
	pprof.Do(ctx, pprof.Labels(label, stage), f)
}

// The stages that no label tells.
const (
	Server  = "server"  // NATS, by its functions: a connection within the process runs on its client's goroutines
	Runtime = "runtime" // Go's own goroutines: what the stages together leave to be collected
	Other   = "other"
)

// A Stage is the processor time of one stage.
type Stage struct {
	Name    string  `json:"stage"`
	Seconds float64 `json:"cpu_s"`
	Kinds   []Kind  `json:"kinds"` // the largest first
}

// A Kind is the part of a stage's time that went into one kind of work.
type Kind struct {
	Name    string  `json:"kind"`
	Seconds float64 `json:"cpu_s"`
}

// Parse returns what each stage took by a processor profile, the largest first. The goroutines of it
// are those that Do has named.
func Parse(raw []byte) ([]Stage, error) {
	p, err := profile.Parse(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("read the processor profile: %w", err)
	}
	at := slices.IndexFunc(p.SampleType, func(t *profile.ValueType) bool { return t.Type == "cpu" && t.Unit == "nanoseconds" })
	if at < 0 {
		return nil, errors.New("read the processor profile: it holds no processor time")
	}
	stages := map[string]map[string]float64{}
	for _, s := range p.Sample {
		stack := functions(s)
		stage, kind := stageOf(s, stack), kindOf(stack)
		if stages[stage] == nil {
			stages[stage] = map[string]float64{}
		}
		stages[stage][kind] += float64(s.Value[at]) / 1e9
	}
	return list(stages), nil
}

// functions returns a sample's stack, the innermost first.
func functions(s *profile.Sample) []string {
	var names []string
	for _, l := range s.Location {
		for _, line := range l.Line {
			if line.Function != nil {
				names = append(names, line.Function.Name)
			}
		}
	}
	return names
}

const natsServer = "github.com/nats-io/nats-server/"

func stageOf(s *profile.Sample, stack []string) string {
	if holds(stack, natsServer) {
		return Server
	}
	if of := s.Label[label]; len(of) > 0 {
		return of[0]
	}
	for _, f := range stack {
		if !strings.HasPrefix(f, "runtime.") {
			return Other
		}
	}
	return Runtime
}

// The kinds of work, by the functions that do it: the innermost that is known decides. Those of the system
// and of the runtime come before it in most stacks and tell nothing of what they are done for.
var kinds = []struct{ prefix, kind string }{
	{"runtime.gcBgMarkWorker", "garbage collection"},
	{"runtime.gcAssist", "garbage collection"},
	{"runtime.bgsweep", "garbage collection"},
	{"runtime.bgscavenge", "garbage collection"},
	{"runtime.mallocgc", "allocation"},
	{"runtime.growslice", "allocation"},
	{"runtime.makeslice", "allocation"},
	{"runtime.schedule", "scheduling"},
	{"runtime.findRunnable", "scheduling"},
	{"runtime.mcall", "scheduling"},
	{"encoding/json.", "JSON"},
	{"encoding/json/", "JSON"},
	{"github.com/lcbq/lcbq/worker/pyjson.", "JSON"},
	{"github.com/klauspost/compress/", "compression"},
	{"compress/", "compression"},
	{"crypto/", "hashes"},
	{"hash/", "hashes"},
	{"github.com/minio/highwayhash", "hashes"},
	{"os.(*File)", "files"},
	{"os.", "files"},
	{"net/http.", "HTTP"},
	{"net/http/", "HTTP"},
	{"net/textproto.", "HTTP"},
	{"net.(*pipe)", "connection to the server"},
	{"net.(*conn)", "sockets"},
	{"github.com/nats-io/nats.go", "connection to the server"},
	{natsServer, "messages"},
	{"github.com/lcbq/lcbq/worker/lcb/result", "files"},
	{"github.com/lcbq/lcbq/worker/lcb.", "extraction"},
	{"github.com/lcbq/lcbq/", "lcbq's own"},
}

func kindOf(stack []string) string {
	for _, f := range stack {
		for _, k := range kinds {
			if strings.HasPrefix(f, k.prefix) {
				return k.kind
			}
		}
	}
	return "other"
}

func holds(stack []string, prefix string) bool {
	return slices.ContainsFunc(stack, func(f string) bool { return strings.HasPrefix(f, prefix) })
}

// Sum adds up what several profiles say.
func Sum(profiles ...[]Stage) []Stage {
	stages := map[string]map[string]float64{}
	for _, all := range profiles {
		for _, s := range all {
			if stages[s.Name] == nil {
				stages[s.Name] = map[string]float64{}
			}
			for _, k := range s.Kinds {
				stages[s.Name][k.Name] += k.Seconds
			}
		}
	}
	return list(stages)
}

// list returns stages and kinds, the largest first.
func list(stages map[string]map[string]float64) []Stage {
	all := make([]Stage, 0, len(stages))
	for _, name := range slices.Sorted(maps.Keys(stages)) {
		s := Stage{Name: name}
		for _, kind := range slices.Sorted(maps.Keys(stages[name])) {
			s.Seconds += stages[name][kind]
			s.Kinds = append(s.Kinds, Kind{kind, stages[name][kind]})
		}
		slices.SortStableFunc(s.Kinds, func(a, b Kind) int { return cmp.Compare(b.Seconds, a.Seconds) })
		all = append(all, s)
	}
	slices.SortStableFunc(all, func(a, b Stage) int { return cmp.Compare(b.Seconds, a.Seconds) })
	return all
}
