//go:build hosts

package main

// A machine of its own under qemu: another kernel, systemd, and the control groups that it makes.

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var hostQemu = flag.String("hosts.qemu", "", "have machines under qemu too, with a kernel and systemd of their own, by this accelerator: kvm, or tcg, which is slow and runs everywhere; -hosts.make makes their disk")

const (
	// machineWork is where a machine has the work folder.
	machineWork = "/job"
	// machineSystem is what a machine's system has besides the smallest one.
	machineSystem = "systemd-sysv,udev,dbus,initramfs-tools,linux-image-cloud-amd64,python3,python3-numpy"
)

// machineBoot is what a machine does when it has started. It mounts the disk itself: systemd
// gives a device up that an emulated machine finds late. The time-outs are of the machine's
// own clock.
const machineBoot = `[Unit]
Description=the job of lcbq's matrix of hosts
After=basic.target
JobTimeoutSec=20h
JobTimeoutAction=poweroff-force
[Service]
Type=oneshot
TimeoutStartSec=20h
ExecStartPre=/bin/mount /dev/vdb ` + machineWork + `
ExecStart=/bin/sh ` + machineWork + `/boot
ExecStopPost=-/bin/umount ` + machineWork + `
ExecStopPost=/bin/systemctl poweroff --no-block
StandardOutput=journal+console
StandardError=journal+console
[Install]
WantedBy=multi-user.target
`

// machines are the hosts under qemu.
func machines() []hostKind {
	if *hostQemu == "" {
		return nil
	}
	needs := []string{"qemu-system-x86_64", "mkfs.ext4", "debugfs"}
	kind := func(name string, k hostKind) hostKind {
		k.name, k.machine, k.root, k.needs, k.many = "Debian 12 with its own kernel and systemd, "+name, true, "bookworm-machine", needs, true
		return k
	}
	return []hostKind{
		kind("a service, clock in 2040", hostKind{level: "A", qemu: []string{"-rtc", "base=2040-02-29T12:00:00"}}),
		kind("a service with cpu.max", hostKind{level: "A", service: []string{"CPUQuota=150%"}}),
		kind("a service with cpu.max, plain user", hostKind{plain: true, service: []string{"CPUQuota=150%"}}),
	}
}

// machine returns the command that runs a job on a machine of its own, until it has turned
// itself off. The work folder is its second disk.
func machine(ctx context.Context, t *testing.T, root, work string, k hostKind, job string) *exec.Cmd {
	t.Helper()
	run := "systemd-run --wait --collect"
	for _, property := range k.service {
		run += " -p " + property
	}
	boot := fmt.Sprintf("uname -a >%[1]s/kernel\ngrep . /sys/fs/cgroup/cgroup.controllers >>%[1]s/kernel\nchmod 777 %[1]s\n%[2]s -- %[3]s >%[1]s/service.out 2>&1\n", machineWork, run, job)
	if err := os.WriteFile(filepath.Join(work, "boot"), []byte(boot), 0o600); err != nil {
		t.Fatal(err)
	}
	disk := work + ".disk"
	t.Cleanup(func() {
		if console, err := os.ReadFile(disk + ".console"); t.Failed() && err == nil {
			t.Logf("the console's end:\n%s", console[max(0, len(console)-8000):])
		}
		_, _ = os.Remove(disk), os.Remove(disk+".console")
	})
	if out, err := exec.CommandContext(ctx, "mkfs.ext4", "-q", "-d", work, disk, "2G").CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v: %s", err, out)
	}
	args := slices.Concat(k.qemu, []string{
		"-machine", "accel=" + *hostQemu, "-cpu", "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt", "-m", "3072",
		"-display", "none", "-serial", "file:" + disk + ".console", "-nic", "none", "-no-reboot", "-kernel", filepath.Join(root, "vmlinuz"), "-initrd", filepath.Join(root, "initrd.img"),
		"-append", "root=/dev/vda rw console=ttyS0 panic=-1 systemd.mask=systemd-udev-trigger.service",
		"-drive", "file=" + root + ".disk,format=raw,if=virtio,snapshot=on", "-drive", "file=" + disk + ",format=raw,if=virtio",
	})
	if *hostQemu == "tcg" {
		// The clock counts instructions: this machine may be as slow as it likes, and no time-out
		// over there runs out for it. Two processors wait for each other then for hours.
		args = append(args, "-icount", "shift=1,sleep=on")
	} else {
		args = append(args, "-smp", "2")
	}
	return exec.CommandContext(ctx, "qemu-system-x86_64", args...)
}

// readMachine puts what a machine left on its second disk into the work folder.
func readMachine(ctx context.Context, work string) error {
	out, err := exec.CommandContext(ctx, "debugfs", "-R", "rdump / "+work, work+".disk").CombinedOutput()
	if err != nil {
		return fmt.Errorf("debugfs: %w: %s", err, out)
	}
	return nil
}

// prepareMachine has a system made by debootstrap start by itself and do its job, and puts it
// onto a disk.
func prepareMachine(ctx context.Context, root, disk string) error {
	files := map[string]string{
		"etc/systemd/system/lcbq-hosts.service": machineBoot,
		"etc/fstab":                             "/dev/vda / ext4 defaults 0 0\n",
		"etc/hostname":                          "machine\n",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil { //nolint:gosec // a system's own
			return err
		}
	}
	script := fmt.Sprintf(`set -e
R=%s
mkdir -p $R%s $R/etc/systemd/system/multi-user.target.wants
ln -sf ../lcbq-hosts.service $R/etc/systemd/system/multi-user.target.wants/
for f in vmlinuz initrd.img; do [ -e $R/$f ] || cp $(ls $R/boot/$f-* | tail -n 1) $R/$f; done
mkfs.ext4 -q -d $R %s 3G
`, root, machineWork, disk)
	if out, err := exec.CommandContext(ctx, "sh", "-c", script).CombinedOutput(); err != nil {
		return fmt.Errorf("prepare machine: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}
