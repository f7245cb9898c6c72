package vllm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lcbq/lcbq/worker/engine"
	"github.com/lcbq/lcbq/worker/engine/supervise"
	"github.com/lcbq/lcbq/worker/engine/supervise/supervisetest"
)

// TestMain is also vllm and the guardian: this program under other arguments.
func TestMain(m *testing.M) {
	if status, ok := supervise.Guardian(); ok {
		os.Exit(status) //nolint:forbidigo // this process is not the test
	}
	if status, ok := supervisetest.Main(os.Args[1:]); ok {
		os.Exit(status) //nolint:forbidigo // this process is not the test
	}
	goleak.VerifyTestMain(m)
}

// config returns the configuration of a fake vllm with more variables in its environment.
func config(t *testing.T, environ ...string) Config {
	t.Helper()
	env := append(append(os.Environ(), "GORACE=atexit_sleep_ms=0"), environ...)
	in, err := Probe(t.Context(), env, os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Install: in, Model: "m", Device: "0", Environ: env,
		Life: supervise.Life{Title: "engine of GPU 0", LogFile: filepath.Join(t.TempDir(), "gpu0.log"), Pause: time.Millisecond, Grace: 200 * time.Millisecond},
	}
}

// TestServes wants samples of a vllm that listens at a socket, and of an older one that cannot.
func TestServes(t *testing.T) {
	t.Parallel()
	for name, help := range map[string]string{"socket": "", "port": "old"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, err := New(config(t, supervisetest.OldHelp+"="+help))
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			ctx, cancel := context.WithCancel(t.Context())
			ran := make(chan error, 1)
			go func() { ran <- e.Run(ctx) }()
			got, err := e.Generate(t.Context(), engine.Request{QuestionID: "q", N: 3, Messages: []engine.Message{{Role: "user", Content: "x"}}, Sampling: engine.Sampling{Temperature: 1, MaxTokens: 9}})
			if err != nil || len(got) != 3 || e.Info() != (engine.Info{Name: "vllm", Model: "m", Version: "0.99"}) {
				t.Errorf("Generate = %v, %v, Info %+v, want three samples of vllm 0.99", got, err, e.Info())
			}
			cancel()
			if err := <-ran; err != nil {
				t.Error(err)
			}
		})
	}
}

