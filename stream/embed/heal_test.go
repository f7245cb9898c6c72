package embed_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"

	"github.com/lcbq/lcbq/stream/embed"
	"github.com/lcbq/lcbq/stream/streamtest"
	"github.com/lcbq/lcbq/stream/streamtest/patience"
)

// smallDisk mounts a tmpfs until the test ends, or skips the test.
func smallDisk(t *testing.T, bytes int) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		t.Skipf("cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill writes a file until the disk takes no more.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for size := 1 << 20; size > 0; {
		switch _, err := f.Write(make([]byte, size)); {
		case errors.Is(err, unix.ENOSPC):
			size /= 2
		case err != nil:
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFullDisk fills the store's disk up while messages come in. When there is room
// again the same connections publish, nobody restarts anything, and every
// acknowledged message is there.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, 32<<20)
	srv := start(t, embed.Config{Dir: filepath.Join(dir, "store"), Open: true})
	defer stop(t, srv)
	over, err := nats.Connect(srv.URL(), nats.Timeout(time.Minute), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer over.Close()
	inside, err := srv.Connect(nats.Timeout(time.Minute), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer inside.Close()
	var acked []string
	publish := func(nc *nats.Conn, subject string) error {
		js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience.Now(500*time.Millisecond))
		defer cancel()
		_, err = js.Publish(ctx, subject, make([]byte, 64<<10))
		if err == nil {
			acked = append(acked, subject)
		}
		return err
	}
	js, err := jetstream.New(over, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}}); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		streamtest.WaitFor(t, "the server to write", func(context.Context) (bool, error) {
			return publish(over, fmt.Sprint("s.before.", i)) == nil, nil // other tests keep the disk busy
		})
	}
	filler := filepath.Join(dir, "filler")
	fill(t, filler)
	if err := publish(over, "s.full"); err == nil {
		t.Fatal("a full disk took a message")
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	for name, nc := range map[string]*nats.Conn{"over": over, "inside": inside} {
		n := 0
		streamtest.WaitFor(t, "the server to write again", func(context.Context) (bool, error) {
			n++
			return publish(nc, fmt.Sprintf("s.after.%s.%d", name, n)) == nil, nil
		})
	}
	s, err := js.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	for _, subject := range acked {
		if m, err := s.GetLastMsgForSubject(t.Context(), subject); err != nil || len(m.Data) != 64<<10 {
			t.Errorf("acknowledged message %s: %v", subject, err)
		}
	}
}

// TestStartOnFullDisk wants a start on a full disk refused with the system's word for it, and a later
// one, with room again, to find what was acknowledged.
func TestStartOnFullDisk(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, 32<<20)
	cfg := embed.Config{Dir: filepath.Join(dir, "store")}
	srv := start(t, cfg)
	nc, err := srv.Connect(nats.Timeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err == nil {
		_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}})
	}
	if err == nil {
		_, err = js.Publish(t.Context(), "s.1", make([]byte, 64<<10))
	}
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
	stop(t, srv)
	filler := filepath.Join(dir, "filler")
	fill(t, filler)
	for range 2 { // the first has left nothing behind
		if srv, err = embed.Start(cfg); !errors.Is(err, unix.ENOSPC) {
			if err == nil {
				stop(t, srv)
			}
			t.Fatalf("Start on a full disk = %v, want no space left", err)
		}
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	srv = start(t, cfg)
	defer stop(t, srv)
	if nc, err = srv.Connect(nats.Timeout(time.Minute)); err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if js, err = jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute)); err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	if m, err := s.GetLastMsgForSubject(t.Context(), "s.1"); err != nil || len(m.Data) != 64<<10 {
		t.Errorf("acknowledged message: %v", err)
	}
	if _, err := os.Stat(filepath.Join(cfg.Dir, "lcbq.probe")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the probe's file is left: %v", err)
	}
}
