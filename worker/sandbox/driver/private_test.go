package driver_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/worker/pythontest"

	"github.com/lcbq/lcbq/worker/sandbox/driver"
)

// lister prints the builtins that functions of the harness look up by name.
const lister = `
import sys, types, builtins
m = types.ModuleType("driver")
exec(compile(open(sys.argv[1]).read(), "<driver>", "exec"), m.__dict__)
BEFORE = set("warm seal rehearse watch_threads given_names load wrapped wrapped_by_print needs_numpy reprint reprint_strings load_given load_functional load_stdin".split())
# The normal form is made in a process that runs no program.
BEFORE |= set("normal_form may_be_imports is_plain_class is_text is_string check_module Form".split())
def walk(name, code):
    import dis
    for i in dis.get_instructions(code):
        if i.opname in ("LOAD_GLOBAL", "LOAD_NAME") and i.argval not in m.__dict__ and hasattr(builtins, i.argval):
            print(name, i.argval)
    for c in code.co_consts:
        if isinstance(c, types.CodeType):
            walk(name, c)
for name, f in list(m.__dict__.items()):
    if isinstance(f, types.FunctionType) and f.__module__ == "driver" and name not in BEFORE:
        walk(name, f.__code__)
    elif isinstance(f, type) and f.__module__ == "driver" and name not in BEFORE:
        for n, g in f.__dict__.items():
            if isinstance(g, types.FunctionType):
                walk(name + "." + n, g.__code__)
`

// TestPrivateNames checks that what runs after a program has started uses no
// builtin by its public name, which the program can rebind.
func TestPrivateNames(t *testing.T) {
	t.Parallel()
	source := filepath.Join(t.TempDir(), "driver.py")
	if err := os.WriteFile(source, []byte(driver.Source), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), pythontest.Find(t), "-I", "-c", lister, source).CombinedOutput()
	if err != nil {
		t.Fatalf("list names: %v: %s", err, out)
	}
	for name := range strings.Lines(string(out)) {
		// Its print is meant to be the program's; Failure is raised by load.
		if !strings.HasPrefix(name, "on_alarm print") && !strings.HasPrefix(name, "Failure.__init__ Exception") {
			t.Errorf("rebindable: %s", strings.TrimSpace(name))
		}
	}
}
