package dataset

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A cache is the dataset's folder in the hub's cache, in the layout that all of
// the hub's clients share: blobs/<digest> hold the files, snapshots/<commit>/<name>
// are relative links to them, and refs/<revision> holds the commit that a branch
// or tag stood for last. What another client has fetched is used, and what is
// fetched here is there for others.
type cache struct{ dir string }

func (c Config) cache() cache {
	root := c.Cache
	if root == "" {
		root = filepath.Join(c.Home, "hub")
	}
	return cache{filepath.Join(root, "datasets--"+strings.ReplaceAll(Repository, "/", "--"))}
}

func (c cache) blob(digest string) string { return filepath.Join(c.dir, "blobs", digest) }
func (c cache) part(digest string) string { return c.blob(digest) + ".incomplete" }
func (c cache) snapshot(commit, name string) string {
	return filepath.Join(c.dir, "snapshots", commit, name)
}

func (c cache) ref(revision string) string {
	return filepath.Join(c.dir, "refs", filepath.FromSlash(revision))
}

// commit returns the commit that revision stood for when it was fetched last.
func (c cache) commit(revision string) (string, error) {
	if isHex(revision, 40) {
		return revision, nil
	}
	b, err := os.ReadFile(c.ref(revision))
	if err != nil {
		return "", err
	}
	commit := strings.TrimSpace(string(b))
	if !isHex(commit, 40) {
		return "", fmt.Errorf("%s holds no commit", c.ref(revision))
	}
	return commit, nil
}

// find returns the file of a snapshot, its digest taken from the blob's name.
func (c cache) find(commit, name string) (File, error) {
	path := c.snapshot(commit, name)
	blob, err := filepath.EvalSymlinks(path)
	if err != nil {
		return File{}, err
	}
	info, err := os.Stat(blob)
	if err != nil {
		return File{}, err
	}
	f := File{Name: name, Path: path, Size: info.Size()}
	if digest := filepath.Base(blob); isHex(digest, 64) {
		f.Digest = digest
	}
	return f, nil
}

// link makes the blob a file of the snapshot, and the snapshot that of revision.
func (c cache) link(revision, commit, name, digest string) error {
	path := c.snapshot(commit, name)
	target, err := filepath.Rel(filepath.Dir(path), c.blob(digest))
	if err != nil {
		return fmt.Errorf("link %s: %w", path, err)
	}
	if have, err := os.Readlink(path); err != nil || have != target {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("create cache folder: %w", err)
		}
		temporary := fmt.Sprintf("%s.%d", path, os.Getpid())
		_ = os.Remove(temporary) // left over by a process of the same number
		if err := os.Symlink(target, temporary); err != nil {
			return fmt.Errorf("link %s: %w", path, err)
		}
		if err := os.Rename(temporary, path); err != nil {
			return fmt.Errorf("link %s: %w", path, err)
		}
	}
	if isHex(revision, 40) {
		return nil
	}
	if have, err := c.commit(revision); err == nil && have == commit {
		return nil
	}
	ref := c.ref(revision)
	if err := os.MkdirAll(filepath.Dir(ref), 0o755); err != nil {
		return fmt.Errorf("create cache folder: %w", err)
	}
	temporary := fmt.Sprintf("%s.%d", ref, os.Getpid())
	if err := os.WriteFile(temporary, []byte(commit), 0o644); err != nil {
		return fmt.Errorf("write revision %s: %w", revision, err)
	}
	if err := os.Rename(temporary, ref); err != nil {
		return fmt.Errorf("write revision %s: %w", revision, err)
	}
	return nil
}

// lockPoll is how often a lock held by another process is tried again.
const lockPoll = 200 * time.Millisecond

// lock takes the hub's own lock on a blob, so that two processes never write
// one file. It waits until ctx is done.
func (c cache) lock(ctx context.Context, digest string) (unlock func(), err error) {
	path := filepath.Join(filepath.Dir(c.dir), ".locks", filepath.Base(c.dir), digest+".lock")
	for _, dir := range []string{filepath.Dir(path), filepath.Dir(c.blob(digest))} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("create cache folder: %w", err)
		}
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock cache: %w", err)
	}
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil // closing unlocks
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			_ = f.Close()
			return nil, fmt.Errorf("wait for another process that fetches the same file: %w", context.Cause(ctx))
		}
	}
}

// ErrDigest marks a file whose bytes are not those that the hub announced. What
// was fetched is thrown away: it cannot be repaired by fetching the rest.
var ErrDigest = errors.New("wrong digest")

// check compares a file with the digest and size it should have. A negative size
// is not compared.
func check(path, digest string, size int64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if size >= 0 && n != size {
		return fmt.Errorf("%w: %d bytes, want %d", ErrDigest, n, size)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != digest {
		return fmt.Errorf("%w: sha256 %s, want %s", ErrDigest, got, digest)
	}
	return nil
}

func isHex(s string, length int) bool {
	return len(s) == length && strings.Trim(s, "0123456789abcdef") == ""
}

// exists reports whether path is a file, whatever stands in the way of knowing
// more counting as no.
func exists(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// missing says whether err means that something is not in the cache.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
