// Package config is lcbq's settings: their names, defaults, ranges and help, read
// from defaults, then a TOML file, then LCBQ_* variables, then flags. It does not
// know what a setting does; the commands copy values into each package's Config.
//
// One name serves everywhere: the flag --unit-size is the variable LCBQ_UNIT_SIZE
// and the TOML key unit-size.
//
// Settings are grouped by who owns them: what defines a run and travels with it, what
// reaches an engine, what is a machine's, a client's, a server's. A command takes the
// groups that it reads and no other.
package config

// A Sweep says what a run measures and where its results go.
type Sweep struct {
	Problems     string `toml:"problems" default:"sample" placeholder:"FILE|sample|v1..v6" help:"problem set: a LiveCodeBench JSONL file, 'sample' (12 built-in problems), or a release such as v6 fetched with 'lcbq dataset fetch'"`
	Start        int    `toml:"start" default:"0" help:"first question, by its place in the set sorted by question_id"`
	End          int    `toml:"end" default:"-1" help:"question to stop before; -1 is the end of the set"`
	N            int    `toml:"n" short:"n" default:"100" help:"samples per question and temperature; a replay takes what was recorded"`
	Temperatures string `toml:"temperatures" default:"0.1:1.2:0.1,1.4,1.5,1.7,2.0" placeholder:"LIST" help:"comma-separated temperatures of 0 to 2, in any order, each once; FROM:TO:STEP is a range; by default ${default}"`
	UnitSize     int    `toml:"unit-size" default:"100" help:"samples per message, the slice that is retried as one"`
	OutputDir    string `toml:"output-dir" short:"o" default:"results" type:"path" help:"results folder"`
	Run          string `toml:"run" placeholder:"ID" help:"run id; by default derived from what defines the run, so that the same command resumes it"`
}

// An Until says when a run has enough samples.
type Until struct {
	UntilWidth string `toml:"until-width" placeholder:"POINTS" help:"draw samples at each temperature until pass@k on these questions is known this well there: half of an interval that may be looked at at any time (95 %), in points; --n is then the most; the results say so"`
	K          int    `toml:"k" default:"1" help:"the k of --until-width"`
}

// A Window says which questions of the set are spoken of: those that all of it holds for.
type Window struct {
	From          string   `toml:"from" placeholder:"DATE" help:"only questions of contests on or after this day (2025-01-31) or month (2025-01)"`
	To            string   `toml:"to" placeholder:"DATE" help:"only questions of contests on or before this day or month"`
	Platform      []string `toml:"platform" placeholder:"NAME" help:"only questions of these platforms, such as atcoder,leetcode"`
	Difficulty    []string `toml:"difficulty" placeholder:"NAME" help:"only questions of these difficulties, such as medium,hard"`
	Exclude       string   `toml:"exclude" type:"path" placeholder:"FILE" help:"leave out the questions of a CSV file with rows of question_id,reason; the results name the file, the questions and the reasons"`
	ExcludeErrata bool     `toml:"exclude-errata" help:"leave out the questions that LiveCodeBench's own errata name: several right outputs, interactive, wrong tests (none of them is in v6)"`
}

// Files says how a combiner writes result files.
type Files struct {
	Compress string `toml:"compress" default:"none" enum:"none,zstd" help:"compress the cell files"`
}

// A Model says what generates, from which prompt, and what is taken from its answer. It defines
// a run.
type Model struct {
	Engine         string  `toml:"engine" default:"auto" enum:"auto,sim,replay,openai,vllm,llama" help:"what generates: sim (simulated, for the built-in problems), replay (recorded completions), vllm (started on this machine's GPUs and supervised), llama (llama.cpp's server, started on this machine and supervised), openai (any OpenAI-compatible endpoint: vLLM, SGLang, llama.cpp, hosted); auto is replay with --completions, openai with --endpoint, else sim for the built-in problems and vllm for all others"`
	Model          string  `toml:"model" help:"model: with --engine vllm a name on the hub or a folder, by default Qwen/Qwen3-0.6B; with --engine llama a file in GGUF; with --engine openai the name as the endpoint serves it, by default the one that it serves"`
	Seed           uint64  `toml:"seed" default:"0" help:"seed of a simulated run"`
	PromptStyle    string  `toml:"prompt-style" default:"lcb" enum:"lcb,single,qwen,qwq" help:"lcb (LiveCodeBench's generic chat prompt), single (the same in one message), qwen or qwq (its raw ChatML prompts)"`
	PromptTemplate string  `toml:"prompt-template" type:"path" placeholder:"FILE" help:"text/template file of your own prompt, instead of a style"`
	Thinking       string  `toml:"thinking" default:"auto" enum:"auto,on,off" help:"whether a reasoning model thinks first"`
	Extract        string  `toml:"extract" default:"lcb" enum:"lcb,first,last-closed,after-think,whole,robust" help:"how the program is taken from a completion; lcb is the official rule, between the last two fences; robust finds what a person would copy"`
	SimUnique      float64 `toml:"sim-unique" default:"0" help:"share of simulated programs made textually unique, 0 to 1"`
}

