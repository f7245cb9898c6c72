// Package config is lcbq's settings: their names, defaults, ranges and help, read
// from defaults, then a TOML file, then LCBQ_* variables, then flags. It does not
// know what a setting does; the commands copy values into each package's Config.
//
// One name serves everywhere: the flag --unit-size is the variable LCBQ_UNIT_SIZE
// and the TOML key unit-size.
package config

import (
	"errors"
	"fmt"
	"strconv"
)

// A Sweep says what a run measures and where its results go.
type Sweep struct {
	Problems     string `toml:"problems" default:"sample" placeholder:"FILE|sample|v1..v6" help:"problem set: a LiveCodeBench JSONL file, 'sample' (12 built-in problems), or a release such as v6 fetched with 'lcbq dataset fetch'"`
	Start        int    `toml:"start" default:"0" help:"first question, by its place in the set sorted by question_id"`
	End          int    `toml:"end" default:"-1" help:"question to stop before; -1 is the end of the set"`
	N            int    `toml:"n" default:"100" help:"samples per question and temperature; a replay takes what was recorded"`
	Temperatures string `toml:"temperatures" default:"0.1:1.6:0.1" placeholder:"LIST" help:"comma-separated temperatures; FROM:TO:STEP is a range"`
	UnitSize     int    `toml:"unit-size" default:"100" help:"samples per message, the slice that is retried as one"`
	OutputDir    string `toml:"output-dir" short:"o" default:"results" type:"path" help:"results folder"`
	Run          string `toml:"run" placeholder:"ID" help:"run id; by default derived from what defines the run, so that the same command resumes it"`
	Compress     string `toml:"compress" default:"none" enum:"none,zstd" help:"compress the cell files"`
}

// A Model says what generates and how tokens are drawn.
type Model struct {
	Engine         string   `toml:"engine" default:"sim" enum:"sim,replay,openai,vllm" help:"what generates: sim (simulated, for the built-in problems), replay (recorded completions), vllm (started on this machine's GPUs and supervised), openai (any OpenAI-compatible endpoint: vLLM, SGLang, llama.cpp, hosted)"`
	Model          string   `toml:"model" help:"model: with --engine vllm a name on the hub or a folder, by default Qwen/Qwen3-0.6B; with --engine openai the name as the endpoint serves it, by default the one that it serves"`
	Endpoint       []string `toml:"endpoint" env:"LCBQ_ENDPOINT,OPENAI_BASE_URL" placeholder:"URL" help:"base URL of an OpenAI-compatible endpoint, ending in /v1; several share the work"`
	APIKey         string   `toml:"-" env:"LCBQ_API_KEY,OPENAI_API_KEY" help:"key of the endpoint; better given by OPENAI_API_KEY"`
	Completions    string   `toml:"completions" type:"path" placeholder:"FILE" help:"recorded completions for --engine replay"`
	Seed           uint64   `toml:"seed" default:"0" help:"seed of a simulated run"`
	TopP           float64  `toml:"top-p" default:"1" help:"nucleus sampling; 1 is off"`
	TopK           int      `toml:"top-k" default:"0" help:"top-k sampling; 0 is off"`
	MinP           float64  `toml:"min-p" default:"0" help:"min-p sampling; 0 is off"`
	MaxTokens      int      `toml:"max-tokens" default:"500" help:"completion tokens at most"`
	Stop           []string `toml:"stop" placeholder:"TEXT" help:"texts that end a completion"`
	PromptStyle    string   `toml:"prompt-style" default:"lcb" enum:"lcb,single,qwen,qwq" help:"lcb (LiveCodeBench's generic chat prompt), single (the same in one message), qwen or qwq (its raw ChatML prompts)"`
	PromptTemplate string   `toml:"prompt-template" type:"path" placeholder:"FILE" help:"text/template file of your own prompt, instead of a style"`
	Thinking       string   `toml:"thinking" default:"auto" enum:"auto,on,off" help:"whether a reasoning model thinks first"`
	Extract        string   `toml:"extract" default:"lcb" enum:"lcb,first,last-closed,after-think,whole" help:"how the program is taken from a completion; lcb is between the last two fences"`
	Requests       int      `toml:"requests" default:"0" help:"units being generated at once by one generator; 0 chooses by engine"`
	SimUnique      float64  `toml:"sim-unique" default:"0" help:"share of simulated programs made textually unique, 0 to 1"`
	SimTPS         float64  `toml:"sim-tps" default:"0" help:"pace of one simulated generator in completion tokens per second; 0 is unpaced"`
}

