package evaluate

import (
	"errors"
	"strings"
	"testing"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/store"
	"github.com/lcbq/lcbq/worker"
)

// TestGuestReadOfTheRunBefore has a guest that knows the run from before its lender noted how it judges: it must serve the
// run all the same, and must not where the lender judges in another way.
func TestGuestReadOfTheRunBefore(t *testing.T) {
	t.Parallel()
	for name, judged := range map[string]string{"judged as here": "", "judged in another way": "another"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			guest := b.worker(newGrader(t, 1))
			guest.Guest = &stream.Guest{ID: "UEARLY", Share: 50_000}
			before, err := guest.Runs.Run(t.Context(), "r1")
			if err != nil || before.Judge.Fingerprint != "" {
				t.Fatalf("Run = %+v, %v, want one that nobody has judged", before, err)
			}
			if judged == "" {
				judged = guest.Grader.Host().Environment().Digest()
			}
			_, err = b.Store.Note(t.Context(), stream.Evaluate, "r1", func(m *store.Manifest) bool {
				if m.Judge.Fingerprint != "" {
					return false
				}
				m.Judge.Fingerprint = judged
				return true
			})
			if err != nil {
				t.Fatal(err)
			}
			m, err := guest.admit(t.Context(), before)
			switch {
			case judged == "another":
				if !errors.Is(err, worker.ErrUnfit) || !strings.Contains(err.Error(), judged) {
					t.Errorf("admit = %v, want ErrUnfit", err)
				}
			case err != nil:
				t.Errorf("admit: %v", err)
			case m.Judge.Fingerprint != judged:
				t.Errorf("admit = %+v, want what the lender noted", m.Judge)
			}
		})
	}
}