// Sampling says how tokens are drawn. It defines a run.
type Sampling struct {
	TopP      float64  `toml:"top-p" default:"1" help:"nucleus sampling; 1 is off"`
	TopK      int      `toml:"top-k" default:"0" help:"top-k sampling; 0 is off"`
	MinP      float64  `toml:"min-p" default:"0" help:"min-p sampling; 0 is off"`
	MaxTokens int      `toml:"max-tokens" default:"500" help:"completion tokens at most"`
	Stop      []string `toml:"stop" placeholder:"TEXT" help:"texts that end a completion"`
	OnRefused string   `toml:"on-refused" default:"fail" enum:"fail,redraw" help:"what becomes of a text that the model wrote and the server refuses, such as one that its tool parser or a filter cannot take: fail counts it as a failed sample, redraw draws another, which favours what the server takes"`
}

// A Source says where samples come from that are not made on this machine's GPUs. The same run
// may have another on each host.
type Source struct {
	Endpoint    []string `toml:"endpoint" env:"LCBQ_ENDPOINT,OPENAI_BASE_URL" placeholder:"URL" help:"base URL of an OpenAI-compatible endpoint, ending in /v1; several share the work"`
	APIKey      string   `toml:"-" env:"LCBQ_API_KEY,OPENAI_API_KEY" placeholder:"KEY" help:"key of the endpoint; better given by OPENAI_API_KEY"`
	Completions string   `toml:"completions" type:"path" placeholder:"FILE" help:"recorded completions for --engine replay"`
}

// A Pace says how much one generator of this machine does at once.
type Pace struct {
	Requests int     `toml:"requests" default:"0" help:"units being generated at once by one generator; 0 chooses by engine"`
	SimTPS   float64 `toml:"sim-tps" default:"0" help:"pace of one simulated generator in completion tokens per second; 0 is unpaced"`
}

// DefaultModel is what --engine vllm serves unless --model says otherwise.
const DefaultModel = "Qwen/Qwen3-0.6B"

// Serve says how vLLM serves the model, as far as it shapes the samples. It defines a run.
type Serve struct {
	DType       string   `toml:"dtype" name:"dtype" default:"half" help:"vLLM's number type"`
	MaxModelLen int      `toml:"max-model-len" default:"2182" help:"prompt and completion tokens together"`
	VLLMArg     []string `toml:"vllm-arg" name:"vllm-arg" sep:"none" placeholder:"ARG" help:"further argument of vllm serve, passed as it is, such as --vllm-arg=--enforce-eager; it wins over lcbq's own"`
}

// A VLLM says how --engine vllm runs vLLM on this machine.
type VLLM struct {
	VLLM                 string  `toml:"vllm" name:"vllm" default:"vllm" placeholder:"PROGRAM" help:"the vllm to run"`
	GPUs                 string  `toml:"gpus" name:"gpus" placeholder:"LIST|none" help:"GPUs for vLLM, by nvidia-smi's index or UUID, one engine on each; by default CUDA_VISIBLE_DEVICES, or all; none hides every GPU from a vLLM that computes on the CPU"`
	MaxNumSeqs           int     `toml:"max-num-seqs" default:"512" help:"sequences that one vLLM computes at once"`
	MaxNumBatchedTokens  int     `toml:"max-num-batched-tokens" default:"32768" help:"tokens of one step of vLLM"`
	GPUMemoryUtilization float64 `toml:"gpu-memory-utilization" name:"gpu-memory-utilization" default:"0.95" help:"share of each GPU's memory that vLLM claims"`
	EnginesPerGPU        string  `toml:"engines-per-gpu" name:"engines-per-gpu" default:"1" placeholder:"N|auto" help:"engines on each GPU, which share its memory: one engine cannot fill a large GPU with a small model; auto starts one, measures, and adds up to two more while each gains 15% or more"`
	TensorParallel       int     `toml:"tensor-parallel" default:"1" help:"GPUs of one engine: only for models that one GPU cannot hold, and with NVLink"`
	NoPrefixCaching      bool    `toml:"no-prefix-caching" help:"compute each prompt anew"`
	NoChunkedPrefill     bool    `toml:"no-chunked-prefill" help:"do not mix prompts and completions in a step"`
	NoTrustRemoteCode    bool    `toml:"no-trust-remote-code" help:"run no code that comes with the model"`
}

