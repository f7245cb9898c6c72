// Package openai asks servers that speak OpenAI's HTTP interface for samples:
// vLLM, SGLang, llama.cpp's server, Ollama and hosted ones. It knows nothing of
// who started the server, nor of what becomes of the samples.
package openai

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/lcbq/lcbq/worker/engine"
)

// DefaultInFlight is the samples asked for at once of one endpoint, unless
// Config.InFlight says otherwise.
const DefaultInFlight = 64

// Asks is what requests will ask for, so that Check can ask for it before them. The zero value
// checks none of it.
type Asks struct {
	// System makes Check ask with a system message: requests will hold one.
	System bool
	// Sampling is how requests will be drawn: Check asks with it, at temperature 1 and for one token.
	Sampling engine.Sampling
	// MaxTokens is the most tokens that requests will ask for, 0 if that is not known.
	// Check refuses it if the server's context has no room for it beside each of Prompts, the
	// longest ones that requests will hold: their QuestionID, Raw and Messages are used.
	MaxTokens int
	Prompts   []engine.Request
	// Choices is the most samples of a prompt that requests will ask for at once, 0 if that is not known.
	// Check asks for as many, a token each, so that it is known before the work if the server gives fewer.
	Choices int
}

// ErrUnfit is matched by the errors of Check for requests that the server answers in no case, however
// often it is started: what the requests ask for must change, or how the server is started.
var ErrUnfit = errors.New("the server cannot do what the requests ask for")

// unfit is an error that ErrUnfit matches.
type unfit struct{ error }

// Is implements errors.Is.
func (unfit) Is(target error) bool { return target == ErrUnfit }

// Unwrap implements errors.Unwrap.
func (u unfit) Unwrap() error { return u.error }

// Config says whom to ask and how hard. The zero value of every field but
// Endpoints is its default.
type Config struct {
	// Endpoints are base addresses: http://host:8000, https://host/some/v1, or
	// unix:///path/to/socket. Where there is no path, /v1 is added. Requests go
	// to the least busy one that is not failing.
	Endpoints []string
	// Key is sent as bearer token to every endpoint; "" sends none.
	Key string
	// Model is the name the endpoints serve; "" takes the one model there is,
	// which Check finds out.
	Model string
	// Name is what Info calls the engine; "" is openai.
	Name string

	// MaxN is the most choices asked for in one request, default 32: enough to
	// pay HTTP and the prompt once, few enough to lose little when a request
	// fails. Endpoints that take fewer are found out.
	MaxN int
	// InFlight is the most samples asked for at once of one endpoint, over all
	// requests, default DefaultInFlight. A server batches about as many as it has slots for;
	// one and a half to two times that keeps it full.
	InFlight int
	// Batch is how many sequences one endpoint computes at once, 0 where that is not
	// known. Adapt aims by it.
	Batch int
	// Stream asks for server-sent events. It finds a dead server sooner and
	// costs the server more work for every token.
	Stream bool
	// Completions makes Check try /completions instead of /chat/completions:
	// every request will hold a Raw prompt.
	Completions bool

	Asks

	// Timeout bounds one attempt, from the first byte sent to the last read,
	// default 30 minutes: without streaming, nothing is heard until the last
	// choice is complete.
	Timeout time.Duration
	// Idle bounds the silence within a stream, default 5 minutes: a request may
	// have to wait that long for its turn.
	Idle time.Duration
	// Attempts is how often one request may break in the server's hands (status
	// 500, cut connections, incomplete answers) before it fails, default 5.
	Attempts int
	// Patience is how long a request waits for an endpoint that is down, busy or
	// loading before it fails, default 10 minutes.
	Patience time.Duration

	// Dial connects to the endpoint in place of the network, whatever its address;
	// nil is the network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	Log *slog.Logger // nil discards
}

// Validate reports all faults of c at once.
func (c Config) Validate() error {
	var errs []error
	if len(c.Endpoints) == 0 {
		errs = append(errs, errors.New("no endpoint\ngive the server's address, such as http://127.0.0.1:8000/v1"))
	}
	for _, e := range c.Endpoints {
		if _, err := parseEndpoint(e); err != nil {
			errs = append(errs, err)
		}
	}
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"most choices of a request", int64(c.MaxN)},
		{"samples in flight", int64(c.InFlight)},
		{"sequences in a batch", int64(c.Batch)},
		{"timeout", int64(c.Timeout)},
		{"idle limit", int64(c.Idle)},
		{"attempts", int64(c.Attempts)},
		{"patience", int64(c.Patience)},
	} {
		if f.value < 0 {
			errs = append(errs, fmt.Errorf("%s = %d, want at least 1, or 0 for the default", f.name, f.value))
		}
	}
	if strings.ContainsAny(c.Key, "\r\n") {
		errs = append(errs, errors.New("the key holds a line break\nremove it"))
	}
	return errors.Join(errs...)
}

// filled returns c with its defaults in place.
func (c Config) filled() Config {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	long := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	def(&c.MaxN, 32)
	def(&c.InFlight, DefaultInFlight)
	def(&c.Attempts, 5)
	long(&c.Timeout, 30*time.Minute)
	long(&c.Idle, 5*time.Minute)
	long(&c.Patience, 10*time.Minute)
	if c.Name == "" {
		c.Name = "openai"
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// An address is an endpoint's address taken apart.
type address struct {
	shown  string // for people: without password
	api    string // what /chat/completions is appended to
	root   string // what /metrics and /version are appended to
	socket string // path of the unix socket; "" means TCP
}

// parseEndpoint reads what the user wrote.
func parseEndpoint(text string) (address, error) {
	u, err := url.Parse(strings.TrimSpace(text))
	switch {
	case err != nil:
		// url.Error repeats the address, and with it a password.
		return address{}, errors.New("endpoint address does not parse\nwrite it as http://127.0.0.1:8000/v1")
	case u.Scheme == "unix" && u.Path != "" && u.Host == "":
		return address{shown: u.String(), api: "http://unix/v1", root: "http://unix", socket: u.Path}, nil
	case (u.Scheme != "http" && u.Scheme != "https") || u.Host == "":
		return address{}, fmt.Errorf("endpoint %q is no http address\nwrite it as http://127.0.0.1:8000/v1", u.Redacted())
	}
	u.RawQuery, u.Fragment = "", ""
	path := strings.TrimRight(u.Path, "/")
	for _, tail := range []string{"/chat/completions", "/completions", "/models"} {
		path = strings.TrimSuffix(path, tail)
	}
	if path == "" {
		path = "/v1"
	}
	u.Path = path
	a := address{shown: u.Redacted(), api: u.String()}
	u.Path = strings.TrimSuffix(path, "/v1")
	a.root = u.String()
	return a, nil
}
