package combine

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// small mounts a file system of the given size for the test.
func small(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("a small file system cannot be mounted: %v: run as root with CAP_SYS_ADMIN", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestFolderIsFull: the results folder's disk is full in the middle of a cell. The
// combiner says so and waits; the cell is not marked, no delivery is used up, and
// nothing half is left. When there is room it goes on by itself.
func TestFolderIsFull(t *testing.T) {
	t.Parallel()
	dir := small(t, "64k")
	b := newBench(t, 1, 30, 100)
	b.dir, b.m.OutputDir = dir, dir
	b.publish(t, b.tasks(0, 100)[1:]...)
	big := scored(b.tasks(0, 100)[0])
	for i := range big.Samples {
		big.Samples[i].Completion = strings.Repeat("text ", 4<<10)
	}
	w := b.worker()
	w.Dir = dir
	said := waiting()
	w.Log = slog.New(said)
	stop := b.start(t, w)
	if _, err := b.Queue.Publish(t.Context(), stream.Combine, b.tasks(0, 100)[0].Unit, big); err != nil {
		t.Fatal(err)
	}
	for range 2 { // it tries again, and waits again
		<-said.logged
	}
	if got := trouble(t, b, w); got == nil || got.Code != store.TroubleDisk || got.Remedy != "make room on the results folder's disk" || !strings.Contains(got.Text, "no space left") {
		t.Errorf("the heartbeat says %+v, want a full disk and what helps", got)
	}
	if done, err := b.Store.CellDone(t.Context(), b.cell(0, 100), 1); done || err != nil {
		t.Errorf("a cell without a file is marked: %v, %v", done, err)
	}
	if units, err := b.Queue.Units(t.Context(), stream.Combine, b.cell(0, 100)); err != nil || len(units) != 3 {
		t.Errorf("units while the disk is full = %v, %v, want all 3", units, err)
	}
	lag, err := b.Queue.Lag(t.Context(), stream.Combine)
	if err != nil || lag.Redelivered != 0 || len(b.dead(t)) != 0 {
		t.Errorf("COMBINE = %+v, %v, %d dead units, want nothing handed out twice", lag, err, len(b.dead(t)))
	}
	if _, err := os.Stat(result.CellPath(dir, 0, 0.1)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("half a cell stands under its name: %v", err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, "size=16m"); err != nil {
		t.Fatal(err)
	}
	b.waitFinished(t)
	stop()
	b.prove(t, 30)
	if got := trouble(t, b, w); got != nil {
		t.Errorf("the heartbeat still says %+v", got)
	}
	if !said.has("results are written again") {
		t.Error("the combiner did not say that it goes on")
	}
}

// trouble returns what w's heartbeat says that it waits for.
func trouble(t *testing.T, b *bench, w *Worker) *store.Trouble {
	t.Helper()
	if err := w.Pulse.Announce(t.Context(), b.Store); err != nil {
		t.Fatal(err)
	}
	all, err := b.Store.Workers(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("heartbeats %+v, %v, want one", all, err)
	}
	return all[0].Trouble
}
