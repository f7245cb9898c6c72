package openai

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
)

// A Load is what the servers say of themselves at one moment, summed over the
// endpoints.
type Load struct {
	Running     float64 // sequences in the batch
	Waiting     float64 // sequences waiting for a place in it
	Generated   float64 // tokens generated since the servers started
	Prompted    float64 // prompt tokens since the servers started
	Preemptions float64 // sequences thrown out of the batch for lack of memory
	CacheUsage  float64 // share of the key-value cache in use, the fullest endpoint's, 0 to 1
}

// meters maps the servers' names to the fields of a Load.
func (l *Load) meters() map[string]*float64 {
	return map[string]*float64{
		"vllm:num_requests_running":       &l.Running,
		"vllm:num_requests_waiting":       &l.Waiting,
		"vllm:generation_tokens_total":    &l.Generated,
		"vllm:prompt_tokens_total":        &l.Prompted,
		"vllm:num_preemptions_total":      &l.Preemptions,
		"sglang:num_running_reqs":         &l.Running,
		"sglang:num_queue_reqs":           &l.Waiting,
		"sglang:generation_tokens_total":  &l.Generated,
		"sglang:prompt_tokens_total":      &l.Prompted,
		"llamacpp:requests_processing":    &l.Running,
		"llamacpp:requests_deferred":      &l.Waiting,
		"llamacpp:tokens_predicted_total": &l.Generated,
		"llamacpp:prompt_tokens_total":    &l.Prompted,
		"vllm:gpu_cache_usage_perc":       &l.CacheUsage, // before version 0.11
		"vllm:kv_cache_usage_perc":        &l.CacheUsage,
		"sglang:token_usage":              &l.CacheUsage,
		"llamacpp:kv_cache_usage_ratio":   &l.CacheUsage,
	}
}

// Load reads the endpoints' metrics. It returns an error if one of them has
// none: hosted endpoints and Ollama.
func (c *Client) Load(ctx context.Context) (Load, error) {
	var sum Load
	for _, e := range c.pool.ends {
		raw, err := c.get(ctx, e, e.root+"/metrics")
		if err != nil {
			return Load{}, fmt.Errorf("read metrics of %s: %w", e.shown, err)
		}
		one, known := parseMetrics(raw)
		if !known {
			return Load{}, fmt.Errorf("read metrics of %s: none of a known server", e.shown)
		}
		sum.Running += one.Running
		sum.Waiting += one.Waiting
		sum.Generated += one.Generated
		sum.Prompted += one.Prompted
		sum.Preemptions += one.Preemptions
		sum.CacheUsage = max(sum.CacheUsage, one.CacheUsage)
	}
	return sum, nil
}

// parseMetrics reads the Prometheus text form, summing the series of a name: a
// server of several engines has one for each. It reports whether any name was
// known.
func parseMetrics(raw []byte) (l Load, known bool) {
	meters := l.meters()
	for line := range bytes.Lines(raw) {
		name, rest, ok := strings.Cut(strings.TrimSpace(string(line)), " ")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		if base, _, labelled := strings.Cut(name, "{"); labelled {
			// Label values may hold blanks: the value stands behind the last brace.
			name = base
			_, rest, _ = strings.Cut(string(line[bytes.LastIndexByte(line, '}'):]), " ")
		}
		to, ok := meters[name]
		if !ok {
			continue
		}
		text, _, _ := strings.Cut(strings.TrimSpace(rest), " ") // a timestamp may follow
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			continue
		}
		known = true
		if to == &l.CacheUsage {
			*to = max(*to, v)
		} else {
			*to += v
		}
	}
	return l, known
}
