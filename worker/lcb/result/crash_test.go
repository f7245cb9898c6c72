package result

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// crashDisk is a file system in memory that knows what would survive a power
// cut. Content survives only as of the file's last Sync; a name survives only as
// of its folder's last sync, though it may get to disk sooner. It stops working
// before its failAt-th operation.
type crashDisk struct {
	ops    []string
	failAt int // -1: never

	dirs    map[string]bool // there; a folder's own entry counts in its parent
	live    map[string]*memFile
	durable map[string]map[string]*memFile // folder -> names as of its last sync; nil file: a folder
}

type memFile struct {
	disk           *crashDisk
	path           string
	content, saved []byte
}

var errCrash = errors.New("the machine stopped")

func newCrashDisk() *crashDisk {
	return &crashDisk{
		failAt: -1, dirs: map[string]bool{"/": true, "/results": true}, live: map[string]*memFile{},
		durable: map[string]map[string]*memFile{"/": {"/results": nil}, "/results": {}},
	}
}

func (d *crashDisk) op(format string, args ...any) error {
	if d.failAt >= 0 && len(d.ops) >= d.failAt {
		return errCrash
	}
	d.ops = append(d.ops, fmt.Sprintf(format, args...))
	return nil
}

func (d *crashDisk) create(path string) (diskFile, error) {
	if err := d.op("create"); err != nil {
		return nil, err
	}
	if !d.dirs[filepath.Dir(path)] {
		return nil, fs.ErrNotExist
	}
	f := &memFile{disk: d, path: path}
	d.live[path] = f
	return f, nil
}

func (d *crashDisk) rename(from, to string) error {
	if err := d.op("rename"); err != nil {
		return err
	}
	d.live[to] = d.live[from]
	delete(d.live, from)
	return nil
}

func (d *crashDisk) remove(path string) error {
	if err := d.op("remove"); err != nil {
		return err
	}
	delete(d.live, path)
	return nil
}

func (d *crashDisk) mkdir(path string) error {
	if d.dirs[path] {
		return fs.ErrExist
	}
	if !d.dirs[filepath.Dir(path)] {
		return fs.ErrNotExist
	}
	if err := d.op("mkdir %s", path); err != nil {
		return err
	}
	d.dirs[path] = true
	return nil
}

func (d *crashDisk) syncDir(path string) error {
	if err := d.op("syncdir %s", path); err != nil {
		return err
	}
	d.durable[path] = d.names(path)
	return nil
}

// names are the entries of a folder as programs see them now.
func (d *crashDisk) names(dir string) map[string]*memFile {
	out := make(map[string]*memFile)
	for path, f := range d.live {
		if filepath.Dir(path) == dir {
			out[path] = f
		}
	}
	for path := range d.dirs {
		if path != dir && filepath.Dir(path) == dir {
			out[path] = nil
		}
	}
	return out
}

// after returns what a path can hold after a power cut now: one answer if its
// folder's names made it to disk by themselves, one if they did not. A missing
// file is "-".
func (d *crashDisk) after(path string) []string {
	look := func(names func(string) map[string]*memFile) string {
		for dir := filepath.Dir(path); dir != "/"; dir = filepath.Dir(dir) {
			if _, ok := names(filepath.Dir(dir))[dir]; !ok {
				return "-"
			}
		}
		f := names(filepath.Dir(path))[path]
		if f == nil {
			return "-"
		}
		return string(f.saved)
	}
	return []string{look(d.names), look(func(dir string) map[string]*memFile { return d.durable[dir] })}
}

func (f *memFile) Write(b []byte) (int, error) {
	if err := f.disk.op("write"); err != nil {
		return 0, err
	}
	f.content = append(f.content, b...)
	return len(b), nil
}

func (f *memFile) Sync() error {
	if err := f.disk.op("sync"); err != nil {
		return err
	}
	f.saved = slices.Clone(f.content)
	return nil
}

func (f *memFile) Close() error { return f.disk.op("close") }

