package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/worker/cores"
	"github.com/lcbq/lcbq/worker/gpu"
)

func TestShareOf(t *testing.T) {
	t.Parallel()
	m, err := cores.Here()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name                string
		evaluators, reserve string
		cards, slots, left  int
		governed            bool
	}{
		{"no card", "auto", "auto", 0, m.Quota, 0, false},
		{"more cards than this machine can feed", "auto", "auto", 1000, m.Quota, m.Quota / 2, m.Quota > 1},
		{"programs said", "7", "auto", 1000, 7, m.Quota / 2, false},
		{"reserve said", "auto", "0", 1000, m.Quota, 0, false},
		{"both said", "7", "0", 0, 7, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, err := shareOf(config.Workers{Evaluators: c.evaluators, ReserveCPUs: c.reserve, Generators: 1}, c.cards)
			if err != nil || s.Slots != c.slots || s.reserved() != c.left || (s.CPUs == nil) != (c.left == 0 || c.governed) || (s.governor != nil) != c.governed {
				t.Errorf("shareOf = %+v, %v, want %d slots and %d left, governed %t", s, err, c.slots, c.left, c.governed)
			}
		})
	}
	if len(m.CPUs) > 1 {
		s, err := shareOf(config.Workers{Evaluators: "auto", ReserveCPUs: strconv.Itoa(len(m.CPUs) - 1), Generators: 1}, 0)
		if err != nil || len(s.CPUs) != 1 || s.Slots != 1 {
			t.Errorf("shareOf with all but one left = %+v, %v, want one processor for programs", s, err)
		}
	}
}

func TestShareRefused(t *testing.T) {
	t.Parallel()
	for reserve, want := range map[string]string{
		"x":                                "--reserve-cpus",
		strconv.Itoa(runtime.NumCPU()):     "want at most",
		strconv.Itoa(runtime.NumCPU() + 1): "programs need one",
	} {
		_, err := shareOf(config.Workers{Evaluators: "auto", ReserveCPUs: reserve, Generators: 1}, 0)
		if usage := (usageError{}); !errors.As(err, &usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("shareOf with %q left = %v, want a usage error with %q", reserve, err, want)
		}
	}
}

func TestAnyLocal(t *testing.T) {
	t.Parallel()
	for endpoint, want := range map[string]bool{
		"http://127.0.0.1:8000/v1": true, "http://localhost:8000/v1": true, "http://[::1]:1": true, "http://gpu:8000/v1": false, "https://api.example.org/v1": false,
		"http://10.0.0.1:8000": false, "://": false,
	} {
		if got := anyLocal([]string{"http://gpu", endpoint}); got != want {
			t.Errorf("anyLocal(%q) = %t", endpoint, got)
		}
	}
}

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
	g := cores.NewGovernor(cores.Share{Slots: 16}, cores.Share{Slots: 8, Left: 8, CPUs: []int{8, 9}})
	d, l := &driver{reads: make(chan struct{})}, &limits{all: []string{""}}
	d.use.Store(&[]int{0, 0})
	ctx, stop := context.WithCancel(t.Context())
	var log strings.Builder
	done := make(chan struct{})
	go func() {
		defer close(done)
		govern(ctx, g, d, time.Millisecond, l, slog.New(slog.NewTextHandler(&log, nil)))
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
	for _, want := range []string{"slots=2 cpus_left_to_engines=8", "the driver is wedged"} {
		if strings.Count(log.String(), want) != 1 {
			t.Errorf("log = %q, want %q once", log.String(), want)
		}
	}
}
