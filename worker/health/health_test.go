package health_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/health"
)

// A server is how made-up answers come: what a test changes of rightly formed ones.
type server struct {
	temperatures []float64
	questions, n int
	engine       stream.Engine
	change       func(i int, t float64, s *stream.Sample, j *stream.Judgement)
	maxTokens    int
	otherRule    int // of each cell
}

// cells makes the samples, counts them as a cell's file is counted, and shows them to w.
func (sv server) cells(t *testing.T, w *health.Watch) (cells []health.Cell, stopped int) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	seen := 0
	for q := range sv.questions {
		for _, temp := range sv.temperatures {
			var c stream.Counts
			texts := map[string]bool{}
			at, err := stream.ParseTemperature(fmt.Sprint(temp))
			if err != nil {
				t.Fatal(err)
			}
			for i := range sv.n {
				// A bad model: rightly formed nonsense, which differs as its temperature says.
				text := fmt.Sprintf("Here is the program:\n```python\nprint(input(), %d)\n```\nIt prints what it reads.\n", int(rng.Float64()*temp*1000))
				s := stream.Sample{Index: i, Completion: text, Code: "print", Tokens: len(text) / 4, FinishReason: "stop"}
				j := stream.Judgement{Verdict: stream.WrongAnswer}
				if sv.change != nil {
					sv.change(i, temp, &s, &j)
				}
				c.Count(&s, &j)
				if s.Completion != "" {
					texts[s.Completion] = true
				}
				seen++
				if w.See(stream.Cell{Run: "r", Question: q, Temperature: at}, []stream.Sample{s}) != nil && stopped == 0 {
					stopped = seen
				}
			}
			c.Answers.Texts = len(texts)
			c.Answers.OtherRule = sv.otherRule
			cells = append(cells, health.Cell{Question: q, Temperature: temp, Counts: c})
		}
	}
	return cells, stopped
}

func (sv server) find(t *testing.T) (found []health.Finding, stopped int) {
	t.Helper()
	settings := health.Settings{MaxTokens: 2000, Engine: stream.EngineOpenAI}
	if sv.maxTokens != 0 {
		settings.MaxTokens = sv.maxTokens
	}
	if sv.engine != "" {
		settings.Engine = sv.engine
	}
	w := &health.Watch{Settings: settings}
	cells, stopped := sv.cells(t, w)
	return health.Of(cells, settings), stopped
}

func empty(finish string, tokens int) func(int, float64, *stream.Sample, *stream.Judgement) {
	return func(_ int, _ float64, s *stream.Sample, j *stream.Judgement) {
		*s = stream.Sample{Index: s.Index, FinishReason: finish, Tokens: tokens}
		j.Verdict = stream.NoCode
	}
}

