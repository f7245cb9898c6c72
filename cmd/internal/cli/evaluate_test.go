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
			s, err := shareOf(config.Programs{Evaluators: c.evaluators, ReserveCPUs: c.reserve}, c.cards)
			if err != nil || s.Slots != c.slots || s.Reserved() != c.left || (s.CPUs == nil) != (c.left == 0 || c.governed) || (s.Governor != nil) != c.governed {
				t.Errorf("shareOf = %+v, %v, want %d slots and %d left, governed %t", s, err, c.slots, c.left, c.governed)
			}
		})
	}
	if len(m.CPUs) > 1 {
		s, err := shareOf(config.Programs{Evaluators: "auto", ReserveCPUs: strconv.Itoa(len(m.CPUs) - 1)}, 0)
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
		_, err := shareOf(config.Programs{Evaluators: "auto", ReserveCPUs: reserve}, 0)
		if usage := (usageError{}); !errors.As(err, &usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("shareOf with %q left = %v, want a usage error with %q", reserve, err, want)
		}
	}
}
