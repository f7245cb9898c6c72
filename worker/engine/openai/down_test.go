package openai

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// TestDown wants a client down only while each of its endpoints has failed several times in a row.
func TestDown(t *testing.T) {
	t.Parallel()
	c, err := New(Config{Endpoints: []string{"http://a.example/v1", "http://user:secret@b.example/v1"}, Model: "m", Asks: Asks{MaxTokens: 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fail := func(i, times int) {
		for range times {
			c.pool.ends[i].until = time.Time{} // its rest is over
			c.pool.judge(c.pool.ends[i], time.Now(), errors.New("connection refused"))
		}
	}
	if err := c.Down(); err != nil {
		t.Errorf("Down = %v before anything was asked", err)
	}
	fail(1, downAfter)
	if err := c.Down(); err != nil {
		t.Errorf("Down = %v while an endpoint works", err)
	}
	fail(0, downAfter-1)
	if err := c.Down(); err != nil {
		t.Errorf("Down = %v after %d faults", err, downAfter-1)
	}
	fail(0, 1)
	if err := c.Down(); err == nil || !strings.Contains(err.Error(), "http://a.example/v1: connection refused") || strings.Contains(err.Error(), "secret") {
		t.Errorf("Down = %v, want the endpoint and why", err)
	}
	c.pool.judge(c.pool.ends[1], time.Now(), nil)
	if err := c.Down(); err != nil {
		t.Errorf("Down = %v after an answer", err)
	}
}
