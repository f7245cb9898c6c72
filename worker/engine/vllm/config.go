// Package vllm is `vllm serve` as a server to supervise: the flags that the installed version has,
// the environment, and what its log says of failures. It starts nothing but the questions to the
// program about its flags: package supervise runs the server.
package vllm

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/lcbq/lcbq/worker/engine/openai"
	"github.com/lcbq/lcbq/worker/engine/supervise"
)

// Config says what to serve on which card. The zero value of every field but
// Install, Model and Device is its default.
type Config struct {
	Install *Install // the installed vllm, from Probe
	Model   string   // a name on the hub or a folder
	Extra   []string // further arguments of vllm serve, passed as they are; they win over ours

	DType           string  // default half
	MaxModelLen     int     // prompt and completion tokens together, default 2182
	MaxNumSeqs      int     // sequences in a batch, default 512
	MaxBatchTokens  int     // tokens of a step, default 32768
	MemoryShare     float64 // of the card's memory, default 0.95
	TensorParallel  int     // cards of one engine, default 1: only sensible with NVLink
	Seed            uint64  // of the engine's sampler
	DistrustRemote  bool    // do not run code that comes with the model
	NoPrefixCaching bool
	NoChunkedPrefil bool

	GPU  int // number for logs and ports
	Slot int // which engine of the card it is, 0 to MostPerCard-1
	// Device is what CUDA_VISIBLE_DEVICES is set to: the driver's numbers of the cards, with
	// commas between where TensorParallel > 1. vLLM 0.21 dies of UUIDs: it reads them as numbers.
	Device         string
	NoGPU          bool     // hide every card in place of Device: for a vLLM that computes on the CPU
	Environ        []string // complete environment of the engine, CUDA_VISIBLE_DEVICES aside
	Cache          string   // folder for compiled kernels, one for each GPU; "" leaves them where vLLM puts them
	supervise.Life          // how it is kept running

	Completions bool        // the prompts are texts, for models without a chat template
	Asks        openai.Asks // what requests will ask for; a loaded server is asked for it first

	Stream   bool // ask for streams; costs throughput
	MaxN     int  // most choices of a request, default 32
	InFlight int  // most samples in flight, default twice MaxNumSeqs
}

// New makes the engine of a vLLM. It checks the configuration against what the installed version can
// do, and starts nothing. The caller closes the engine after its Run returned.
func New(cfg Config) (*supervise.Engine, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.filled()
	args, lacks, err := cfg.arguments()
	if err != nil {
		return nil, err
	}
	if len(lacks) > 0 {
		cfg.Log.Info("installed vllm lacks flags", "flags", lacks)
	}
	s := supervise.Server{
		Program: slices.Concat(cfg.Install.Program, []string{"serve"}), Args: args, Extra: cfg.Extra, Environ: cfg.environ(),
		Port:   func(port string) []string { return []string{"--host", "127.0.0.1", "--port", port} },
		Titles: []string{"vllm"}, Failures: failures, Steps: steps,
		Client: openai.Config{
			Model: cfg.Model, Name: "vllm",
			MaxN: cfg.MaxN, InFlight: cfg.InFlight, Batch: cfg.batch(), Stream: cfg.Stream, Completions: cfg.Completions, Asks: cfg.Asks,
		},
	}
	if cfg.Install.Has("--uds") {
		s.Socket = func(path string) []string { return []string{"--uds", path} }
	}
	return supervise.New(s, cfg.Life)
}

// Validate reports all faults of c at once.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, name string, value any, want string) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s = %v, want %s", name, value, want))
		}
	}
	check(c.Install != nil, "installed vllm", "nothing", "what Probe found")
	check(strings.TrimSpace(c.Model) != "", "model", strconv.Quote(c.Model), "a name on the hub or a folder")
	check(c.Device != "" || c.NoGPU, "device", strconv.Quote(c.Device), "the number of a GPU")
	check(c.MemoryShare >= 0 && c.MemoryShare <= 1, "share of GPU memory", c.MemoryShare, "more than 0 to 1")
	check(c.TensorParallel >= 0, "tensor parallel size", c.TensorParallel, "at least 1")
	check(c.MaxModelLen >= 0, "longest sequence", c.MaxModelLen, "at least 1")
	check(c.MaxNumSeqs >= 0, "sequences in a batch", c.MaxNumSeqs, "at least 1")
	check(c.MaxBatchTokens >= 0, "tokens of a step", c.MaxBatchTokens, "at least 1")
	for _, name := range []string{"--port", "--host", "--uds"} {
		check(!c.overridden(name), "extra argument", name, "none that says where the engine listens: it is found by itself")
	}
	check(!c.overridden("--hf-token"), "extra argument", "--hf-token", "the token in the variable HF_TOKEN, where no other user of the machine sees it")
	for _, name := range []string{"--served-model-name", "--api-key"} {
		check(!c.overridden(name), "extra argument", name, "none that changes how the engine is asked: nobody else asks it")
	}
	if n := c.TensorParallel; n > 1 && !c.NoGPU && len(strings.Split(c.Device, ",")) != n {
		check(false, "device", c.Device, fmt.Sprintf("%d GPUs for tensor parallel size %d", n, n))
	}
	return errors.Join(errs...)
}

// Room returns an error if the longest sequence has no room for an answer beside any prompt. The loaded
// engine, which counts the prompts, is asked for more.
func (c Config) Room() error {
	if most, holds := c.Asks.MaxTokens, c.filled().MaxModelLen; most >= holds && !c.overridden("--max-model-len") {
		return fmt.Errorf("--max-tokens %d leaves no room for a prompt: prompt and answer together have --max-model-len %d tokens\npass --max-tokens %d less the longest prompt, or raise --max-model-len", most, holds, holds)
	}
	return nil
}