// Generators says how many of them this machine runs.
type Generators struct {
	Generators  int    `toml:"generators" default:"1" help:"simulated or attached generators; --engine vllm has one on each GPU, or as many as this with --gpus none"`
	OnUnhealthy string `toml:"on-unhealthy" default:"stop" enum:"stop,warn" help:"what to do when answers are no model's, such as none with any text, or when the server refuses every request: stop with exit status 3 and keep the units, or warn"`
}

// Rules say how programs are judged. They define a run.
type Rules struct {
	Judge       string    `toml:"judge" default:"lcb" enum:"lcb,script" help:"lcb: the official runner's verdicts; script: a real script on real stdin and stdout"`
	TimeLimit   TimeLimit `toml:"time-limit" default:"6" placeholder:"SECONDS|audited" help:"CPU seconds per test; audited (or audited:SECONDS) is cheaper and never the default: programs that run beyond a soft limit, learned from those that pass, are stopped, except a random share that runs to the full limit; pass rates are corrected by that share and stay unbiased"`
	AuditShare  float64   `toml:"audit-share" default:"0.1" help:"share of the programs beyond the soft limit that run to the full limit, with --time-limit audited"`
	Reference   Speed     `toml:"reference-speed" name:"reference-speed" default:"off" placeholder:"off|first|SPEED" help:"whose seconds the time limit is in, where evaluators run on hosts of different speed: off is each host's own, first is the host of the run's first evaluator, and a number is a speed as lcbq doctor says it; hosts within 10% count as one speed"`
	MemoryLimit Bytes     `toml:"memory-limit" default:"4GiB" help:"memory of one program"`
	OutputLimit Bytes     `toml:"output-limit" default:"16MiB" help:"output of one test"`
}

// An Interpreter is what judges on this machine.
type Interpreter struct {
	Python          string `toml:"python" default:"python3" placeholder:"PATH" help:"interpreter that judges, 3.10 or later"`
	SandboxMinLevel string `toml:"sandbox-min-level" default:"C" enum:"A,B,C" help:"refuse to judge below this sandbox level"`
	NoNormalForm    bool   `toml:"no-normal-form" help:"judge slow programs that differ in comments, docstrings and layout only each by itself; otherwise one of them is run and its verdict counts for all; all evaluators of a run must agree"`
}

// Programs says how many are judged at once on this machine, and where.
type Programs struct {
	Evaluators  string `toml:"evaluators" aliases:"num-evaluators" default:"auto" placeholder:"N|auto" help:"programs judged at once; auto is one on each processor, and fewer while GPUs of this machine generate and wait for processors"`
	ReserveCPUs string `toml:"reserve-cpus" name:"reserve-cpus" default:"auto" placeholder:"N|auto" help:"processors of this machine on which no program is judged, left to the engines; auto is 8 for each GPU that generates here, at most half of them"`
}

// Verdicts says whom an evaluator tells what it found out.
type Verdicts struct {
	NoSharedVerdicts bool `toml:"no-shared-verdicts" help:"judge every slow program here, and tell no other evaluator; otherwise the verdict of one of the same environment counts"`
}

// Lending says whether an evaluator lends units to those that are not trusted.
type Lending struct {
	Lend bool `toml:"lend" help:"lend units to evaluators with tokens of --trust sample, and judge a share of them again; on the server's machine, with --store-dir"`
}

// A Client says how to reach a server that another process runs.
type Client struct {
	NATS   string `toml:"nats" env:"LCBQ_NATS,NATS_URL" placeholder:"URL" help:"NATS server of the run, or those of a cluster with commas between; by default that of the folder"`
	Creds  string `toml:"creds" type:"path" placeholder:"FILE" help:"file of credentials: a token that 'lcbq token' made, or those of a user of your own NATS server"`
	NATSCA string `toml:"nats-ca" name:"nats-ca" type:"path" placeholder:"FILE" help:"certificate authority of the server, in PEM; a token of 'lcbq token' brings that of its server"`

	NKey     string `toml:"nkey" name:"nkey" type:"path" placeholder:"FILE" help:"file with the seed of the nkey by which a NATS server of your own knows you"`
	NATSCert string `toml:"nats-cert" name:"nats-cert" type:"path" placeholder:"FILE" help:"certificate by which a NATS server of your own knows you, in PEM"`
	NATSKey  string `toml:"nats-key" name:"nats-key" type:"path" placeholder:"FILE" help:"its private key, in PEM"`

	Wait bool `toml:"wait" help:"wait for a server that cannot be reached yet, instead of giving up"`
}

// Copies says how often a NATS cluster of the user's own keeps what lcbq stores there.
type Copies struct {
	Replicas int `toml:"replicas" default:"0" placeholder:"N" help:"copies of each stream, where lcbq has to make them on a NATS cluster of your own: 1, 3 or 5; by default 3 on a cluster"`
}

