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

// A hostKind is one kind of host: how it is made, and what lcbq must do there.
type hostKind struct {
	name string
	// make is shell, run by root in a mount namespace of its own. W is the work folder, BIN
	// the binary's. The last command may set RUN, which is put before the job's.
	make  string
	plain bool     // run as a plain user
	uid   int      // of the plain user, nobody's if 0; what a user may have is counted over all hosts at once
	env   []string // added to PATH, and nothing else
	slots int      // of each start, 16 if 0
	once  bool     // start it once, however often the others are
	many  bool     // has the sandbox alone open -hosts.slots slots too
	// machine makes a machine under qemu, with a kernel and systemd of its own.
	machine bool
	qemu    []string // its options
	service []string // properties of the service there in which the job runs
	// level is what the sandbox must give, any if empty.
	level string
	// refused is what lcbq says where it cannot judge.
	refused string
	// warns is what it says besides.
	warns string
	needs []string // programs and files, without which the host cannot be made
	root  string   // of another system
}

// starts is how many sweeps are started there.
func (k *hostKind) starts() int {
	if k.once {
		return 1
	}
	return *hostStarts
}

// hide shows no control groups.
const hide = "mount -t tmpfs none /sys/fs/cgroup\n"

// enter makes the folder $R the root: with the work folder in it, /proc and the usual devices.
const enter = `mkdir -p $R/proc $R/dev $R/sys $R$W
mount -t proc proc $R/proc; mount --rbind /dev $R/dev; mount --bind $W $R$W
RUN="chroot $R"
`

