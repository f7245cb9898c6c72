// Package access says who may do what on lcbq's server: its roles, the accounts that contain them, the keys
// behind both, and the tokens that are made of these. It runs no server and opens no connection.
package access

import (
	"fmt"
	"slices"
	"strings"
)

// A Role is what the holder of a token works as.
type Role string

// The roles. An operator may do everything and has the account of the streams. Each of the others has an
// account of its own, which holds nothing and imports what is in Grants.
const (
	Operator  Role = "operator"
	Evaluator Role = "evaluator"
	Generator Role = "generator"
	Viewer    Role = "viewer"
	// Guest is an evaluator of a host that nobody trusts: 'lcbq token --role evaluator --trust sample' makes its
	// tokens. It judges what it is lent, and what it says counts only as far as it was looked at again.
	Guest Role = "guest"
)

// Roles returns all roles, the mightiest first.
func Roles() []Role { return []Role{Operator, Generator, Evaluator, Guest, Viewer} }

// contained are the roles that have an account of their own.
var contained = []Role{Generator, Evaluator, Guest, Viewer}

// ParseRole reads the name of a role.
func ParseRole(name string) (Role, error) {
	if r := Role(name); slices.Contains(Roles(), r) {
		return r, nil
	}
	var names []string
	for _, r := range Roles() {
		names = append(names, string(r))
	}
	return "", fmt.Errorf("no role %q: want %s", name, strings.Join(names, ", "))
}

// A Grant is one thing that a role may ask of the server, and why.
type Grant struct {
	Subject string // where it publishes
	Stream  bool   // several answers come to one request
	Why     string
}

// claims is where guests say what they found. Each token is for its own subjects alone among these.
const claims = "claims.*.*.>"

// orders is where workers look for what they are told to do. Each token is for its own subjects alone among these.
const (
	ordersOf = "$JS.API.DIRECT.GET.KV_lcbq_orders.$KV.lcbq_orders."
	orders   = ordersOf + "*.>"
)

// Grants returns all that a role may publish to. An operator has none: it may publish to everything.
// What a role subscribes to are the answers, at its inbox.
func (r Role) Grants() []Grant { return grants[r] }

// Reads that the workers and viewers have in common.
var (
	settings = []Grant{
		{"$JS.API.INFO", false, "what the server holds"},
		{"$JS.API.DIRECT.GET.KV_lcbq_runs", true, "the settings of runs"},
		{"$JS.API.DIRECT.GET.KV_lcbq_runs.>", false, "the settings of a run"},
		{"$JS.API.DIRECT.GET.KV_lcbq_engines", true, "what generates"},
		{"$JS.API.DIRECT.GET.KV_lcbq_engines.>", false, "what generates for a run"},
		{"$JS.API.DIRECT.GET.JUDGES", true, "what judges"},
		{"$JS.API.DIRECT.GET.KV_lcbq_cells.>", false, "whether a cell is done"},
	}
	tests = []Grant{
		{"$JS.API.STREAM.INFO.KV_lcbq_runs", false, "whether the bucket is there"},
		{"$JS.API.STREAM.INFO.KV_lcbq_cells", false, "whether the bucket is there"},
		{"$JS.API.STREAM.INFO.KV_lcbq_workers", false, "whether the bucket is there"},
		{"$JS.API.STREAM.INFO.KV_lcbq_verdicts", false, "whether the bucket is there"},
		{"$JS.API.STREAM.INFO.KV_lcbq_engines", false, "whether the bucket is there"},
		{"$JS.API.STREAM.INFO.OBJ_lcbq_problems", false, "whether the store is there"},
		{"$JS.API.DIRECT.GET.OBJ_lcbq_problems", true, "problems with their tests"},
		{"$JS.API.DIRECT.GET.OBJ_lcbq_problems.>", false, "where a problem lies"},
		{orders, false, "what it is told to do, under its own token's name"},
	}
	workers = slices.Concat(tests, []Grant{
		{"$JS.API.STREAM.INFO.GENERATE", false, "whether the stream is there"},
		{"$JS.API.STREAM.INFO.EVALUATE", false, "how full it is"},
		{"$JS.API.STREAM.INFO.COMBINE", false, "how full it is"},
		{"$JS.API.DIRECT.GET.COMBINE.combine.>", false, "whether a unit is judged already"},
	})
)

