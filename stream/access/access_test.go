package access_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/access"
	"github.com/lcbq/lcbq/stream/embed"
	"github.com/lcbq/lcbq/stream/queue"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/stream/streamtest"
	"github.com/lcbq/lcbq/stream/streamtest/patience"
)

func TestMain(m *testing.M) { streamtest.Main(m) }

// A house is a server that goes by keys, with lcbq's streams and a run in them.
type house struct {
	dir   string
	keys  *access.Keys
	srv   *embed.Server
	log   *logged
	js    jetstream.JetStream // an operator's
	queue *queue.Queue
	store *store.Store
}

// logged keeps what a server logs.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

const run = "r1"

// patient has a client wait for a machine that is busy with other tests.
var patient = nats.Timeout(time.Minute)

// cell is that of the run's units.
var cell = stream.Cell{Run: run, Question: 0, Temperature: 200}

func unit(index int) stream.Unit { return stream.Unit{Cell: cell, Index: index} }

// open makes keys in dir, unless it has some, and starts the server on it.
func open(t *testing.T, dir string, tls bool) *house {
	t.Helper()
	h, shut := openFor(t, dir, tls)
	t.Cleanup(shut)
	return h
}

// openFor is open until shut is called.
func openFor(t *testing.T, dir string, tls bool) (h *house, shut func()) {
	t.Helper()
	keys, err := access.Load(dir)
	if errors.Is(err, access.ErrNoKeys) {
		keys, err = access.Make(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	return openWith(t, keys, dir, tls)
}

func openWith(t *testing.T, keys *access.Keys, dir string, tls bool) (h *house, shut func()) {
	t.Helper()
	var err error
	h = &house{dir: dir, keys: keys, log: new(logged)}
	trust := &embed.Trust{System: keys.System(), Home: keys.Home(), Accounts: keys.Book(time.Now().Add(-time.Second)), CA: keys.CA()}
	if trust.Operator, err = keys.Operator(); err != nil {
		t.Fatal(err)
	}
	if trust.Creds, err = keys.Local(); err != nil {
		t.Fatal(err)
	}
	if tls {
		if trust.TLS, err = keys.ServerTLS(); err != nil {
			t.Fatal(err)
		}
	}
	h.srv, err = embed.Start(embed.Config{Dir: dir, Trust: trust, Log: slog.New(slog.NewTextHandler(h.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	nc, err := h.srv.Connect(patient)
	if err != nil {
		t.Fatal(errors.Join(err, h.srv.Close()))
	}
	shut = func() {
		nc.Close()
		if err := h.srv.Close(); err != nil {
			t.Error(err)
		}
	}
	if h.js, err = jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute)); err != nil {
		t.Fatal(err)
	}
	h.queue = queue.New(h.js)
	if err := h.queue.Declare(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if h.store, err = store.Declare(t.Context(), h.js, 1); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(h.queue.DeclareLending(t.Context(), 1), h.store.DeclareBans(t.Context(), 1)); err != nil {
		t.Fatal(err)
	}
	return h, shut
}

// fill puts a run into the house, with units to generate and to judge, and a problem.
func (h *house) fill(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	if _, err := h.store.PutRun(ctx, &store.Manifest{ID: run, UnitSize: 10, Temperatures: []stream.Temperature{200}, Questions: []store.Question{{Cuts: []int{60}}}}, 0); err != nil {
		t.Fatal(err)
	}
	if err := h.queue.Serve(ctx, []queue.Run{{ID: run}}); err != nil {
		t.Fatal(err)
	}
	if err := h.store.PutProblem(ctx, "set", 0, []byte(strings.Repeat("a problem with its tests ", 20_000))); err != nil { // in several parts
		t.Fatal(err)
	}
	for i := range 3 {
		if _, err := h.queue.Publish(ctx, stream.Generate, unit(i), stream.Task{Unit: unit(i), First: i * 10, N: 10}); err != nil {
			t.Fatal(err)
		}
		if _, err := h.queue.Publish(ctx, stream.Evaluate, unit(i+3), stream.Batch{Unit: unit(i + 3)}); err != nil {
			t.Fatal(err)
		}
	}
}

// contained are the roles that have an account of their own.
var contained = []access.Role{access.Evaluator, access.Guest, access.Generator, access.Viewer}

// specOf returns what a token of a role is made of.
func specOf(role access.Role) access.Spec {
	s := access.Spec{Role: role, TTL: time.Hour}
	if role == access.Guest {
		s.Share = 0.02
	}
	return s
}

// A guest is somebody with a token.
type guest struct {
	access.Token
	creds []byte
	conn  *nats.Conn
	js    jetstream.JetStream
	said  chan error // by the server, besides answers
}

// invite makes a token and connects with it.
func (h *house) invite(t *testing.T, s access.Spec, more ...nats.Option) *guest {
	t.Helper()
	g := h.letter(t, s)
	if err := g.enter(t, h.srv.URL(), more...); err != nil {
		t.Fatal(err)
	}
	return g
}

func (h *house) letter(t *testing.T, s access.Spec) *guest {
	t.Helper()
	creds, token, err := h.keys.Issue(s)
	if err != nil {
		t.Fatal(err)
	}
	return &guest{Token: token, creds: creds, said: make(chan error, 1000)}
}

func (g *guest) enter(t *testing.T, url string, more ...nats.Option) error {
	t.Helper()
	opts := append([]nats.Option{patient, nats.UserCredentialBytes(g.creds), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		select {
		case g.said <- err:
		default:
		}
	})}, more...)
	if g.Inbox != "" {
		opts = append(opts, nats.CustomInboxPrefix(g.Inbox))
	}
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		return err
	}
	t.Cleanup(nc.Close)
	g.conn = nc
	g.js, err = jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	return err
}

// refused waits for the server to say that a subject is not the guest's.
func (g *guest) refused(t *testing.T, subject string) {
	t.Helper()
	for {
		err := streamtest.Receive(t, fmt.Sprintf("the server to refuse %s to role %s", subject, g.Role), g.said)
		if errors.Is(err, nats.ErrPermissionViolation) && strings.Contains(err.Error(), `"`+subject+`"`) {
			return
		}
	}
}

// subjects are one of each kind that there is on the server: of lcbq's streams and of JetStream's API.
func subjects() []string {
	all := []string{
		"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$JS.API.META.LEADER.STEPDOWN", "$JS.API.SERVER.REMOVE", "$SYS.REQ.SERVER.PING", "$SYS.REQ.ACCOUNT.PING.CONNZ",
		"generate.r1.q0.t0_2.u0009", "evaluate.r1.q0.t0_2.u0009", "combine.r1.q0.t0_2.u0009", "dead.generate.r1.q0.t0_2.u0009", "dead.evaluate.r1.q0.t0_2.u0009", "dead.combine.r1.q0.t0_2.u0009",
		"judges.r1", "judges.r1~q0", "lent.r1.q0.t0_2.u0009", "claims.UABC.2000.r1.q0.t0_2.u0009", "_INBOX.somebody.x", "_INBOX_UABC.x.y", "_R_.abcdef", "anything.else", "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.EVALUATE.x",
	}
	streams := []string{"GENERATE", "EVALUATE", "COMBINE", "DEAD", "ADVISORY", "JUDGES", "LENT", "CLAIMS"}
	for _, b := range []string{"runs", "cells", "workers", "verdicts", "engines", "banned", "orders", "receipts"} {
		streams = append(streams, "KV_lcbq_"+b)
		all = append(all, "$KV.lcbq_"+b+".r1", "$JS.API.DIRECT.GET.KV_lcbq_"+b+".$KV.lcbq_"+b+".r1")
	}
	for _, stage := range []string{"generate", "evaluate", "combine"} {
		all = append(all, "$KV.lcbq_workers."+stage+".host-1", "$JS.API.DIRECT.GET."+strings.ToUpper(stage)+"."+stage+".r1.q0.t0_2.u0009")
	}
	streams = append(streams, "OBJ_lcbq_problems")
	all = append(all, "$O.lcbq_problems.C.x", "$O.lcbq_problems.M.x", "$JS.API.DIRECT.GET.OBJ_lcbq_problems.$O.lcbq_problems.M.x")
	for _, s := range streams {
		for _, verb := range []string{
			"STREAM.INFO", "STREAM.CREATE", "STREAM.UPDATE", "STREAM.DELETE", "STREAM.PURGE", "STREAM.SNAPSHOT", "STREAM.RESTORE", "STREAM.MSG.GET", "STREAM.MSG.DELETE", "STREAM.PEER.REMOVE", "STREAM.LEADER.STEPDOWN",
			"DIRECT.GET", "CONSUMER.NAMES", "CONSUMER.LIST", "CONSUMER.CREATE",
		} {
			all = append(all, "$JS.API."+verb+"."+s)
		}
		for _, verb := range []string{"INFO", "CREATE", "DURABLE.CREATE", "DELETE", "PAUSE", "RESET", "UNPIN", "MSG.NEXT", "LEADER.STEPDOWN"} {
			all = append(all, "$JS.API.CONSUMER."+verb+"."+s+".evaluators-r1")
		}
		all = append(all, "$JS.API.CONSUMER.CREATE."+s+".c.>", "$JS.ACK."+s+".evaluators-r1.1.1.1.1.0", "$JS.FC."+s+".x.y", "$JS.SNAPSHOT.ACK."+s+".x")
	}
	return all
}

// allowed returns which of the subjects a role may publish to, by the table of the README.
func allowed(t *testing.T, role access.Role, all []string) []string {
	t.Helper()
	var ok []string
	for _, s := range all {
		for _, row := range table(t) {
			// Claims are for the subjects of one's own token alone: see TestClaims. So are orders: see TestTable.
			own := strings.HasPrefix(row.subject, "claims.") || strings.HasPrefix(row.subject, "$JS.API.DIRECT.GET.KV_lcbq_orders.")
			if slices.Contains(row.roles, role) && !own && matches(row.subject, s) {
				ok = append(ok, s)
				break
			}
		}
	}
	return ok
}

// TestTable asks for every subject as every role, and wants those answered or taken that the README's table
// names, and all others refused, each with a line in the server's log.
func TestTable(t *testing.T) {
	t.Parallel()
	h := open(t, t.TempDir(), false)
	h.fill(t)
	const last = "nobodys.subject"
	all := subjects()
	for _, role := range contained {
		g := h.invite(t, specOf(role))
		all, ok := all, allowed(t, role, all)
		if role != access.Viewer {
			at := func(name string) string {
				return "$JS.API.DIRECT.GET.KV_lcbq_orders.$KV.lcbq_orders." + name + ".evaluate.h-1.rs"
			}
			all, ok = append(slices.Clone(all), at(g.Orders), at(h.letter(t, specOf(role)).Orders)), append(ok, at(g.Orders))
		}
		inbox, err := g.conn.SubscribeSync(g.conn.NewRespInbox() + ".*")
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			// The body is of no request: whoever gets it answers with an error, and nothing is changed.
			if err := g.conn.PublishRequest(s, strings.TrimSuffix(inbox.Subject, "*")+"a", []byte("{")); err != nil {
				t.Fatal(err)
			}
			if err := g.conn.FlushWithContext(within(t)); err != nil {
				t.Fatal(err)
			}
		}
		denied := make(map[string]bool)
		if err := g.conn.Publish(last, nil); err != nil {
			t.Fatal(err)
		}
		for !denied[last] { // the server's words come in their order
			err := streamtest.Receive(t, fmt.Sprintf("the server to refuse %s to role %s", last, role), g.said)
			if _, subject, found := strings.Cut(err.Error(), `"`); found && errors.Is(err, nats.ErrPermissionViolation) {
				denied[strings.TrimSuffix(subject, `"`)] = true
			}
		}
		for _, s := range all {
			if want := !slices.Contains(ok, s); denied[s] != want {
				t.Errorf("role %s, %s: refused %v, the table wants %v", role, s, denied[s], want)
			}
		}
		t.Logf("role %s: %d of %d subjects allowed", role, len(ok), len(all))
	}
	for _, s := range []string{"$JS.API.STREAM.DELETE.EVALUATE", "$KV.lcbq_runs.r1"} {
		if !strings.Contains(h.log.String(), s) {
			t.Errorf("the server's log does not tell of %s", s)
		}
	}
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := patience.Context(t.Context(), patience.Base)
	t.Cleanup(cancel)
	return ctx
}

// matches reports whether a subject is one of a pattern's.
func matches(pattern, subject string) bool {
	p, s := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i, token := range p {
		if token == ">" {
			return len(s) > i
		}
		if i >= len(s) || token != "*" && token != s[i] {
			return false
		}
	}
	return len(p) == len(s)
}

// A row is one of the README's table.
type row struct {
	subject string
	roles   []access.Role
}

// table reads the README's.
func table(t *testing.T) []row {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows []row
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 8 || !strings.Contains(cells[1], "`") || strings.Contains(cells[1], " ` ") {
			continue
		}
		r := row{subject: strings.Trim(cells[1], " `")}
		for i, role := range contained {
			if strings.TrimSpace(cells[i+2]) != "" {
				r.roles = append(r.roles, role)
			}
		}
		rows = append(rows, r)
	}
	return rows
}

