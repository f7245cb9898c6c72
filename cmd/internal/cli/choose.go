package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/worker/engine/vllm"
	"github.com/lcbq/lcbq/worker/gpu"
)

// autoEngine is the --engine that follows from the other settings.
const autoEngine = "auto"

// chooseEngine returns the engine of a run whose settings name none. A setting of one engine
// alone chooses that engine. The built-in problems are simulated. Every other set needs a real
// engine and is refused where this machine has none, because the simulated model knows only the
// built-in problems. program is the vllm to look for.
func chooseEngine(ctx context.Context, cfg config.Definition, program string) (string, error) {
	endpoints := cfg.Endpoint
	if cfg.Problems == builtin {
		// OPENAI_BASE_URL is set for every program: a first look at lcbq does not send
		// thousands of requests to where somebody pays for them.
		endpoints = slices.DeleteFunc(slices.Clone(endpoints), config.Ambient)
	}
	switch recorded, attached := cfg.Completions != "", len(endpoints) > 0; {
	case cfg.Engine != autoEngine:
		return cfg.Engine, nil
	case recorded && attached && !slices.ContainsFunc(endpoints, config.Ambient):
		return "", usageError{errors.New("--completions and --endpoint: a run has one engine\nsay --engine replay, or --engine openai")}
	case recorded:
		return "replay", nil
	case attached:
		return "openai", nil
	case cfg.Problems == builtin:
		return "sim", nil
	}
	lacks := "this machine has no GPU that its driver tells of"
	if gpu.Count(ctx) > 0 {
		_, err := vllm.Find(program)
		if err == nil {
			return "vllm", nil
		}
		lacks, _, _ = strings.Cut(err.Error(), "\n")
	}
	return "", usageError{fmt.Errorf("the problems %s need a real engine, and none is named: %s\n"+
		"give --endpoint URL for an OpenAI-compatible server, --engine llama --model FILE.gguf for llama.cpp on this machine, --completions FILE for recorded completions, or --engine vllm where the machines that generate have it", cfg.Problems, lacks)}
}

// checkRange refuses questions that the problem set does not have. args is the command line.
func checkRange(cfg config.Sweep, count int, args []string) error {
	if cfg.End <= count && cfg.Start < count {
		return nil
	}
	flag, value := "end", cfg.End
	if cfg.End <= count {
		flag, value = "start", cfg.Start
	}
	remedy := fmt.Sprintf("leave out --%s, or say one of 0 to %d", flag, count)
	if cfg.Problems == builtin {
		remedy = "perhaps you meant LiveCodeBench's own problems: " + withProblems(args, "v6")
	}
	return usageError{fmt.Errorf("--%s = %d: the problem set %s has %d questions, 0 to %d\n%s", flag, value, cfg.Problems, count, count-1, remedy)}
}

// withProblems returns a command line with another problem set.
func withProblems(args []string, set string) string {
	out := []string{"lcbq"}
	named := false
	for i := 0; i < len(args); i++ {
		switch name, _, joined := strings.Cut(args[i], "="); {
		case name == "--problems" && joined:
			out, named = append(out, "--problems="+set), true
		case name == "--problems":
			out, named = append(out, name, set), true
			i++
		default:
			out = append(out, quoted(args[i]))
		}
	}
	if !named {
		at := 1 + slices.IndexFunc(out[1:], isVerb) + 1 // behind the verb
		out = slices.Insert(out, at, "--problems", set)
	}
	return strings.Join(out, " ")
}

// quoted returns a word as a shell takes it.
func quoted(word string) string {
	plain := func(r rune) bool {
		return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("-_./:,=@+%", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// mostTemperature is the highest temperature that engines accept: OpenAI-compatible servers
// refuse more.
const mostTemperature = 2

// checkTemperature refuses a temperature that no engine accepts.
func checkTemperature(t float64) error {
	if t > mostTemperature {
		return fmt.Errorf("--temperatures: %s is too high: engines sample at 0 to %d", strconv.FormatFloat(t, 'g', -1, 64), mostTemperature)
	}
	return nil
}

// isVerb reports whether a word of the command line is a command.
func isVerb(word string) bool {
	_, ok := examples[word]
	return ok
}
