package embed

import (
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// A JetStream is what a server says of its streams at one moment: its /jsz.
type JetStream struct {
	ServerID, ServerName string
	Cluster              string // "" of a server alone
	Domain               string
	MetaLeader           string // "" of a server alone
	Leads                bool   // this server is the leader, or alone
	Disabled             bool
	MaxMemory, MaxStore  int64 // bytes
	StreamCount          int
	ConsumerCount        int
	Messages, Bytes      uint64
	Streams              []StreamState
}

// A StreamState is one stream of an account.
type StreamState struct {
	Account, AccountID string
	Name               string
	Leader             string // "" of a server alone
	Leads              bool
	Messages, Bytes    uint64
	FirstSeq, LastSeq  uint64
	ConsumerCount      int
	Consumers          []ConsumerState
}

// A ConsumerState is one durable consumer of a stream.
type ConsumerState struct {
	Name, Description              string
	Created                        time.Time
	Leader                         string // "" of a server alone
	Leads                          bool
	DeliveredConsumer              uint64 // sequences of the last message that was handed out
	DeliveredStream                uint64
	AckFloorConsumer               uint64 // sequences up to which everything is settled
	AckFloorStream                 uint64
	AckPending, Redelivered, Pulls int
	Pending                        uint64
}

// JetStream returns the state of the server's streams and their durable consumers. It makes no request:
// the server is in this process. Ephemeral consumers are left out: lcbq makes one for each listing.
func (s *Server) JetStream() (JetStream, error) {
	ns := s.present()
	info, err := ns.Jsz(&server.JSzOptions{Accounts: true, Streams: true, Consumer: true, Config: true})
	if err != nil {
		return JetStream{}, fmt.Errorf("read state of JetStream: %w", err)
	}
	leads := func(leader string) bool { return leader == "" || leader == ns.Name() }
	js := JetStream{
		ServerID: ns.ID(), ServerName: ns.Name(), Domain: info.Config.Domain, Leads: true, Disabled: info.Disabled,
		MaxMemory: info.Config.MaxMemory, MaxStore: info.Config.MaxStore,
		StreamCount: info.Streams, ConsumerCount: info.Consumers, Messages: info.Messages, Bytes: info.Bytes,
	}
	if info.Meta != nil {
		js.Cluster, js.MetaLeader, js.Leads = info.Meta.Name, info.Meta.Leader, info.Meta.Leader == ns.Name()
	}
	for _, account := range info.AccountDetails {
		for _, st := range account.Streams {
			leader := leaderOf(st.Cluster)
			out := StreamState{
				Account: account.Name, AccountID: account.Id, Name: st.Name, Leader: leader, Leads: leads(leader),
				Messages: st.State.Msgs, Bytes: st.State.Bytes, FirstSeq: st.State.FirstSeq, LastSeq: st.State.LastSeq, ConsumerCount: st.State.Consumers,
			}
			for _, c := range st.Consumer {
				if c.Config == nil || c.Config.Durable == "" {
					continue
				}
				leader := leaderOf(c.Cluster)
				out.Consumers = append(out.Consumers, ConsumerState{
					Name: c.Name, Description: c.Config.Description, Created: c.Created, Leader: leader, Leads: leads(leader),
					DeliveredConsumer: c.Delivered.Consumer, DeliveredStream: c.Delivered.Stream, AckFloorConsumer: c.AckFloor.Consumer, AckFloorStream: c.AckFloor.Stream,
					AckPending: c.NumAckPending, Redelivered: c.NumRedelivered, Pulls: c.NumWaiting, Pending: c.NumPending,
				})
			}
			js.Streams = append(js.Streams, out)
		}
	}
	return js, nil
}

func leaderOf(c *server.ClusterInfo) string {
	if c == nil {
		return ""
	}
	return c.Leader
}

// healthFlags are the parameters of /healthz that say how much must be well, and name nothing of the server's.
var healthFlags = []string{"js-enabled-only", "js-server-only", "js-meta-only"}

// ServeHealth answers a probe as nats-server's /healthz does, with its status codes. Of the parameters it
// takes those that ask for less than everything: js-enabled-only, js-server-only and js-meta-only.
func (s *Server) ServeHealth(w http.ResponseWriter, r *http.Request) {
	given, kept := r.URL.Query(), url.Values{}
	for _, flag := range healthFlags {
		if given.Has(flag) {
			kept.Set(flag, given.Get(flag))
		}
	}
	r = r.Clone(r.Context())
	r.URL.RawQuery = kept.Encode()
	s.present().HandleHealthz(w, r)
}

// Monitoring returns nats-server's own monitoring pages by path, such as /varz and /jsz. They show
// subjects, users and addresses: the caller asks for a password first.
func (s *Server) Monitoring() map[string]http.HandlerFunc {
	page := func(serve func(*server.Server, http.ResponseWriter, *http.Request)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { serve(s.present(), w, r) } // the server that is there now
	}
	return map[string]http.HandlerFunc{
		server.VarzPath:         page((*server.Server).HandleVarz),
		server.ConnzPath:        page((*server.Server).HandleConnz),
		server.RoutezPath:       page((*server.Server).HandleRoutez),
		server.SubszPath:        page((*server.Server).HandleSubsz),
		server.AccountzPath:     page((*server.Server).HandleAccountz),
		server.AccountStatzPath: page((*server.Server).HandleAccountStatz),
		server.JszPath:          page((*server.Server).HandleJsz),
	}
}