// hostKinds are the hosts, the likeliest to fail first.
func hostKinds() []hostKind {
	noCPU := hide + "mount -t cgroup2 none /sys/fs/cgroup\n" // the controllers are version 1's here
	netns := `ip netns del lcbq-$$ 2>/dev/null; ip netns add lcbq-$$; ip netns exec lcbq-$$ ip link set lo up
RUN="ip netns exec lcbq-$$"
trap "ip netns del lcbq-$$" EXIT
`
	own := "R=$W/root; mkdir $R; for d in /usr /etc /lib /lib64 /bin /sbin; do if [ -L $d ]; then cp -a $d $R/; elif [ -d $d ]; then mkdir $R$d; mount --rbind $d $R$d; fi; done; mkdir $R/tmp; chmod 1777 $R/tmp\n" + enter
	minimal := func(without string) string {
		return "mkdir $W/dev; for d in null zero urandom random full tty; do [ $d = " + without + " ] || cp -a /dev/$d $W/dev/; done; mount --rbind $W/dev /dev\n"
	}
	v1 := func(controller, settings string) string {
		return "g=$(awk '$0 ~ / - cgroup / && $NF ~ /" + controller + "/ {print $5}' /proc/self/mountinfo | head -n 1)\n[ -n \"$g\" ] || exit 77\ng=$g/lcbq-hosts-$$; mkdir $g; trap \"rmdir $g\" EXIT\n" + settings +
			"RUN='sh -c '\\''echo 0 >'$g'/cgroup.procs; exec \"$@\"'\\'' sh'\n"
	}
	kinds := []hostKind{
		{name: "control groups hidden", make: hide, level: "A", many: true},
		{name: "control groups of version 2 without cpu and memory", make: noCPU, level: "A", many: true},
		{name: "control groups of version 1, mounted somewhere else", make: "umount -l /sys/fs/cgroup/memory /sys/fs/cgroup/pids || exit 77\nmkdir $W/cg; mount -t tmpfs none $W/cg; cd $W/cg; mkdir 'a b' p\nmount -t cgroup -o memory none 'a b'; mount -t cgroup -o pids none p\n" + "cd /\n", level: "A", many: true},
		{name: "ip netns exec", make: netns, level: "A", needs: []string{"ip"}, many: true},
		{name: "chroot", make: own, level: "B", needs: []string{"chroot"}, many: true},
		{name: "plain user", plain: true, many: true},
		{name: "plain user, control groups hidden", make: hide, plain: true, many: true},
		{name: "plain user, control groups of version 2 without cpu", make: noCPU, plain: true, many: true},
		{name: "plain user, ip netns exec", make: netns, plain: true, needs: []string{"ip"}, many: true},
		{name: "plain user, chroot", make: own, plain: true, level: "C", many: true},
		{name: "no network but the loopback", make: "RUN='unshare -n sh -c '\\''ip link set lo up; exec \"$@\"'\\'' sh'\n", level: "A", needs: []string{"ip"}},
		{name: "IPv6 loopback alone", make: "RUN='unshare -n sh -c '\\''ip link set lo up; ip addr del 127.0.0.1/8 dev lo; exec \"$@\"'\\'' sh'\n", level: "A", needs: []string{"ip"}, env: []string{"LISTEN=auto"}},
		{name: "no HOME, no PATH but /usr/bin", level: "A"},
		{name: "POSIX locale", env: []string{"LC_ALL=POSIX", "LANG=POSIX", "HOME=/root"}, level: "A"},
		{name: "C.UTF-8 locale", env: []string{"LC_ALL=C.UTF-8", "HOME=/root"}, level: "A"},
		{name: "Turkish locale, time zone of Chatham", env: []string{"LC_ALL=tr_TR.UTF-8", "LANG=tr_TR.UTF-8", "TZ=Pacific/Chatham", "HOME=/root"}, level: "A"},
		{name: "umask 077", make: "umask 077\n", level: "A"},
		{name: "umask 000", make: "umask 000\n", level: "A"},
		{name: "ulimit -n 256", make: "ulimit -n 256\n", level: "A"},
		{name: "ulimit -n 256, 64 slots", make: "ulimit -n 256\n", slots: 64, level: "A", warns: "fewer programs at once"},
		{name: "plain user, ulimit -u 200", make: "RUN='prlimit --nproc=200'\n", plain: true, uid: 65531},
		{name: "plain user, ulimit -u 200, 64 slots", make: "RUN='prlimit --nproc=200'\n", plain: true, uid: 65532, slots: 64, warns: "fewer programs at once"},
		{name: "plain user, ulimit -u 200, 64 slots, as if of 64 processors", make: "RUN='prlimit --nproc=200'\n", plain: true, uid: 65533, env: []string{"GOMAXPROCS=64"}, slots: 64, warns: "fewer programs at once"},
		{name: "plain user, ulimit -v 8 GB", make: "ulimit -v 8000000\n", plain: true},
		{name: "plain user, ulimit -v 3 GB", make: "ulimit -v 3000000\n", plain: true, refused: "this session allows 2929 MiB (ulimit -v)"},
		{name: "read-only root", make: "mount -o remount,ro,bind / && mount -t tmpfs none /tmp2 2>/dev/null; mount --bind $W $W; mount -o remount,rw,bind $W\n", level: "A"},
		{name: "/tmp noexec and tiny", make: "mount --bind $W /mnt; mount -t tmpfs -o noexec,size=64k none /tmp; chmod 755 /tmp; mkdir -p $W; mount --bind /mnt $W\n", level: "A"},
		{name: "no /dev/shm, no /dev/pts", make: minimal("none"), level: "A"},
		{name: "no /dev/null", make: minimal("null"), level: "A"},
		{name: "full /dev/shm", make: "mount -t tmpfs -o size=64k none /dev/shm; dd if=/dev/zero of=/dev/shm/full bs=1k count=65 2>/dev/null\n", level: "A"},
		{name: "other processes hidden", make: "mount -t proc -o hidepid=2 proc /proc\n", plain: true},
		{name: "no /proc", make: "umount -l /proc; mount -t tmpfs none /proc\n", refused: "mount -t proc proc /proc"},
		{name: "one processor", make: "RUN='taskset -c 0'\n", level: "A", needs: []string{"taskset"}},
		{name: "64 slots", slots: 64, level: "A"},
		{name: "pids.max 64", make: v1("pids", "echo 64 >$g/pids.max\n"), level: "A", warns: "fewer programs at once"},
		{name: "1 GB of memory", make: v1("memory", "echo 1000000000 >$g/memory.limit_in_bytes\n"), level: "A"},
	}
	for _, s := range []struct{ suite, what, refused string }{
		{"bullseye", "Debian 11, Python 3.9", "want 3.10 or later"},
		{"bookworm", "Debian 12, Python 3.11", ""},
		{"trixie", "Debian 13, Python 3.13", ""},
		{"forky", "Debian 14, Python 3.14", ""},
	} {
		for _, plain := range []bool{false, true} {
			k := hostKind{name: s.what, make: enter, refused: s.refused, root: s.suite, plain: plain}
			if plain {
				k.name += ", plain user"
			}
			kinds = append(kinds, k)
		}
	}
	return kinds
}

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