// startFailures are starts of vLLM that failed, made small: the lines that matter of each log, the
// line of the first cause, and a word of the remedy.
var startFailures = []struct{ name, log, cause, remedy string }{
	{
		"address in use, in a child",
		`(APIServer pid=100) INFO 11-28 10:00:01 [api_server.py:1805] vLLM API server version 0.21.0
(EngineCore_0 pid=120) INFO 11-28 10:00:09 [core.py:636] Waiting for init message from front-end.
(EngineCore_0 pid=120) ERROR 11-28 10:00:12 [core.py:718] EngineCore failed to start.
(EngineCore_0 pid=120) ERROR 11-28 10:00:12 [core.py:718] Traceback (most recent call last):
(APIServer pid=100) Traceback (most recent call last):
(EngineCore_0 pid=120) ERROR 11-28 10:00:12 [core.py:718]   File "/env/vllm/v1/engine/core.py", line 709, in run_engine_core
(APIServer pid=100)   File "/env/vllm/v1/engine/utils.py", line 759, in wait_for_engine_startup
(EngineCore_0 pid=120) ERROR 11-28 10:00:12 [core.py:718] OSError: [Errno 98] Address already in use
(APIServer pid=100) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}`,
		"EngineCore_0: OSError: [Errno 98] Address already in use", "ss -ltnp",
	},
	{
		"memory held by another",
		`(EngineCore_0 pid=7) Process EngineCore_0:
(EngineCore_0 pid=7) Traceback (most recent call last):
(EngineCore_0 pid=7)     raise ValueError(f"Free memory on device {free} is less than desired GPU memory utilization")
(EngineCore_0 pid=7) ValueError: Free memory on device (20.1/79.1 GiB) on startup is less than desired GPU memory utilization (0.95, 75.1 GiB).
(APIServer pid=3) RuntimeError: Engine core initialization failed. See root cause above.`,
		"EngineCore_0: ValueError: Free memory on device (20.1/79.1 GiB)", "lcbq doctor",
	},
	{
		"no room for a sequence",
		`(EngineCore_0 pid=7) ERROR 11-28 10:00:12 [core.py:718] ValueError: To serve at least one request with the model's max seq len (131072), 16.00 GiB KV cache is needed, which is larger than the available KV cache memory (2.11 GiB).
(APIServer pid=3) RuntimeError: Engine core initialization failed. See root cause above.`,
		"EngineCore_0: ValueError: To serve at least one request", "--max-model-len",
	},
	{
		"out of memory while the weights load",
		`(EngineCore_0 pid=7) INFO 11-28 10:00:12 [gpu_model_runner.py:1953] Starting to load model big/model...
(EngineCore_0 pid=7) ERROR 11-28 10:00:19 [core.py:718] torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 214.00 MiB. GPU 0 has a total capacity of 23.6 GiB of which 61.00 MiB is free.
(APIServer pid=3) RuntimeError: Engine core initialization failed.`,
		"EngineCore_0: torch.OutOfMemoryError: CUDA out of memory.", "the GPU's memory does not suffice",
	},
	{
		"unknown architecture",
		`(APIServer pid=3) Traceback (most recent call last):
(APIServer pid=3)   File "/env/bin/vllm", line 8, in <module>
(APIServer pid=3) pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig
(APIServer pid=3)   Value error, The checkpoint you are trying to load has model type ` + "`newkind`" + ` but Transformers does not recognize this architecture.
(APIServer pid=3) Model architectures ['NewKindForCausalLM'] are not supported for now.`,
		"APIServer: Value error, The checkpoint you are trying to load has model type", "upgrade it (pip install --upgrade vllm",
	},
	{
		"missing module",
		`WARNING 11-28 10:00:01 [registry.py:22] ModuleNotFoundError: No module named 'optional_plugin'
Traceback (most recent call last):
  File "/env/bin/vllm", line 5, in <module>
    from vllm.entrypoints.cli.main import main
ModuleNotFoundError: No module named 'msgspec'`,
		"ModuleNotFoundError: No module named 'msgspec'", "environment of its own",
	},
	{
		"gated model",
		`(APIServer pid=3) huggingface_hub.errors.GatedRepoError: 401 Client Error. (Request ID: Root=1-2)
(APIServer pid=3) Cannot access gated repo for url https://hub/own/model/resolve/main/config.json.
(APIServer pid=3) OSError: You are trying to access a gated repo.`,
		"huggingface_hub.errors.GatedRepoError: 401 Client Error.", "accept its licence",
	},
	{
		"number type",
		`(EngineCore_0 pid=7) ERROR 11-28 10:00:12 [core.py:718] ValueError: Bfloat16 is only supported on GPUs with compute capability of at least 8.0. Your Tesla T4 GPU has compute capability 7.5.
(APIServer pid=3) RuntimeError: Engine core initialization failed.`,
		"EngineCore_0: ValueError: Bfloat16 is only supported", "--dtype",
	},
	{
		"driver too old",
		`(EngineCore_0 pid=7) ERROR 11-28 10:00:12 [core.py:718] RuntimeError: The NVIDIA driver on your system is too old (found version 12020). Please update your GPU driver.
(APIServer pid=3) RuntimeError: Engine core initialization failed.`,
		"EngineCore_0: RuntimeError: The NVIDIA driver on your system is too old", "upgrade the driver",
	},
	{
		"full disk",
		`(EngineCore_0 pid=7) INFO 11-28 10:00:12 [backends.py:548] Using cache directory: /c/torch_compile_cache for vLLM's torch.compile
(EngineCore_0 pid=7) ERROR 11-28 10:00:14 [core.py:718] OSError: [Errno 28] No space left on device: '/c/torch_compile_cache/x.tmp'
(APIServer pid=3) RuntimeError: Engine core initialization failed.`,
		"EngineCore_0: OSError: [Errno 28] No space left on device", "a disk is full",
	},
	{
		"a context that the model has not",
		`(APIServer pid=3)   Value error, User-specified max_model_len (2182) is greater than the derived max_model_len (max_position_embeddings=2048). [type=value_error]`,
		"APIServer: Value error, User-specified max_model_len (2182) is greater", "lower that",
	},
	{
		"heads that do not divide",
		`(APIServer pid=3) Traceback (most recent call last):
(APIServer pid=3) pydantic_core._pydantic_core.ValidationError: 1 validation error for VllmConfig
(APIServer pid=3)   Value error, Total number of attention heads (40) must be divisible by tensor parallel size (3). [type=value_error]`,
		"APIServer: Value error, Total number of attention heads (40) must be divisible", "a --tensor-parallel that divides",
	},
	{
		"no driver's library for the compiler",
		`INFO 11-28 10:00:01 [importing.py:44] Triton is installed but 0 active driver(s) found (expected 1). Disabling Triton to prevent runtime errors.
(EngineCore_0 pid=7) ERROR 11-28 10:00:12 [core.py:718] EngineCore failed to start.
(EngineCore_0 pid=7) ERROR 11-28 10:00:12 [core.py:718] Traceback (most recent call last):
(EngineCore_0 pid=7) ERROR 11-28 10:00:12 [core.py:718] RuntimeError: 0 active drivers ([]). There should only be one.
(APIServer pid=3) RuntimeError: Engine core initialization failed. See root cause above.`,
		"EngineCore_0: RuntimeError: 0 active drivers", "libcuda.so.1",
	},
	{
		"a fork after the card was used",
		`(EngineCore_0 pid=7) Process EngineCore_0:
(EngineCore_0 pid=7) Traceback (most recent call last):
(EngineCore_0 pid=7) RuntimeError: Cannot re-initialize CUDA in forked subprocess. To use CUDA with multiprocessing, you must use the 'spawn' start method
(APIServer pid=3) RuntimeError: Engine core initialization failed. See root cause above.`,
		"EngineCore_0: RuntimeError: Cannot re-initialize CUDA", "VLLM_WORKER_MULTIPROC_METHOD=spawn",
	},
	{
		"a small /dev/shm",
		`(Worker_TP0 pid=9) ERROR 11-28 10:00:12 [multiproc_executor.py:559] WorkerProc failed to start.
(Worker_TP0 pid=9) ERROR 11-28 10:00:12 [multiproc_executor.py:559] torch.distributed.DistBackendError: NCCL error: unhandled system error. Last error: Error while creating shared memory segment /dev/shm/nccl-u3 (size 9637888)
(EngineCore_0 pid=7) Exception: WorkerProc initialization failed due to an exception in a background process.
(APIServer pid=3) RuntimeError: Engine core initialization failed. See root cause above.`,
		"Worker_TP0: torch.distributed.DistBackendError: NCCL error: unhandled system error. Last error: Error while creating", "--shm-size",
	},
	{
		"a card newer than the compiler",
		`(EngineCore_0 pid=7) ERROR 11-28 10:00:12 [core.py:718] Traceback (most recent call last):
(EngineCore_0 pid=7) ERROR 11-28 10:00:12 [core.py:718] RuntimeError: Internal Triton PTX codegen error: ptxas fatal   : Value 'sm_121a' is not defined for option 'gpu-name'
(APIServer pid=3) RuntimeError: Engine core initialization failed. See root cause above.`,
		"EngineCore_0: RuntimeError: Internal Triton PTX codegen error", "TRITON_PTXAS_PATH",
	},
	{
		"an unknown tokenizer",
		`(APIServer pid=3) Traceback (most recent call last):
(APIServer pid=3)   File "/env/transformers/models/auto/tokenization_auto.py", line 1143, in from_pretrained
(APIServer pid=3) ValueError: Tokenizer class NewBackend does not exist or is not currently imported.`,
		"APIServer: ValueError: Tokenizer class NewBackend does not exist", "upgrade vllm with it",
	},
	{
		"nothing known: the first process that failed, not the last that waited",
		`(Worker_TP1 pid=9) ERROR 11-28 10:00:12 [multiproc_executor.py:559] WorkerProc failed to start.
(Worker_TP1 pid=9) ERROR 11-28 10:00:12 [multiproc_executor.py:559] Traceback (most recent call last):
(Worker_TP1 pid=9) ERROR 11-28 10:00:12 [multiproc_executor.py:559]   File "/env/vllm/executor.py", line 533, in worker_main
(EngineCore_0 pid=7) Traceback (most recent call last):
(EngineCore_0 pid=7)   File "/env/vllm/core.py", line 1, in x
(Worker_TP1 pid=9) ERROR 11-28 10:00:12 [multiproc_executor.py:559] torch.distributed.DistBackendError: NCCL error in: socket.cpp:5, unhandled system error
(EngineCore_0 pid=7) Exception: WorkerProc initialization failed due to an exception in a background process.
(APIServer pid=3) RuntimeError: Engine core initialization failed. See root cause above.`,
		"Worker_TP1: torch.distributed.DistBackendError: NCCL error", "the first error of its log",
	},
}

