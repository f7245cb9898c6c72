package embed

import (
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// TestStreamInTheMaking: the server calls a stream that is just being made one that
// could not be recovered. That is no reason to start it anew.
func TestStreamInTheMaking(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := Start(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	var lost atomic.Int32
	nc, err := s.Connect(nats.DisconnectErrHandler(func(*nats.Conn, error) { lost.Add(1) }))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "E", Subjects: []string{"e.>"}}); err != nil {
		t.Fatal(err)
	}
	making := filepath.Join(dir, "jetstream", "$G", "streams", "F")
	if err := os.Mkdir(making, 0o700); err != nil {
		t.Fatal(err)
	}
	if s.health() == nil {
		t.Fatal("the server does not mind a stream's folder without the stream: this test says nothing")
	}
	looks := time.NewTicker(lookEvery)
	defer looks.Stop()
	for range doubts - 2 { // seen so often, and then it was there
		<-looks.C
	}
	if err := os.Remove(making); err != nil {
		t.Fatal(err)
	}
	<-looks.C
	<-looks.C
	if fault := s.health(); fault != nil {
		t.Errorf("health = %v", fault)
	}
	if n := lost.Load(); n != 0 {
		t.Errorf("the server was started anew: its client lost it %d times", n)
	}
}
