package sandbox

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// importsElsewise are the modules whose import may end differently here than under the
// official runner's conditions, and why.
var importsElsewise = map[string]string{
	"numpy.distutils.command.develop":  noPth,
	"numpy.distutils.command.egg_info": noPth,
}

// noPth is why setuptools, where it is installed, cannot take the place of distutils.
const noPth = "the file distutils-precedence.pth has it done before a program starts, and programs start here without .pth files"

// TestImports wants every module of the standard library and of numpy to import as
// it does under the official runner's conditions, and to fail as it does there. Several
// packages share a process, the same ones here and there, unless -full is given.
func TestImports(t *testing.T) {
	t.Parallel()
	var modules struct {
		Program  string
		Batches  map[string][]string
		Official map[string]string
	}
	processes := "6"
	if *full {
		processes = "0"
	}
	cmd := exec.CommandContext(t.Context(), testPython, "-W", "ignore", "testdata/imports.py", processes)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("list the modules: %v\n%s", err, complaint.String())
	}
	if err := json.Unmarshal(text, &modules); err != nil {
		t.Fatal(err)
	}
	h, err := Probe(t.Context(), Config{Python: testPython, Limits: Limits{CPU: time.Minute, Wall: 5 * time.Minute, Hard: 10 * time.Minute}})
	if err != nil {
		t.Fatal(err)
	}
	s := openSlotOn(t, h)
	listed, same := 0, 0
	for name, all := range modules.Batches {
		source := modules.Program
		if name == "numpy" {
			source += "# numpy\n"
		}
		var printed string
		r, err := s.Run(t.Context(), &Question{ID: name, Inputs: []string{strings.Join(all, " ") + "\n"}}, source, func(_ int, o Output) bool {
			printed = string(o.Text)
			return true
		})
		if err != nil || r.Outcome != Accepted {
			t.Errorf("import %s and its modules: %+v, %v", name, r, err)
			continue
		}
		here, official := imported(printed), imported(modules.Official[name])
		for _, module := range all {
			switch want, got := official[module], here[module]; {
			case want == "":
				t.Errorf("import %s under the official conditions: no word of it", module)
			case want == got:
				same++
			case importsElsewise[module] == "":
				t.Errorf("import %s: %s, official %s", module, got, want)
			default:
				listed++
				t.Logf("import %s: %s, official %s: %s", module, got, want, importsElsewise[module])
			}
		}
	}
	if same < 600 {
		t.Errorf("%d modules import as officially, want 600: the standard library alone has more", same)
	}
	t.Logf("%d modules import as officially, %d differ as listed", same, listed)
}

// imported returns what became of each module.
func imported(printed string) map[string]string {
	became := map[string]string{}
	for line := range strings.Lines(printed) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "@" {
			became[f[1]] = f[2]
		}
	}
	return became
}
