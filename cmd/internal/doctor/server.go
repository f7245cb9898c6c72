package doctor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream"
)

// mostSkew is how far two hosts' clocks may be apart before ages and certificates mislead.
const mostSkew = 30 * time.Second

// Server says whether the server of a run can be reached, holds lcbq's streams, and has the
// time that this host has. dial connects; done ends the connection.
func Server(dial func(ctx context.Context) (js jetstream.JetStream, url string, done func(), err error)) Check {
	return func(ctx context.Context) []Finding {
		js, url, done, err := dial(ctx)
		if err != nil {
			says, remedy, _ := strings.Cut(err.Error(), "\n")
			return []Finding{{Check: "server", Result: Fail, Says: says, Remedy: remedy}}
		}
		defer done()
		began := time.Now()
		s, err := js.Stream(ctx, stream.Generate.Stream())
		if err != nil {
			return []Finding{{Check: "server", Result: Fail, Says: fmt.Sprintf("%s: %v", url, err), Remedy: "start 'lcbq server' there, or 'lcbq submit' a run, which makes the streams"}}
		}
		took := time.Since(began)
		return []Finding{
			{Check: "server", Result: Pass, Says: fmt.Sprintf("%s answers in %v, %d units to generate", url, took.Round(time.Millisecond), s.CachedInfo().State.Msgs)},
			skewFinding(s.CachedInfo().TimeStamp, began, took),
		}
	}
}

// skewFinding compares the server's time with ours of the moment in which it answered: half
// of the way there and back.
func skewFinding(theirs, began time.Time, took time.Duration) Finding {
	f := Finding{Check: "clock of the server", Result: Pass}
	skew := began.Add(took / 2).Sub(theirs)
	word := "behind"
	if skew < 0 {
		skew, word = -skew, "ahead of"
	}
	switch {
	case theirs.IsZero():
		f.Says = "not told: the server is older than 2.10"
	case skew > mostSkew+took:
		f.Result, f.Says = Warn, fmt.Sprintf("%v %s this host's", skew.Round(time.Second), word)
		f.Remedy = "set both clocks (timedatectl set-ntp true)"
	default:
		f.Says = "as this host's"
	}
	return f
}
