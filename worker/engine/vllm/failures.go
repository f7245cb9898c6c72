package vllm

import (
	"regexp"

	"github.com/lcbq/lcbq/worker/engine/supervise"
)

// failures are the words of vLLM's log that say what a person must do. They are looked for line
// by line, so the order matters only between two that match one line.
var failures = []supervise.Failure{
	{
		Words:  regexp.MustCompile(`GatedRepoError|Access to model .* is restricted|Cannot access gated repo`),
		Remedy: "the model is gated: accept its licence on its page and set HF_TOKEN", Final: true,
	},
	{
		Words:  regexp.MustCompile(`is not a local folder and is not a valid model identifier|Repository Not Found|RepositoryNotFoundError|Can't load the configuration of|LocalEntryNotFoundError|OfflineModeIsEnabled|couldn't connect to '?https?://|Invalid repository ID`),
		Remedy: "the model is not there: check its name, download it, or give the path of its folder with --model", Final: true,
	},
	{
		Words:  regexp.MustCompile(`Address already in use|EADDRINUSE`),
		Remedy: "another process has a port that the engine chose: an engine that still ends, or a server on ports from 21000 on (ss -ltnp lists them)",
	},
	{
		Words:  regexp.MustCompile(`No available memory for the cache blocks|is larger than the (?:maximum number of tokens|available KV cache memory)|To serve at least one request with`),
		Remedy: "the model leaves no memory for one sequence: lower --max-model-len, raise --gpu-memory-utilization, or take a smaller model or more cards (--tensor-parallel)",
	},
	{
		Words:  regexp.MustCompile(`Free memory on device.*less than desired|CUDA out of memory|OutOfMemoryError|CUDA error: out of memory|Error in memory profiling`),
		Remedy: "the GPU's memory does not suffice: see who holds it (lcbq doctor), or lower --gpu-memory-utilization or --max-model-len",
	},
	{
		Words:  regexp.MustCompile(`Model architectures? .* (?:are|is) not supported|does not recognize this architecture|has no vLLM implementation`),
		Remedy: "the installed vllm does not know this kind of model: upgrade it (pip install --upgrade vllm transformers), or take another model", Final: true,
	},
	{
		Words:  regexp.MustCompile(`(?i)bfloat16 is only supported|float16 is not supported|dtype .* is not supported|unknown dtype|does not support (?:float16|bfloat16|half)`),
		Remedy: "the card or the model cannot compute with this number type: choose another with --dtype (half, bfloat16 or float32)", Final: true,
	},
	{
		Words:  regexp.MustCompile(`NVIDIA driver on your system is too old|CUDA driver version is insufficient|unsupported toolchain|no kernel image is available for execution|forward compatibility was attempted on non supported HW`),
		Remedy: "the driver is too old for this vllm's CUDA, or this vllm was not built for the card: upgrade the driver (nvidia-smi shows its CUDA version), or install a vllm for that CUDA version", Final: true,
	},
	{
		Words:  regexp.MustCompile(`No CUDA GPUs are available|CUDA driver initialization failed|Failed to infer device type|Found no NVIDIA driver`),
		Remedy: "vllm finds no usable GPU: compare its CUDA version with the driver's (nvidia-smi)", Final: true,
	},
	{
		Words:  regexp.MustCompile(`No space left on device|Disk quota exceeded`),
		Remedy: "a disk is full: free space in the folders of models (HF_HOME), of compiled kernels (~/.cache, or XDG_CACHE_HOME) and of temporary files (TMPDIR); in a container also /dev/shm (docker run --ipc=host)",
	},
	{
		Words:  regexp.MustCompile(`^ModuleNotFoundError: |^ImportError: .*(?:cannot open shared object file|undefined symbol|cannot import name)`),
		Remedy: "the installation of vllm is incomplete, or mixed with another's: install it in an environment of its own (python3 -m venv ENV && ENV/bin/pip install vllm) and name it with --vllm ENV/bin/vllm", Final: true,
	},
	{
		Words:  regexp.MustCompile(`must be divisible by (?:the )?tensor parallel size`),
		Remedy: "the model's attention heads do not divide into so many cards: take a --tensor-parallel that divides the number in the line above", Final: true,
	},
	{
		Words:  regexp.MustCompile(`0 active drivers|libcuda\.so(?:\.1)?(?: cannot| not)? found|libcuda\.so\.1: cannot open`),
		Remedy: "vllm's compiler does not find the driver's library libcuda.so.1: see that it is on the library path (ldconfig -p), and that a container was started with the driver's libraries (docker run --gpus all)", Final: true,
	},
	{
		Words:  regexp.MustCompile(`Cannot re-initialize CUDA in forked subprocess`),
		Remedy: "a process of vllm was forked after it had used the card: set VLLM_WORKER_MULTIPROC_METHOD=spawn", Final: true,
	},
	{
		Words:  regexp.MustCompile(`creating shared memory segment|unable to (?:open|allocate) shared memory|shm_open|insufficient shared memory`),
		Remedy: "/dev/shm is too small or closed: make it larger (docker run --ipc=host, or --shm-size 16g)", Final: true,
	},
	{
		Words:  regexp.MustCompile(`ptxas fatal|is not defined for option 'gpu-name'|PTXAS error`),
		Remedy: "the compiler that came with vllm is older than the card: upgrade vllm, or name a newer ptxas with TRITON_PTXAS_PATH", Final: true,
	},
	{
		Words:  regexp.MustCompile(`Tokenizer class \S+ does not exist`),
		Remedy: "the installed transformers is too old for the model, or too new: upgrade vllm with it (pip install --upgrade vllm)", Final: true,
	},
	{
		Words:  regexp.MustCompile(`User-specified max_model_len .* is greater than the derived`),
		Remedy: "the model's context is shorter than --max-model-len: lower that to what the line above says", Final: true,
	},
	{
		Words:  regexp.MustCompile(`contains custom code which must be executed|trust_remote_code=True`),
		Remedy: "the model brings code of its own: drop --no-trust-remote-code if you trust it", Final: true,
	},
	{
		Words:  regexp.MustCompile(`Failed to find C compiler|Python\.h: No such file|Could not find nvcc`),
		Remedy: "vllm compiles kernels and finds no compiler: install gcc and the headers of its Python (python3-dev), or pass --vllm-arg=--enforce-eager", Final: true,
	},
	{
		Words:  regexp.MustCompile(`SafetensorError|Error while deserializing header|EOFError: Ran out of input|PytorchStreamReader failed`),
		Remedy: "a file of the model is incomplete: delete it and fetch the model again (hf download MODEL)", Final: true,
	},
	{
		Words:  regexp.MustCompile(`unrecognized arguments:|invalid choice:|error: argument`),
		Remedy: "the installed vllm does not take these arguments: mend the extra ones", Final: true,
	},
}

// steps are the words of vLLM's log that say what it does before it serves.
var steps = []supervise.Step{
	{Words: regexp.MustCompile(`Capturing CUDA graph|Graph capturing`), Says: "captures CUDA graphs"},
	{Words: regexp.MustCompile(`torch\.compile|Compiling a graph|Dynamo bytecode|Inductor`), Says: "compiles kernels: a first start takes minutes"},
	{Words: regexp.MustCompile(`KV cache|memory profiling|Maximum concurrency`), Says: "measures the memory for sequences"},
	{Words: regexp.MustCompile(`Loading safetensors|Loading weights|Starting to load model|Loading pt checkpoint|Model loading took`), Says: "loads the weights"},
	{Words: regexp.MustCompile(`Downloading|Fetching \d+ files|Time spent downloading`), Says: "downloads the model"},
	{Words: regexp.MustCompile(`Initializing a V1 LLM engine|Waiting for init message|Resolved architecture|API server version`), Says: "starts its processes"},
	{Words: regexp.MustCompile(`Automatically detected platform|Importing|INFO loading`), Says: "imports its libraries"},
}
