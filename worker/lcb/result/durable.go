package result

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// disk is the part of a file system that durability depends on. Its only other
// implementation is the one in the tests, which loses what was not synced.
type disk interface {
	create(path string) (diskFile, error) // for writing; must not exist
	rename(from, to string) error
	remove(path string) error
	mkdir(path string) error // fs.ErrExist if it exists
	syncDir(path string) error
}

type diskFile interface {
	io.Writer
	Sync() error
	Close() error
}

// realDisk is the operating system's.
type realDisk struct{}

func (realDisk) create(path string) (diskFile, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
}
func (realDisk) rename(from, to string) error { return os.Rename(from, to) }
func (realDisk) remove(path string) error     { return os.Remove(path) }
func (realDisk) mkdir(path string) error      { return os.Mkdir(path, 0o777) }

func (realDisk) syncDir(path string) error { return SyncDir(path) }

// SyncDir puts a folder's entries on disk: what was renamed in it, or made, keeps its
// name through a loss of power.
func SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// A pending file is written beside its final path and appears there whole, on
// commit, or never.
type pending struct {
	disk disk
	file diskFile // nil once sealed or aborted
	temp string   // "" once it appeared or was aborted
	path string
}

// createPending makes the folders of path where they are missing and opens a
// temporary file in the last of them. The name is random: two writers of the
// same path do not meet before their renames, and the last one wins whole.
func createPending(d disk, path string) (*pending, error) {
	if err := mkdirAll(d, filepath.Dir(path)); err != nil {
		return nil, err
	}
	temp := filepath.Join(filepath.Dir(path),
		"."+filepath.Base(path)+"."+strconv.FormatUint(rand.Uint64(), 36)+tempSuffix)
	f, err := d.create(temp)
	if err != nil {
		return nil, err
	}
	return &pending{disk: d, file: f, temp: temp, path: path}, nil
}

func (p *pending) Write(b []byte) (int, error) { return p.file.Write(b) }

// commit makes the file appear at its path. The order is what makes it durable:
// the content is on disk before any name says so, and the name is on disk
// before commit returns. If only the last step fails the file may be there
// already; writing it again is then safe.
func (p *pending) commit() error {
	if err := p.seal(); err != nil {
		return err
	}
	return p.appear()
}

// seal puts the content on disk, under the temporary name.
func (p *pending) seal() error {
	if err := p.file.Sync(); err != nil {
		return errors.Join(err, p.abort())
	}
	err := p.file.Close()
	p.file = nil
	if err != nil {
		return errors.Join(err, p.abort())
	}
	return nil
}

// appear gives a sealed file its name.
func (p *pending) appear() error {
	if err := p.disk.rename(p.temp, p.path); err != nil {
		return errors.Join(err, p.abort())
	}
	p.temp = ""
	return p.disk.syncDir(filepath.Dir(p.path))
}

// abort removes the temporary file. It does nothing after commit, nor if somebody
// else has removed it.
func (p *pending) abort() error {
	if p.temp == "" {
		return nil
	}
	var err error
	if p.file != nil {
		err = p.file.Close()
		p.file = nil
	}
	gone := p.disk.remove(p.temp)
	if errors.Is(gone, fs.ErrNotExist) {
		gone = nil
	}
	p.temp = ""
	return errors.Join(err, gone)
}

// mkdirAll is os.MkdirAll, with every new folder's entry synced in its parent. It
// goes up to the nearest folder that can be made, then down again: each name is tried
// twice at most, whatever the file system says. A link to nowhere has a name and is no
// folder, so a folder below it is missing for ever.
func mkdirAll(d disk, path string) error {
	var missing []string // the innermost first
	for {
		err := d.mkdir(path)
		if err == nil {
			if err := d.syncDir(filepath.Dir(path)); err != nil {
				return err
			}
			break
		}
		if errors.Is(err, fs.ErrExist) {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) || filepath.Dir(path) == path {
			return err
		}
		missing = append(missing, path)
		path = filepath.Dir(path)
	}
	for _, path := range slices.Backward(missing) {
		if err := d.mkdir(path); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := d.syncDir(filepath.Dir(path)); err != nil {
			return err
		}
	}
	return nil
}

// WriteJSONAtomic writes v to path as indented JSON, so that after a crash at any
// moment path holds either its old content or all of the new. After a return without
// error it holds the new, also after a power loss. Missing folders are made. The same v
// gives the same bytes.
func WriteJSONAtomic(path string, v any) error {
	return writeJSON(realDisk{}, path, v)
}

func writeJSON(d disk, path string, v any) error {
	b, err := marshal(v, "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	return writeAtomic(d, path, append(b, '\n'))
}

// WriteFileAtomic writes content to path with the promise of WriteJSONAtomic.
func WriteFileAtomic(path string, content []byte) error {
	return writeAtomic(realDisk{}, path, content)
}

func writeAtomic(d disk, path string, content []byte) error {
	p, err := createPending(d, path)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if _, err := p.Write(content); err != nil {
		return fmt.Errorf("write %s: %w", path, errors.Join(err, p.abort()))
	}
	if err := p.commit(); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// readJSON decodes the whole of path into v.
func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read summary: %w", err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

// Sweep removes the temporary files that writers killed before lastUse left in
// the results folder dir, and returns how many. A file that a living writer
// still fills was changed later; pass a moment well in the past.
func Sweep(dir string, lastUse time.Time) (int, error) {
	temps, err := temporaries(dir)
	if err != nil {
		return 0, fmt.Errorf("sweep %s: %w", dir, err)
	}
	removed := 0
	for _, path := range temps {
		info, err := os.Stat(path)
		if err != nil || !info.ModTime().Before(lastUse) {
			continue
		}
		if err := os.Remove(path); err != nil {
			return removed, fmt.Errorf("sweep %s: %w", dir, err)
		}
		removed++
	}
	return removed, nil
}

// temporaries lists the temporary files in dir and in its questions' folders.
func temporaries(dir string) ([]string, error) {
	questions, err := Questions(dir)
	if err != nil {
		return nil, err
	}
	folders := []string{dir}
	for _, q := range questions {
		folders = append(folders, QuestionDir(dir, q))
	}
	var out []string
	for _, folder := range folders {
		entries, err := os.ReadDir(folder)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".") && strings.HasSuffix(e.Name(), tempSuffix) {
				out = append(out, filepath.Join(folder, e.Name()))
			}
		}
	}
	return out, nil
}
