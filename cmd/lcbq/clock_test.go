package main

import (
	"bufio"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Go reads the clock through a page that the kernel maps into every process, so no
// preloaded library can shift it, and a time namespace does not cover the time of
// day. shiftClock replaces that page's clock_gettime, in one process, by the system
// call and an offset. It covers every reading of the time of day in the process,
// libraries included; not the monotonic clock, which does not jump on a real
// machine either, nor the times that the kernel writes on files, nor children.

var errNoClockShift = errors.New("clocks can be shifted on linux/amd64 only")

// shifted is the replacement: the offset in seconds follows the code.
var shifted = []byte{
	0xb8, 0xe4, 0x00, 0x00, 0x00, // mov eax, clock_gettime
	0x0f, 0x05, // syscall
	0x85, 0xc0, // test eax, eax
	0x75, 0x0e, // jnz end
	0x85, 0xff, // test edi, edi: CLOCK_REALTIME is 0
	0x75, 0x0a, // jnz end
	0x48, 0x8b, 0x0d, 0x0a, 0x00, 0x00, 0x00, // mov rcx, [rip+10]: the offset
	0x48, 0x01, 0x0e, // add [rsi], rcx
	0xc3,                               // end: ret
	0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, // to 32
}

// shiftClock makes the process read the time of day off by the given amount from
// now on; a second call replaces the first. The process is stopped meanwhile.
func shiftClock(p *os.Process, by time.Duration) error {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return errNoClockShift
	}
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	err := patchClock(p, int64(by/time.Second))
	return errors.Join(err, p.Signal(syscall.SIGCONT))
}

func patchClock(p *os.Process, seconds int64) error {
	mem, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", p.Pid), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer mem.Close() //nolint:errcheck // every write below is checked
	page, base, err := vdso(p.Pid, mem)
	if err != nil {
		return err
	}
	entry, err := symbol(page, "__vdso_clock_gettime")
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(page[entry:], shifted) {
		// A thread inside the old code would go on in the middle of the new.
		if err := waitOutside(p, base, base+int64(len(page))); err != nil {
			return err
		}
	}
	code := binary.LittleEndian.AppendUint64(bytes.Clone(shifted), uint64(seconds)) //nolint:gosec // two's complement, as the code adds it
	_, err = mem.WriteAt(code, base+int64(entry))
	return err
}

// vdso returns the process's page of kernel code and its address.
func vdso(pid int, mem io.ReaderAt) (page []byte, base int64, err error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return nil, 0, err
	}
	for line := range strings.Lines(string(maps)) {
		if !strings.Contains(line, "[vdso]") {
			continue
		}
		var from, to int64
		if _, err := fmt.Sscanf(line, "%x-%x", &from, &to); err != nil {
			return nil, 0, err
		}
		page = make([]byte, to-from)
		_, err := mem.ReadAt(page, from)
		return page, from, err
	}
	return nil, 0, errors.New("no vdso in the process")
}

func symbol(image []byte, name string) (int, error) {
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return 0, err
	}
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return 0, err
	}
	for _, s := range symbols {
		if s.Name == name {
			return int(s.Value), nil
		}
	}
	return 0, fmt.Errorf("no %s in the vdso", name)
}

// waitOutside waits until every thread of the process is stopped outside the given
// addresses, letting it run on a little where one is inside.
func waitOutside(p *os.Process, from, to int64) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 10_000 {
		<-tick.C
		stopped, inside, err := threads(p.Pid, from, to)
		if err != nil {
			return err
		}
		if stopped && !inside {
			return nil
		}
		if stopped {
			if err := errors.Join(p.Signal(syscall.SIGCONT), p.Signal(syscall.SIGSTOP)); err != nil {
				return err
			}
		}
	}
	return errors.New("a thread does not leave the vdso")
}

func threads(pid int, from, to int64) (stopped, inside bool, err error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil {
		return false, false, err
	}
	for _, task := range tasks {
		stat, err := os.ReadFile(filepath.Join(task, "stat"))
		if err != nil {
			return false, false, err
		}
		if _, rest, ok := strings.Cut(string(stat), ") "); !ok || rest[0] != 'T' {
			return false, false, nil
		}
		where, err := os.ReadFile(filepath.Join(task, "syscall")) // ends in stack pointer and program counter
		if err != nil {
			return false, false, err
		}
		fields := strings.Fields(string(where))
		pc, err := strconv.ParseInt(fields[len(fields)-1], 0, 64)
		if err != nil {
			return false, false, fmt.Errorf("read where thread %s is: %q: %w", task, where, err)
		}
		inside = inside || pc >= from && pc < to
	}
	return len(tasks) > 0, inside, nil
}

// wallclock is a child of TestShiftClock: it answers every line with the time of
// day and with how long that took by the monotonic clock.
func wallclock() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		began := time.Now()
		fmt.Fprintln(os.Stdout, time.Now().Unix(), time.Since(began).Nanoseconds())
	}
}

// TestShiftClock shows that the fault is one: a Go process sees its clock jump to
// and fro, and its timers do not.
func TestShiftClock(t *testing.T) {
	t.Parallel()
	cmd := reexec(t, "wallclock")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
			t.Error(err)
		}
	}()
	tell := func() (seconds, took int64) {
		fmt.Fprintln(in)
		if _, err := fmt.Fscan(out, &seconds, &took); err != nil {
			t.Fatal(err)
		}
		return seconds, took
	}
	tell()                        // a process that has just started has no clock to shift yet
	const near = 10 * time.Minute // less than each shift, more than any load takes
	for _, by := range []time.Duration{0, 30 * 24 * time.Hour, -time.Hour, 0} {
		if err := shiftClock(cmd.Process, by); errors.Is(err, errNoClockShift) {
			t.Skip(err)
		} else if err != nil {
			t.Fatal(err)
		}
		seconds, took := tell()
		off := time.Until(time.Unix(seconds, 0)) - by
		if off.Abs() > near || took < 0 || took > int64(near) {
			t.Errorf("shifted by %v the process is off by %v, and two readings lie %d ns apart", by, off+by, took)
		}
	}
}
