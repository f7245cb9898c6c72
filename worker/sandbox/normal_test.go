package sandbox

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// TestNormal makes forms at each level, of programs that would harm who makes them, and runs a
// program in the same slot between.
func TestNormal(t *testing.T) {
	t.Parallel()
	forEachLevel(t, Config{}, func(t *testing.T, h *Host) {
		t.Helper()
		s := openSlotOn(t, h)
		want, ok, err := s.Normal(t.Context(), "print(1)")
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		for name, source := range map[string]string{
			"what never ends":          "while True: pass",
			"what ends its process":    "import os\nos.abort()",
			"what answers for itself":  "import os\nos.write(3, b'\\x01\\x01\\0\\0\\0x')",
			"what has a digest's text": "normal form",
		} {
			if form, ok, err := s.Normal(t.Context(), source); name != "what has a digest's text" && (!ok || form == want) || err != nil {
				t.Errorf("%s: %x, %v, %v, want a form: nothing is run", name, form, ok, err)
			}
		}
		for name, source := range map[string]string{
			"nothing Python reads":   "def f(:",
			"no text":                "\xff\xfe\x00",
			"a surrogate":            "# \xed\xa0\x80",
			"too large":              strings.Repeat("x = 1\n", 20000),
			"deep":                   "x = " + strings.Repeat("-", 60000) + "1",
			"a power that is folded": "x = " + strings.Repeat("9**", 40) + "9\ndef f(): pass\nf.__doc__",
		} {
			if form, ok, err := s.Normal(t.Context(), source); ok || err != nil {
				t.Errorf("%s: %x, %v, %v, want no form", name, form, ok, err)
			}
		}
		r, err := s.Run(t.Context(), &Question{ID: "q", Inputs: []string{""}}, "print(1)", func(int, Output) bool { return true })
		if err != nil || r.Outcome != Accepted {
			t.Errorf("Run = %+v, %v", r, err)
		}
		if again, ok, err := s.Normal(t.Context(), "# one\nprint( 1 )"); !ok || err != nil || again != want {
			t.Errorf("form = %x, %v, %v, want %x", again, ok, err, want)
		}
		stopped, stop := context.WithCancel(t.Context())
		stop()
		if _, ok, err := s.Normal(stopped, "print(1)"); ok || !errors.Is(err, context.Canceled) {
			t.Errorf("form = %v, %v, want it stopped", ok, err)
		}
	})
}

// TestNormalTakesTooLong wants no form of what takes too long to make, and the slot to go on.
func TestNormalTakesTooLong(t *testing.T) {
	t.Parallel()
	s := openSlot(t, Config{normal: 5 * time.Millisecond})
	if form, ok, err := s.Normal(t.Context(), strings.Repeat("a[b](c)\n", 8000)); ok || err != nil {
		t.Errorf("form = %x, %v, %v, want none", form, ok, err)
	}
	r, err := s.Run(t.Context(), &Question{ID: "q", Inputs: []string{""}}, "print(1)", func(int, Output) bool { return true })
	if err != nil || r.Outcome != Accepted {
		t.Errorf("Run = %+v, %v", r, err)
	}
}

// TestNoNormalForm wants the setting to be part of the environment.
func TestNoNormalForm(t *testing.T) {
	t.Parallel()
	with, without := openSlot(t, Config{}), openSlot(t, Config{NoNormalForm: true})
	if form, ok, err := without.Normal(t.Context(), "print(1)"); ok || err != nil {
		t.Errorf("form = %x, %v, %v, want none", form, ok, err)
	}
	if a, b := with.host.Environment(), without.host.Environment(); a.Digest() == b.Digest() || !a.NormalForm || b.NormalForm {
		t.Errorf("environments %+v and %+v, want two", a, b)
	}
}

// TestUsed reads the processor time of a program that runs.
func TestUsed(t *testing.T) {
	t.Parallel()
	s := openSlot(t, Config{Limits: Limits{CPU: time.Minute}})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := s.Run(ctx, &Question{ID: "q", Inputs: []string{""}}, "while True: pass", func(int, Output) bool { return true })
		ended <- err
	}()
	for s.Used() < 30*time.Millisecond {
		select {
		case err := <-ended:
			t.Fatal(err)
		case <-time.After(time.Millisecond):
		}
	}
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if used := s.Used(); used != 0 {
		t.Errorf("Used = %v while nothing runs", used)
	}
}