// A Store is where an embedded server keeps its streams.
type Store struct {
	StoreDir string `toml:"store-dir" type:"path" placeholder:"DIR" help:"where the embedded server keeps its streams, and its key; by default .lcbq in the results folder"`
}

// A Host says how the embedded server serves.
type Host struct {
	Listen   string  `toml:"listen" default:"auto" placeholder:"HOST:PORT" help:"address of the embedded server; auto is 127.0.0.1:4222, or a free port if that is taken"`
	Insecure bool    `toml:"insecure" help:"listen beyond this machine without keys and TLS: whoever reaches the port can read and change everything"`
	StoreMax Bytes   `toml:"store-max" default:"64GiB" help:"disk that the embedded server may use"`
	AckWait  float64 `toml:"ack-wait" default:"60" help:"seconds without a sign from a worker after which its unit goes to another"`
}

// A Cluster says which servers keep the streams together, and which of them this one is.
type Cluster struct {
	Cluster string `toml:"-" placeholder:"NAME=HOST:PORT,..." help:"be one of three servers that each keep a copy of everything, of which one may be lost: the names of all and where they reach each other, the same on each; 'lcbq help cluster'"`
	Member  string `toml:"-" placeholder:"NAME" help:"which server of --cluster this one is"`
}

// A Web says how the runs of a server are shown to browsers and programs, and who is told of them.
type Web struct {
	HTTP   string   `toml:"http" name:"http" default:"auto" placeholder:"HOST:PORT|none" help:"address of the live page, of /metrics and of the probes; auto is 127.0.0.1:8222, or a free port if that is taken; none is off"`
	Notify []string `toml:"-" name:"notify" sep:"none" placeholder:"URL|COMMAND" help:"webhook to post to, or command to run, when a run is done, stopped, unhealthy, has not moved for 10 minutes, or gives units up; better given by LCBQ_NOTIFY where the address is a secret"`
}

// A HubAddress says where the hub is, or that it is not to be asked.
type HubAddress struct {
	HFEndpoint string `toml:"hf-endpoint" env:"LCBQ_HF_ENDPOINT,HF_ENDPOINT" placeholder:"URL" help:"the hub, or a mirror of it"`
	HFOffline  bool   `toml:"hf-offline" env:"LCBQ_HF_OFFLINE,HF_HUB_OFFLINE" help:"open no connection, use what has been fetched"`
}

// A Hub says where models come from.
type Hub struct {
	HubAddress `embed:""`
	HFToken    string `toml:"-" env:"LCBQ_HF_TOKEN,HF_TOKEN" placeholder:"TOKEN" help:"token of the hub; better given by HF_TOKEN"`
	HFHome     string `toml:"hf-home" env:"LCBQ_HF_HOME,HF_HOME" type:"path" placeholder:"DIR" help:"folder of the hub's files; by default that of the hub's own tools"`
	HFCache    string `toml:"hf-hub-cache" name:"hf-hub-cache" env:"LCBQ_HF_HUB_CACHE,HF_HUB_CACHE" type:"path" placeholder:"DIR" help:"folder of the hub's models and datasets; by default hub in hf-home"`
}

// A Dataset says where LiveCodeBench's problem files come from.
type Dataset struct {
	Hub        `embed:""`
	HFRevision string `toml:"hf-revision" placeholder:"REV" help:"branch, tag or commit of the dataset"`
}

// A Definition is what defines a run, and what is looked at to check it.
type Definition struct {
	Sweep    `embed:"" group:"what"`
	Window   `embed:"" group:"what"`
	Model    `embed:"" group:"model"`
	Sampling `embed:"" group:"sampling"`
	Source   `embed:"" group:"engine"`
	Serve    `embed:"" group:"engine"`
	Rules    `embed:"" group:"judging"`
	Dataset  `embed:"" group:"hub"`
}

// A Config is all settings that a file may hold, as run.toml does.
type Config struct {
	Definition  `embed:""`
	Until       `embed:"" group:"what"`
	Files       `embed:"" group:"what"`
	Pace        `embed:"" group:"engine"`
	VLLM        `embed:"" group:"engine"`
	Llama       `embed:"" group:"engine"`
	Interpreter `embed:"" group:"machine"`
	Generators  `embed:"" group:"machine"`
	Programs    `embed:"" group:"machine"`
	Verdicts    `embed:"" group:"machine"`
	Client      `embed:"" group:"server"`
	Copies      `embed:"" group:"server"`
	Store       `embed:"" group:"server"`
	Host        `embed:"" group:"server"`
	Web         `embed:"" group:"server"`

	// Cells is how many cells the run has. It is no setting: run.toml tells it to who looks at an unfinished folder.
	Cells int `toml:"cells,omitempty" kong:"-"`
}
