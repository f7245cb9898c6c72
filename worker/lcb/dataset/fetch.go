package dataset

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
)

// Fetch makes sure that all files of a version are in the cache, whole and with
// the digest that the hub announces, and returns where they are. A file that is
// there already is not fetched again; one that is there in part is fetched from
// where it ends. Interrupted, it leaves only parts that the next Fetch goes on
// with. Several processes may fetch at once.
//
// Offline, it checks the files against the digests they were stored under.
func Fetch(ctx context.Context, cfg Config, version string) (*Set, error) {
	names, err := Files(version)
	if err != nil {
		return nil, err
	}
	cfg, err = cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	f := fetcher{Config: cfg, store: cfg.cache()}
	if cfg.Offline {
		return f.offline(version, names)
	}
	set := &Set{Version: version}
	revision := cfg.Revision
	for _, name := range names {
		file, commit, err := f.file(ctx, revision, name)
		if err != nil {
			return nil, fmt.Errorf("fetch %s of %s: %w", name, Repository, err)
		}
		set.Files = append(set.Files, file)
		// All files are of one commit, even if the branch moves meanwhile.
		set.Revision, revision = commit, commit
	}
	return set, nil
}

// A fetcher is one call of Fetch.
type fetcher struct {
	Config
	store cache
}

func (f *fetcher) offline(version string, names []string) (*Set, error) {
	const remedy = "\nfetch it once with a connection: unset HF_HUB_OFFLINE"
	commit, err := f.store.commit(f.Revision)
	if missing(err) {
		return nil, fmt.Errorf("find %s offline: revision %s is not in %s%s", version, f.Revision, f.store.dir, remedy)
	}
	if err != nil {
		return nil, fmt.Errorf("find %s offline: %w", version, err)
	}
	set := &Set{Version: version, Revision: commit}
	for _, name := range names {
		file, err := f.store.find(commit, name)
		if missing(err) {
			return nil, fmt.Errorf("find %s offline: %s is not in %s%s", version, name, f.store.dir, remedy)
		}
		if err != nil {
			return nil, fmt.Errorf("find %s offline: %w", version, err)
		}
		if file.Digest == "" {
			return nil, fmt.Errorf("find %s offline: %s is stored without its digest%s", version, file.Path, remedy)
		}
		if err := check(file.Path, file.Digest, -1); err != nil {
			return nil, fmt.Errorf("check %s: %w%s", file.Path, err, remedy)
		}
		set.Files = append(set.Files, file)
	}
	return set, nil
}

// file fetches one file if it is not there, and returns its commit.
func (f *fetcher) file(ctx context.Context, revision, name string) (File, string, error) {
	r, err := f.resolve(ctx, revision, name)
	if err != nil {
		return File{}, "", err
	}
	unlock, err := f.store.lock(ctx, r.digest)
	if err != nil {
		return File{}, "", err
	}
	defer unlock()

	blob := f.store.blob(r.digest)
	if exists(blob) {
		err := check(blob, r.digest, r.size)
		switch {
		case errors.Is(err, ErrDigest): // damaged on disk since it was stored
			f.Log.Warn("cached file is damaged, fetching it again", "file", name, "err", err)
			if err := os.Remove(blob); err != nil {
				return File{}, "", fmt.Errorf("remove damaged file: %w", err)
			}
		case err != nil:
			return File{}, "", err
		}
	}
	if !exists(blob) {
		if err := f.download(ctx, r); err != nil {
			return File{}, "", err
		}
	}
	f.Progress(Progress{File: name, Done: r.size, Total: r.size, Resumed: r.size})
	if err := f.store.link(f.Revision, r.commit, name, r.digest); err != nil {
		return File{}, "", err
	}
	return File{Name: name, Path: f.store.snapshot(r.commit, name), Size: r.size, Digest: r.digest}, r.commit, nil
}

// A remote is what the hub says of a file before sending it.
type remote struct {
	name, url string
	commit    string
	digest    string // SHA-256 in hexadecimal
	size      int64
}

