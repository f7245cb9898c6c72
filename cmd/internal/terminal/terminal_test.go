package terminal_test

import (
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lcbq/lcbq/cmd/internal/terminal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = r.Close(), w.Close() })
	return r, w
}

// TestOrder wants everything in the order of the calls, the data behind the messages.
func TestOrder(t *testing.T) {
	t.Parallel()
	r, f := pipe(t)
	w := terminal.New(f)
	defer w.Close(time.Minute)
	for _, text := range []string{"one\n", "two\n"} {
		if n, err := io.WriteString(w, text); n != 4 || err != nil {
			t.Errorf("Write = %d, %v", n, err)
		}
	}
	if _, err := io.WriteString(w.After(f), "data\n"); err != nil {
		t.Error(err)
	}
	got := make([]byte, 13)
	if _, err := io.ReadFull(r, got); err != nil || string(got) != "one\ntwo\ndata\n" {
		t.Errorf("read %q, %v", got, err)
	}
}

// TestNobodyReads fills a pipe that nobody reads: no write waits, and the reader that comes back
// is told how much it missed.
func TestNobodyReads(t *testing.T) {
	t.Parallel()
	r, f := pipe(t)
	w := terminal.New(f)
	line := strings.Repeat("x", 999) + "\n"
	for range 3000 { // more than the pipe and the writer hold
		if n, err := io.WriteString(w, line); n != 1000 || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
	}
	read := make(chan string, 1)
	go func() {
		all, _ := io.ReadAll(r)
		read <- string(all)
	}()
	w.Flush(time.Minute)
	_, _ = io.WriteString(w, "last\n")
	w.Close(time.Minute)
	_ = f.Close()
	all := <-read
	if n := strings.Count(all, line); n < 1000 || n > 2000 {
		t.Errorf("%d lines arrived, want about what pipe and writer hold", n)
	}
	if !strings.Contains(all, "messages were left out") || !strings.HasSuffix(all, "last\n") {
		t.Errorf("ends %q, want what was left out and the last line", all[max(0, len(all)-200):])
	}
}

// TestStuck wants Close to give up a reader that never reads.
func TestStuck(t *testing.T) {
	t.Parallel()
	r, f := pipe(t)
	w := terminal.New(f)
	_, _ = io.WriteString(w, strings.Repeat("x", 1<<19))
	w.Close(time.Millisecond)
	if n, err := io.WriteString(w, "more"); n != 4 || err != nil {
		t.Errorf("Write after Close = %d, %v", n, err)
	}
	_ = r.Close() // the write under way ends, and its goroutine with it
}

// TestClosed wants no error from a pipe whose reader is gone.
func TestClosed(t *testing.T) {
	t.Parallel()
	r, f := pipe(t)
	_ = r.Close()
	w := terminal.New(f)
	defer w.Close(time.Minute)
	for range 3 {
		if n, err := io.WriteString(w, "text"); n != 4 || err != nil {
			t.Errorf("Write = %d, %v", n, err)
		}
		w.Flush(time.Minute)
	}
}
