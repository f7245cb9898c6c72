// Package health tells by the counts of a run whether its answers are those of a
// model: a server that answers nothing, cuts answers off or repeats one from a cache
// looks like a bad model in every pass rate. It is pure: it reads nothing but counts.
package health

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lcbq/lcbq/stream"
)

// A Cell is one question at one temperature.
type Cell struct {
	Question    int
	Temperature float64
	Counts      stream.Counts
}

// Settings are what of a run decides which answers are to be expected.
type Settings struct {
	MaxTokens int           // most tokens of one answer; 0 if unknown
	Engine    stream.Engine // simulated ones are never judged, recorded ones by their texts alone
}

// A Code names a kind of finding.
type Code string

// The codes.
const (
	Empty      Code = "empty_answers"       // answers without any text
	Filtered   Code = "content_filter"      // answers that a filter ended
	ToolCalls  Code = "tool_calls"          // answers that the server took for calls of tools
	Aborted    Code = "aborted"             // answers that the server gave up
	Refused    Code = "refused"             // texts that the server refused to hand out
	Rejected   Code = "requests_refused"    // requests of which the server takes none
	ServerCut  Code = "cut_by_server"       // answers that end for length before --max-tokens
	Truncated  Code = "truncated"           // answers that end at --max-tokens
	Unfinished Code = "no_finish_reason"    // answers whose end nobody explains
	Identical  Code = "identical_answers"   // the same text over and over where they should differ
	NoProgram  Code = "no_program"          // answers without a program
	OtherRule  Code = "other_rule"          // answers in which another rule of extraction finds a program
	Uncounted  Code = "tokens_not_counted"  // answers whose tokens nobody counted
	Counting   Code = "tokens_without_text" // far more or fewer tokens than the text can hold
	LeftOut    Code = "fields_left_out"     // answers drawn without a field of sampling
	Redrawn    Code = "redrawn"             // answers that were broken off or refused and drawn again
	OtherModel Code = "other_model"         // answers that name another model than was asked for
)

// A Finding is one thing that a reader of the numbers must know.
type Finding struct {
	Code   Code    `json:"code"`
	Grave  bool    `json:"grave,omitempty"` // the pass rates say nothing about the model
	Share  float64 `json:"share"`           // of the samples that it could be: 0 to 1
	Text   string  `json:"text"`
	Remedy string  `json:"remedy,omitempty"`
}

// String returns the finding in a sentence, and its remedy on a second line.
func (f Finding) String() string {
	if f.Remedy == "" {
		return f.Text
	}
	return f.Text + "\n" + f.Remedy
}

// The thresholds. Below leastAll samples nothing is grave: too few to tell a broken
// server from an odd model.
const (
	leastAll   = 5    // samples that a grave finding needs
	most       = 0.5  // share from which answers that are no answers make the numbers meaningless
	some       = 0.05 // share from which truncation and empty answers are told
	rare       = 0.01 // share from which interventions of the server are told
	warm       = 0.3  // temperature from which samples of a sentence or more differ
	hot        = 0.5  // temperature from which they must
	manySame   = 20   // identical samples that no model writes at hot temperatures
	sentence   = 50   // bytes of a text that is long enough to vary
	nearLimit  = 0.98 // of --max-tokens: where an answer ends, the limit ended it
	leastBytes = 0.5  // bytes of text a token, fewer were not received
	mostBytes  = 16.0 // and more were not counted
)

// Of returns the findings of a run, the grave ones first.
func Of(cells []Cell, s Settings) []Finding {
	if s.Engine.Simulated() {
		return nil
	}
	sum := total(cells)
	if sum.Answers == nil || sum.Answers.N() == 0 {
		return nil
	}
	r := rules{s, cells, &sum, sum.Answers, sum.Answers.N(), nil}
	r.empty()
	r.identical()
	r.program()
	if !s.Engine.Recorded() {
		r.endings()
		r.length()
		r.tokens()
		r.leftOut()
		r.redrawn()
		r.otherModel()
	}
	slices.SortStableFunc(r.found, func(a, b Finding) int {
		switch {
		case a.Grave == b.Grave:
			return 0
		case a.Grave:
			return -1
		default:
			return 1
		}
	})
	return r.found
}

// Grave returns those of the findings that make the numbers meaningless.
func Grave(all []Finding) []Finding {
	return slices.DeleteFunc(slices.Clone(all), func(f Finding) bool { return !f.Grave })
}

