package web

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"

	"github.com/lcbq/lcbq/cmd/internal/snapshot"
	"github.com/lcbq/lcbq/cmd/internal/web/metrics"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/embed"
)

// Parts are what a listener shows. All but Version are required.
type Parts struct {
	Version string
	Server  *embed.Server
	// Look returns how a run is now: "" for the one that is worked on. It returns nil without an error where the
	// server has no run. It is called often and answers from one reader's last look.
	Look func(ctx context.Context, run string) (*snapshot.Snapshot, error)
	// Dead returns the units of a run that were given up.
	Dead func(ctx context.Context, run string) ([]stream.Dead, error)
	// Requeue puts such a unit back.
	Requeue func(ctx context.Context, d stream.Dead) error
}

// routes returns what a listener serves.
func routes(p Parts, g *gate, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	a := &api{Parts: p, log: log, reading: make(chan struct{}, sampleReaders)}
	// Probes come without a token and learn nothing but whether the server is well.
	mux.HandleFunc("GET /healthz", p.Server.ServeHealth)
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		r = r.Clone(r.Context())
		r.URL.RawQuery = "js-server-only=true"
		p.Server.ServeHealth(w, r)
	})
	see := func(pattern string, h http.Handler) { mux.Handle(pattern, g.requires(viewer, h)) }
	do := func(pattern string, h http.Handler) { mux.Handle(pattern, g.requires(operator, h)) }
	mux.Handle("GET /{$}", servePage(g, p.Version))
	see("GET /metrics", metrics.Handler(metrics.Source{Version: p.Version, JetStream: p.Server.JetStream, Look: p.Look}, log))
	see("GET /api/snapshot", http.HandlerFunc(a.snapshot))
	see("GET /api/backlog", http.HandlerFunc(a.backlog))
	see("GET /api/dead", http.HandlerFunc(a.dead))
	see("GET /api/samples", http.HandlerFunc(a.samples))
	see("GET /api/events", newHub(p.Look, p.Version, log))
	do("POST /api/dead/requeue", http.HandlerFunc(a.requeue))
	for path, page := range p.Server.Monitoring() {
		see("GET "+path, page)
	}
	// A page of another site cannot act with the cookie of this one.
	return secure(http.NewCrossOriginProtection().Handler(mux))
}

// secure sets what every answer says to a browser.
func secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		next.ServeHTTP(w, r)
	})
}

// writeJSON answers with v.
func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(v) // who went away misses it
}
