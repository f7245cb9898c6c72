package dataset

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"
)

// finalError wraps an error that no retry can cure.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

func final(err error) error { return finalError{err} }

// later wraps an error of a server that said when to come again.
type later struct {
	error
	wait time.Duration // 0 where it did not say
}

func (e later) Unwrap() error { return e.error }

// maxRetryAfter bounds how long a server may send us away.
const maxRetryAfter = 5 * time.Minute

func retryAfter(resp *http.Response) time.Duration {
	seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, maxRetryAfter)
}

// errNoName says that a host's name has no address.
var errNoName = errors.New("cannot look up")

// nameAttempts is how often a name is looked up: a machine without DNS has none the
// sixth time either.
const nameAttempts = 2

// retry calls try until it succeeds, until it fails in a way that another try cannot mend,
// or until it has failed too often in a row without progress. It waits in between.
func (f *fetcher) retry(ctx context.Context, name string, try func() (progress bool, err error)) error {
	failures := 0
	for {
		progress, err := try()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if wrapped, ok := errors.AsType[finalError](err); ok {
			return wrapped.error
		}
		if progress {
			failures = 0
		}
		failures++
		if dns, ok := errors.AsType[*net.DNSError](err); ok {
			err = fmt.Errorf("%w %s\nis this machine online? a file fetched elsewhere is named with --problems FILE", errNoName, dns.Name)
			if failures >= nameAttempts {
				return err
			}
		}
		if failures >= f.Attempts {
			return err
		}
		wait := min(f.Backoff<<(failures-1), 30*f.Backoff)
		if asked, ok := errors.AsType[later](err); ok {
			wait = max(wait, asked.wait)
		}
		f.Log.Warn("fetch failed, trying again", "file", name, "err", err, "wait_s", wait.Seconds())
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
}
