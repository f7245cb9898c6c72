package cores

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lcbq/lcbq/worker/gpu"
)

// A driver is cards whose use is what it was last told, and which cannot be read where that is
// nothing.
type driver struct {
	use   atomic.Pointer[[]int]
	reads chan struct{} // one is taken for each reading
}

func (d *driver) Read(ctx context.Context) ([]gpu.Reading, error) {
	select {
	case <-d.reads:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	use := d.use.Load()
	if use == nil {
		return nil, errors.New("the driver is wedged")
	}
	var all []gpu.Reading
	for i, u := range *use {
		all = append(all, gpu.Reading{Index: i, Utilization: u})
	}
	return all, nil
}

func (*driver) Name() string   { return "simulated" }
func (*driver) Driver() string { return "" }
func (*driver) Slow() bool     { return false }
func (*driver) Close() error   { return nil }

// limits are what a governor said, the last one last.
type limits struct {
	mu  sync.Mutex
	all []string
}

func (l *limits) Limit(n int, cpus []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, fmt.Sprint(n, cpus))
}

func (l *limits) last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all[len(l.all)-1]
}

// TestGovern wants programs limited from the moment that a card works, and while no card can be read,
// and each change told once.
func TestGovern(t *testing.T) {
	t.Parallel()
	g := NewGovernor(Share{Slots: 16}, Share{Slots: 8, Left: 8, CPUs: []int{8, 9}})
	d, l := &driver{reads: make(chan struct{})}, &limits{all: []string{""}}
	d.use.Store(&[]int{0, 0})
	ctx, stop := context.WithCancel(t.Context())
	var log strings.Builder
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.follow(ctx, d, time.Millisecond, l, slog.New(slog.NewTextHandler(&log, nil)))
	}()
	for _, c := range []struct {
		use  []int
		want string
	}{{[]int{0, 0}, ""}, {[]int{0, 80}, "2 [8 9]"}, {nil, "8 [8 9]"}, {nil, "8 [8 9]"}} {
		if d.use.Store(&c.use); c.use == nil {
			d.use.Store(nil)
		}
		for range 3 { // when the third is taken the second has been heeded
			d.reads <- struct{}{}
		}
		if got := l.last(); got != c.want {
			t.Errorf("with %v programs have %q, want %q", c.use, got, c.want)
		}
	}
	stop()
	<-done
	if len(l.all) != 3 {
		t.Errorf("limits = %q, want two", l.all)
	}
	if strings.Contains(log.String(), "slots=8") {
		t.Errorf("log = %q: more programs beside the same engines are no event", log.String())
	}
	for _, want := range []string{"programs=2 cores_left_to_engines=8", "the driver is wedged"} {
		if strings.Count(log.String(), want) != 1 {
			t.Errorf("log = %q, want %q once", log.String(), want)
		}
	}
}
