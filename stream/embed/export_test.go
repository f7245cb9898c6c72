package embed

// StartUnsynced is Start without the syncs, to show that a test sees what they are
// for.
func StartUnsynced(cfg Config) (*Server, error) {
	cfg.unsynced = true
	return Start(cfg)
}
