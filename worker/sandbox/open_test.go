package sandbox

import "testing"

// TestOpenKeepsTheSlot wants the server of the proof to judge on, and to know nothing of the
// proof's question.
func TestOpenKeepsTheSlot(t *testing.T) {
	t.Parallel()
	h, s, err := Open(t.Context(), Config{Python: testPython})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	proved := s.servers[plain]
	if proved == nil || s.id != 0 {
		t.Fatalf("Open = slot %d with the servers %v, want slot 0 with the server of the proof", s.id, s.servers)
	}
	if (s.servers[withNumpy] != nil) != h.numpy {
		t.Errorf("a server with numpy: %t, want one if there is numpy: %t", s.servers[withNumpy] != nil, h.numpy)
	}
	said := ""
	r, err := s.Run(t.Context(), &Question{ID: "selftest", Inputs: []string{"mine\n"}}, "print(input())", func(_ int, o Output) bool {
		said = string(o.Text)
		return true
	})
	if err != nil || r.Outcome != Accepted || said != "mine\n" {
		t.Errorf("Run of a question named like the proof's = %+v, %v, it printed %q, want the question's own input", r, err, said)
	}
	if s.servers[plain] != proved {
		t.Error("the server of the proof was replaced")
	}
}