func TestSickServers(t *testing.T) {
	t.Parallel()
	const program = "Here is a program that is long enough to vary:\n```python\nprint(1)\n```\n"
	long := func(tokens int, ended string) func(int, float64, *stream.Sample, *stream.Judgement) {
		return func(i int, _ float64, s *stream.Sample, j *stream.Judgement) {
			s.Completion, s.Code, s.Tokens, s.FinishReason = strings.Repeat(fmt.Sprintf("thought %d ", i), 1+tokens/3), "", tokens, ended
			j.Verdict = stream.Truncated
		}
	}
	every := func(n int, f func(int, float64, *stream.Sample, *stream.Judgement)) func(int, float64, *stream.Sample, *stream.Judgement) {
		return func(i int, t float64, s *stream.Sample, j *stream.Judgement) {
			if i%n == 0 {
				f(i, t, s, j)
			}
		}
	}
	for _, tt := range []struct {
		name    string
		server  server
		code    health.Code
		grave   bool
		stopped int
		text    string
	}{
		{"text elsewhere", server{change: empty("stop", 77)}, health.Empty, true, 20, "all 100 answers are empty although 77 tokens were counted an answer: the text is in a field"},
		{"nothing at all", server{change: empty("stop", 0)}, health.Empty, true, 20, "the server answers nothing"},
		{"filter", server{change: empty("content_filter", 0)}, health.Empty, true, 20, "a content filter withholds them"},
		{"filter in other words", server{change: empty("SAFETY", 0)}, health.Filtered, true, 20, "ended by a content filter"},
		{"tools", server{change: empty("tool_calls", 30)}, health.Empty, true, 20, "calls of tools"},
		{"spaces", server{change: func(i int, t float64, s *stream.Sample, j *stream.Judgement) { s.Completion, s.Code = " \n", "" }}, health.Empty, true, 20, "empty"},
		{"context full", server{change: long(20, "length")}, health.ServerCut, true, 20, "end for length at 20 tokens on average, before the 2,000"},
		{"context full, some", server{change: every(10, long(300, "length"))}, health.ServerCut, false, 0, "10 of 100 answers end for length at 300"},
		{"own limit", server{change: every(10, long(2000, "length"))}, health.Truncated, false, 0, "cut off by --max-tokens 2000; by temperature: 10 % at 0.8"},
		{"own limit, all", server{change: long(2000, "length")}, health.Truncated, false, 0, "all 100"},
		{"cache", server{change: func(_ int, _ float64, s *stream.Sample, _ *stream.Judgement) { s.Completion = program }}, health.Identical, true, 21, "identical texts at temperature 0.8 and above (all 100"},
		{"no reason", server{change: func(_ int, _ float64, s *stream.Sample, _ *stream.Judgement) { s.FinishReason = "" }}, health.Unfinished, false, 0, "without a reason"},
		{"prose", server{change: func(_ int, _ float64, s *stream.Sample, j *stream.Judgement) {
			s.Code, j.Verdict = "", stream.NoCode
		}}, health.NoProgram, false, 0, "no program"},
		{"unclosed fences", server{otherRule: 7}, health.OtherRule, false, 0, "7 of 100 answers the run's rule finds no program"},
		{"no counts", server{change: func(_ int, _ float64, s *stream.Sample, _ *stream.Judgement) { s.Tokens = 0 }}, health.Uncounted, false, 0, "not counted"},
		{"counts of hidden thoughts", server{change: func(_ int, _ float64, s *stream.Sample, _ *stream.Judgement) { s.Tokens = 900 }}, health.Counting, false, 0, "90,000 tokens were counted for"},
		{"counts of one", server{change: func(_ int, _ float64, s *stream.Sample, _ *stream.Judgement) { s.Tokens = 1 }}, health.Counting, false, 0, "only 100 tokens"},
		{"given up", server{change: every(20, func(_ int, _ float64, s *stream.Sample, _ *stream.Judgement) { s.FinishReason = "abort" })}, health.Aborted, false, 0, "5 of 100"},
		{"refused", server{change: every(20, empty("refused", 0))}, health.Refused, false, 0, "refused by the server and count as failed (5 % at 0.8)"},
		{"fields left out", server{change: func(_ int, _ float64, s *stream.Sample, _ *stream.Judgement) { s.LeftOut = "min_p top_k" }}, health.LeftOut, false, 0, "does not take min_p, top_k: all 100 answers were drawn by its own defaults"},
		{"fields left out on the way", server{change: every(4, func(_ int, _ float64, s *stream.Sample, _ *stream.Judgement) { s.LeftOut = "top_k" })}, health.LeftOut, false, 0, "changed on the way: 25 of 100 answers were drawn without top_k, by the server's own defaults (25 % at 0.8)"},
		{"drawn again", server{change: every(10, func(_ int, _ float64, s *stream.Sample, _ *stream.Judgement) {
			s.Redrawn = "status 500, cut off, status 500"
		})}, health.Redrawn, false, 0, "30 completions were broken off or refused and drawn again (status 500: 20, cut off: 10), of 130; which ones break may depend on their text. Shares: 30 % at 0.8"},
		{"another model", server{change: func(_ int, _ float64, s *stream.Sample, _ *stream.Judgement) { s.AnsweredAs = "mini" }}, health.OtherModel, false, 0, "all 100 answers name another model than the one that was asked for (mini: 100)"},
		{"other models now and then", server{change: every(4, func(i int, _ float64, s *stream.Sample, _ *stream.Judgement) {
			s.AnsweredAs = fmt.Sprintf("m%d", min(i/4, 11))
		})}, health.OtherModel, false, 0, "25 of 100 answers name another model than the one that was asked for (others: 17, m0: 1"},
		{"filtered by the server, all", server{change: func(_ int, _ float64, s *stream.Sample, j *stream.Judgement) {
			*s, j.Verdict = stream.Sample{FinishReason: "refused"}, stream.Refused
		}}, health.Empty, true, 20, "the server refused the texts"},
		{"some empty", server{change: every(10, empty("stop", 40))}, health.Empty, false, 0, "10 of 100 answers are empty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.server.questions == 0 {
				tt.server.questions = 1
			}
			if tt.server.temperatures == nil {
				tt.server.temperatures = []float64{0.8}
			}
			tt.server.n = 100
			found, stopped := tt.server.find(t)
			if stopped != tt.stopped {
				t.Errorf("the watch stops after %d samples, want %d", stopped, tt.stopped)
			}
			for _, f := range found {
				if f.Code == tt.code {
					if f.Grave != tt.grave || !strings.Contains(f.Text, tt.text) {
						t.Errorf("finding %+v, want grave = %v and the words %q", f, tt.grave, tt.text)
					}
					if f.Grave && f.Remedy == "" {
						t.Errorf("finding %q has no remedy", f.Text)
					}
					return
				}
			}
			if tt.code != "" {
				t.Errorf("findings are %+v, want %s", found, tt.code)
			}
		})
	}
}