// pythons are the interpreters of this machine besides the default.
func pythons(t *testing.T) []hostKind {
	t.Helper()
	var kinds []hostKind
	home, _ := os.UserHomeDir()
	for _, pattern := range []string{"/usr/bin/python3.[0-9]*", "/usr/local/bin/python3.[0-9]*", "/opt/python*/bin/python3.[0-9]*", home + "/.pyenv/versions/3.*/bin/python3.[0-9]*"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			name := filepath.Base(path)
			minor, ok := strings.CutPrefix(name, "python3.")
			if !ok || strings.Trim(minor, "0123456789") != "" {
				continue
			}
			k := hostKind{name: "Python 3." + minor + " in " + strings.Replace(filepath.Dir(path), home, "~", 1), env: []string{"PYTHON=" + path}}
			if len(minor) == 1 {
				k.refused = "want 3.10 or later"
			}
			kinds = append(kinds, k)
		}
	}
	return kinds
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
	work, err := os.MkdirTemp(base, "w")
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

// makingRoots is held by the one host that looks for a root, and makes it.
var makingRoots sync.Mutex

// hostRoot returns another system's root, or why there is none. One called SUITE-machine
// starts by itself, from the disk beside it.
func hostRoot(t *testing.T, name string) (root, why string) {
	t.Helper()
	makingRoots.Lock() // several hosts have the same
	defer makingRoots.Unlock()
	dir := *hostRoots
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", err.Error()
		}
		dir = filepath.Join(cache, "lcbq", "hosts")
	}
	root = filepath.Join(dir, name)
	if _, err := os.Stat(filepath.Join(root, "usr", "bin", "python3")); err == nil {
		return openToAll(root)
	}
	if !*hostMake {
		return "", "no root in the cache, -hosts.make makes it"
	}
	debootstrap, err := exec.LookPath("debootstrap")
	if err != nil {
		return "", "needs debootstrap"
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // for the plain user
		t.Fatal(err)
	}
	half, err := os.MkdirTemp(dir, "half-")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(half) }()
	// The mirror is the one that apt has. The suite's own script may be newer than the
	// installed debootstrap: all are sid's.
	targets, err := exec.CommandContext(t.Context(), "apt-get", "indextargets", "--format", "$(REPO_URI)", "Identifier: Packages").Output()
	mirror, _, _ := strings.Cut(string(targets), "\n")
	if err != nil || mirror == "" {
		return "", fmt.Sprintf("apt names no mirror: %v", err)
	}
	suite, machine := strings.CutSuffix(name, "-machine")
	with := "python3"
	if machine {
		with = machineSystem
	}
	cmd := exec.CommandContext(t.Context(), debootstrap, "--variant=minbase", "--include="+with, suite, half, mirror, "sid")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Sprintf("debootstrap: %v: %.200s", err, out[max(0, len(out)-200):])
	}
	if machine {
		if err := prepareMachine(t.Context(), half, root+".disk"); err != nil {
			return "", err.Error()
		}
	}
	if err := os.Rename(half, root); err != nil {
		t.Fatal(err)
	}
	return openToAll(root)
}

// openToAll lets a plain user into a root, which is made in a folder of root's own.
func openToAll(dir string) (root, why string) {
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // for the plain user
		return "", err.Error()
	}
	return dir, ""
}