// resolve asks the hub about a file. The answer is a redirect to wherever the
// bytes are; the file's commit, size and digest are in its header.
func (f *fetcher) resolve(ctx context.Context, revision, name string) (remote, error) {
	r := remote{name: name, url: f.Endpoint + "/datasets/" + Repository + "/resolve/" + url.PathEscape(revision) + "/" + name}
	err := f.retry(ctx, name, func() (bool, error) { return false, f.ask(ctx, &r) })
	return r, err
}

// ask follows redirects that stay with the endpoint, as those of a renamed
// repository do, and no other.
func (f *fetcher) ask(ctx context.Context, r *remote) error {
	ctx, cancel := context.WithTimeoutCause(ctx, f.Stall, errStalled)
	defer cancel()
	resp, err := f.do(ctx, http.MethodHead, r.url, 0, func(req *http.Request, via []*http.Request) error {
		if req.URL.Host != via[0].URL.Host || len(via) > maxRedirects || req.Response.Header.Get("X-Linked-Etag") != "" {
			return http.ErrUseLastResponse
		}
		return nil
	})
	if err != nil {
		return causeOf(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode >= http.StatusBadRequest {
		return f.refusal(resp)
	}
	return r.read(resp)
}

func (r *remote) read(resp *http.Response) error {
	header := func(names ...string) string {
		for _, name := range names {
			if v := resp.Header.Get(name); v != "" {
				return v
			}
		}
		return ""
	}
	r.digest = strings.Trim(strings.TrimPrefix(header("X-Linked-Etag", "Etag"), "W/"), `"`)
	if !isHex(r.digest, 64) {
		return final(fmt.Errorf("hub announces no sha256 for it (etag %q), so it could not be checked", r.digest))
	}
	r.commit = header("X-Repo-Commit")
	if !isHex(r.commit, 40) {
		return final(fmt.Errorf("hub names no commit for it (%q)\nis the endpoint a mirror that keeps the header X-Repo-Commit?", r.commit))
	}
	size, err := strconv.ParseInt(header("X-Linked-Size", "Content-Length"), 10, 64)
	if err != nil || size <= 0 {
		return final(fmt.Errorf("hub announces no size for it (%q)", header("X-Linked-Size", "Content-Length")))
	}
	r.size = size
	return nil
}

// refusal turns an error status into an error, with the remedy where there is
// one. Those that time may cure are not final.
func (f *fetcher) refusal(resp *http.Response) error {
	err := fmt.Errorf("hub answers %s", resp.Status)
	switch resp.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		if f.Token == "" {
			return final(fmt.Errorf("%w\nif the dataset asks for an account, set HF_TOKEN", err))
		}
		return final(fmt.Errorf("%w\nis HF_TOKEN valid, and has its account access to the dataset?", err))
	case http.StatusNotFound:
		return final(fmt.Errorf("%w: no such file at revision %s", err, f.Revision))
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return later{err, retryAfter(resp)}
	}
	if resp.StatusCode >= http.StatusInternalServerError {
		return later{err, retryAfter(resp)}
	}
	return final(err)
}

// maxRedirects is how many redirects are followed: the hub uses one or two.
const maxRedirects = 5

// follow is the redirect policy for the bytes: anywhere, but without the token.
// The standard library would send it to subdomains too, and stores that are
// asked with a signed address refuse a second proof of identity.
func follow(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	if req.URL.Host != via[0].URL.Host || req.URL.Scheme != via[0].URL.Scheme {
		req.Header.Del("Authorization")
	}
	return nil
}

func (f *fetcher) do(ctx context.Context, method, address string, from int64, redirect func(*http.Request, []*http.Request) error) (*http.Response, error) {
	client := *f.HTTPClient
	client.CheckRedirect = redirect
	req, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return nil, final(fmt.Errorf("ask hub: %w", err))
	}
	req.Header.Set("Accept-Encoding", "identity") // the range and the size count the file's own bytes
	req.Header.Set("User-Agent", "lcbq")
	if f.Token != "" {
		req.Header.Set("Authorization", "Bearer "+f.Token)
	}
	if from > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
	}
	return client.Do(req)
}