// TestLaterSickness stops when a server that worked answers nothing any more.
func TestLaterSickness(t *testing.T) {
	t.Parallel()
	_, stopped := server{questions: 1, temperatures: []float64{0.8}, n: 500, change: func(i int, temp float64, s *stream.Sample, j *stream.Judgement) {
		if i >= 100 {
			empty("stop", 0)(i, temp, s, j)
		}
	}}.find(t)
	if stopped != 300 {
		t.Errorf("the watch stops after %d samples, want 300: 200 empty ones in a row", stopped)
	}
}

// TestFalseAlarms holds the findings that an honest run must not have.
func TestFalseAlarms(t *testing.T) {
	t.Parallel()
	all := []float64{0.1, 0.2, 0.5, 0.8, 1.2, 2}
	for name, sv := range map[string]server{
		"nonsense":     {questions: 3, temperatures: all, n: 50},
		"greedy":       {questions: 3, temperatures: []float64{0, 0.1}, n: 50},
		"one question": {questions: 1, temperatures: all, n: 100},
		"one sample":   {questions: 60, temperatures: []float64{0.8}, n: 1},
		"one of all":   {questions: 1, temperatures: []float64{0.8}, n: 1},
		"short alike":  {questions: 3, temperatures: []float64{0.8}, n: 50, change: func(_ int, _ float64, s *stream.Sample, _ *stream.Judgement) { s.Completion = "```\nprint(1)\n```" }},
		"rarely cut": {questions: 1, temperatures: []float64{0.8}, n: 100, change: func(i int, _ float64, s *stream.Sample, _ *stream.Judgement) {
			if i == 50 {
				s.FinishReason, s.Tokens = "length", 2000
			}
		}},
		"one empty": {questions: 1, temperatures: []float64{0.8}, n: 100, change: func(i int, temp float64, s *stream.Sample, j *stream.Judgement) {
			if i == 50 {
				empty("stop", 1)(i, temp, s, j)
			}
		}},
		"simulated": {questions: 1, temperatures: []float64{0.8}, n: 100, engine: stream.EngineSim, change: empty("stop", 9)},
		"recorded programs": {questions: 1, temperatures: []float64{0.8}, n: 100, engine: stream.EngineReplay, change: func(_ int, _ float64, s *stream.Sample, _ *stream.Judgement) {
			s.Completion, s.FinishReason, s.Tokens = "", "", 0
		}},
		"one cut connection in thousands": {questions: 1, temperatures: []float64{0.8}, n: 2000, change: func(i int, _ float64, s *stream.Sample, _ *stream.Judgement) {
			if i == 50 {
				s.Redrawn = "connection lost"
			}
		}},
		"other stop reasons": {questions: 1, temperatures: []float64{0.8}, n: 100, change: func(_ int, _ float64, s *stream.Sample, _ *stream.Judgement) { s.FinishReason = "end_turn" }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found, stopped := sv.find(t)
			if len(found) > 0 || stopped > 0 {
				t.Errorf("findings %+v, stopped after %d; want none", found, stopped)
			}
		})
	}
}
