package cli

import (
	"errors"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/worker/cores"
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
	}{
		{"no card", "auto", "auto", 0, m.Quota, 0},
		{"more cards than this machine can feed", "auto", "auto", 1000, max(m.Quota-m.Quota/2, 1), m.Quota / 2},
		{"as said", "auto", "0", 1000, m.Quota, 0},
		{"both said", "7", "0", 0, 7, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, err := shareOf(config.Workers{Evaluators: c.evaluators, ReserveCPUs: c.reserve, Generators: 1}, c.cards)
			if err != nil || s.Slots != c.slots || s.Left != c.left || (s.CPUs == nil) != (c.left == 0) {
				t.Errorf("shareOf = %+v, %v, want %d slots and %d left", s, err, c.slots, c.left)
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
