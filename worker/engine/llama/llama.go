// Package llama is llama.cpp's server as a server to supervise: its flags, its environment, and
// what its log says of failures. It starts nothing: package supervise runs the server. It knows
// nothing of cards: the program uses those that it was built for.
package llama

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/lcbq/lcbq/worker/engine/openai"
	"github.com/lcbq/lcbq/worker/engine/supervise"
)

// Config says what to serve. The zero value of every field but Program and File is its default.
type Config struct {
	Program  string // path of llama-server, from Find
	File     string // the model, in GGUF
	Parallel int    // sequences computed at once, default 4: each has memory of its own for Context tokens
	Context  int    // prompt and completion tokens of one sequence together, default 2182
	Threads  int    // that compute, default what llama.cpp chooses
	NoGPU    bool   // compute on the processors, whatever devices there are

	Environ        []string // complete environment of the server; llama.cpp's own variables in it are left out
	supervise.Life          // how it is kept running

	Completions bool        // the prompts are texts, for models without a chat template
	Asks        openai.Asks // what requests will ask for; a loaded server is asked for it first
}

// Validate reports all faults of c at once.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, name string, value any, want string) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s = %v, want %s", name, value, want))
		}
	}
	check(c.Program != "", "llama.cpp's server", `""`, "the path of llama-server")
	check(c.File != "", "model", `""`, "a file in GGUF")
	check(c.Parallel >= 0, "sequences at once", c.Parallel, "at least 1")
	check(c.Context >= 0, "longest sequence", c.Context, "at least 1")
	check(c.Threads >= 0, "threads", c.Threads, "at least 1, or 0 for llama.cpp's own choice")
	return errors.Join(errs...)
}

// DefaultParallel is how many sequences are computed at once unless Config.Parallel says otherwise.
const DefaultParallel = 4

// filled returns c with its defaults in place.
func (c Config) filled() Config {
	if c.Parallel == 0 {
		c.Parallel = DefaultParallel
	}
	if c.Context == 0 {
		c.Context = 2182
	}
	c.Life = c.Filled()
	return c
}

// New makes the engine of a server. It starts nothing. The caller closes the engine after its Run
// returned.
func New(cfg Config) (*supervise.Engine, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.filled()
	return supervise.New(supervise.Server{
		Program: []string{cfg.Program}, Args: cfg.arguments(), Environ: cfg.environ(),
		// The server takes an address for a socket's by this ending. Nobody else of this machine can
		// open a folder that is ours alone, as a port could be.
		SocketName: "s.sock",
		Socket:     func(path string) []string { return []string{"--host", path} },
		Titles:     []string{"llama"}, Failures: failures, Steps: steps,
		Client: openai.Config{
			// More choices than slots are refused.
			Model: Name(cfg.File), Name: "llama", MaxN: cfg.Parallel, Batch: cfg.Parallel, InFlight: 2 * cfg.Parallel, Completions: cfg.Completions, Asks: cfg.Asks,
		},
	}, cfg.Life)
}

// arguments returns the server's arguments, the place to listen at aside.
func (c Config) arguments() []string {
	args := []string{
		"--model", c.File, "--alias", Name(c.File),
		"--parallel", strconv.Itoa(c.Parallel), "--ctx-size", strconv.Itoa(c.Parallel * c.Context), // the slots share it in equal parts
		"--no-kv-unified", // or one long sequence could take the others' part
		"--metrics", "--no-webui", "--no-slots", "--offline",
	}
	if c.Threads > 0 {
		args = append(args, "--threads", strconv.Itoa(c.Threads))
	}
	if c.NoGPU {
		args = append(args, "--device", "none")
	}
	return args
}

// environ returns the server's environment, without the variables that stand for its arguments:
// they would change the model unseen, and a key that is meant for another server would lock us out.
func (c Config) environ() []string {
	env := make([]string, 0, len(c.Environ))
	for _, v := range c.Environ {
		if !strings.HasPrefix(v, "LLAMA_ARG_") && !strings.HasPrefix(v, "LLAMA_API_KEY=") {
			env = append(env, v)
		}
	}
	return env
}

// Name returns what a model's file is called in manifests and results, wherever it lies.
func Name(file string) string { return filepath.Base(file) }

// Find returns the path of the program.
func Find(program string) (string, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return "", fmt.Errorf("find %s: %w\nbuild llama.cpp or install a package with its server, and name the program with --llama; or use a running server: --engine openai --endpoint URL", program, errors.Unwrap(err))
	}
	return path, nil
}

// headBytes of a file are digested: its metadata and its table of tensors. A whole model of many
// gigabytes would take minutes.
const headBytes = 4 << 20

// Digest returns what tells a model's file from another of the same name: its size and the SHA-256 of
// its first 4 MiB, which hold what the model is. It returns an error with a remedy if the file is none
// in GGUF.
func Digest(file string) (string, error) {
	const remedy = "\ngive a model's file in GGUF with --model"
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("use model: %w%s", err, remedy)
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("use model: %w", err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("use model %s: it is no file%s", file, remedy)
	}
	head := make([]byte, min(headBytes, info.Size()))
	if _, err := io.ReadFull(f, head); err != nil {
		return "", fmt.Errorf("use model %s: %w", file, err)
	}
	if !strings.HasPrefix(string(head), "GGUF") {
		return "", fmt.Errorf("use model %s: the file is not in GGUF%s; llama.cpp's convert_hf_to_gguf.py makes one from a model's folder", file, remedy)
	}
	sum := sha256.Sum256(head)
	return fmt.Sprintf("%d-%s", info.Size(), hex.EncodeToString(sum[:8])), nil
}
