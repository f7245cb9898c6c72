package vllm

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/worker/engine/openai"
	"github.com/lcbq/lcbq/worker/process/processtest"
)

func TestProbe(t *testing.T) {
	t.Parallel()
	for _, help := range []string{"", "old"} {
		in, err := Probe(t.Context(), append(os.Environ(), "FAKE_HELP="+help), os.Args[0])
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]bool{"--dtype": true, "--uds": help == "", "--shutdown-timeout": help == "", "--no-such": false} {
			if in.Has(name) != want {
				t.Errorf("help %q: Has(%s) = %t, want %t", help, name, in.Has(name), want)
			}
		}
	}
	script := func(text string) string {
		path := filepath.Join(t.TempDir(), "vllm")
		processtest.Write(t, path, []byte("#!/bin/sh\n"+text))
		return path
	}
	for _, tt := range []struct{ program, want string }{
		{"no-such-vllm", "find no-such-vllm: executable file not found in $PATH\ninstall it (pip install vllm)"},
		{script("echo ImportError: libcudart >&2; exit 1"), "exit status 1\n  ImportError: libcudart"},
		{script("echo usage: something --else"), "names no flag of vLLM"},
	} {
		if _, err := Probe(t.Context(), os.Environ(), tt.program); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Probe = %v, want %q", err, tt.want)
		}
	}
}

// install returns an installed vllm that has the given flags.
func install(flags ...string) *Install {
	in := &Install{Program: []string{"vllm"}, flags: map[string]bool{}}
	for _, f := range flags {
		in.flags[f] = true
	}
	return in
}

var needed = []string{"--dtype", "--max-model-len", "--gpu-memory-utilization", "--max-num-seqs", "--max-num-batched-tokens"}

func TestArguments(t *testing.T) {
	t.Parallel()
	all := append([]string{
		"--generation-config", "--disable-uvicorn-access-log", "--shutdown-timeout", "--seed", "--trust-remote-code", "--stream-interval",
		"--enable-prefix-caching", "--no-enable-prefix-caching", "--enable-chunked-prefill", "--no-enable-chunked-prefill", "--tensor-parallel-size",
	}, needed...)
	const base = "m --dtype half --max-model-len 2182 --gpu-memory-utilization 0.95 --max-num-seqs 512 --max-num-batched-tokens 32768"
	for _, tt := range []struct {
		name string
		cfg  Config
		args string
		lack int
	}{
		{"defaults", Config{Install: install(all...)}, base + " --generation-config vllm --disable-uvicorn-access-log --shutdown-timeout 0 --seed 0 --trust-remote-code --enable-prefix-caching --enable-chunked-prefill", 0},
		{"an old version", Config{Install: install(needed...)}, base, 7},
		{
			"everything else",
			Config{
				Install: install(all...), DType: "bfloat16", MaxModelLen: 9, MemoryShare: 0.5, MaxNumSeqs: 8, MaxBatchTokens: 7, Seed: 5,
				DistrustRemote: true, NoPrefixCaching: true, NoChunkedPrefil: true, TensorParallel: 2, Device: "a,b", Stream: true,
			},
			"m --dtype bfloat16 --max-model-len 9 --gpu-memory-utilization 0.5 --max-num-seqs 8 --max-num-batched-tokens 7 --generation-config vllm --disable-uvicorn-access-log --shutdown-timeout 0 --seed 5 --no-enable-prefix-caching --no-enable-chunked-prefill --tensor-parallel-size 2 --stream-interval 16",
			0,
		},
		{
			"the operator's own win",
			Config{Install: install(all...), Extra: []string{"--dtype=auto", "--seed", "3", "--no-enable-prefix-caching", "--max_num_seqs", "4", "--enable-chunked-prefill"}},
			"m --max-model-len 2182 --gpu-memory-utilization 0.95 --max-num-batched-tokens 32768 --generation-config vllm --disable-uvicorn-access-log --shutdown-timeout 0 --trust-remote-code",
			0,
		},
	} {
		tt.cfg.Model = "m"
		args, lacks, err := tt.cfg.filled().arguments()
		if got := strings.Join(args, " "); err != nil || got != tt.args || len(lacks) != tt.lack {
			t.Errorf("%s: arguments = %s, %v, %v\nwant %s and %d lacking", tt.name, got, lacks, err, tt.args, tt.lack)
		}
	}
	_, err := New(Config{Install: install(needed[1:]...), Model: "m", Device: "a"})
	if err == nil || !strings.Contains(err.Error(), "the installed vllm has no --dtype") {
		t.Errorf("New = %v, want the missing flag", err)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	err := Config{MemoryShare: 2, TensorParallel: 2, Device: "a", Extra: []string{"--port=80", "--served_model_name", "x"}}.Validate()
	for _, want := range []string{"installed vllm", `model = ""`, "share of GPU memory = 2", "device = a, want 2 GPUs", "extra argument = --port, want none", "extra argument = --served-model-name, want none"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate = %v, want %q", err, want)
		}
	}
}

func TestBatch(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		extra []string
		want  int
	}{
		{nil, 512}, {[]string{"--max-num-seqs=64"}, 64}, {[]string{"--x", "--max_num_seqs", "48"}, 48}, {[]string{"--max-num-seqs"}, 512}, {[]string{"--max-num-seqs", "many"}, 512},
	} {
		if got := (Config{Extra: tt.extra}).filled().batch(); got != tt.want {
			t.Errorf("batch with %q = %d, want %d", tt.extra, got, tt.want)
		}
	}
}

func TestEnviron(t *testing.T) {
	t.Parallel()
	env := Config{GPU: 3, Device: "3", Environ: []string{"A=1", "VLLM_PORT=5"}, Cache: "/c"}.environ()
	for _, want := range []string{"A=1", "CUDA_VISIBLE_DEVICES=3", "CUDA_DEVICE_ORDER=PCI_BUS_ID", "VLLM_PORT=21300", "VLLM_CACHE_ROOT=/c", "TRITON_CACHE_DIR=/c/triton", "VLLM_NO_USAGE_STATS=1", "VLLM_API_KEY="} {
		if !slices.Contains(env, want) {
			t.Errorf("environment lacks %s", want)
		}
	}
}

// TestRoom wants answers refused that leave no room for a prompt, unless the arguments say another length.
func TestRoom(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		most, holds int
		extra       []string
		want        string
	}{
		{2181, 0, nil, ""},
		{2182, 0, nil, "pass --max-tokens 2182 less the longest prompt"},
		{500, 500, nil, "pass --max-tokens 500 less the longest prompt"},
		{500, 500, []string{"--max_model_len", "900"}, ""},
	} {
		c := Config{MaxModelLen: tt.holds, Extra: tt.extra, Asks: openai.Asks{MaxTokens: tt.most}}
		if got := fmt.Sprint(c.Room()); tt.want == "" && got != "<nil>" || !strings.Contains(got, tt.want) {
			t.Errorf("Room of %d in %d with %q = %v, want %q", tt.most, tt.holds, tt.extra, got, tt.want)
		}
	}
}
