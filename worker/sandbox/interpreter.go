package sandbox

import (
	"bytes"
	"context"
	"debug/elf"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

//go:embed interpreter.py
var interpreterSource string

// An interpreter is what the user's Python said of itself.
type interpreter struct {
	Executable     string            `json:"executable"` // the binary, no symlink or shim
	Implementation string            `json:"implementation"`
	Version        string            `json:"version"`
	VersionInfo    [2]int            `json:"version_info"`
	Build          string            `json:"build"`
	Prefixes       []string          `json:"prefixes"`
	Path           []string          `json:"path"`   // sys.path, existing directories only
	Mapped         []string          `json:"mapped"` // executable and shared libraries
	Packages       map[string]string `json:"packages"`
	NumpyError     string            `json:"numpy_error"`
}

// interrogateTimeout bounds the one unconfined start of the interpreter; a
// cold page cache and numpy take seconds, and a loaded machine takes longer.
const interrogateTimeout = 5 * time.Minute

// interrogate runs python, which may be a shim, and returns what it is. It
// runs in / so that no file of the working directory shadows a module.
func interrogate(ctx context.Context, python string) (*interpreter, error) {
	if python == "" {
		python = "python3"
	}
	path, err := exec.LookPath(python)
	if err != nil {
		return nil, fmt.Errorf("find interpreter %q: %w\n%s", python, err, otherPython())
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, fmt.Errorf("find interpreter %q: %w", python, err)
	}
	ctx, cancel := context.WithTimeout(ctx, interrogateTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "-E", "-B", "-c", interpreterSource)
	cmd.Dir = "/"
	cmd.WaitDelay = time.Second
	stdin, null, err := nothing(os.DevNull)
	if err != nil {
		return nil, fmt.Errorf("ask interpreter %s what it is: %w", path, err)
	}
	defer func() { _, _ = stdin.Close(), null.Close() }()
	printed := new(said)
	cmd.Stdin, cmd.Stderr = stdin, printed
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("ask interpreter %s what it is: %w; it printed:\n%s", path, err, printed.all())
	}
	in := new(interpreter)
	if err := json.Unmarshal(out, in); err != nil {
		return nil, fmt.Errorf("ask interpreter %s what it is: decode answer: %w", path, err)
	}
	if in.Implementation != "CPython" {
		return nil, fmt.Errorf("use interpreter %s: it is %s, want CPython", path, in.Implementation)
	}
	if v := in.VersionInfo; v[0] != 3 || v[1] < 10 {
		return nil, fmt.Errorf("use interpreter %s: it is Python %s, want 3.10 or later\n%s", path, in.Version, otherPython())
	}
	in.keepOwnPath()
	return in, nil
}

// newestPython is the last minor version looked for by name; there is no harm in one that is not out.
const newestPython = 19

// otherPython returns the remedy for an interpreter that will not do: one that is here, if any is.
func otherPython() string {
	for minor := newestPython; minor >= 10; minor-- {
		if path, err := exec.LookPath("python3." + strconv.Itoa(minor)); err == nil {
			return "name another with --python: " + path + " is here"
		}
	}
	return "install Python 3.10 or later, or name one with --python"
}

// keepOwnPath drops from the module path what is not the interpreter's: a
// project that a .pth file put there may hold anything, answers included.
func (in *interpreter) keepOwnPath() {
	in.Path = slices.DeleteFunc(in.Path, func(dir string) bool {
		switch filepath.Base(dir) {
		case "site-packages", "dist-packages", "lib-dynload":
			return false
		}
		return !slices.ContainsFunc(in.Prefixes, func(prefix string) bool {
			return strings.HasPrefix(dir, filepath.Join(prefix, "lib")+"/") || strings.HasPrefix(dir, filepath.Join(prefix, "lib64")+"/")
		})
	})
}

// files returns what a program must be able to read: the interpreter, the
// directories of its modules, and those of the libraries it maps. Directories
// that are no library directories are not among them: a library in one of
// those is named itself.
func (in *interpreter) files() []string {
	// The loader's cache, the links that Debian's choice of a BLAS goes by, and what a
	// program may name: time zones and locales.
	paths := []string{in.Executable, "/etc/ld.so.cache", "/etc/alternatives", "/usr/share/zoneinfo", "/usr/lib/locale"}
	paths = append(paths, in.Path...)
	for _, file := range in.Mapped {
		if dir := filepath.Dir(file); isLibraryDir(dir) {
			paths = append(paths, dir)
		} else {
			paths = append(paths, file)
		}
	}
	if loader := loaderOf(in.Executable); loader != "" {
		paths = append(paths, loader)
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// isLibraryDir reports whether dir may be shown whole: a lib directory, one
// level below one (lib/x86_64-linux-gnu), or a package's bundled libraries.
func isLibraryDir(dir string) bool {
	isLib := func(name string) bool {
		return name == "lib" || name == "lib64" || strings.HasSuffix(name, ".libs")
	}
	return isLib(filepath.Base(dir)) || isLib(filepath.Base(filepath.Dir(dir))) || strings.Contains(dir, "-packages/")
}

// loaderOf returns the path of the dynamic loader that the ELF file names, or
// "" for a static one.
func loaderOf(file string) string {
	f, err := elf.Open(file)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		name := make([]byte, p.Filesz)
		if _, err := p.ReadAt(name, 0); err != nil {
			return ""
		}
		return string(bytes.TrimRight(name, "\x00"))
	}
	return ""
}
