package web

import (
	"strings"
	"testing"
	"time"

	"github.com/lcbq/lcbq/cmd/internal/snapshot"
)

// TestFrames: a page is sent what it lacks: all of the grid and the curve at first and after it missed a frame, and else
// the cells that changed and the curve where it did.
func TestFrames(t *testing.T) {
	t.Parallel()
	m := &maker{}
	frames := make([]*frame, 4)
	for i := range frames {
		s := small()
		switch i {
		case 1: // nothing new
		case 2:
			s.Questions[0].Cells[0].Passed++
			s.Temperatures[0].PassAt1 += 0.01
		case 3:
			s.Questions[0].Cells[0].Passed++
			s.Temperatures[0].PassAt1 += 0.01
			s.Questions = append(s.Questions, snapshot.Question{Index: 99, ID: "one more", Cells: make([]snapshot.Cell, len(s.Temperatures))})
		}
		var err error
		if frames[i], err = m.make(s); err != nil {
			t.Fatal(err)
		}
	}
	for _, x := range []struct {
		name     string
		now, has *frame
		want     string
	}{
		{"at first", frames[0], nil, "grid curve state"},
		{"nothing new", frames[1], frames[0], "state"},
		{"a cell more", frames[2], frames[1], "cells curve state"},
		{"after a frame was missed", frames[2], frames[0], "grid curve state"},
		{"a question more", frames[3], frames[2], "grid curve state"},
		{"after trouble", m.failed(errNoRun), frames[3], "trouble"},
	} {
		s := &events{patience: time.Second}
		if err := s.frame(x.now, x.has); err != nil {
			t.Fatal(err)
		}
		var got []string
		for line := range strings.Lines(s.text.String()) {
			if name, ok := strings.CutPrefix(strings.TrimSpace(line), "event: "); ok {
				got = append(got, name)
			}
		}
		if strings.Join(got, " ") != x.want {
			t.Errorf("%s: %v, want %s", x.name, got, x.want)
		}
	}
	if string(frames[1].full) == string(frames[2].full) {
		t.Error("the curve is that of before, though pass@1 is not")
	}
}