// TestStartFailures wants the first cause of a failed start with its remedy, on a screen, after
// two starts at most.
func TestStartFailures(t *testing.T) {
	t.Parallel()
	for _, tt := range startFailures {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "said")
			if err := os.WriteFile(path, []byte(tt.log+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			cfg := config(t, supervisetest.Behaviours+"="+supervisetest.Says, supervisetest.Said+"="+path)
			e, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			err = e.Run(t.Context())
			got := fmt.Sprint(err)
			if err == nil || !strings.Contains(got, "\n  "+tt.cause) && !strings.Contains(got, ": "+tt.cause) || !strings.Contains(got, tt.remedy) {
				t.Errorf("Run = %v\nwant the cause %q and the remedy %q", err, tt.cause, tt.remedy)
			}
			if lines := strings.Count(got, "\n"); lines > 4 {
				t.Errorf("the error has %d lines, want few:\n%s", lines+1, got)
			}
			log, err := os.ReadFile(cfg.LogFile)
			if starts := strings.Count(string(log), "--- engine started"); err != nil || starts < 1 || starts > 2 {
				t.Errorf("%d starts, %v, want 1 or 2", starts, err)
			}
			if err := e.Await(t.Context()); errors.Is(err, context.Canceled) || err == nil {
				t.Errorf("Await = %v, want the reason", err)
			}
		})
	}
}
