//go:build hosts

package main

// The kinds of hosts of the matrix, and how each is made.

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
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

// enterGroup has the job run in the control group $g, which is deleted afterwards.
const enterGroup = `RUN='sh -c '\''echo 0 >'$g'/cgroup.procs; exec "$@"'\'' sh'
`

// enterContainer does the same, and shows the job its group as the root of all.
const enterContainer = `RUN='sh -c '\''echo 0 >'$g'/cgroup.procs; exec unshare -Cm sh -c "mount -t cgroup2 none /sys/fs/cgroup; exec \"\$@\"" sh "$@"'\'' sh'
`

// cpuMax allows one and a half processors.
const cpuMax = "echo 150000 100000 >$g/cpu.max\n"

// v2 makes a control group of version 2 with a controller, where the controllers are that version's. In a container its
// own processes must have left the root of the groups before.
func v2(controller, settings string) string {
	return `g=$(awk '/ - cgroup2 / {print $5; exit}' /proc/self/mountinfo)
grep -qw ` + controller + ` "$g/cgroup.controllers" || exit 77
grep -qw ` + controller + ` "$g/cgroup.subtree_control" || echo +` + controller + ` >"$g/cgroup.subtree_control" || exit 77
g=$g/lcbq-hosts-$$; mkdir $g; trap "find $g -depth -type d -exec rmdir {} +" EXIT
` + settings
}

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
			enterGroup
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
		{name: "control groups of version 2 with cpu.max", make: v2("cpu", cpuMax) + enterGroup, level: "A", many: true},
		{name: "plain user, control groups of version 2 with cpu.max", make: v2("cpu", cpuMax) + enterGroup, plain: true, many: true},
		{name: "control groups of version 2 with cpu.max, as a container sees its own", make: v2("cpu", cpuMax) + enterContainer, level: "A", many: true},
		{name: "control groups of version 2, pids.max 64", make: v2("pids", "echo 64 >$g/pids.max\n") + enterGroup, level: "A", warns: "fewer programs at once"},
		{name: "control groups of version 2, 1 GB of memory", make: v2("memory", "echo 1000000000 >$g/memory.max\n") + enterGroup, level: "A"},
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
