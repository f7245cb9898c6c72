// Package dataset fetches LiveCodeBench's problem files from the Hugging Face
// hub into the hub's own cache, and sums problem files up. It knows the hub's
// protocol and files; it reads no environment and judges nothing.
package dataset

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The dataset and where it lives unless a Config says otherwise.
const (
	Repository      = "livecodebench/code_generation_lite"
	DefaultEndpoint = "https://huggingface.co"
	DefaultRevision = "main"
)

// latest is the newest release; each release adds one file.
const latest = 6

// Config says where and how to fetch. The zero value of every field but Home is
// a default.
type Config struct {
	Endpoint string // of the hub or a mirror of it (HF_ENDPOINT); "" is DefaultEndpoint
	Token    string // sent to the endpoint alone, never to where it redirects (HF_TOKEN); "" sends none
	Home     string // folder of the hub's files (HF_HOME); the cache is its subfolder hub. Never empty
	Cache    string // the cache folder itself (HF_HUB_CACHE); "" is Home's subfolder hub
	Revision string // branch, tag or commit of the dataset; "" is DefaultRevision
	Offline  bool   // open no connection; use what is in the cache (HF_HUB_OFFLINE)

	HTTPClient *http.Client   // nil is a client without a time limit of its own
	Progress   func(Progress) // told often, from one goroutine at a time; nil is nobody
	Log        *slog.Logger   // nil is silent

	// Attempts is how many times in a row a file may fail without a single new
	// byte before Fetch gives up. 0 is 6.
	Attempts int
	// Backoff is the wait after the first failure; it doubles with each, up to
	// thirty times as much. 0 is one second.
	Backoff time.Duration
	// Stall is how long a connection may stay silent before it is given up. 0 is
	// one minute.
	Stall time.Duration
}

// Progress says how far a file is.
type Progress struct {
	File    string
	Done    int64 // bytes on disk
	Total   int64 // bytes of the whole file
	Resumed int64 // bytes that an earlier attempt or run had fetched
}

func (c Config) withDefaults() (Config, error) {
	if c.Endpoint == "" {
		c.Endpoint = DefaultEndpoint
	}
	c.Endpoint = strings.TrimRight(c.Endpoint, "/")
	if u, err := url.Parse(c.Endpoint); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return c, fmt.Errorf("hub endpoint = %q, want an http or https address", c.Endpoint)
	}
	if c.Home == "" && c.Cache == "" {
		return c, errors.New("hub home is empty, want a folder")
	}
	if c.Revision == "" {
		c.Revision = DefaultRevision
	}
	// It becomes part of a path and of a URL.
	if strings.ContainsAny(c.Revision, "?#% \\") || slices.ContainsFunc(strings.Split(c.Revision, "/"), func(s string) bool { return s == "" || s == "." || s == ".." }) {
		return c, fmt.Errorf("dataset revision = %q, want a branch, a tag or a commit", c.Revision)
	}
	if c.HTTPClient == nil {
		c.HTTPClient = &http.Client{}
	}
	if c.Progress == nil {
		c.Progress = func(Progress) {}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Attempts = orDefault(c.Attempts, 6)
	c.Backoff = orDefault(c.Backoff, time.Second)
	c.Stall = orDefault(c.Stall, time.Minute)
	return c, nil
}

func orDefault[T int | time.Duration](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}

// Versions returns the names that Files understands, but for the ranges.
func Versions() []string {
	var names []string
	for n := 1; n <= latest; n++ {
		names = append(names, fmt.Sprintf("v%d", n))
	}
	for n := 1; n <= latest; n++ {
		names = append(names, fmt.Sprintf("release_v%d", n))
	}
	return append(names, "release_latest")
}

// Files returns the files that a version is made of. As the benchmark names
// them, vN is the one file that release N added, vA_vB the files that releases A
// to B added, and release_vN and release_latest all files up to that release.
func Files(version string) ([]string, error) {
	var first, last int
	switch name, release := strings.CutPrefix(version, "release_"); {
	case version == "release_latest":
		first, last = 1, latest
	case release:
		first, last = 1, number(name)
	default:
		from, to, isRange := strings.Cut(name, "_")
		first = number(from)
		if last = first; isRange {
			last = number(to)
		}
	}
	if first < 1 || last < first {
		return nil, fmt.Errorf("unknown dataset version %q, want one of %s, or a range such as v5_v6", version, strings.Join(Versions(), ", "))
	}
	var files []string
	for n := first; n <= last; n++ {
		if n == 1 {
			files = append(files, "test.jsonl")
		} else {
			files = append(files, fmt.Sprintf("test%d.jsonl", n))
		}
	}
	return files, nil
}

// number returns N of "vN", 0 if there is no such release.
func number(name string) int {
	n, err := strconv.Atoi(strings.TrimPrefix(name, "v"))
	if err != nil || n < 1 || n > latest || name != fmt.Sprintf("v%d", n) {
		return 0
	}
	return n
}

// Named reports whether name is a version and not a file's path.
func Named(name string) bool {
	_, err := Files(name)
	return err == nil
}

// A Set is a version of the dataset on this machine, whole and checked.
type Set struct {
	Version  string
	Revision string // the commit that the files are from
	Files    []File
}

// A File is one file of a Set.
type File struct {
	Name   string // as the hub names it
	Path   string // on this machine
	Size   int64
	Digest string // what was checked: SHA-256 in hexadecimal
}