// DefaultModel is what --engine vllm serves unless --model says otherwise.
const DefaultModel = "Qwen/Qwen3-0.6B"

// A VLLM says how --engine vllm runs vLLM on this machine. What shapes the samples (type, length, further
// arguments) belongs to the run; the rest to the machine.
type VLLM struct {
	VLLM                 string   `toml:"vllm" name:"vllm" default:"vllm" placeholder:"PROGRAM" help:"the vllm to run"`
	GPUs                 string   `toml:"gpus" name:"gpus" placeholder:"LIST|none" help:"GPUs for vLLM, by nvidia-smi's index or UUID, one engine on each; by default CUDA_VISIBLE_DEVICES, or all; none hides every GPU from a vLLM that computes on the CPU"`
	DType                string   `toml:"dtype" name:"dtype" default:"half" help:"vLLM's number type"`
	MaxModelLen          int      `toml:"max-model-len" default:"2182" help:"prompt and completion tokens together"`
	MaxNumSeqs           int      `toml:"max-num-seqs" default:"512" help:"sequences that one vLLM computes at once"`
	MaxNumBatchedTokens  int      `toml:"max-num-batched-tokens" default:"32768" help:"tokens of one step of vLLM"`
	GPUMemoryUtilization float64  `toml:"gpu-memory-utilization" name:"gpu-memory-utilization" default:"0.95" help:"share of each GPU's memory that vLLM claims"`
	TensorParallel       int      `toml:"tensor-parallel" default:"1" help:"GPUs of one engine: only for models that one GPU cannot hold, and with NVLink"`
	NoPrefixCaching      bool     `toml:"no-prefix-caching" help:"compute each prompt anew"`
	NoChunkedPrefill     bool     `toml:"no-chunked-prefill" help:"do not mix prompts and completions in a step"`
	NoTrustRemoteCode    bool     `toml:"no-trust-remote-code" help:"run no code that comes with the model"`
	VLLMArg              []string `toml:"vllm-arg" name:"vllm-arg" sep:"none" placeholder:"ARG" help:"further argument of vllm serve, passed as it is, such as --vllm-arg=--enforce-eager; it wins over lcbq's own"`
}

// A Judge says how programs are judged and by which interpreter.
type Judge struct {
	Judge           string  `toml:"judge" default:"lcb" enum:"lcb,script" help:"lcb: the official runner's verdicts; script: a real script on real stdin and stdout"`
	TimeLimit       float64 `toml:"time-limit" default:"6" help:"CPU seconds per test"`
	MemoryLimit     Bytes   `toml:"memory-limit" default:"4GiB" help:"memory of one program"`
	OutputLimit     Bytes   `toml:"output-limit" default:"16MiB" help:"output of one test"`
	Python          string  `toml:"python" default:"python3" placeholder:"PATH" help:"interpreter that judges, 3.10 or later"`
	SandboxMinLevel string  `toml:"sandbox-min-level" default:"C" enum:"A,B,C" help:"refuse to judge below this sandbox level"`
}

// Workers says how many of them a machine runs.
type Workers struct {
	Evaluators  string `toml:"evaluators" aliases:"num-evaluators" default:"auto" placeholder:"N|auto" help:"programs judged at once; auto is one on each processor, beside GPUs that work at least an eighth of that, and more where these do not wait for processors"`
	ReserveCPUs string `toml:"reserve-cpus" name:"reserve-cpus" default:"auto" placeholder:"N|auto" help:"processors of this machine on which no program is judged, left to the engines beside; auto is 8 for each GPU that generates here, at most half of them"`
	Generators  int    `toml:"generators" default:"1" help:"simulated or attached generators; --engine vllm has one on each GPU, or as many as this with --gpus none"`
}

