package config

import "errors"

// A Llama says how --engine llama runs llama.cpp's server on this machine.
type Llama struct {
	Llama         string `toml:"llama" name:"llama" default:"llama-server" placeholder:"PROGRAM" help:"llama.cpp's server to run, with --engine llama"`
	LlamaFile     string `toml:"llama-file" name:"llama-file" type:"path" placeholder:"FILE" help:"where the model's file lies on this machine, if it is not where --model says"`
	LlamaParallel int    `toml:"llama-parallel" name:"llama-parallel" default:"4" help:"sequences that llama.cpp computes at once; each takes memory for --max-model-len tokens"`
	LlamaThreads  int    `toml:"llama-threads" name:"llama-threads" default:"0" help:"threads of llama.cpp; 0 leaves the number to it"`
}

// Check reports every setting of l that is out of range.
func (l Llama) Check() error {
	var c checker
	c.check(l.LlamaParallel >= 1 && l.LlamaParallel <= 1024, "llama-parallel", l.LlamaParallel, "1 to 1024")
	c.check(l.LlamaThreads >= 0 && l.LlamaThreads <= 1024, "llama-threads", l.LlamaThreads, "0 to 1024")
	return errors.Join(c.errs...)
}
