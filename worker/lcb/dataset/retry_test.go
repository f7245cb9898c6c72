package dataset

import (
	"errors"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// TestRetryWaits holds how long the waits between attempts are: doubling up to
// thirty times the first, and as long as the server asks for.
func TestRetryWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := fetcher{Config: Config{Attempts: 9, Backoff: time.Second, Log: slog.New(slog.DiscardHandler)}}
		var waits []time.Duration
		last := time.Now()
		err := f.retry(t.Context(), "file", func() (bool, error) {
			waits = append(waits, time.Since(last))
			last = time.Now()
			switch len(waits) {
			case 8:
				return false, later{errors.New("busy"), 70 * time.Second}
			case 9:
				return true, errors.New("cut")
			case 10:
				return false, final(errors.New("gone"))
			}
			return false, errors.New("down")
		})
		want := []int{0, 1, 2, 4, 8, 16, 30, 30, 70, 1}
		if err == nil || err.Error() != "gone" || len(waits) != len(want) {
			t.Fatalf("retry = %v after %d attempts, want gone after %d", err, len(waits), len(want))
		}
		for i, seconds := range want {
			if waits[i] != time.Duration(seconds)*time.Second {
				t.Errorf("wait %d = %v, want %d s", i, waits[i], seconds)
			}
		}
	})
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]time.Duration{"": 0, "3": 3 * time.Second, "86400": 5 * time.Minute, "-1": 0, "Mon, 01 Jan": 0} {
		if got := retryAfter(&http.Response{Header: http.Header{"Retry-After": {value}}}); got != want {
			t.Errorf("retryAfter(%q) = %v, want %v", value, got, want)
		}
	}
}