// total adds the cells that were counted.
func total(cells []Cell) stream.Counts {
	var sum stream.Counts
	for i := range cells {
		if cells[i].Counts.Answers != nil {
			sum.Add(&cells[i].Counts)
		}
	}
	return sum
}

type rules struct {
	s     Settings
	cells []Cell
	sum   *stream.Counts
	a     *stream.Answers
	n     int
	found []Finding
}

func (r *rules) add(code Code, grave bool, count, of int, remedy, format string, args ...any) {
	r.found = append(r.found, Finding{
		Code: code, Grave: grave && of >= leastAll, Share: float64(count) / float64(of),
		Text: fmt.Sprintf(format, args...), Remedy: remedy,
	})
}

func (r *rules) share(n int) float64 { return float64(n) / float64(r.n) }

// of says how many, "all 400" or "12 of 400".
func of(n, all int) string {
	if n == all {
		return "all " + number(n)
	}
	return number(n) + " of " + number(all)
}

func number(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// empty is about answers that hold nothing.
func (r *rules) empty() {
	e := r.a.Empty
	if r.share(e) < some && e < manySame || e == 0 {
		return
	}
	if r.share(e) < most && 2*r.a.Finish[stream.FinishRefused] > e {
		return // told as refused
	}
	text := of(e, r.n) + " answers are empty"
	remedy := "ask the server for one answer by hand and look at what it returns"
	switch mean := float64(r.sum.Tokens) / float64(r.n); {
	case 2*r.a.Finish[stream.FinishFilter] > e:
		text += ": a content filter withholds them"
		remedy = "switch the server's content filter off, or ask a server that has none"
	case 2*r.a.Finish[stream.FinishTools] > e:
		text += ": the server takes them for calls of tools"
		remedy = "start the server without its tool parser (vLLM: no --enable-auto-tool-choice)"
	case 2*r.a.Finish[stream.FinishRefused] > e:
		text += ": the server refused the texts that the model wrote"
		remedy = "start the server without its tool parser and its reasoning parser"
	case mean > 1.5:
		text += fmt.Sprintf(" although %.0f tokens were counted an answer: the text is in a field that this client does not read", mean)
		remedy = "start the server without its tool parser and its reasoning parser, or ask a server that returns the text in content"
	case r.sum.Tokens == 0:
		text += " and no token was counted: the server answers nothing"
	}
	r.add(Empty, r.share(e) >= most, e, r.n, remedy, "%s", text)
}

// endings is about answers that the server ended, not the model.
func (r *rules) endings() {
	for _, x := range []struct {
		class  string
		code   Code
		text   string
		remedy string
	}{
		{stream.FinishFilter, Filtered, "answers were ended by a content filter", "switch the server's content filter off, or ask a server that has none"},
		{stream.FinishTools, ToolCalls, "answers were taken for calls of tools", "start the server without its tool parser (vLLM: no --enable-auto-tool-choice)"},
		{stream.FinishAbort, Aborted, "answers were given up by the server", "look into the server's log"},
		{stream.FinishRefused, Refused, "texts that the model wrote were refused by the server and count as failed", "start the server without its tool parser and its reasoning parser"},
	} {
		if n := r.a.Finish[x.class]; n > 0 && r.share(n) >= rare {
			r.add(x.code, r.share(n) >= most, n, r.n, x.remedy, "%s %s (%s)", of(n, r.n), x.text, r.byTemperature(func(a *stream.Answers) int { return a.Finish[x.class] }))
		}
	}
	none := r.a.Finish[stream.FinishNone] + r.a.Finish[stream.FinishOther]
	if none > 0 && r.share(none) >= some {
		r.add(Unfinished, false, none, r.n, "ask a server that returns finish_reason",
			"%s answers end without a reason that is known: those that were cut off are not told from the others", of(none, r.n))
	}
}

// length is about answers that end for length: at the run's own limit or before.
func (r *rules) length() {
	own, server, tokens := 0, 0, int64(0)
	type row struct{ own, all int }
	rows := map[float64]row{}
	for i := range r.cells {
		a := r.cells[i].Counts.Answers
		if a == nil {
			continue
		}
		// All samples of a cell have the same prompt: a context that is full ends them at
		// the same place, so that their mean tells which limit it was.
		n := a.Finish[stream.FinishLength]
		at := rows[r.cells[i].Temperature]
		at.all += a.N()
		if n > 0 && r.s.MaxTokens > 0 && a.LengthTokens > 0 && float64(a.LengthTokens) < nearLimit*float64(r.s.MaxTokens*n) {
			server += n
			tokens += a.LengthTokens
		} else {
			own += n
			at.own += n
		}
		rows[r.cells[i].Temperature] = at
	}
	if server > 0 && r.share(server) >= rare {
		r.add(ServerCut, r.share(server) >= most, server, r.n,
			"give the server a context that holds prompt and answer (Ollama: num_ctx; llama.cpp: -c; vLLM: --max-model-len), or lower --max-tokens",
			"%s answers end for length at %s tokens on average, before the %s that --max-tokens allows: the server's context or its own limit is full",
			of(server, r.n), number(int(tokens/int64(server))), number(r.s.MaxTokens))
	}
	if own > 0 && r.share(own) >= some {
		var parts []string
		for _, t := range sortedKeys(rows) {
			parts = append(parts, fmt.Sprintf("%.0f %% at %v", 100*float64(rows[t].own)/float64(rows[t].all), t))
		}
		limit := "--max-tokens"
		if r.s.MaxTokens > 0 {
			limit = fmt.Sprintf("--max-tokens %d", r.s.MaxTokens)
		}
		r.add(Truncated, false, own, r.n, "a larger --max-tokens lets them end",
			"%s answers were cut off by %s; by temperature: %s", of(own, r.n), limit, strings.Join(parts, ", "))
	}
}

// identical is about samples that should differ and do not.
func (r *rules) identical() {
	same, could, samples, hotSame, hotCould := 0, 0, 0, 0, 0
	coldest := 0.0
	for i := range r.cells {
		c := &r.cells[i]
		a := c.Counts.Answers
		if a == nil || a.Texts == 0 || c.Temperature < warm {
			continue
		}
		n := a.N() - a.Empty
		if n < leastAll || a.Bytes < sentence*int64(n) {
			continue
		}
		could += n
		if c.Temperature >= hot {
			hotCould += n
		}
		if a.Texts > 1 && a.Texts*20 > n {
			continue
		}
		same, samples = same+1, samples+n
		if coldest == 0 || c.Temperature < coldest {
			coldest = c.Temperature
		}
		if c.Temperature >= hot {
			hotSame += n
		}
	}
	if same == 0 {
		return
	}
	grave := hotSame == hotCould && samples == could && hotSame >= manySame
	cells := fmt.Sprintf("%d cells", same)
	if same == 1 {
		cells = "one cell"
	}
	r.add(Identical, grave, samples, could, "switch off what caches answers between lcbq and the model, and the server's fixed seed",
		"the samples of %s are identical texts at temperature %v and above (%s samples): a cache or a fixed seed", cells, coldest, of(samples, could))
}

// program is about answers of which no program could be taken.
func (r *rules) program() {
	n := r.sum.Verdicts[stream.NoCode] + r.sum.Verdicts[stream.Refused] - r.a.Empty
	if n > 0 && r.share(n) >= most && n >= leastAll {
		r.add(NoProgram, false, n, r.n, "look at some with 'lcbq report', and see whether --prompt-style and --extract fit the model",
			"%s answers hold text but no program", of(n, r.n))
	}
	if other := r.a.OtherRule; other > 0 {
		r.add(OtherRule, false, other, r.n, "these count as failed, as the run's rule wants it; judge the same completions by the other rule with 'lcbq grade --extract robust'",
			"in %s answers the run's rule finds no program and the rule robust finds one", of(other, r.n))
	}
}

// tokens compares the tokens that were counted with the text that came.
func (r *rules) tokens() {
	if u := r.a.Uncounted; u > 0 && r.share(u) >= some && u > r.a.Empty {
		r.add(Uncounted, false, u, r.n, "", "the tokens of %s answers were not counted: token rates are too low", of(u, r.n))
	}
	if r.sum.Tokens == 0 || r.a.Bytes == 0 || r.n < leastAll {
		return
	}
	each := float64(r.a.Bytes) / float64(r.sum.Tokens)
	switch {
	case each < leastBytes:
		r.add(Counting, false, r.n, r.n, "a part of what the model wrote, such as its reasoning, is not in the answers",
			"%s tokens were counted for %s bytes of text", number(int(r.sum.Tokens)), number(int(r.a.Bytes)))
	case each > mostBytes && r.share(r.a.Uncounted) < some:
		r.add(Counting, false, r.n, r.n, "the server counts something else: do not trust token rates",
			"only %s tokens were counted for %s bytes of text", number(int(r.sum.Tokens)), number(int(r.a.Bytes)))
	}
}

func sortedKeys[V any](m map[float64]V) []float64 {
	keys := make([]float64, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
