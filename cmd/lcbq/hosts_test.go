//go:build hosts

package main

// The matrix of hosts: lcbq is started on each kind that can be made here, judges the
// same programs there, and must judge them as it does on this machine.

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

var (
	hostStarts = flag.Int("hosts.starts", 2, "sweeps to start on each host, of 16 slots each")
	hostWhole  = flag.Bool("hosts.whole", false, "have the first of them be the README's first command whole, not two of its questions at one temperature")
	hostSlots  = flag.String("hosts.slots", "2 8 16 64", "numbers of slots that the sandbox alone opens at once on the likeliest hosts to fail, as often as sweeps are started")
	hostSweeps = flag.Bool("hosts.sweeps", false, "have sweeps open those slots, not the sandbox alone: each takes a hundred times as long")
	hostLikely = flag.Bool("hosts.likely", false, "make the likeliest hosts to fail, no others")
	hostBuilt  = flag.String("hosts.built", "", "folder of the programs lcbq and starts (the test binary of worker/sandbox), for a machine without Go; empty builds them")
	hostRoots  = flag.String("hosts.roots", "", "folder of other systems' roots, as debootstrap makes them; empty is the user's cache, lcbq/hosts")
	hostMake   = flag.Bool("hosts.make", false, "make the roots that are not there, by debootstrap")
	hostTable  = flag.String("hosts.table", "", "file to write the table to")
)

// hostJob is what is done on each host: $1 is the work folder, $2 the starts, $3 the slots, $4
// the numbers of slots that the sandbox alone opens. Starts after the first are of one question.
const hostJob = `cd "$1" || exit 9
lcbq=$1/lcbq python=${PYTHON:-python3}
$lcbq doctor --json -o . --python $python >doctor.json 2>doctor.err
i=0 sweep=${FIRST:---n 2 --temperatures 0.2 --end 2}
while [ $i -lt $2 ]; do
  i=$((i+1))
  $lcbq run --problems sample $sweep --listen "${LISTEN:-127.0.0.1:0}" --evaluators $3 --python $python -o run$i >run$i.out 2>&1 || echo $i >>failed
  sweep='--n 1 --temperatures 0.2 --end 1'
  rm -rf run$i
done
for slots in $4; do
  [ -z "$SWEEPS" ] || {
    i=0 good=PASS
    while [ $i -lt $2 ]; do
      i=$((i+1))
      $lcbq run --problems sample $sweep --listen "${LISTEN:-127.0.0.1:0}" --evaluators $slots --python $python -o many || good=FAIL
      rm -rf many
    done >many$slots.out 2>&1
    echo $good >>many$slots.out
    continue
  }
  $1/starts -test.run '^TestStartsWithoutControlGroups$' -test.timeout 60m -start-slots=$slots -start-times=$2 >many$slots.out 2>&1
done
$lcbq grade --problems p.jsonl --completions c.jsonl --output v.jsonl --evaluators 4 --time-limit 1 --python $python >grade.out 2>&1
echo $? >graded
`

// A hostRow is one line of the table.
type hostRow struct{ host, level, starts, slots, programs, verdicts string }

func TestHosts(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make hosts")
	}
	base, err := os.MkdirTemp("", "lcbq-hosts-") //nolint:usetesting // T.TempDir is closed to other users
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(base) })
	if err := os.Chmod(base, 0o755); err != nil { //nolint:gosec // for the plain user
		t.Fatal(err)
	}
	buildForHosts(t, base)
	here := hostKind{name: "this machine", once: *hostLikely} // the other hosts are compared with it
	row, want := tryHost(t, base, here, nil)
	rows := []hostRow{row}
	if len(want) != hostPrograms {
		t.Fatalf("%d verdicts on this machine, want %d", len(want), hostPrograms)
	}
	var mu sync.Mutex
	t.Run("hosts", func(t *testing.T) {
		for _, k := range slices.Concat(machines(), hostKinds(), pythons(t)) {
			if *hostLikely && !k.many {
				continue
			}
			t.Run(k.name, func(t *testing.T) {
				t.Parallel()
				row, _ := tryHost(t, base, k, want)
				t.Logf("%+v", row)
				mu.Lock()
				defer mu.Unlock()
				rows = append(rows, row)
				writeTable(t, rows) // a matrix that is ended half way has a table too
			})
		}
	})
	t.Log("\n" + tableOf(rows))
}

