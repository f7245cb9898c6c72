package judge

import "testing"

func TestLinesSmoke(t *testing.T) {
	for _, r := range []struct {
		g, w string
		o    Outcome
	}{{"3.0", "3", Equal}, {"sNaN", "1", Raises}} {
		if o, _ := Lines(r.g, r.w); o != r.o {
			t.Errorf("%q %q %v", r.g, r.w, o)
		}
	}
}
