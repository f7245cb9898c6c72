package vllm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/lcbq/lcbq/worker/engine/supervise"
)

// ProbeFor bounds one question to the program, which imports torch to answer.
const ProbeFor = 3 * time.Minute

// An Install is a vllm that was found on this machine.
type Install struct {
	Program []string // path of vllm, and arguments before its own
	flags   map[string]bool
}

// flagForm finds flags in a help text.
var flagForm = regexp.MustCompile(`--[a-zA-Z0-9][a-zA-Z0-9_-]*`)

// Find returns the path of the program.
func Find(program string) (string, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return "", fmt.Errorf("find %s: %w\ninstall it (pip install vllm) or use a running server: --engine openai --endpoint URL", program, errors.Unwrap(err))
	}
	return path, nil
}

// Probe finds the program and asks it which flags of `vllm serve` it has, so
// that none is guessed. The default program is vllm on PATH. It takes as long as
// an import of torch.
func Probe(ctx context.Context, environ []string, program ...string) (*Install, error) {
	if len(program) == 0 {
		program = []string{"vllm"}
	}
	path, err := Find(program[0])
	if err != nil {
		return nil, err
	}
	in := &Install{Program: append([]string{path}, program[1:]...)}
	// Newer versions list only groups until asked for all, older ones do not know
	// the question.
	help, err := in.ask(ctx, environ, "serve", "--help=all")
	if err != nil || !strings.Contains(help, "--max-num-seqs") {
		help, err = in.ask(ctx, environ, "serve", "--help")
	}
	if err != nil {
		return nil, err
	}
	in.flags = map[string]bool{}
	for _, f := range flagForm.FindAllString(help, -1) {
		in.flags[strings.ReplaceAll(f, "_", "-")] = true
	}
	if !in.flags["--max-num-seqs"] {
		return nil, fmt.Errorf("probe %s: its help for serve names no flag of vLLM", path)
	}
	return in, nil
}

// Has reports whether `vllm serve` takes the flag.
func (in *Install) Has(name string) bool { return in.flags[name] }

// ask runs the program to its end and returns its standard output.
func (in *Install) ask(ctx context.Context, environ []string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, ProbeFor, fmt.Errorf("no answer within %v", ProbeFor))
	defer cancel()
	cmd := exec.CommandContext(ctx, in.Program[0], append(in.Program[1:len(in.Program):len(in.Program)], args...)...) //nolint:gosec // the program is the operator's
	cmd.Env = environ
	cmd.WaitDelay = time.Second
	// vllm may be a script around the program: who interrupts us ends both, and so does our own end.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return "", fmt.Errorf("run %s %s: %w%s", in.Program[0], strings.Join(args, " "), err, supervise.LastLines(said.Bytes(), 3))
	}
	return out.String(), nil
}
