package openai

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A kind says what to do about a fault.
type kind uint8

const (
	broken   kind = iota // the request may work next time, and not for ever
	busy                 // the endpoint will work later: wait for it
	refused              // the endpoint will not work at all until a person acts
	unclear              // the endpoint did not like something in the request: find out what
	rejected             // the request will never work
)

// A fault is an attempt that gave no samples.
type fault struct {
	kind  kind
	after time.Duration // the server's own wish when to come back; 0 means none
	code  int           // HTTP status; 0 where the fault lies below or above HTTP
	err   error
}

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

// faultOf returns the fault in err; what is none counts as broken.
func faultOf(err error) *fault {
	if f, ok := errors.AsType[*fault](err); ok {
		return f
	}
	return &fault{kind: broken, err: err}
}

// mostWait caps a server's wish when to come back, so that a typing error there
// does not stop a run for a day.
const mostWait = 5 * time.Minute

// ofStatus makes a fault of an answer that is not 200.
func ofStatus(code int, header http.Header, body []byte) *fault {
	said := message(body)
	f := &fault{code: code, err: fmt.Errorf("status %d: %s", code, said)}
	if said == "" {
		f.err = fmt.Errorf("status %d %s", code, http.StatusText(code))
	}
	switch code {
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusNotImplemented:
		f.kind = unclear
		if tooLong.MatchString(said) {
			f.kind = rejected
		}
	case http.StatusRequestEntityTooLarge:
		f.kind = rejected
	case http.StatusUnauthorized, http.StatusForbidden:
		f.kind = refused
		f.err = fmt.Errorf("%w\nthe endpoint does not accept the key: set OPENAI_API_KEY to the right one", f.err)
	case http.StatusPaymentRequired:
		f.kind = refused
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		f.kind = refused
		f.err = fmt.Errorf("%w\neither the model is not served there or the address is not that of an OpenAI-compatible interface", f.err)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, 529: // 529: overloaded, by hosted endpoints
		f.kind = busy
		f.after = retryAfter(header, time.Now())
		if quota.MatchString(said) {
			f.kind = refused
		}
	default:
		f.kind = broken
		f.after = retryAfter(header, time.Now())
	}
	return f
}

var (
	// tooLong recognises a prompt beyond the model's context, in the words of
	// vLLM, SGLang, llama.cpp and OpenAI: probing it with fewer choices would
	// only waste requests.
	tooLong = regexp.MustCompile(`(?i)context.?(length|size|window)|maximum.{0,20}length|too long|longer than the model`)
	// quota recognises a 429 that no waiting cures.
	quota = regexp.MustCompile(`(?i)insufficient_quota|exceeded your current quota`)
)

// ofTransport makes a fault of an error below HTTP.
func ofTransport(err error) *fault {
	f := &fault{kind: broken, err: err}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		f.kind = busy
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		f.kind = busy
	}
	return f
}

// retryAfter reads the header's seconds or date.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	wait := time.Duration(0)
	if s, err := strconv.ParseFloat(text, 64); err == nil {
		wait = time.Duration(min(max(s, 0), mostWait.Seconds()) * float64(time.Second))
	} else if at, err := http.ParseTime(text); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), mostWait)
}

// message takes the words for people out of an error body, whichever of the
// servers' shapes it has.
func message(body []byte) string {
	var shape struct {
		Error   json.RawMessage `json:"error"`
		Message string          `json:"message"`
		Detail  json.RawMessage `json:"detail"`
	}
	text := strings.TrimSpace(string(body))
	if json.Unmarshal(body, &shape) == nil {
		var inner struct {
			Message string `json:"message"`
			Code    any    `json:"code"`
		}
		var plain string
		switch {
		case json.Unmarshal(shape.Error, &inner) == nil && inner.Message != "":
			text = inner.Message
			if code, ok := inner.Code.(string); ok && code != "" {
				text += " (" + code + ")"
			}
		case json.Unmarshal(shape.Error, &plain) == nil && plain != "":
			text = plain
		case shape.Message != "":
			text = shape.Message
		case json.Unmarshal(shape.Detail, &plain) == nil && plain != "":
			text = plain
		case len(shape.Detail) > 0:
			text = string(shape.Detail)
		}
	}
	text = strings.Join(strings.Fields(text), " ")
	const most = 600
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return text
}