// A Server says where the queue is.
type Server struct {
	NATS     string  `toml:"nats" env:"LCBQ_NATS,NATS_URL" placeholder:"URL" help:"NATS server of the run"`
	Creds    string  `toml:"creds" type:"path" placeholder:"FILE" help:"NATS credentials file"`
	Listen   string  `toml:"listen" default:"auto" placeholder:"HOST:PORT" help:"address of the embedded server; auto is 127.0.0.1:4222, or a free port if that is taken"`
	StoreDir string  `toml:"store-dir" type:"path" placeholder:"DIR" help:"where the embedded server keeps its streams; by default .lcbq in the results folder"`
	StoreMax Bytes   `toml:"store-max" default:"64GiB" help:"disk that the embedded server may use"`
	Wait     bool    `toml:"wait" help:"wait for a server that cannot be reached yet, instead of giving up"`
	AckWait  float64 `toml:"ack-wait" default:"60" help:"seconds without a sign from a worker after which its unit goes to another"`
}

// A Hub says where LiveCodeBench's problem files come from.
type Hub struct {
	HFEndpoint string `toml:"hf-endpoint" env:"LCBQ_HF_ENDPOINT,HF_ENDPOINT" placeholder:"URL" help:"the hub, or a mirror of it"`
	HFToken    string `toml:"-" env:"LCBQ_HF_TOKEN,HF_TOKEN" placeholder:"TOKEN" help:"token of the hub; better given by HF_TOKEN"`
	HFHome     string `toml:"hf-home" env:"LCBQ_HF_HOME,HF_HOME" type:"path" placeholder:"DIR" help:"folder of the hub's files; by default that of the hub's own tools"`
	HFOffline  bool   `toml:"hf-offline" env:"LCBQ_HF_OFFLINE,HF_HUB_OFFLINE" help:"open no connection, use what has been fetched"`
	HFCache    string `toml:"hf-hub-cache" name:"hf-hub-cache" env:"LCBQ_HF_HUB_CACHE,HF_HUB_CACHE" type:"path" placeholder:"DIR" help:"folder of the hub's models and datasets; by default hub in hf-home"`
	HFRevision string `toml:"hf-revision" placeholder:"REV" help:"branch, tag or commit of the dataset"`
}

// A Config is all settings of a run, as run.toml holds them.
type Config struct {
	Sweep   `embed:""`
	Model   `embed:""`
	VLLM    `embed:""`
	Judge   `embed:""`
	Workers `embed:""`
	Server  `embed:""`
	Hub     `embed:""`
}

// Check reports every setting of s that is out of range.
func (s Sweep) Check() error {
	var c checker
	c.check(s.Start >= 0, "start", s.Start, "0 or more")
	c.check(s.End == -1 || s.End > s.Start, "end", s.End, "-1, or more than --start")
	c.check(s.N >= 1 && s.N <= 1_000_000, "n", s.N, "1 to 1000000")
	c.check(s.UnitSize >= 1 && s.UnitSize <= 10_000, "unit-size", s.UnitSize, "1 to 10000")
	return errors.Join(c.errs...)
}

// Check reports every setting of m that is out of range or lacks its partner.
func (m Model) Check() error {
	var c checker
	c.check(m.TopP > 0 && m.TopP <= 1, "top-p", m.TopP, "more than 0, at most 1")
	c.check(m.TopK >= 0, "top-k", m.TopK, "0 or more")
	c.check(m.MinP >= 0 && m.MinP <= 1, "min-p", m.MinP, "0 to 1")
	c.check(m.MaxTokens >= 1, "max-tokens", m.MaxTokens, "1 or more")
	c.check(m.Requests >= 0, "requests", m.Requests, "0 or more")
	c.check(m.SimUnique >= 0 && m.SimUnique <= 1, "sim-unique", m.SimUnique, "0 to 1")
	c.check(m.SimTPS >= 0, "sim-tps", m.SimTPS, "0 or more")
	c.check(m.Engine != "replay" || m.Completions != "", "completions", m.Completions, "a file, for --engine replay")
	c.check(m.Engine != "openai" || len(m.Endpoint) > 0, "endpoint", m.Endpoint, "a URL, for --engine openai")
	return errors.Join(c.errs...)
}

