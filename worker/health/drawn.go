package health

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lcbq/lcbq/stream"
)

// leftOut is about answers that were drawn without a field of sampling that the run sends,
// because the server does not take it. The field is off in this run, but the server's own
// default may be something else.
func (r *rules) leftOut() {
	fields := slices.Sorted(maps.Keys(r.a.LeftOut))
	if len(fields) == 0 {
		return
	}
	names := strings.Join(fields, ", ")
	counts := slices.Collect(maps.Values(r.a.LeftOut))
	without := slices.Max(counts)
	const remedy = "see that the server's defaults for them are off (vLLM: --generation-config vllm), or ask a server that takes them"
	if slices.Min(counts) == r.n {
		r.add(LeftOut, false, r.n, r.n, remedy, "the server does not take %s: all %s answers were drawn by its own defaults, where the run wants them off", names, number(r.n))
		return
	}
	r.add(LeftOut, false, without, r.n, remedy, "the sampling changed on the way: %s answers were drawn without %s, by the server's own defaults (%s); left_out in each cell's file names them",
		of(without, r.n), names, r.byTemperature(func(a *stream.Answers) int {
			most := 0
			for _, n := range a.LeftOut {
				most = max(most, n)
			}
			return most
		}))
}

// redrawnLeast is the share of broken completions from which they are told: below it they
// change no pass rate that anybody could see.
const redrawnLeast = 0.001

// redrawn is about completions that the server broke off or refused and that were drawn
// again. Which ones break may depend on what they say, so that those that are kept are not a
// fair sample of what the model writes.
func (r *rules) redrawn() {
	lost := sum(r.a.Redrawn)
	if lost == 0 || float64(lost) < redrawnLeast*float64(r.n+lost) {
		return
	}
	causes := slices.SortedFunc(maps.Keys(r.a.Redrawn), func(a, b string) int {
		if d := r.a.Redrawn[b] - r.a.Redrawn[a]; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	var parts []string
	for _, c := range causes {
		parts = append(parts, fmt.Sprintf("%s: %s", c, number(r.a.Redrawn[c])))
	}
	r.add(Redrawn, false, lost, r.n+lost, redrawnRemedy(causes[0]), "%s completions were broken off or refused and drawn again (%s), of %s; which ones break may depend on their text. Shares: %s",
		number(lost), strings.Join(parts, ", "), number(r.n+lost), r.byTemperature(func(a *stream.Answers) int { return sum(a.Redrawn) }))
}

// otherModel is about answers that name another model than was asked for. It may be the same one by
// another name, or what a router took instead: nobody can tell from here.
func (r *rules) otherModel() {
	n := sum(r.a.AnsweredAs)
	if n == 0 {
		return
	}
	var models []string
	for _, m := range slices.SortedFunc(maps.Keys(r.a.AnsweredAs), func(a, b string) int {
		if d := r.a.AnsweredAs[b] - r.a.AnsweredAs[a]; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	}) {
		models = append(models, fmt.Sprintf("%s: %s", m, number(r.a.AnsweredAs[m])))
	}
	remedy := "if that is the same model, give --model the name that the server uses; if it is not, the numbers are those of another model"
	if n < r.n || len(models) > 1 {
		remedy = "several models answered: ask a server that has one, or switch the router's fallbacks off"
	}
	r.add(OtherModel, false, n, r.n, remedy, "%s answers name another model than the one that was asked for (%s); answered_as in each cell's file says which", of(n, r.n), strings.Join(models, ", "))
}

// redrawnRemedy returns the setting that avoids a cause.
func redrawnRemedy(cause string) string {
	switch {
	case cause == "timed out":
		return "give the server fewer requests at once (--requests), or lower --max-tokens"
	case cause == "refused text" || strings.HasPrefix(cause, "status "):
		return "start the server without what reads the model's text: its tool parser and its reasoning parser (vLLM: no --enable-auto-tool-choice, no --reasoning-parser; llama.cpp: --reasoning-format none); its log says what failed"
	default:
		return "look into the log of the server, and of a proxy before it, for what ends its answers: a limit of time or memory, or a restart"
	}
}

func sum(m map[string]int) int {
	all := 0
	for _, n := range m {
		all += n
	}
	return all
}

// byTemperature returns the share of each temperature's answers that count counts, in words.
func (r *rules) byTemperature(count func(*stream.Answers) int) string {
	hits, all := map[float64]int{}, map[float64]int{}
	for i := range r.cells {
		if a := r.cells[i].Counts.Answers; a != nil {
			hits[r.cells[i].Temperature] += count(a)
			all[r.cells[i].Temperature] += a.N()
		}
	}
	var parts []string
	for _, t := range sortedKeys(all) {
		parts = append(parts, fmt.Sprintf("%.2g %% at %v", 100*float64(hits[t])/float64(max(all[t], 1)), t))
	}
	return strings.Join(parts, ", ")
}
