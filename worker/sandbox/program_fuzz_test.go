package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// fuzzedPrograms are ways of a program to write something to its socket beside or
// instead of what the driver says for it: before it is loaded, within a test, in the
// middle of an answer, at its end, from a thread, a byte at a time, over another descriptor.
var fuzzedPrograms = []string{
	"import os\nWRITE\n" + correctStdin,
	"import os\na, b = map(int, input().split())\nWRITE\nprint(a + b)\n",
	"import os\na, b = map(int, input().split())\nprint(a + b)\nWRITE\n",
	"import os\nif input() == '20 22': print(42)\nWRITE\nos._exit(0)\n",
	"import os, threading\ndef say():\n    WRITE\nthreading.Thread(target=say).start()\n" + correctStdin,
	"import os\nwrite = os.write\nos.write = lambda fd, data: [write(3, data[i:i + 1]) for i in range(len(data))]\na, b = map(int, input().split())\nWRITE\nprint(a + b)\n",
	"import os, atexit\ndef say():\n    WRITE\natexit.register(say)\na, b = map(int, input().split())\nprint(a + b)\nraise SystemExit\n",
	"import os\nos.read(3, 64)\nWRITE\n" + correctStdin,
}

// takesGoAheads is the way of a program that reads what its driver waits for.
const takesGoAheads = 7

// A fuzzedRun is a program that is judged, and a correct one after it.
type fuzzedRun struct {
	data []byte
	when byte
	done chan struct{}
	err  error // what no program may bring about; to be read when done
}

// judge judges the program.
func (r *fuzzedRun) judge(run func(source string) (Result, error)) {
	defer close(r.done)
	fail := func(what string, got Result, err error) {
		r.err = fmt.Errorf("way %d, %x: %s = %+v, %w", r.when, r.data, what, got, err)
	}
	write := fmt.Sprintf("os.write(3, bytes.fromhex('%x'))", r.data)
	got, err := run(strings.Replace(fuzzedPrograms[int(r.when)%len(fuzzedPrograms)], "WRITE", write, 1))
	if err == nil && got.Exception != nil {
		err = own(&raised{*got.Exception})
	}
	switch {
	case err != nil:
	case got.Outcome < Accepted || got.Outcome > Crashed || got.Test < -1 || got.Test > 2,
		got.Exception == nil && got.Outcome == Exception, got.Exception != nil && got.Outcome != Exception && got.Outcome != MemoryLimit:
		err = errors.New("no program ends so")
	}
	if err != nil {
		fail("Run", got, err)
		return
	}
	got, err = run(correctStdin)
	if err == nil && got.Outcome != Accepted {
		err = errors.New("a correct program fails")
	}
	if err != nil {
		fail("Run of a correct program afterwards", got, err)
	}
}

// await waits for the end, but not for long: the fuzzing engine takes who needs ten
// seconds for a program that hangs, and on a loaded machine that is anyone.
func (r *fuzzedRun) await() (over bool) {
	patience := time.NewTimer(2 * time.Second)
	defer patience.Stop()
	select {
	case <-r.done:
		return true
	case <-patience.C:
		return false
	}
}

// FuzzProgram has a real program write anything to its socket. Its end must be its
// own, and the next program's as ever. A run that takes long is left to itself, and
// looked at by the inputs after it, which are not run meanwhile: however little of the
// processor this gets, it fails for no other reason than what it found, and says of which input.
func FuzzProgram(f *testing.F) {
	frames := []string{
		framed(statusOutput, "42\n"), framed(statusError, okError), framed(statusError, strings.Replace(okError, "-4", "0", 1)),
		framed(statusError, "null"), framed(statusLoaded, "") + framed(statusOutput, "42\n"), "\x03\x00\x00\x00\x02{",
	}
	for way := range fuzzedPrograms {
		for i, frame := range frames {
			if i > 0 && i%2 == way%2 || way == takesGoAheads && i > 0 {
				continue // half of them are for the fuzzer; and the last waits for its limit
			}
			f.Add([]byte(frame), byte(way))
		}
	}
	h, err := Probe(f.Context(), Config{Python: testPython, Limits: Limits{CPU: time.Second, Wall: time.Second, Output: 1 << 16}})
	if err != nil {
		f.Fatal(err)
	}
	s, err := h.NewSlot(int(slotIDs.Add(1)))
	if err != nil {
		f.Fatal(err)
	}
	q := &Question{ID: "q", Inputs: []string{"20 22\n", "1 2\n"}}
	answers := []string{"42\n", "3\n"}
	run := func(source string) (Result, error) {
		for {
			r, err := s.Run(context.Background(), q, source, func(i int, o Output) bool { return string(o.Text) == answers[i] })
			if !errors.Is(err, ErrOverloaded) {
				return r, err
			}
		}
	}
	var late *fuzzedRun
	f.Cleanup(func() {
		if late != nil {
			<-late.done
			if late.err != nil {
				f.Error(late.err)
			}
		}
		_ = s.Close()
	})
	f.Fuzz(func(t *testing.T, data []byte, when byte) {
		if late != nil {
			if !late.await() {
				t.Skip("the run before still waits for a processor")
			}
			if late.err != nil {
				t.Errorf("an earlier input: %v", late.err)
			}
			late = nil
		}
		r := &fuzzedRun{data: bytes.Clone(data), when: when, done: make(chan struct{})}
		go r.judge(run)
		if !r.await() {
			late = r
			return
		}
		if r.err != nil {
			t.Error(r.err)
		}
	})
}
