package access_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/access"
	"github.com/lcbq/lcbq/stream/embed"
	"github.com/lcbq/lcbq/stream/queue"
)

// BenchmarkRoles moves units of 20 KB from EVALUATE to COMBINE as an evaluator does, by turns over a server without
// roles and one with roles and TLS, five times each. It reports the medians of wall and processor time for a unit, the
// server's and the client's together, and the share of the throughput that roles and TLS leave.
func BenchmarkRoles(b *testing.B) {
	for b.Loop() {
		const rounds = 5
		var wall, cpu [2][]float64
		for range rounds {
			for i, with := range []bool{false, true} {
				w, c := moveUnits(b, with)
				wall[i], cpu[i] = append(wall[i], w), append(cpu[i], c)
			}
		}
		median := func(all []float64) float64 { slices.Sort(all); return all[len(all)/2] }
		for i, name := range []string{"plain", "roles"} {
			b.ReportMetric(median(wall[i]), name+"-us/unit")
			b.ReportMetric(median(cpu[i]), name+"-cpu-us/unit")
		}
		b.ReportMetric(median(wall[0])/median(wall[1]), "throughput")
	}
}

// moveUnits returns the microseconds that a unit takes, by the clock and of processors.
func moveUnits(b *testing.B, roles bool) (wall, cpu float64) {
	b.Helper()
	const units = 500
	dir := b.TempDir()
	cfg := embed.Config{Dir: dir}
	var opts []nats.Option
	if roles {
		keys, err := access.Make(dir)
		if err != nil {
			b.Fatal(err)
		}
		trust := &embed.Trust{System: keys.System(), Home: keys.Home(), Accounts: keys.Book(time.Now().Add(-time.Second)), CA: keys.CA()}
		if trust.Operator, err = keys.Operator(); err != nil {
			b.Fatal(err)
		}
		if trust.Creds, err = keys.Local(); err != nil {
			b.Fatal(err)
		}
		if trust.TLS, err = keys.ServerTLS(); err != nil {
			b.Fatal(err)
		}
		cfg.Trust = trust
		creds, token, err := keys.Issue(access.Spec{Role: access.Evaluator})
		if err != nil {
			b.Fatal(err)
		}
		client, err := access.ClientTLS(token.CA)
		if err != nil {
			b.Fatal(err)
		}
		opts = append(opts, nats.UserCredentialBytes(creds), nats.CustomInboxPrefix(token.Inbox), nats.Secure(client))
	} else {
		cfg.Open = true
	}
	srv, err := embed.Start(cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := srv.Close(); err != nil {
			b.Error(err)
		}
	}()
	own, err := srv.Connect(patient)
	if err != nil {
		b.Fatal(err)
	}
	defer own.Close()
	js, err := jetstream.New(own, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(b.Context(), 5*time.Minute)
	defer cancel()
	q := queue.New(js)
	if err := q.Declare(ctx, 1); err != nil {
		b.Fatal(err)
	}
	if err := q.Serve(ctx, []queue.Run{{ID: run}}); err != nil {
		b.Fatal(err)
	}
	body := stream.Batch{Generator: strings.Repeat("x", 1000)}
	for i := range 20 {
		body.Samples = append(body.Samples, stream.Sample{Index: i, Completion: noise(i)})
	}
	for i := range units {
		if _, err := q.Publish(ctx, stream.Evaluate, unit(i), body); err != nil {
			b.Fatal(err)
		}
	}
	nc, err := nats.Connect(srv.URL(), append(opts, patient)...)
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	js, err = jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		b.Fatal(err)
	}
	q = queue.New(js)
	all, err := q.Consumers(ctx, stream.Evaluate, nil)
	if err != nil || len(all) != 1 {
		b.Fatalf("consumers %v, %v", all, err)
	}
	before, began := processor(b), time.Now()
	for range units {
		msg, err := all[0].Next(jetstream.FetchContext(ctx))
		if err != nil {
			b.Fatal(err)
		}
		_, u, err := stream.ParseSubject(msg.Subject())
		if err != nil {
			b.Fatal(err)
		}
		if _, err := q.Publish(ctx, stream.Combine, u, stream.Scored{Batch: body}); err != nil {
			b.Fatal(err)
		}
		if err := msg.Ack(); err != nil {
			b.Fatal(err)
		}
	}
	return float64(time.Since(began).Microseconds()) / units, float64((processor(b) - before).Microseconds()) / units
}

// noise returns text of a kilobyte that does not compress to nothing.
func noise(seed int) string {
	var text bytes.Buffer
	for x := uint32(seed + 1); text.Len() < 1000; { //nolint:gosec // a small number
		x = x*1664525 + 1013904223
		fmt.Fprintf(&text, "%08x ", x)
	}
	return text.String()
}

// processor returns the processor time of this process.
func processor(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
