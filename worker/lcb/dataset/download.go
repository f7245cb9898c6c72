package dataset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/lcbq/lcbq/worker/lcb/result"
)

// download fetches the bytes of r into its part, checks them, and makes the part
// the blob.
func (f *fetcher) download(ctx context.Context, r remote) error {
	part := f.store.part(r.digest)
	file, err := os.OpenFile(part, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return fmt.Errorf("open part: %w", err)
	}
	defer func() { _ = file.Close() }()
	begun, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("open part: %w", err)
	}
	if begun > r.size {
		begun = 0
	}
	d := &transfer{fetcher: f, remote: r, file: file, have: begun, resumed: begun}
	err = d.runAndCheck(ctx)
	if errors.Is(err, ErrDigest) && d.resumed > 0 {
		// The beginning may be what is wrong: it is from another run.
		f.Log.Warn("fetched file has the wrong digest, fetching it from the start", "file", r.name, "err", err)
		d.have, d.resumed = 0, 0
		err = d.runAndCheck(ctx)
	}
	if err != nil {
		if errors.Is(err, ErrDigest) {
			_ = os.Remove(part) // the error is what counts
		}
		return err
	}
	if err := file.Sync(); err != nil {
		return fmt.Errorf("store file: %w", err)
	}
	if err := os.Rename(part, f.store.blob(r.digest)); err != nil {
		return fmt.Errorf("store file: %w", err)
	}
	if err := result.SyncDir(filepath.Dir(part)); err != nil {
		return fmt.Errorf("store file: %w", err)
	}
	return nil
}

// A transfer brings one part to its full size, over as many connections as that
// takes.
type transfer struct {
	*fetcher
	remote  remote
	file    *os.File
	have    int64 // bytes at the beginning of file that are good
	resumed int64 // those that were there before
	most    int64 // the largest that have was after an attempt: less than that again is no progress
	told    time.Time
}

func (d *transfer) runAndCheck(ctx context.Context) error {
	if err := d.run(ctx); err != nil {
		return err
	}
	return check(d.file.Name(), d.remote.digest, d.remote.size)
}

func (d *transfer) run(ctx context.Context) error {
	d.most = d.have
	return d.retry(ctx, d.remote.name, func() (bool, error) {
		err := d.attempt(ctx)
		if err == nil && d.have < d.remote.size {
			err = fmt.Errorf("connection ends after %d of %d bytes: %w", d.have, d.remote.size, io.ErrUnexpectedEOF)
		}
		progress := d.have > d.most
		d.most = max(d.most, d.have)
		return progress, err
	})
}

var errStalled = errors.New("connection is silent")

// attempt is one connection. What arrived before an error is kept.
func (d *transfer) attempt(ctx context.Context) error {
	if d.have == d.remote.size {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(d.Stall, func() { cancel(errStalled) })
	defer silence.Stop()

	resp, err := d.do(ctx, http.MethodGet, d.remote.url, d.have, follow)
	if err != nil {
		return causeOf(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	switch {
	case resp.StatusCode == http.StatusPartialContent && rangeStart(resp) == d.have:
	case resp.StatusCode == http.StatusOK, resp.StatusCode == http.StatusPartialContent, resp.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		// The server knows no ranges, or gives another one: only the start is sure.
		d.have, d.resumed = 0, 0
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("hub answers %s with range %q", resp.Status, resp.Header.Get("Content-Range"))
		}
	default:
		return d.refusal(resp)
	}
	if err := d.file.Truncate(d.have); err != nil {
		return final(fmt.Errorf("write part: %w", err))
	}
	if _, err := d.file.Seek(d.have, io.SeekStart); err != nil {
		return final(fmt.Errorf("write part: %w", err))
	}
	return d.receive(ctx, resp.Body, silence)
}

// tellEvery is how often progress is told of.
const tellEvery = 100 * time.Millisecond

func (d *transfer) receive(ctx context.Context, body io.Reader, silence *time.Timer) error {
	buf := make([]byte, 1<<18)
	for {
		n, err := body.Read(buf)
		silence.Reset(d.Stall)
		if d.have+int64(n) > d.remote.size {
			return final(fmt.Errorf("%w: hub sends more than the %d bytes it announced", ErrDigest, d.remote.size))
		}
		if _, err := d.file.Write(buf[:n]); err != nil {
			return final(fmt.Errorf("write part: %w", err))
		}
		d.have += int64(n)
		if now := time.Now(); now.Sub(d.told) >= tellEvery || errors.Is(err, io.EOF) {
			d.told = now
			d.Progress(Progress{File: d.remote.name, Done: d.have, Total: d.remote.size, Resumed: d.resumed})
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return causeOf(ctx, err)
		}
	}
}

// rangeStart returns the first byte of the range that resp holds, -1 if it does
// not tell.
func rangeStart(resp *http.Response) int64 {
	first, _, _ := strings.Cut(strings.TrimPrefix(resp.Header.Get("Content-Range"), "bytes "), "-")
	n, err := strconv.ParseInt(first, 10, 64)
	if err != nil {
		return -1
	}
	return n
}

func causeOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		return cause
	}
	return err
}
