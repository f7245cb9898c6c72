package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// viewOf returns the fixtures that make paths visible in an otherwise empty
// root. Symbolic links on the way are made anew, so that every name works
// that works on the host. Paths that do not exist are left out.
func viewOf(paths []string) ([]fixture, error) {
	v := view{links: map[string]string{}, shown: map[string]fixture{}}
	for _, path := range paths {
		if err := v.add(path, 0); err != nil {
			return nil, fmt.Errorf("show %s: %w", path, err)
		}
	}
	return v.fixtures(), nil
}

type view struct {
	links map[string]string
	shown map[string]fixture
}

// maxLinks is the kernel's own bound on symbolic links in a path.
const maxLinks = 40

// add walks path from the root, follows each link it meets, and shows what it
// arrives at.
func (v *view) add(path string, links int) error {
	at := "/"
	parts := strings.Split(strings.Trim(filepath.Clean(path), "/"), "/")
	for i, part := range parts {
		at = filepath.Join(at, part)
		info, err := os.Lstat(at)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if info.Mode()&os.ModeSymlink == 0 {
			continue
		}
		if links == maxLinks {
			return unix.ELOOP
		}
		target, err := os.Readlink(at)
		if err != nil {
			return err
		}
		v.links[at] = target
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(at), target)
		}
		return v.add(filepath.Join(append([]string{target}, parts[i+1:]...)...), links+1)
	}
	info, err := os.Stat(at)
	if err != nil {
		return err
	}
	v.shown[at] = fixture{Path: at, Dir: info.IsDir(), Device: info.Mode()&os.ModeDevice != 0}
	return nil
}

// fixtures returns what was added, parents first, without what lies inside a
// directory that is shown anyway.
func (v *view) fixtures() []fixture {
	var all []fixture
	inside := func(path string) bool {
		for dir := filepath.Dir(path); dir != "/"; dir = filepath.Dir(dir) {
			if _, ok := v.shown[dir]; ok {
				return true
			}
		}
		return false
	}
	for path, f := range v.shown {
		if !inside(path) {
			all = append(all, f)
		}
	}
	for path, target := range v.links {
		if !inside(path) {
			all = append(all, fixture{Path: path, Link: target})
		}
	}
	slices.SortFunc(all, func(a, b fixture) int { return strings.Compare(a.Path, b.Path) })
	return all
}

// enterView makes the fixtures the process's whole file system, read-only. The
// process must be alone in a mount namespace.
func enterView(fixtures []fixture) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	base, err := stagingDir(fixtures)
	if err != nil {
		return err
	}
	const hardened = unix.MS_NOSUID | unix.MS_NODEV
	if err := unix.Mount("tmpfs", base, "tmpfs", hardened, "mode=755,size=1m"); err != nil {
		return fmt.Errorf("mount empty root: %w", err)
	}
	for _, f := range fixtures {
		if err := show(base, f); err != nil {
			return fmt.Errorf("show %s: %w", f.Path, err)
		}
	}
	// The old root is stacked on the new one and let go: no directory for it
	// is needed, and none is left.
	if err := unix.Chdir(base); err != nil {
		return fmt.Errorf("enter new root: %w", err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("let go of old root: %w", err)
	}
	if err := unix.Mount("", "/", "", hardened|unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("make new root read-only: %w", err)
	}
	return nil
}

// stagingDir returns a directory of the host that hides none of the fixtures
// when the new root is mounted over it. Nothing is written to it.
func stagingDir(fixtures []fixture) (string, error) {
	for _, dir := range []string{"/tmp", "/mnt", "/sys", "/run", "/var", "/home", "/proc", "/etc"} {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() {
			continue
		}
		if !slices.ContainsFunc(fixtures, func(f fixture) bool {
			return f.Path == dir || strings.HasPrefix(f.Path, dir+"/")
		}) {
			return dir, nil
		}
	}
	return "", errors.New("find a directory to mount the new root on: every one holds files of the interpreter")
}

// show makes one fixture visible below base.
func show(base string, f fixture) error {
	at := filepath.Join(base, f.Path)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	if f.Link != "" {
		return os.Symlink(f.Link, at)
	}
	if f.Dir {
		if err := os.MkdirAll(at, 0o755); err != nil {
			return err
		}
	} else if err := os.WriteFile(at, nil, 0o644); err != nil {
		return err
	}
	if err := unix.Mount(f.Path, at, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	return restrictMount(at, f.Device)
}

// restrictMount makes a bind mount read-only and takes set-user-ID and, except
// for a device, device files from it.
func restrictMount(at string, device bool) error {
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV}
	flags := uintptr(unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV)
	if device {
		attr.Attr_set &^= unix.MOUNT_ATTR_NODEV
		flags &^= unix.MS_NODEV
	}
	err := unix.MountSetattr(-1, at, 0, &attr)
	if !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EPERM) {
		return err
	}
	// Before Linux 5.12, or under a system call filter that is older. A user namespace may not drop the flags of the mount
	// that was bound, so they are repeated.
	var fs unix.Statfs_t
	if err := unix.Statfs(at, &fs); err != nil {
		return err
	}
	kept := uintptr(fs.Flags) & (unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOATIME | unix.MS_NODIRATIME | unix.MS_RELATIME)
	return unix.Mount("", at, "", unix.MS_REMOUNT|unix.MS_BIND|flags|kept, "")
}