// TestReadmeHasTheGrants wants the README's table to be what the code grants, line by line.
func TestReadmeHasTheGrants(t *testing.T) {
	t.Parallel()
	var want, got []string
	for _, role := range contained {
		for _, g := range role.Grants() {
			want = append(want, fmt.Sprintf("%s %s", role, g.Subject))
		}
	}
	for _, r := range table(t) {
		for _, role := range r.roles {
			got = append(got, fmt.Sprintf("%s %s", role, r.subject))
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		for _, w := range want {
			if !slices.Contains(got, w) {
				t.Errorf("the table lacks %s", w)
			}
		}
		for _, g := range got {
			if !slices.Contains(want, g) {
				t.Errorf("the table has %s, which is not granted", g)
			}
		}
		if !t.Failed() {
			t.Error("the table has a line twice")
		}
	}
}

// TestKeys wants keys made once, read by their owner alone, and refused where others can read them.
func TestKeys(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	if _, err := access.Load(dir); !errors.Is(err, access.ErrNoKeys) {
		t.Errorf("Load without keys = %v", err)
	}
	k, err := access.Make(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := access.Make(dir); !errors.Is(err, access.ErrKeysExist) {
		t.Errorf("Make again = %v, want ErrKeysExist", err)
	}
	again, err := access.Load(dir)
	if err != nil || again.Home() != k.Home() || again.CA() != k.CA() {
		t.Errorf("Load = %v, want the same keys", err)
	}
	path := filepath.Join(dir, access.KeysName)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the keys' file: %v, %v, want mode 0600", info, err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := access.Load(dir); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("Load of keys that others can read = %v", err)
	}
	if err := errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, []byte(`{"operator":"SUAIBDPBAUTWCWBKIO6XHQNINK5FWJW4OHLXC3HQ2KFE4PEJUA44CNHTC4"}`), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := access.Load(dir); err == nil || !strings.Contains(err.Error(), "lcbq server init") {
		t.Errorf("Load of broken keys = %v", err)
	}
}
