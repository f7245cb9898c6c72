package llama

import (
	"regexp"

	"github.com/lcbq/lcbq/worker/engine/supervise"
)

// failures are the words of the server's log that say what a person must do.
var failures = []supervise.Failure{
	{
		Words:  regexp.MustCompile(`unknown model architecture|unknown pre-tokenizer type|unsupported model architecture`),
		Remedy: "this llama.cpp does not know this kind of model: take a newer one, or another model", Final: true,
	},
	{
		Words:  regexp.MustCompile(`invalid magic characters|failed to open GGUF file|tensor '.*' data is not within the file bounds|model is corrupted`),
		Remedy: "the model's file is damaged or incomplete: fetch it again", Final: true,
	},
	{
		Words:  regexp.MustCompile(`failed to allocate|unable to allocate|out of memory|ErrorOutOfDeviceMemory|failed to fit params`),
		Remedy: "the memory does not suffice: lower --llama-parallel or --max-model-len, or take a smaller model",
	},
	{
		Words:  regexp.MustCompile(`^error: (?:invalid argument|unknown argument)`),
		Remedy: "this llama.cpp is too old for the arguments that it is given: take a newer one and name it with --llama", Final: true,
	},
	{
		Words:  regexp.MustCompile(`error while loading shared libraries|GLIBC_.* not found`),
		Remedy: "a library of the program is missing: install it, or take a build for this system and name it with --llama", Final: true,
	},
}

// steps are the words of the server's log that say what it does before it serves.
var steps = []supervise.Step{
	{Words: regexp.MustCompile(`warming up`), Says: "warms up"},
	{Words: regexp.MustCompile(`initializing, n_slots|llama_context`), Says: "makes room for the sequences"},
	{Words: regexp.MustCompile(`loading model|load_tensors`), Says: "loads the weights"},
}
