package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/lcbq/lcbq/worker/engine/vllm"
	"github.com/lcbq/lcbq/worker/sandbox"
)

func TestMain(m *testing.M) {
	if status, ok := vllm.Guardian(); ok {
		os.Exit(status)
	}
	sandbox.Main()
	testscript.Main(m, map[string]func(){
		"lcbq":       func() { os.Exit(mainCode()) },
		"vllm":       fakeVLLM,
		"nvidia-smi": fakeSMI,
		"wallclock":  wallclock,
	})
}

func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			// A version manager finds its interpreter through HOME; the scripts get
			// one of their own.
			env.Vars = append(env.Vars, "LCBQ_PYTHON="+python(), "LCBQ_TIME_LIMIT=1")
			return nil
		},
	})
}

// python returns the interpreter that the tests judge with.
func python() string {
	if p, ok := os.LookupEnv("LCBQ_PYTHON"); ok {
		return p
	}
	for _, p := range []string{"/usr/bin/python3", "/usr/local/bin/python3"} {
		if _, err := os.Stat(p); err == nil {
			return p
		}
	}
	return "python3"
}