// Check reports every setting of v that is out of range.
func (v VLLM) Check() error {
	var c checker
	c.check(v.MaxModelLen >= 1, "max-model-len", v.MaxModelLen, "1 or more")
	c.check(v.MaxNumSeqs >= 1, "max-num-seqs", v.MaxNumSeqs, "1 or more")
	c.check(v.MaxNumBatchedTokens >= 1, "max-num-batched-tokens", v.MaxNumBatchedTokens, "1 or more")
	c.check(v.GPUMemoryUtilization > 0 && v.GPUMemoryUtilization <= 1, "gpu-memory-utilization", v.GPUMemoryUtilization, "more than 0, at most 1")
	c.check(v.TensorParallel >= 1, "tensor-parallel", v.TensorParallel, "1 or more")
	return errors.Join(c.errs...)
}

// Check reports every setting of j that is out of range.
func (j Judge) Check() error {
	var c checker
	c.check(j.TimeLimit >= 0.1 && j.TimeLimit <= 3600, "time-limit", j.TimeLimit, "0.1 to 3600 seconds")
	c.check(j.MemoryLimit >= 64<<20, "memory-limit", j.MemoryLimit, "64MiB or more")
	c.check(j.OutputLimit >= 1<<10 && j.OutputLimit <= 1<<30, "output-limit", j.OutputLimit, "1KiB to 1GiB")
	return errors.Join(c.errs...)
}

// Check reports every setting of w that is out of range.
func (w Workers) Check() error {
	var c checker
	n, err := w.Slots(1)
	c.check(err == nil && n >= 1 && n <= 1024, "evaluators", w.Evaluators, "auto, or 1 to 1024")
	n, _, err = w.Reserve(0)
	c.check(err == nil && n >= 0 && n <= 8192, "reserve-cpus", w.ReserveCPUs, "auto, or 0 to 8192")
	c.check(w.Generators >= 1 && w.Generators <= 64, "generators", w.Generators, "1 to 64")
	return errors.Join(c.errs...)
}

// Check reports every setting of s that is out of range.
func (s Server) Check() error {
	var c checker
	c.check(s.StoreMax >= 64<<20, "store-max", s.StoreMax, "64MiB or more")
	c.check(s.AckWait >= 1 && s.AckWait <= 3600, "ack-wait", s.AckWait, "1 to 3600 seconds")
	return errors.Join(c.errs...)
}

// Check reports every setting of c that is out of range.
func (c Config) Check() error {
	return errors.Join(c.Sweep.Check(), c.Model.Check(), c.VLLM.Check(), c.Judge.Check(), c.Workers.Check(), c.Server.Check())
}

// Slots returns the number of programs judged at once, free where the setting is auto.
func (w Workers) Slots(free int) (int, error) {
	return number("evaluators", w.Evaluators, max(free, 1))
}

// Auto reports whether nobody has said how many programs are judged at once.
func (w Workers) Auto() bool { return w.Evaluators == "auto" }

// Reserve returns how many processors are left to engines, and whether somebody said so; auto
// where nobody did.
func (w Workers) Reserve(auto int) (n int, said bool, err error) {
	n, err = number("reserve-cpus", w.ReserveCPUs, auto)
	return n, w.ReserveCPUs != "auto", err
}

// number returns the value of a setting that is a number, or auto.
func number(name, text string, auto int) (int, error) {
	if text == "auto" {
		return auto, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || strconv.Itoa(n) != text {
		return 0, fmt.Errorf("%s %q: want auto or a number", name, text)
	}
	return n, nil
}

// A checker collects what is wrong, so that the user mends it all at once.
type checker struct{ errs []error }

func (c *checker) check(ok bool, name string, got any, want string) {
	if ok {
		return
	}
	if s, isText := got.(string); isText {
		got = fmt.Sprintf("%q", s)
	}
	c.errs = append(c.errs, fmt.Errorf("--%s = %v: want %s", name, got, want))
}
