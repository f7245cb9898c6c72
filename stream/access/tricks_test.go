package access_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/access"
	"github.com/lcbq/lcbq/stream/streamtest"
	"github.com/lcbq/lcbq/stream/streamtest/patience"
)

// lasts returns the last sequence of each stream.
func (h *house) lasts(t *testing.T) map[string]uint64 {
	t.Helper()
	all := make(map[string]uint64)
	l := h.js.ListStreams(within(t))
	for s := range l.Info() {
		all[s.Config.Name] = s.State.LastSeq
	}
	if l.Err() != nil {
		t.Fatal(l.Err())
	}
	return all
}

// targets are subjects at which a role that could write there would do harm.
var targets = []string{"$KV.lcbq_cells.r1.q0.t0_2", "$KV.lcbq_runs.r1", "$KV.lcbq_banned.UABC", "combine.r1.q0.t0_2.u0777", "generate.r1.q0.t0_2.u0777", "dead.generate.r1.q0.t0_2.u0777", "$O.lcbq_problems.C.x"}

// TestReplySubjects has the server send its answers to subjects at which streams listen. The server does not
// check replies against permissions: an operator's end in the streams, which shows that the tricks work, and
// those of every other role end nowhere.
func TestReplySubjects(t *testing.T) {
	t.Parallel()
	h := open(t, t.TempDir(), false)
	h.fill(t)
	for _, role := range append(slices.Clone(contained), access.Operator) {
		g := h.invite(t, specOf(role))
		tricks := map[string]string{"the settings of a run": "$JS.API.DIRECT.GET.KV_lcbq_runs.$KV.lcbq_runs.r1", "an answer of the API": "$JS.API.INFO"}
		switch role {
		case access.Evaluator:
			tricks["stored bytes"], tricks["an acknowledgement"] = "$JS.API.DIRECT.GET.COMBINE.combine.r1.q0.t0_2.u0500", "combine.r1.q0.t0_2.u0501"
			tricks["a unit"] = "$JS.API.CONSUMER.MSG.NEXT.EVALUATE.evaluators-r1"
		case access.Guest:
			own := g.Guest().ClaimSubject(unit(500))
			tricks["an acknowledgement"], tricks["a unit"] = own, "$JS.API.CONSUMER.MSG.NEXT.LENT.borrowers-r1"
		case access.Generator:
			tricks["stored bytes"], tricks["an acknowledgement"] = "$JS.API.DIRECT.GET.EVALUATE.evaluate.r1.q0.t0_2.u0500", "evaluate.r1.q0.t0_2.u0501"
			tricks["a unit"] = "$JS.API.CONSUMER.MSG.NEXT.GENERATE.generators-r1"
		default:
		}
		watched := []string{"KV_lcbq_cells", "KV_lcbq_runs", "KV_lcbq_banned", "GENERATE", "DEAD", "OBJ_lcbq_problems"}
		if role != access.Evaluator { // who may store verdicts anyway
			watched = append(watched, "COMBINE")
		}
		for name, subject := range tricks {
			for _, target := range targets {
				if role == access.Generator && strings.HasPrefix(target, "dead.generate") {
					continue // it may give units up anyway
				}
				before := h.lasts(t)
				if err := g.conn.PublishRequest(subject, target, nil); err != nil {
					t.Fatal(err)
				}
				reached := func() bool {
					after := h.lasts(t)
					return slices.ContainsFunc(watched, func(s string) bool { return before[s] != after[s] })
				}
				if role != access.Operator {
					// The server answers in the order in which it is asked.
					if name != "a unit" {
						if _, err := g.conn.RequestWithContext(within(t), subject, nil); err != nil {
							t.Fatal(err)
						}
					}
					if _, err := g.js.AccountInfo(within(t)); err != nil {
						t.Fatal(err)
					}
					if reached() {
						t.Errorf("role %s writes %s at %s", role, name, target)
					}
					continue
				}
				if target == "$KV.lcbq_cells.r1.q0.t0_2" && name == "the settings of a run" {
					for wait := patience.Begin(patience.Base); !reached(); {
						if wait.Over() {
							t.Fatalf("the trick with %s at %s does nothing even for an operator: this test says nothing", name, target)
						}
					}
				}
			}
		}
	}
}

