package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"

	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// A folderWatch is told by the kernel of everything that happens to the names in
// some folders.
type folderWatch struct {
	inotify *os.File
	folders map[int32]string // by watch descriptor
	drafts  chan struct{}    // a file under a temporary name was begun
	done    chan struct{}

	mu     sync.Mutex
	faults []string
	whole  map[string]bool // final names that have appeared
}

const watched = unix.IN_CREATE | unix.IN_MODIFY | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_DELETE | unix.IN_CLOSE_WRITE

func watchFolders(t *testing.T, folders ...string) *folderWatch {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	w := &folderWatch{
		inotify: os.NewFile(uintptr(fd), "inotify"), folders: make(map[int32]string), drafts: make(chan struct{}, 1024),
		done: make(chan struct{}), whole: make(map[string]bool),
	}
	for _, dir := range folders {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		id, err := unix.InotifyAddWatch(fd, dir, watched)
		if err != nil {
			t.Fatal(err)
		}
		w.folders[int32(id)] = dir //nolint:gosec // a small number
	}
	go w.read()
	t.Cleanup(func() {
		if err := w.inotify.Close(); err != nil {
			t.Error(err)
		}
		<-w.done
	})
	return w
}

func (w *folderWatch) read() {
	defer close(w.done)
	buf := make([]byte, 1<<20)
	for {
		n, err := w.inotify.Read(buf)
		if err != nil {
			if !errors.Is(err, os.ErrClosed) {
				w.fault("watch: %v", err)
			}
			return
		}
		for b := buf[:n]; len(b) >= unix.SizeofInotifyEvent; {
			length := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(b[12:]))
			name, _, _ := strings.Cut(string(b[unix.SizeofInotifyEvent:length]), "\x00")
			w.event(int32(binary.NativeEndian.Uint32(b)), binary.NativeEndian.Uint32(b[4:]), name) //nolint:gosec // the kernel's
			b = b[length:]
		}
	}
}

// finalName matches the results that a reader opens: cells and summaries.
var finalName = regexp.MustCompile(`^(t[0-9]+_[0-9]+_combined\.json(\.zst)?|summary\.json|run_summary\.json)$`)

func (w *folderWatch) event(folder int32, mask uint32, name string) {
	path := filepath.Join(w.folders[folder], name)
	switch {
	case mask&unix.IN_Q_OVERFLOW != 0:
		w.fault("the kernel dropped events")
	case strings.HasPrefix(name, ".") && mask&unix.IN_CREATE != 0:
		w.drafts <- struct{}{}
	case !finalName.MatchString(name):
	case mask&unix.IN_MOVED_TO != 0:
		if err := readWhole(path); err != nil {
			w.fault("%s appeared and is not whole: %v", path, err)
		}
		w.mu.Lock()
		w.whole[path] = true
		w.mu.Unlock()
	default:
		w.fault("%s was touched under its final name (event %#x)", path, mask)
	}
}

func (w *folderWatch) fault(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(w.faults, fmt.Sprintf(format, args...))
}

// readWhole reads a cell or a summary to its end.
func readWhole(path string) error {
	if !strings.Contains(path, "_combined.json") {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var v any
		return json.Unmarshal(b, &v)
	}
	c, err := result.OpenCell(path)
	if err != nil {
		return err
	}
	for _, err := range c.Samples() {
		if err != nil {
			return errors.Join(err, c.Close())
		}
	}
	return c.Close()
}

// check wants what has appeared to be there and whole, and to have appeared whole.
func (w *folderWatch) check(t *testing.T) (appeared int) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.faults {
		t.Error(f)
	}
	w.faults = nil
	for path := range w.whole {
		if err := readWhole(path); err != nil {
			t.Errorf("%s appeared and is not there any more: %v", path, err)
		}
	}
	return len(w.whole)
}

// TestKilledWhileWriting kills `lcbq run` while the combiner writes, ten times. No
// file that is torn ever has its final name, none that had it goes away, and no cell
// is done without its file.
func TestKilledWhileWriting(t *testing.T) {
	t.Parallel()
	takesMinutes(t)
	seed := uint64(time.Now().UnixNano()) //nolint:gosec // a seed has no sign
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	whole, _ := undisturbed(t)
	broken := filepath.Join(dir, "broken")
	w := watchFolders(t, broken, filepath.Join(broken, "q0"), filepath.Join(broken, "q1"))
	left := 0
	for life := range 10 {
		for len(w.drafts) > 0 {
			<-w.drafts
		}
		cmd := command(t, sweep("-o", broken)...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// run.toml is written so too, before the first cell.
		for range 2 {
			streamtest.Receive(t, "the combiner to write", w.drafts)
		}
		<-time.After(time.Duration(rng.Int64N(int64(4 * time.Millisecond)))) // not a wait for anything: the moment of the kill
		if err := cmd.Process.Kill(); err != nil {
			t.Fatalf("life %d was over before it was killed: %v", life, err)
		}
		if err := cmd.Wait(); err == nil {
			t.Errorf("life %d ended by itself", life)
		}
		temps, err := filepath.Glob(filepath.Join(broken, "q*", ".*.tmp"))
		if err != nil {
			t.Fatal(err)
		}
		left += min(len(temps), 1)
		w.check(t)
		checkDoneCells(t, broken)
	}
	if out, err := command(t, sweep("-o", broken)...).CombinedOutput(); err != nil {
		t.Fatalf("run after the kills: %v\n%s", err, out)
	}
	t.Logf("%d kills, %d of them left half a file under a temporary name; %d files appeared", 10, left, w.check(t))
	compareFolders(t, whole, broken)
	if out, err := command(t, "verify", broken).CombinedOutput(); err != nil {
		t.Errorf("verify: %v\n%s", err, out)
	}
}

// checkDoneCells opens the store that a killed run left: each cell that is done must
// have the file that its state describes.
func checkDoneCells(t *testing.T, dir string) {
	t.Helper()
	withStore(t, filepath.Join(dir, ".lcbq"), func(js jetstream.JetStream) {
		s, err := store.Open(t.Context(), js)
		if err != nil {
			t.Fatal(err)
		}
		runs, _, err := s.Runs(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, run := range runs {
			cells, err := s.Cells(context.WithoutCancel(t.Context()), run.ID, -1)
			if err != nil {
				t.Fatal(err)
			}
			for c, st := range cells {
				if st.N == 0 {
					continue // only claimed
				}
				path := filepath.Join(result.QuestionDir(dir, c.Question), st.File)
				if got, err := cellDigest(path); err != nil || got != st.Digest {
					t.Errorf("cell %s is done, its file is %.12s, %v, want %.12s", c.Key(), got, err, st.Digest)
				}
			}
		}
	})
}

func cellDigest(path string) (string, error) {
	c, err := result.OpenCell(path)
	if err != nil {
		return "", err
	}
	for _, err := range c.Samples() {
		if err != nil {
			return "", errors.Join(err, c.Close())
		}
	}
	return c.Digest().SHA256, c.Close()
}
