package sandbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// framed is a frame as it goes over the socket.
func framed(status byte, payload string) string {
	head := binary.LittleEndian.AppendUint32([]byte{status}, uint32(len(payload)))
	return string(head) + payload
}

const okError = `{"type":"ValueError","message":"x","line":3,"where":"test","code":-4}`

// TestErrorFrames wants of an error frame what the driver writes, and nothing else.
func TestErrorFrames(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, payload string
		loading, ok   bool
	}{
		{"an exception", okError, false, true},
		{"escapes", `{"type":"E\u00e9","message":"\"\\\n\ud83d\ude00 \ud800","line":0,"where":"test","code":-3}`, false, true},
		{"the end of its process", `{"type":"SystemExit","message":"","line":1,"where":"test","code":-5}`, false, true},
		{"of the load", `{"type":"SyntaxError","message":"","line":1,"where":"load","code":-4}`, true, true},
		{"of the load in a test", `{"type":"SyntaxError","message":"","line":1,"where":"load","code":-4}`, false, false},
		{"of a test while loading", okError, true, false},
		{"time limit while loading", `{"type":"E","message":"","line":1,"where":"load","code":-3}`, true, false},
		{"null", `null`, false, false},
		{"nothing", ``, false, false},
		{"empty object", `{}`, false, false},
		{"code 0", strings.Replace(okError, "-4", "0", 1), false, false},
		{"code of a wrong answer", strings.Replace(okError, "-4", "-2", 1), false, false},
		{"code 1", strings.Replace(okError, "-4", "1", 1), false, false},
		{"code that overflows", strings.Replace(okError, "-4", "-18446744073709551612", 1), false, false},
		{"code with an exponent", strings.Replace(okError, "-4", "-4e0", 1), false, false},
		{"line that overflows", strings.Replace(okError, ":3,", ":99999999999999999999,", 1), false, false},
		{"line below zero", strings.Replace(okError, ":3,", ":-3,", 1), false, false},
		{"null message", strings.Replace(okError, `"x"`, "null", 1), false, false},
		{"message twice", strings.Replace(okError, `"line"`, `"message":"y","line"`, 1), false, false},
		{"code twice", strings.Replace(okError, "}", `,"code":-4}`, 1), false, false},
		{"another field", strings.Replace(okError, "}", `,"verdict":"passed"}`, 1), false, false},
		{"nested", strings.Replace(okError, `"x"`, strings.Repeat("[", 5000), 1), false, false},
		{"not UTF-8", strings.Replace(okError, "x", "\xff\xfe", 1), false, false},
		{"a control character", strings.Replace(okError, "x", "\x00", 1), false, false},
		{"two values", okError + okError, false, false},
		{"a space after it", okError + " ", false, false},
		{"a line break after it", okError + "\n", false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := raisedIn([]byte(tt.payload), tt.loading)
			var exc *raised
			if got := errors.As(err, &exc); got != tt.ok {
				t.Errorf("raisedIn(%.100q) = %#v, want accepted %v", tt.payload, err, tt.ok)
			}
			var halt *stop
			if !tt.ok && (!errors.As(err, &halt) || halt.outcome != Crashed) {
				t.Errorf("raisedIn(%.100q) = %#v, want crashed", tt.payload, err)
			}
		})
	}
	long := strings.Replace(okError, "x", strings.Repeat("é", 5000), 1)
	if err := raisedIn([]byte(strings.ReplaceAll(long, "é", `\u00e9`)), false); len(err.Error()) > 2*mostText || !utf8.ValidString(err.Error()) {
		t.Errorf("an error of 5000 letters is kept in %d bytes", len(err.Error()))
	}
}

// overhear holds a conversation with a program that says the chunks, each when it
// was asked for something since the last or has waited for that with patience, and
// returns what ended it. The answers of
// the tests that were accepted are counted.
func overhear(t *testing.T, kind Kind, strict bool, patience time.Duration, chunks []string) (accepted int, ended error) {
	t.Helper()
	pair, err := programSocket()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(pair[0]) }()
	if err := setTimeouts(pair[1], patience); err != nil {
		t.Fatal(err)
	}
	host := &Host{}
	limits := Limits{CPU: time.Hour, Wall: time.Hour, Hard: time.Hour, Output: 1 << 10}.withDefaults()
	c := &conversation{host: host, limits: limits, fd: pair[0], out: -1, buf: make([]byte, 64<<10), strict: strict}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = unix.Close(pair[1]) }()
		buf := make([]byte, 4<<10)
		for i, chunk := range chunks {
			if i > 0 {
				if n, err := unix.Read(pair[1], buf); n == 0 || err != nil && !errors.Is(err, unix.EAGAIN) {
					return
				}
			}
			if _, err := unix.SendmsgN(pair[1], []byte(chunk), nil, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT); err != nil {
				return
			}
		}
	}()
	q := &Question{ID: "q", Kind: kind, Inputs: []string{"1", "2", "3"}}
	test := 0
	ended = c.talk(q, "", func(_ int, o Output) bool {
		if int64(len(o.Text)) > limits.Output {
			t.Errorf("an output of %d bytes was judged", len(o.Text))
		}
		accepted++
		return true
	}, &test)
	_ = unix.Shutdown(pair[0], unix.SHUT_RDWR)
	<-done
	if test < -1 || test > len(q.Inputs) || (ended == nil) != (test == len(q.Inputs)) {
		t.Errorf("talk = %v in test %d", ended, test)
	}
	return accepted, ended
}

