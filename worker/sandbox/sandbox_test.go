package sandbox

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	Main()
	goleak.VerifyTestMain(m)
}

func TestThin(t *testing.T) {
	t.Parallel()
	h, err := Probe(t.Context(), Config{Python: os.Getenv("PY")})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(h.Level(), h.Environment())
	s, err := h.NewSlot(0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	q := &Question{ID: "q", Inputs: []string{"1 2\n", "3 4\n"}}
	r, err := s.Run(t.Context(), q, "print(sum(map(int,input().split())))", func(i int, o Output) bool { t.Log(i, string(o.Text)); return true })
	t.Logf("%+v %v", r, err)
	r, err = s.Run(t.Context(), q, "while 1: pass", func(i int, o Output) bool { t.Log(i, string(o.Text)); return true })
	t.Logf("%+v %v", r, err)
}
