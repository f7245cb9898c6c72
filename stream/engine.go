package stream

import (
	"fmt"
	"strings"
)

// An Engine names what generates a run's samples: in settings, in manifests and in result
// files. The zero value is no engine.
type Engine string

// The engines.
const (
	EngineSim    Engine = "sim"    // a simulated model of the built-in problems
	EngineReplay Engine = "replay" // recorded completions
	EngineOpenAI Engine = "openai" // a server that somebody else runs
	EngineVLLM   Engine = "vllm"   // vLLM, started and supervised by lcbq
	EngineLlama  Engine = "llama"  // llama.cpp's server, started and supervised by lcbq
)

// Engines returns all engines.
func Engines() []Engine {
	return []Engine{EngineSim, EngineReplay, EngineOpenAI, EngineVLLM, EngineLlama}
}

// Check returns an error unless the name is an engine's.
func (e Engine) Check() error {
	names := make([]string, 0, len(Engines()))
	for _, known := range Engines() {
		if e == known {
			return nil
		}
		names = append(names, string(known))
	}
	return fmt.Errorf("engine %q is not known, want one of %s", string(e), strings.Join(names, ", "))
}

// Simulated reports whether no model is asked.
func (e Engine) Simulated() bool { return e == EngineSim }

// Recorded reports whether the samples were made before the run: its sampling settings say
// nothing about them.
func (e Engine) Recorded() bool { return e == EngineReplay }

// Attached reports whether the samples come from servers that somebody else runs.
func (e Engine) Attached() bool { return e == EngineOpenAI }

// Supervised reports whether lcbq starts the server, watches it and ends it.
func (e Engine) Supervised() bool { return e == EngineVLLM || e == EngineLlama }