// TestWriteSurvivesACrashAtEveryStep cuts the power before each operation of a
// write, over nothing and over an older file, and looks at all that the disk can
// hold then: the old content or all of the new; and after a reported success
// only the new.
func TestWriteSurvivesACrashAtEveryStep(t *testing.T) {
	t.Parallel()
	all := samples(300)
	write := func(d disk, path string, n int) error {
		h := header(0, 0.5, all[:n])
		w, err := createCell(d, path, &h)
		if err != nil {
			return err
		}
		for i := range n {
			if err := w.Add(&all[i]); err != nil {
				return errors.Join(err, w.Abort())
			}
		}
		_, err = w.Commit()
		return err
	}
	for _, tt := range []struct {
		name  string
		path  string
		write func(d disk, path string, version int) error
	}{
		{"json", "/results/run_summary.json", func(d disk, path string, version int) error {
			return writeJSON(d, path, map[string]int{"version": version})
		}},
		{"cell", "/results/q0/t0_5_combined.json", func(d disk, path string, version int) error {
			return write(d, path, 100*version)
		}},
		{"zstd", "/results/q0/t0_5_combined.json.zst", func(d disk, path string, version int) error {
			return write(d, path, 100*version)
		}},
		{"deep", "/results/a/b/c/x.json", func(d disk, path string, version int) error {
			return writeJSON(d, path, version)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			before := "-"
			for version := 1; version <= 2; version++ {
				whole := newCrashDisk()
				for v := 1; v <= version; v++ {
					if err := tt.write(whole, tt.path, v); err != nil {
						t.Fatal(err)
					}
				}
				want := string(whole.live[tt.path].content)
				for _, got := range whole.after(tt.path) {
					if got != want {
						t.Fatalf("version %d: after success the disk can hold %d bytes (%.20q), want the new file; operations %v", version, len(got), got, whole.ops)
					}
				}
				for step := 0; ; step++ {
					d := newCrashDisk()
					if version == 2 {
						if err := tt.write(d, tt.path, 1); err != nil {
							t.Fatal(err)
						}
					}
					d.failAt = len(d.ops) + step
					err := tt.write(d, tt.path, version)
					for _, got := range d.after(tt.path) {
						if got != before && got != want {
							t.Errorf("version %d, crash after %v: the disk can hold %d bytes (%.20q), neither old nor new", version, d.ops, len(got), got)
						}
					}
					if err == nil {
						break
					}
					if !errors.Is(err, errCrash) {
						t.Errorf("version %d, crash after %v: error %v does not wrap the cause", version, d.ops, err)
					}
				}
				before = want
			}
		})
	}
}

// failOnce fails one operation and works again afterwards, as a full disk does.
type failOnce struct {
	*crashDisk
	fail string
}

func (d *failOnce) create(path string) (diskFile, error) {
	if d.fail == "create" {
		return nil, errCrash
	}
	f, err := d.crashDisk.create(path)
	return &failingFile{f, d.fail}, err
}

func (d *failOnce) rename(from, to string) error {
	if d.fail == "rename" {
		return errCrash
	}
	return d.crashDisk.rename(from, to)
}

func (d *failOnce) syncDir(path string) error {
	if d.fail == "syncdir" {
		return errCrash
	}
	return d.crashDisk.syncDir(path)
}

type failingFile struct {
	diskFile
	fail string
}

func (f *failingFile) Write(b []byte) (int, error) {
	if f.fail == "write" {
		return 0, errCrash
	}
	return f.diskFile.Write(b)
}

func (f *failingFile) Sync() error {
	if f.fail == "sync" {
		return errCrash
	}
	return f.diskFile.Sync()
}

func (f *failingFile) Close() error {
	err := f.diskFile.Close()
	if f.fail == "close" {
		return errCrash
	}
	return err
}

func TestFailedWriteLeavesNoTemporary(t *testing.T) {
	t.Parallel()
	all := samples(50)
	h := header(0, 0.5, all)
	for _, fail := range []string{"create", "write", "sync", "close", "rename", "syncdir"} {
		for _, path := range []string{"/results/t0_5_combined.json", "/results/t0_5_combined.json.zst", "/results/x.json"} {
			d := &failOnce{newCrashDisk(), fail}
			var err error
			if strings.HasSuffix(path, "x.json") {
				err = writeJSON(d, path, 1)
			} else {
				err = func() error {
					w, err := createCell(d, path, &h)
					if err != nil {
						return err
					}
					for i := range all {
						if err := w.Add(&all[i]); err != nil {
							return errors.Join(err, w.Abort())
						}
					}
					_, err = w.Commit()
					return err
				}()
			}
			if !errors.Is(err, errCrash) {
				t.Errorf("%s of %s fails: error %v, want one that wraps it", fail, path, err)
			}
			delete(d.live, path) // there already, if only the folder's sync failed
			if len(d.live) > 0 {
				t.Errorf("%s of %s fails: left %v", fail, path, slices.Collect(maps.Keys(d.live)))
			}
		}
	}
}