// TestReplyCommands has the server send its answers to its own API: no stream may go.
func TestReplyCommands(t *testing.T) {
	t.Parallel()
	h := open(t, t.TempDir(), false)
	h.fill(t)
	for _, role := range contained {
		g := h.invite(t, specOf(role))
		for _, command := range []string{"$JS.API.STREAM.DELETE.DEAD", "$JS.API.STREAM.PURGE.EVALUATE", "$JS.API.CONSUMER.DELETE.EVALUATE.evaluators-r1", "$JS.API.STREAM.DELETE.KV_lcbq_cells"} {
			if err := g.conn.PublishRequest("$JS.API.INFO", command, nil); err != nil {
				t.Fatal(err)
			}
			if _, err := g.js.AccountInfo(within(t)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, s := range []string{"DEAD", "KV_lcbq_cells"} {
		if _, err := h.js.Stream(within(t), s); err != nil {
			t.Errorf("stream %s: %v", s, err)
		}
	}
	streamtest.WaitFor(t, "EVALUATE to have its 3 units waiting", func(ctx context.Context) (bool, error) {
		lag, err := h.queue.Lag(ctx, stream.Evaluate)
		return lag.Stored == 3 && lag.Waiting == 3, err
	})
}

// TestInboxes wants nobody to hear what is said to another worker.
func TestInboxes(t *testing.T) {
	t.Parallel()
	h := open(t, t.TempDir(), false)
	h.fill(t)
	victim := h.invite(t, access.Spec{Role: access.Evaluator})
	for _, role := range contained {
		g := h.invite(t, specOf(role))
		for _, subject := range []string{">", victim.Inbox + ".>", "*.>", "combine.>", "evaluate.>", "$JS.>", "$KV.>", "$SYS.>"} {
			heard, err := g.conn.SubscribeSync(subject)
			if err != nil {
				t.Fatal(err)
			}
			if err := g.conn.FlushWithContext(within(t)); err != nil {
				t.Fatal(err)
			}
			g.refused(t, subject)
			if _, err := victim.js.AccountInfo(within(t)); err != nil {
				t.Fatal(err)
			}
			if n, _, err := heard.Pending(); err == nil && n > 0 {
				t.Errorf("role %s hears %d messages at %s", role, n, subject)
			}
		}
	}
}

// TestWork does as evaluator and generator what they are for, with the client libraries that they use.
func TestWork(t *testing.T) {
	t.Parallel()
	h := open(t, t.TempDir(), false)
	h.fill(t)
	for _, tt := range []struct {
		role     access.Role
		from, to stream.Stage
	}{{access.Generator, stream.Generate, stream.Evaluate}, {access.Evaluator, stream.Evaluate, stream.Combine}} {
		g := h.invite(t, access.Spec{Role: tt.role})
		c, err := g.js.Consumer(within(t), tt.from.Stream(), string(tt.from)[:len("evaluat")]+"ors-r1")
		if err != nil {
			t.Fatalf("role %s: %v", tt.role, err)
		}
		for range 3 {
			m := streamtest.Next(t, c)
			meta, err := m.Metadata()
			if err != nil || meta.Stream != tt.from.Stream() || !strings.HasPrefix(m.Subject(), string(tt.from)+".") {
				t.Errorf("role %s: metadata %+v, %v, subject %s", tt.role, meta, err, m.Subject())
			}
			if err := m.InProgress(); err != nil {
				t.Error(err)
			}
			out := string(tt.to) + strings.TrimPrefix(m.Subject(), string(tt.from))
			for want := range 2 { // the second is refused: something is there
				_, err := g.js.Publish(within(t), out, []byte("{}"), jetstream.WithExpectLastSequencePerSubject(0))
				if (err == nil) != (want == 0) {
					t.Errorf("role %s: publish %s, time %d: %v", tt.role, out, want+1, err)
				}
			}
			if err := m.DoubleAck(within(t)); err != nil {
				t.Errorf("role %s: %v", tt.role, err)
			}
		}
		if l, err := h.queue.Lag(within(t), tt.from); err != nil || tt.from == stream.Generate && l.Stored != 0 {
			t.Errorf("%s holds %+v, %v after the acknowledgements", tt.from, l, err)
		}
		for len(g.said) > 0 {
			t.Errorf("role %s: %v", tt.role, <-g.said)
		}
	}
}

// TestAnswers wants each granted request of the API answered by the account of the streams: the server answers
// itself, that JetStream is not enabled, where an import is overshadowed.
func TestAnswers(t *testing.T) {
	t.Parallel()
	h := open(t, t.TempDir(), false)
	h.fill(t)
	for _, role := range contained {
		g := h.invite(t, specOf(role))
		for _, s := range allowed(t, role, subjects()) {
			if !strings.HasPrefix(s, "$JS.API.") || strings.Contains(s, "MSG.NEXT") {
				continue
			}
			m, err := g.conn.RequestWithContext(within(t), s, nil)
			if err != nil || strings.Contains(string(m.Data), "not enabled") {
				t.Errorf("role %s, %s: %v", role, s, err)
			}
		}
	}
}
