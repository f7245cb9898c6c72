package metrics

import (
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lcbq/lcbq/stream/embed"
)

// The labels of NATS' own exporter, in its order.
var (
	serverLabels   = []string{"server_id", "server_name", "cluster", "domain", "meta_leader", "is_meta_leader"}
	streamLabels   = append(slices.Clip(serverLabels), "account", "account_id", "stream_name", "stream_leader", "is_stream_leader")
	consumerLabels = append(slices.Clip(streamLabels), "consumer_name", "consumer_leader", "is_consumer_leader", "consumer_desc", "consumer_created")
)

// A gauge is a metric of NATS' exporter: its name, what it is, and its value of a T.
type gauge[T any] struct {
	desc  *prometheus.Desc
	value func(T) float64
}

func gaugeOf[T any](name, help string, labels []string, value func(T) float64) gauge[T] {
	return gauge[T]{prometheus.NewDesc(name, help, labels, nil), value}
}

// Nats collects the state of the embedded server's streams under the names and labels of NATS' own
// exporter, so that dashboards made for it work.
type nats struct {
	read     func() (embed.JetStream, error)
	server   []gauge[*embed.JetStream]
	stream   []gauge[*embed.StreamState]
	consumer []gauge[*embed.ConsumerState]
}

func newNATS(read func() (embed.JetStream, error)) *nats {
	server := func(name, help string, value func(*embed.JetStream) float64) gauge[*embed.JetStream] {
		return gaugeOf("jetstream_server_"+name, help, serverLabels, value)
	}
	stream := func(name, help string, value func(*embed.StreamState) float64) gauge[*embed.StreamState] {
		return gaugeOf("jetstream_stream_"+name, help, streamLabels, value)
	}
	consumer := func(name, help string, value func(*embed.ConsumerState) float64) gauge[*embed.ConsumerState] {
		return gaugeOf("jetstream_consumer_"+name, help, consumerLabels, value)
	}
	return &nats{
		read: read,
		server: []gauge[*embed.JetStream]{
			server("jetstream_disabled", "1 if JetStream is disabled.", func(s *embed.JetStream) float64 { return number(s.Disabled) }),
			server("total_streams", "Streams.", func(s *embed.JetStream) float64 { return float64(s.StreamCount) }),
			server("total_consumers", "Consumers.", func(s *embed.JetStream) float64 { return float64(s.ConsumerCount) }),
			server("total_messages", "Stored messages.", func(s *embed.JetStream) float64 { return float64(s.Messages) }),
			server("total_message_bytes", "Bytes of the stored messages.", func(s *embed.JetStream) float64 { return float64(s.Bytes) }),
			server("max_memory", "Bytes of memory that streams may take.", func(s *embed.JetStream) float64 { return float64(s.MaxMemory) }),
			server("max_storage", "Bytes of disk that streams may take.", func(s *embed.JetStream) float64 { return float64(s.MaxStore) }),
		},
		stream: []gauge[*embed.StreamState]{
			stream("total_messages", "Messages of the stream.", func(s *embed.StreamState) float64 { return float64(s.Messages) }),
			stream("total_bytes", "Bytes of the stream's messages.", func(s *embed.StreamState) float64 { return float64(s.Bytes) }),
			stream("first_seq", "Sequence of the stream's first message.", func(s *embed.StreamState) float64 { return float64(s.FirstSeq) }),
			stream("last_seq", "Sequence of the stream's last message.", func(s *embed.StreamState) float64 { return float64(s.LastSeq) }),
			stream("consumer_count", "Consumers of the stream.", func(s *embed.StreamState) float64 { return float64(s.ConsumerCount) }),
		},
		consumer: []gauge[*embed.ConsumerState]{
			consumer("delivered_consumer_seq", "Deliveries.", func(c *embed.ConsumerState) float64 { return float64(c.DeliveredConsumer) }),
			consumer("delivered_stream_seq", "Stream sequence of the last message handed out.", func(c *embed.ConsumerState) float64 { return float64(c.DeliveredStream) }),
			consumer("num_ack_pending", "Messages handed out and not acknowledged.", func(c *embed.ConsumerState) float64 { return float64(c.AckPending) }),
			consumer("num_redelivered", "Messages handed out again and not acknowledged.", func(c *embed.ConsumerState) float64 { return float64(c.Redelivered) }),
			consumer("num_waiting", "Pull requests that wait for a message.", func(c *embed.ConsumerState) float64 { return float64(c.Pulls) }),
			consumer("num_pending", "Messages not handed out yet.", func(c *embed.ConsumerState) float64 { return float64(c.Pending) }),
			consumer("ack_floor_stream_seq", "Stream sequence up to which everything is acknowledged.", func(c *embed.ConsumerState) float64 { return float64(c.AckFloorStream) }),
			consumer("ack_floor_consumer_seq", "Delivery up to which everything is acknowledged.", func(c *embed.ConsumerState) float64 { return float64(c.AckFloorConsumer) }),
		},
	}
}

// Describe implements prometheus.Collector.
func (n *nats) Describe(out chan<- *prometheus.Desc) {
	for _, g := range n.server {
		out <- g.desc
	}
	for _, g := range n.stream {
		out <- g.desc
	}
	for _, g := range n.consumer {
		out <- g.desc
	}
}

// Collect implements prometheus.Collector.
func (n *nats) Collect(out chan<- prometheus.Metric) {
	js, err := n.read()
	if err != nil {
		out <- prometheus.NewInvalidMetric(n.server[0].desc, err)
		return
	}
	of := []string{js.ServerID, js.ServerName, js.Cluster, js.Domain, js.MetaLeader, strconv.FormatBool(js.Leads)}
	send(out, n.server, &js, of)
	for i := range js.Streams {
		s := &js.Streams[i]
		of := append(slices.Clip(of), s.Account, s.AccountID, s.Name, s.Leader, strconv.FormatBool(s.Leads))
		send(out, n.stream, s, of)
		for j := range s.Consumers {
			c := &s.Consumers[j]
			send(out, n.consumer, c, append(slices.Clip(of), c.Name, c.Leader, strconv.FormatBool(c.Leads), c.Description, c.Created.Local().Format(time.RFC3339)))
		}
	}
}

func send[T any](out chan<- prometheus.Metric, all []gauge[T], of T, labels []string) {
	for _, g := range all {
		m, err := prometheus.NewConstMetric(g.desc, prometheus.GaugeValue, g.value(of), labels...)
		if err != nil { // a name that is no UTF-8, of a stream that is not lcbq's
			m = prometheus.NewInvalidMetric(g.desc, err)
		}
		out <- m
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
