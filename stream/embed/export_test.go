package embed

import "log/slog"

// StartUnsynced is Start without the syncs, to show that a test sees what they are
// for.
func StartUnsynced(cfg Config) (*Server, error) {
	cfg.unsynced = true
	return Start(cfg)
}

// StartUnlooked is Start without a look at the port before, as when another process takes it in
// between.
func StartUnlooked(cfg Config) error {
	cfg.Host, cfg.MaxStore, cfg.Log = "127.0.0.1", DefaultMaxStore, slog.New(slog.DiscardHandler)
	ns, _, err := start(cfg, "")
	if err != nil {
		return err
	}
	ns.Shutdown()
	ns.WaitForShutdown()
	return nil
}