// buildForHosts puts the programs that hosts run into dir.
func buildForHosts(t *testing.T, dir string) {
	t.Helper()
	for name, args := range map[string][]string{
		"lcbq":   {"go", "build", "-trimpath", "-o", filepath.Join(dir, "lcbq"), "."},
		"starts": {"go", "test", "-c", "-trimpath", "-o", filepath.Join(dir, "starts"), "../../worker/sandbox"},
	} {
		if *hostBuilt != "" {
			args = []string{"cp", filepath.Join(*hostBuilt, name), dir}
		}
		cmd := exec.CommandContext(t.Context(), args[0], args[1:]...) //nolint:gosec // the test's own
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")               // another system has another C library
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
}

// tableOf returns the table in the order of hosts' names, this machine first.
func tableOf(rows []hostRow) string {
	rows = slices.Clone(rows)
	slices.SortFunc(rows[1:], func(a, b hostRow) int { return strings.Compare(a.host, b.host) })
	var table strings.Builder
	table.WriteString("| host | level | starts | of " + strings.Join(strings.Fields(*hostSlots), ", ") + " slots | programs | verdicts as on this machine |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, r := range rows {
		fmt.Fprintf(&table, "| %s | %s | %s | %s | %s | %s |\n", r.host, r.level, r.starts, r.slots, r.programs, r.verdicts)
	}
	return table.String()
}

// writeTable writes the table where it is wanted.
func writeTable(t *testing.T, rows []hostRow) {
	t.Helper()
	if *hostTable == "" {
		return
	}
	if err := os.WriteFile(*hostTable, []byte(tableOf(rows)), 0o600); err != nil {
		t.Error(err)
	}
}

// tryHost makes a host and has it work. It returns its verdicts by completion.
func tryHost(t *testing.T, base string, k hostKind, want []string) (hostRow, []string) {
	t.Helper()
	row := hostRow{host: k.name}
	skip := func(format string, args ...any) {
		row.level, row.verdicts = "-", "not made: "+fmt.Sprintf(format, args...)
	}
	for _, name := range k.needs {
		if _, err := exec.LookPath(name); err != nil {
			skip("needs %s", name)
			return row, nil
		}
	}
	prepare, root := "", ""
	if k.root != "" {
		var why string
		root, why = hostRoot(t, k.root)
		if root == "" {
			skip("%s", why)
			return row, nil
		}
		prepare = "R=" + root + "\n"
	}
	work, err := os.MkdirTemp(base, "w") //nolint:usetesting // T.TempDir is closed to other users
	if err != nil {
		t.Fatal(err)
	}
	writeHostFiles(t, work)
	slots, many := max(k.slots, 16), ""
	files := []string{"lcbq"}
	if k.many {
		files = append(files, "starts")
		many = *hostSlots
	}
	for _, name := range files {
		if out, err := exec.CommandContext(t.Context(), "cp", filepath.Join(base, name), work).CombinedOutput(); err != nil { //nolint:gosec // the test's own
			t.Fatalf("cp: %v: %s", err, out)
		}
	}
	if out, err := exec.CommandContext(t.Context(), "chmod", "-R", "a+rwX", work).CombinedOutput(); err != nil { //nolint:gosec // the test's own
		t.Fatalf("chmod: %v: %s", err, out)
	}
	user := ""
	if k.plain {
		user = fmt.Sprintf("setpriv --reuid=%d --regid=65534 --clear-groups ", cmp.Or(k.uid, 65534))
	}
	env := "env -i PATH=/usr/bin:/bin:/usr/sbin:/sbin"
	if k.root == "" && !slices.ContainsFunc(k.env, func(v string) bool { return strings.HasPrefix(v, "PYTHON=") }) {
		env += " PYTHON=" + python()
	}
	for _, v := range k.env {
		env += " '" + v + "'"
	}
	if *hostWhole {
		env += " 'FIRST= '"
	}
	if *hostSweeps {
		env += " SWEEPS=yes"
	}
	job := func(dir string) string {
		return fmt.Sprintf("%s%s sh %s/job %s %d %d '%s'", user, env, dir, dir, k.starts(), slots, many)
	}
	ctx := t.Context() // how long it may take is go test's -timeout: a machine may be as slow as it likes
	var cmd *exec.Cmd
	if k.machine {
		cmd = machine(ctx, t, root, work, k, job(machineWork))
	} else {
		cmd = exec.CommandContext(ctx, "unshare", "-m", "sh", "-c", "W="+work+"\nRUN=\n"+prepare+"mount --make-rprivate /\n"+k.make+"eval \"$RUN \"'"+strings.ReplaceAll(job(work), "'", `'\''`)+"'\n")
	}
	cmd.Dir = "/"
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState != nil && cmd.ProcessState.ExitCode() == 77 {
		skip("this machine has no such control groups")
		return row, nil
	}
	if err == nil && k.machine {
		err = readMachine(ctx, work)
	}
	if err != nil {
		t.Errorf("make host: %v\n%s", err, out)
	}
	return row, judgeHost(t, &row, work, k, want)
}

// judgeHost fills in row by what the job left in work, and fails the test where that is not as it should be.
func judgeHost(t *testing.T, row *hostRow, work string, k hostKind, want []string) []string {
	t.Helper()
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(work, name))
		if err != nil && name != "failed" && name != "v.jsonl" {
			t.Error(err)
		}
		return string(text)
	}
	grade := read("grade.out")
	if k.refused != "" {
		row.level, row.verdicts = "none", "refused: "+k.refused
		for _, name := range []string{"grade.out", "doctor.json", "run1.out"} {
			if text := read(name); !strings.Contains(text, k.refused) || strings.Contains(text, "goroutine ") {
				t.Errorf("%s: %.2000s, want it refused with %q", name, text, k.refused)
			}
		}
		return nil
	}
	var findings []struct{ Check, Says string }
	if err := json.Unmarshal([]byte(read("doctor.json")), &findings); err != nil {
		t.Errorf("doctor: %v: %s", err, read("doctor.err"))
	}
	for _, f := range findings {
		if f.Check == "sandbox level" {
			row.level, _, _ = strings.Cut(f.Says, ",")
		}
	}
	if k.level != "" && row.level != k.level || row.level == "" {
		t.Errorf("sandbox level %q, want %s: %s %s", row.level, k.level, read("doctor.json"), read("doctor.err"))
	}
	failed := strings.Fields(read("failed"))
	row.starts = fmt.Sprintf("%d of %d", k.starts()-len(failed), k.starts())
	for _, n := range failed {
		t.Errorf("start %s: %.4000s", n, read("run"+n+".out"))
	}
	// A start has all its slots, at the first try: or it says how many there is room for.
	all := fmt.Sprintf(`"programs_at_once":%d`, max(k.slots, 16))
	if k.warns != "" {
		all = k.warns
	}
	for n := range k.starts() {
		if said := read(fmt.Sprintf("run%d.out", n+1)); !strings.Contains(said, all) || strings.Contains(said, "starts again") {
			t.Errorf("start %d: %.4000s, want %q and no start tried again", n+1, said, all)
		}
	}
	row.slots = "-"
	if k.many {
		row.slots = manyStarts(t, read)
	}
	if status := strings.TrimSpace(read("graded")); status != "0" {
		t.Errorf("grade ended with %s: %.4000s", status, grade)
	}
	var verdicts, details []string
	for line := range strings.Lines(read("v.jsonl")) {
		var v struct {
			ID      string `json:"completion_id"`
			Verdict string `json:"verdict"`
			Code    *int   `json:"error_code"`
			Test    *int   `json:"test"`
			Detail  string `json:"detail"`
		}
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatal(err)
		}
		code, test := "-", "-"
		if v.Code != nil {
			code = fmt.Sprint(*v.Code)
		}
		if v.Test != nil {
			test = fmt.Sprint(*v.Test)
		}
		verdicts = append(verdicts, v.ID+" "+v.Verdict+" "+code+" "+test)
		details = append(details, v.Detail)
	}
	row.programs = fmt.Sprint(len(verdicts))
	if want == nil {
		for i, v := range verdicts {
			if expected := hostVerdict(i); !strings.Contains(v, " "+expected+" ") {
				t.Errorf("on this machine: %s, want %s: %s", v, expected, details[i])
			}
		}
		row.verdicts = "by definition"
		return verdicts
	}
	same := 0
	for i := range min(len(verdicts), len(want)) {
		if verdicts[i] == want[i] {
			same++
		} else {
			t.Errorf("verdict %s, on this machine %s: %s", verdicts[i], want[i], details[i])
		}
	}
	row.verdicts = fmt.Sprintf("%d of %d", same, len(want))
	if same != len(want) {
		t.Errorf("%d verdicts as on this machine, want %d", same, len(want))
	}
	return verdicts
}

// manyStarts returns how many of the starts of -hosts.slots succeeded, and fails the test for the others.
func manyStarts(t *testing.T, read func(string) string) string {
	t.Helper()
	good := 0
	numbers := strings.Fields(*hostSlots)
	for _, slots := range numbers {
		said := read("many" + slots + ".out")
		fine := strings.HasSuffix(strings.TrimSpace(said), "PASS") && !strings.Contains(said, "starts again")
		if *hostSweeps { // each had all its slots
			fine = fine && strings.Count(said, `"programs_at_once":`+slots+",") == *hostStarts
		}
		if fine {
			good += *hostStarts
		} else {
			t.Errorf("%d times %s slots: %.4000s", *hostStarts, slots, said)
		}
	}
	return fmt.Sprintf("%d of %d", good, *hostStarts*len(numbers))
}
