package embed

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// TestStreamInTheMaking: the server calls a stream that is just being made one that
// could not be recovered. That is no reason to start it anew, however long the disk takes. It
// is one for a stream that was there when the server started.
func TestStreamInTheMaking(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]bool{"being made": false, "not recovered": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			folder := filepath.Join(dir, "jetstream", "$G", "streams", "F")
			if before {
				if err := os.MkdirAll(folder, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			s, err := Start(Config{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}()
			if !before {
				if fault := s.health(); fault != nil {
					t.Fatalf("health = %v before anything was made", fault)
				}
				if err := os.MkdirAll(folder, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			if h := s.present().Healthz(&server.HealthzOptions{}); h.StatusCode == http.StatusOK {
				t.Fatal("the server does not mind a stream's folder without the stream: this test says nothing")
			}
			if fault := s.health(); (fault != nil) != before {
				t.Errorf("health = %v, want a fault: %v", fault, before)
			}
		})
	}
}