// own reports why an end of a conversation is none that a program may bring about.
func own(ended error) error {
	var halt *stop
	var exc *raised
	switch {
	case ended == nil, errors.Is(ended, errGone), errors.Is(ended, errUnclear):
		return nil
	case errors.As(ended, &halt):
		if halt.outcome == Accepted || halt.outcome == Exception {
			return fmt.Errorf("stopped with outcome %v", halt.outcome)
		}
		return nil
	case errors.As(ended, &exc):
		if exc.Code < -5 || exc.Code > -3 || exc.Where != "load" && exc.Where != "test" || exc.Where == "load" && exc.Code == -3 ||
			exc.Line < 0 || !utf8.ValidString(exc.Type+exc.Message) || len(exc.Type) > mostText || len(exc.Message) > mostText {
			return fmt.Errorf("raised %+v", exc.Raised)
		}
		return nil
	}
	return fmt.Errorf("a failure of ours: %w", ended)
}

// TestFrames wants every frame that is out of place to be the program's failure.
func TestFrames(t *testing.T) {
	t.Parallel()
	loaded, out := framed(statusLoaded, ""), framed(statusOutput, "1\n")
	for _, tt := range []struct {
		name   string
		kind   Kind
		chunks []string
		want   string // the end, by its beginning
		passed int
	}{
		{"fine", Stdin, []string{"R", loaded, out, out, out}, "<nil>", 3},
		{"values", Functional, []string{"R", loaded, framed(statusValue, "N"), framed(statusValue, "N"), framed(statusValue, "N")}, "<nil>", 3},
		{"by chance", Stdin, []string{"R", framed(statusLoaded|statusChance, ""), framed(statusOutput|statusChance, "1\n"), out, out}, "<nil>", 3},
		{"dead", Stdin, []string{"R", loaded, out}, "program gone", 1},
		{"a value for an output", Stdin, []string{"R", loaded, framed(statusValue, "N")}, "answered with status 2", 0},
		{"an output for a value", Functional, []string{"R", loaded, out}, "answered with status 1", 0},
		{"loaded with text", Stdin, []string{"R", framed(statusLoaded, "x")}, "answered status 16 with 1 bytes", 0},
		{"loaded twice", Stdin, []string{"R", loaded, loaded}, "answered with status 16", 0},
		{"an answer before it is asked", Stdin, []string{"R", loaded + out}, "answered what it was not asked", 0},
		{"a script's end", Stdin, []string{"R", loaded, framed(statusDone, "")}, "answered with status 5", 0},
		{"status 0", Stdin, []string{"R", loaded, framed(0, "")}, "answered with status 0", 0},
		{"status 255", Stdin, []string{"R", loaded, framed(255, "")}, "answered with status 255", 0},
		{"limit with text", Stdin, []string{"R", loaded, framed(statusLimit, "x")}, "answered status 4 with 1 bytes", 0},
		{"more than the limit", Stdin, []string{"R", loaded, framed(statusOutput, strings.Repeat("x", 1025))}, "answered 1025 bytes", 0},
		{"four gigabytes", Functional, []string{"R", loaded, "\x02\xff\xff\xff\xff"}, "answered 4294967295 bytes", 0},
		{"an error of 33 MB", Stdin, []string{"R", loaded, "\x03\x00\x00\x00\x02"}, "answered status 3 with 33554432 bytes", 0},
		{"an error of null", Stdin, []string{"R", loaded, framed(statusError, "null")}, "answered an error that is none", 0},
		{"an error and more", Stdin, []string{"R", loaded, framed(statusError, okError) + out}, "answered what it was not asked", 0},
		{"an error", Stdin, []string{"R", loaded, framed(statusError, okError)}, "ValueError: x", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			passed, err := overhear(t, tt.kind, true, time.Hour, tt.chunks)
			if got := fmt.Sprint(err); !strings.HasPrefix(got, tt.want) || passed != tt.passed {
				t.Errorf("talk = %q after %d tests, want %q after %d", got, passed, tt.want, tt.passed)
			}
			if err := own(err); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestUnreadGoAheads wants a program that never reads what it is asked for to be
// stopped, and not to be a failure of ours.
func TestUnreadGoAheads(t *testing.T) {
	t.Parallel()
	pair, err := programSocket()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = unix.Close(pair[0]), unix.Close(pair[1]) }()
	c := &conversation{host: &Host{}, fd: pair[0], pid: os.Getpid(), out: -1, buf: make([]byte, 1<<10)}
	for range 1 << 20 {
		if err = c.goAhead(1); err != nil {
			break
		}
	}
	var halt *stop
	if !errors.As(err, &halt) || halt.outcome != Crashed {
		t.Errorf("goAhead = %v, want crashed", err)
	}
}

// FuzzFrames has a program say anything at all, in pieces of two bytes of length
// each. However the conversation ends, the program must have been able to end so.
func FuzzFrames(f *testing.F) {
	seed := func(chunks ...string) {
		var b []byte
		for _, c := range chunks {
			b = append(binary.LittleEndian.AppendUint16(b, uint16(len(c))), c...)
		}
		f.Add(b, false, false)
		f.Add(b, true, true)
	}
	loaded, out := framed(statusLoaded, ""), framed(statusOutput, "1\n")
	seed(loaded, out, out+out)
	seed(loaded, framed(statusValue, "N"), framed(statusValue, "q\x01\x00\x00\x00\x00\x00\x00\x00"))
	seed(loaded, framed(statusError, okError))
	seed(framed(statusError, strings.Replace(okError, "test", "load", 1)))
	seed(loaded, framed(statusError, "null"), "\x03\xff\xff\xff\x7f")
	seed(loaded, framed(statusLimit, ""))
	f.Fuzz(func(t *testing.T, data []byte, functional, strict bool) {
		chunks := []string{"R"}
		for len(data) >= 2 {
			n := min(int(binary.LittleEndian.Uint16(data)), len(data)-2)
			chunks = append(chunks, string(data[2:2+n]))
			data = data[2+n:]
		}
		kind := Stdin
		if functional {
			kind = Functional
		}
		passed, ended := overhear(t, kind, strict, 2*time.Millisecond, chunks)
		if err := own(ended); err != nil {
			t.Error(err)
		}
		whole := 0
		for _, b := range []byte(strings.Join(chunks, "")) {
			if b &^= statusChance; b == statusOutput || b == statusValue {
				whole++
			}
		}
		if passed > whole {
			t.Errorf("%d tests were accepted of at most %d frames", passed, whole)
		}
	})
}

// TestTrickle wants the clocks looked at while a frame comes a byte at a time, and
// not only when none comes. The socket's own time-out is put out of the way.
func TestTrickle(t *testing.T) {
	t.Parallel()
	pair, err := programSocket()
	if err == nil {
		err = setTimeouts(pair[0], time.Minute)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(pair[0]) }()
	host := &Host{running: new(register), tasks: 1 << 20}
	// The process that is judged is this one, which uses more than nothing.
	c := &conversation{host: host, limits: Limits{CPU: time.Nanosecond, Output: 1 << 20}.withDefaults(), fd: pair[0], pid: os.Getpid(), out: -1, buf: make([]byte, 64<<10)}
	c.clocks.ask()
	c.asked = 1
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = unix.Close(pair[1]) }()
		frame := []byte(framed(statusOutput, strings.Repeat("x", 400)))
		for _, b := range frame[:400] {
			if _, err := unix.SendmsgN(pair[1], []byte{b}, nil, nil, unix.MSG_NOSIGNAL); err != nil {
				return
			}
			napFor(tick / 20)
		}
	}()
	_, err = c.answer(statusOutput)
	_ = unix.Shutdown(pair[0], unix.SHUT_RDWR)
	<-done
	var halt *stop
	if !errors.As(err, &halt) || halt.outcome != TimeLimit {
		t.Errorf("answer of a byte at a time = %v, want time limit", err)
	}
}

// TestFailsAmongOthers wants a program that raises in a test, with the next ones asked
// for already, to have raised.
func TestFailsAmongOthers(t *testing.T) {
	t.Parallel()
	s := openSlotOn(t, probeAt(t, C, Config{}))
	q := &Question{ID: "q", Inputs: []string{"1", "1", "0", "1", "1", "1", "1", "1"}}
	for range 50 {
		r, err := s.Run(t.Context(), q, "print(1 // int(input()))\n", func(int, Output) bool { return true })
		if err != nil || r.Outcome != Exception || r.Test != 2 {
			t.Fatalf("Run = %+v, %v, want an exception in test 2", r, err)
		}
	}
}