var grants = map[Role][]Grant{
	Evaluator: slices.Concat(settings, workers, []Grant{
		{"$JS.API.CONSUMER.LIST.EVALUATE", false, "which runs have units"},
		{"$JS.API.CONSUMER.INFO.EVALUATE.*", false, "how long a unit may take"},
		{"$JS.API.CONSUMER.MSG.NEXT.EVALUATE.*", true, "take units to judge"},
		{"$JS.ACK.EVALUATE.>", false, "settle units"},
		{"$JS.API.DIRECT.GET.KV_lcbq_verdicts.>", false, "what trusted evaluators found out"},
		{"combine.>", false, "store verdicts of units that it was handed, the first for a unit"},
		{"dead.evaluate.>", false, "give a unit up"},
		{"judges.*", false, "say what judges a run, the first time"},
		{"$KV.lcbq_workers.evaluate.>", false, "heartbeats"},
	}),
	Guest: slices.Concat(settings, tests, []Grant{
		{"$JS.API.STREAM.INFO.LENT", false, "whether the stream is there"},
		{"$JS.API.CONSUMER.LIST.LENT", false, "which runs lend units"},
		{"$JS.API.CONSUMER.INFO.LENT.*", false, "how long a unit may take"},
		{"$JS.API.CONSUMER.MSG.NEXT.LENT.*", true, "take units that are lent"},
		{"$JS.ACK.LENT.>", false, "settle them"},
		{claims, false, "say what it found, under its own token's name"},
		{"$KV.lcbq_workers.evaluate.>", false, "heartbeats"},
	}),
	Generator: slices.Concat(settings, workers, []Grant{
		{"$JS.API.CONSUMER.LIST.GENERATE", false, "which runs have units"},
		{"$JS.API.CONSUMER.INFO.GENERATE.*", false, "how long a unit may take"},
		{"$JS.API.CONSUMER.MSG.NEXT.GENERATE.*", true, "take units to generate"},
		{"$JS.ACK.GENERATE.>", false, "settle units"},
		{"$JS.API.DIRECT.GET.EVALUATE.evaluate.>", false, "whether a unit is generated already"},
		{"evaluate.>", false, "store completions of units that it was handed, the first for a unit"},
		{"dead.generate.>", false, "give a unit up"},
		{"$KV.lcbq_engines.*", false, "say what generates a run"},
		{"$KV.lcbq_workers.generate.>", false, "heartbeats"},
	}),
	Viewer: slices.Concat(settings, []Grant{
		{"$JS.API.STREAM.NAMES", false, "the streams"},
		{"$JS.API.STREAM.LIST", false, "the streams"},
		{"$JS.API.STREAM.INFO.*", false, "what a stream holds, by subject"},
		{"$JS.API.CONSUMER.NAMES.*", false, "the consumers"},
		{"$JS.API.CONSUMER.LIST.*", false, "what waits and what is in flight"},
		{"$JS.API.CONSUMER.INFO.*.*", false, "the same of one"},
		{"$JS.API.DIRECT.GET.KV_lcbq_cells", true, "the counts of cells"},
		{"$JS.API.DIRECT.GET.KV_lcbq_workers", true, "who is at work"},
		{"$JS.API.DIRECT.GET.KV_lcbq_workers.>", false, "who is at work"},
		{"$JS.API.DIRECT.GET.KV_lcbq_banned", true, "who gave false verdicts"},
	}),
}

// ownInbox reports whether each holder has an inbox of his own. Viewers see the same things anyway, and natscli
// knows only the usual one.
func (r Role) ownInbox() bool { return r == Evaluator || r == Generator || r == Guest }

// account returns the name of the account that a role's users are in.
func (r Role) account() string {
	if r == Operator {
		return home
	}
	return "lcbq-" + string(r) + "s"
}

// Names of the accounts.
const (
	home   = "lcbq" // of the streams
	system = "lcbq-system"
)