// Defaults returns c with its defaults in place.
func (c Config) Defaults() Config { return c.filled() }

// filled returns c with its defaults in place.
func (c Config) filled() Config {
	set := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	if c.DType == "" {
		c.DType = "half"
	}
	if c.MemoryShare == 0 {
		c.MemoryShare = DefaultMemoryShare
	}
	set(&c.MaxModelLen, 2182)
	set(&c.MaxNumSeqs, 512)
	set(&c.MaxBatchTokens, 32768)
	set(&c.TensorParallel, 1)
	set(&c.MaxN, 32)
	set(&c.InFlight, 2*c.MaxNumSeqs)
	c.Life = c.Filled()
	return c
}

// DefaultMemoryShare is the share of a card's memory that an engine claims unless
// Config.MemoryShare says otherwise.
const DefaultMemoryShare = 0.95

// portBase and portStride place each engine's internal ports below those that
// the kernel hands out, and apart from each other: engines with one VLLM_PORT
// pick the same ports.
const (
	portBase   = 21000
	portStride = 100
)

// MostPerCard is the most engines that one card is asked to carry.
const MostPerCard = 8

// An argument is one of vllm serve that we would like to pass.
type argument struct {
	name  string
	value string // "" for a switch
	must  bool   // an engine without it is not the one that was asked for
}

// flags returns our arguments, the place to listen at aside.
func (c Config) flags() []argument {
	all := []argument{
		{"--dtype", c.DType, true},
		{"--max-model-len", strconv.Itoa(c.MaxModelLen), true},
		{"--gpu-memory-utilization", strconv.FormatFloat(c.MemoryShare, 'g', -1, 64), true},
		{"--max-num-seqs", strconv.Itoa(c.MaxNumSeqs), true},
		{"--max-num-batched-tokens", strconv.Itoa(c.MaxBatchTokens), true},
		// Without it, fields missing in a request are taken from the model's own
		// generation_config.json. We send them all; this is the second lock.
		{"--generation-config", "vllm", false},
		{"--disable-uvicorn-access-log", "", false},
		{"--shutdown-timeout", "0", false},
		{"--seed", strconv.FormatUint(c.Seed%(1<<31), 10), false},
	}
	add := func(want bool, f argument) {
		if want {
			all = append(all, f)
		}
	}
	add(!c.DistrustRemote, argument{"--trust-remote-code", "", false})
	if c.NoPrefixCaching {
		all = append(all, argument{"--no-enable-prefix-caching", "", true})
	} else {
		all = append(all, argument{"--enable-prefix-caching", "", false})
	}
	if c.NoChunkedPrefil {
		all = append(all, argument{"--no-enable-chunked-prefill", "", true})
	} else {
		all = append(all, argument{"--enable-chunked-prefill", "", false})
	}
	add(c.TensorParallel > 1, argument{"--tensor-parallel-size", strconv.Itoa(c.TensorParallel), true})
	add(c.Stream, argument{"--stream-interval", "16", false})
	return all
}

// arguments returns the arguments behind `serve`, and which of ours the
// installed version lacks. It returns an error where it lacks one that matters.
func (c Config) arguments() (args, lacks []string, err error) {
	args = []string{c.Model}
	for _, f := range c.flags() {
		switch {
		case c.overridden(f.name):
		case c.Install.Has(f.name):
			args = append(args, f.name)
			if f.value != "" {
				args = append(args, f.value)
			}
		case f.must:
			return nil, nil, fmt.Errorf("the installed vllm has no %s\nupgrade it: pip install --upgrade vllm", f.name)
		default:
			lacks = append(lacks, f.name)
		}
	}
	return args, lacks, nil
}

// overridden reports whether the extra arguments hold the flag, or its negation.
func (c Config) overridden(name string) bool {
	bare := strings.TrimPrefix(strings.TrimPrefix(name, "--"), "no-")
	for _, x := range c.Extra {
		x, _, _ = strings.Cut(x, "=")
		x = strings.ReplaceAll(strings.TrimPrefix(strings.TrimPrefix(x, "--"), "no-"), "_", "-")
		if x == bare {
			return true
		}
	}
	return false
}

// batch returns how many sequences the engine computes at once, by the extra arguments
// where they say it.
func (c Config) batch() int {
	for i, x := range c.Extra {
		name, value, joined := strings.Cut(x, "=")
		if strings.ReplaceAll(name, "_", "-") != "--max-num-seqs" {
			continue
		}
		if !joined && i+1 < len(c.Extra) {
			value = c.Extra[i+1]
		}
		if n, err := strconv.Atoi(value); err == nil && n > 0 {
			return n
		}
	}
	return c.MaxNumSeqs
}

// environ returns the engine's environment.
func (c Config) environ() []string {
	env := append([]string(nil), c.Environ...)
	env = append(env,
		"CUDA_VISIBLE_DEVICES="+c.Device,
		"CUDA_DEVICE_ORDER=PCI_BUS_ID", // the driver's order: CUDA's own puts the fastest card first
		"VLLM_PORT="+strconv.Itoa(portBase+c.GPU*portStride+c.Slot*portStride/MostPerCard),
		"VLLM_NO_USAGE_STATS=1",
		"VLLM_API_KEY=", // one that is meant for another server would lock us out
	)
	if c.Cache != "" {
		env = append(env,
			"VLLM_CACHE_ROOT="+c.Cache,
			"TORCHINDUCTOR_CACHE_DIR="+c.Cache+"/inductor",
			"TRITON_CACHE_DIR="+c.Cache+"/triton",
		)
	}
	return env
}
