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
	ofText               // the endpoint refused the text that the model wrote
)

// A fault is an attempt that gave no samples.
type fault struct {
	kind  kind
	after time.Duration // the server's own wish when to come back; 0 means none
	code  int           // HTTP status; 0 where the fault lies below or above HTTP
	cause string        // of a completion that is lost, in a word or two; "" where the status tells
	err   error
}

// why returns the cause of a lost completion, one of few.
func (f *fault) why() string {
	switch {
	case f.cause != "":
		return f.cause
	case f.code != 0:
		return fmt.Sprintf("status %d", f.code)
	default:
		return "connection lost"
	}
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
		switch {
		case filtered.MatchString(said):
			f.kind, f.cause = ofText, refusedText
		case tooLong.MatchString(said):
			f.kind = rejected
		case passing.MatchString(said): // of the server's state, whatever the status: nothing in the request is at fault
			f.kind = busy
			f.after = retryAfter(header, time.Now())
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
		if textual(said) {
			f.kind, f.cause, f.after = ofText, refusedText, 0
		}
	}
	return f
}

// The causes of lost completions that have no status.
const (
	refusedText = "refused text"
	timedOut    = "timed out"
	cutOff      = "cut off"
	unreadable  = "unreadable answer"
	givenUp     = "given up"
)

// textual reports whether an error of the server is about the text that the model wrote.
func textual(said string) bool {
	return filtered.MatchString(said) || unparsed.MatchString(said) && !passing.MatchString(said)
}

var (
	// tooLong recognises a prompt beyond the model's context, in the words of
	// vLLM, SGLang, llama.cpp and OpenAI: probing it with fewer choices would
	// only waste requests.
	tooLong = regexp.MustCompile(`(?i)context.?(length|size|window)|maximum.{0,20}length|too long|longer than the model`)
	// passing recognises refusals of a server behind the one that answers, or of its state.
	passing = regexp.MustCompile(`(?i)provider returned error|upstream|overloaded|temporar|try again|rate.?limit|too many requests|timed? ?out|unavailable|<html|<!doctype`)
	// filtered recognises a filter's refusal of a text, or of what would be one.
	filtered = regexp.MustCompile(`(?i)content.?(filter|management policy|policy)|flagged|moderation|safety (system|polic|filter)`)
	// unparsed recognises the errors of parsers that a server runs over what the model wrote:
	// llama.cpp's chat parser, the tool and reasoning parsers of vLLM and SGLang, gpt-oss'
	// harmony.
	unparsed = regexp.MustCompile(`(?i)(fail(ed|ure)?|unable|cannot|could not|error)( to| while| in)? (pars|extract|decod)\w* .{0,40}(input|output|answer|response|completion|tool|function|reasoning|generat|content)|harmony|unexpected tokens? (remaining )?in (the )?message|(tool|reasoning).?(call.?)?parser|tool.?call.{0,30}(invalid|malformed|unterminated)|(invalid|malformed) tool.?call`)
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
