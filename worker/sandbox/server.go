package sandbox

import (
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lcbq/lcbq/worker/sandbox/driver"
)

//go:embed zygote.py
var zygoteSource string

// maxMessage bounds a message on the control socket; the largest is a source
// file of the fork server.
const maxMessage = 1 << 18

// controlTimeout is after how long without an answer a fork server is looked at: it
// has failed if it has used no processor time between two looks and state == sleeping. A
// machine may be as slow as it likes. The slowest answer is the first, and then
// that about a killed program whose memory is freed on a host that swaps.
const controlTimeout = 15 * time.Second

// controlPatience bounds one answer all the same: a fork server that spins.
const controlPatience = 10 * time.Minute

// errServer marks the death or the confusion of a fork server: the slot
// replaces it and runs the program once more.
var errServer = errors.New("fork server failed")

// A server is a running fork server. One goroutine uses it at a time.
type server struct {
	control int // SOCK_SEQPACKET, blocking, times out after controlTimeout either way
	process *os.Process
	reaped  chan struct{} // closed when the process was waited for
	ended   string        // how it ended; only read once reaped is closed
	stderr  *said
	buf     [4096]byte

	questions map[string]uint32 // by ID, the index the server knows it by
	next      uint32
	programs  int   // started so far
	cpus      []int // that it and its programs run on, nil for all
}

// startServer starts a fork server on the processors by spawn, which must run f on a
// thread that outlives the server: the kernel kills it when that thread ends. timeout is
// as controlTimeout says.
func startServer(p *plan, attr *syscall.SysProcAttr, cpus []int, timeout time.Duration, spawn func(f func())) (*server, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("start fork server: open control socket: %w", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "control")
	defer func() { _ = theirs.Close() }()
	stdin, stdout, err := nothing(os.DevNull)
	if err != nil {
		_ = unix.Close(pair[0])
		return nil, fmt.Errorf("start fork server: %w", err)
	}
	defer func() { _, _ = stdin.Close(), stdout.Close() }()
	s := &server{control: pair[0], reaped: make(chan struct{}), stderr: new(said), questions: map[string]uint32{}, cpus: cpus}
	if err := setTimeouts(s.control, timeout); err != nil {
		_ = unix.Close(s.control)
		return nil, fmt.Errorf("start fork server: %w", err)
	}
	cmd := &exec.Cmd{
		Path:        "/proc/self/exe",
		Args:        []string{stage1Name},
		Env:         []string{"GOMAXPROCS=1"}, // for each further one the runtime may make a thread
		Dir:         "/",
		ExtraFiles:  []*os.File{theirs},
		Stdin:       stdin,
		Stdout:      stdout,
		Stderr:      s.stderr,
		SysProcAttr: attr,
		// The pipe of stderr ends with the fork server: programs have none.
		WaitDelay: time.Second,
	}
	spawn(func() { err = pinned(cpus, cmd.Start) })
	if err != nil {
		_ = unix.Close(s.control)
		return nil, fmt.Errorf("start fork server: %w", err)
	}
	_ = theirs.Close() // or the server's death would go unseen
	s.process = cmd.Process
	go func() {
		defer close(s.reaped)
		// Whoever asked it something sees the socket closed, and reads how it
		// ended and what it printed.
		_ = cmd.Wait()
		s.ended = cmd.ProcessState.String()
	}()
	if err := s.greet(p); err != nil {
		err = fmt.Errorf("start fork server: %w", err)
		s.kill()
		return nil, err
	}
	return s, nil
}

// move has the server's next programs run on the processors, nil for all of this process:
// a thousandth of what a new server costs.
func (s *server) move(cpus []int) error {
	if slices.Equal(s.cpus, cpus) {
		return nil
	}
	var set unix.CPUSet
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	if cpus == nil {
		if err := unix.SchedGetaffinity(os.Getpid(), &set); err != nil {
			return fmt.Errorf("ask which processors may be used: %w", err)
		}
	}
	if err := unix.SchedSetaffinity(s.process.Pid, &set); err != nil {
		return fmt.Errorf("move fork server to processors %v: %w", cpus, err)
	}
	s.cpus = cpus
	return nil
}

// pinned starts a process on the processors, nil for all, as one that inherits them from the
// calling thread, which must be locked. Programs cannot change them: the system call is not
// among theirs.
func pinned(cpus []int, start func() error) error {
	if cpus == nil {
		return start()
	}
	var before, set unix.CPUSet
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	err := unix.SchedGetaffinity(0, &before)
	if err == nil {
		err = unix.SchedSetaffinity(0, &set)
	}
	if err != nil {
		return fmt.Errorf("run programs on processors %v: %w", cpus, err)
	}
	err = start()
	// It had these a moment ago. Should the kernel refuse them now, only a thread that starts
	// fork servers has fewer.
	_ = unix.SchedSetaffinity(0, &before)
	return err
}

// greet sends the plan and the sources and waits until the server is ready.
func (s *server) greet(p *plan) error {
	text, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encode plan: %w", err)
	}
	for _, message := range [][]byte{text, []byte(zygoteSource), text, []byte(driver.Source)} {
		err := s.patiently(func() error {
			_, err := unix.Write(s.control, message)
			return err
		})
		if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
			break // stage 1 has ended, and may have said why
		}
		if err != nil {
			return s.died("send plan", err)
		}
	}
	_, err = s.receive('H')
	return err
}

// kill ends the server and with it its program, and returns when the server is
// gone and its descriptors are closed.
func (s *server) kill() {
	// It may be dead already; then there is nothing to do but to wait.
	_ = s.process.Kill()
	<-s.reaped
	_ = unix.Close(s.control)
}

// send sends one request with descriptors.
func (s *server) send(request []byte, fds ...int) error {
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	err := s.patiently(func() error { return unix.Sendmsg(s.control, request, rights, nil, unix.MSG_NOSIGNAL) })
	if err != nil {
		return s.died("ask fork server", err)
	}
	return nil
}

// receive returns the next answer, which must be of the kind want; it is valid
// until the next call.
func (s *server) receive(want byte) ([]byte, error) {
	n := 0
	err := s.patiently(func() (err error) {
		n, err = unix.Read(s.control, s.buf[:])
		return err
	})
	if errors.Is(err, unix.ECONNRESET) {
		// It ended without having read all of ours. What it said before comes after the error.
		n, err = unix.Read(s.control, s.buf[:])
	}
	if err == nil && n == 0 {
		err = unix.ECONNRESET
	}
	if err != nil {
		return nil, s.died("hear fork server", err)
	}
	answer := s.buf[:n]
	switch {
	case answer[0] == want:
		return answer[1:], nil
	case answer[0] == 'S' && n >= 5:
		return nil, fmt.Errorf("%w: stage 1: %w", errServer, refusalOf(answer))
	case answer[0] == 'e' && n >= 5:
		return nil, refusalOf(answer)
	}
	return nil, fmt.Errorf("%w: answered %q, want %q", errServer, answer[0], want)
}

// patiently repeats a call on the control socket for as long as the server is only slow.
func (s *server) patiently(call func() error) error {
	var used time.Duration
	for began, looks := time.Now(), 0; ; {
		err := call()
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if !errors.Is(err, unix.EAGAIN) {
			return err
		}
		now, cpuErr := cpuTime(s.process.Pid)
		state, _, stateErr := stateOf(s.process.Pid)
		idle := looks > 0 && now == used && (state == sleeping || stateErr != nil)
		if idle || cpuErr != nil || time.Since(began) > controlPatience {
			return fmt.Errorf("no answer in %v: %w", time.Since(began).Round(time.Second), err)
		}
		looks, used = looks+1, now
	}
}

// died returns err as the reason a server is to be replaced, with all that it
// printed: what went wrong may stand first (a Go runtime) or last (a traceback).
func (s *server) died(doing string, err error) error {
	gone := errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE)
	if gone {
		// It is dead or dying; what it printed is complete once it was waited for.
		patience := time.NewTimer(time.Second)
		defer patience.Stop()
		select {
		case <-s.reaped:
		case <-patience.C: // it closed the socket and lives
			_ = s.process.Kill()
			<-s.reaped
		}
		err = fmt.Errorf("%w (%s)", err, s.ended)
	}
	if text := s.stderr.all(); text != "" {
		return fmt.Errorf("%w: %s: %w; it printed:\n%s", errServer, doing, err, text)
	}
	return fmt.Errorf("%w: %s: %w", errServer, doing, err)
}

// A refusal is a fork server's word that the host would not do something: no
// fork, no memory for the inputs. The server itself is well, unless it is stage 1's.
type refusal struct {
	errno syscall.Errno // 0 if no system call refused
	text  string
}

// refusalOf reads a refusal: a letter, the number of the error u32, words.
func refusalOf(answer []byte) *refusal {
	return &refusal{syscall.Errno(binary.LittleEndian.Uint32(answer[1:])), string(answer[5:])}
}

func (r *refusal) Error() string { return r.text }

func (r *refusal) Unwrap() error { return r.errno }

// maxQuestions is how many questions a server keeps: the units of a cell come
// in a row, and two cells seldom alternate.
const maxQuestions = 4

// load makes the server know q, by way of supply if it does not yet, and
// returns the index it knows it by.
func (s *server) load(q *Question, supply supply) (uint32, error) {
	if index, ok := s.questions[q.ID]; ok {
		return index, nil
	}
	if len(s.questions) >= maxQuestions {
		if err := s.forgetAll(); err != nil {
			return 0, err
		}
	}
	data := encodeInputs(q.Inputs)
	fd, done, err := supply(data)
	if err != nil {
		return 0, fmt.Errorf("load question %s: %w", q.ID, err)
	}
	index := s.next
	request := binary.LittleEndian.AppendUint32([]byte("Q"), index)
	request = binary.LittleEndian.AppendUint64(request, uint64(len(data)))
	if q.Kind == Functional {
		request = append(request, q.Func...)
	}
	err = s.send(request, fd)
	_ = unix.Close(fd)
	if err == nil {
		_, err = s.receive('q')
	}
	done()
	if err != nil {
		return 0, fmt.Errorf("load question %s: %w", q.ID, err)
	}
	s.next++
	s.questions[q.ID] = index
	return index, nil
}

// forgetAll frees the inputs of every question.
func (s *server) forgetAll() error {
	for id, index := range s.questions {
		if err := s.send(binary.LittleEndian.AppendUint32([]byte("D"), index)); err != nil {
			return err
		}
		if _, err := s.receive('d'); err != nil {
			return err
		}
		delete(s.questions, id)
	}
	return nil
}

// start starts a program of question index; cpu is a limit in seconds for the
// kernel, above those we keep ourselves. The caller closes fds.
func (s *server) start(index uint32, test int, cpu uint32, fds ...int) error {
	s.programs++
	request := make([]byte, 0, 13)
	request = binary.LittleEndian.AppendUint32(append(request, 'P'), index)
	request = binary.LittleEndian.AppendUint32(request, uint32(int32(test)))
	request = binary.LittleEndian.AppendUint32(request, cpu)
	return s.send(request, fds...)
}

// A death is what the kernel said of a program's process.
type death struct {
	status syscall.WaitStatus
	cpu    time.Duration
	peak   int64 // resident bytes
}

// reap kills the program, if it lives, and waits for it.
func (s *server) reap() (death, error) {
	if err := s.send([]byte("R")); err != nil {
		return death{}, err
	}
	answer, err := s.receive('r')
	if err != nil {
		return death{}, err
	}
	if len(answer) != 28 {
		return death{}, fmt.Errorf("%w: reaped in %d bytes", errServer, len(answer))
	}
	u64 := binary.LittleEndian.Uint64
	return death{
		status: syscall.WaitStatus(binary.LittleEndian.Uint32(answer)),
		cpu:    time.Duration(u64(answer[4:])+u64(answer[12:])) * time.Microsecond,
		peak:   int64(u64(answer[20:])) << 10,
	}, nil
}

// setTimeouts bounds each read and write on a blocking socket.
func setTimeouts(fd int, d time.Duration) error {
	tv := unix.NsecToTimeval(d.Nanoseconds())
	for _, option := range []int{unix.SO_RCVTIMEO, unix.SO_SNDTIMEO} {
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, option, &tv); err != nil {
			return fmt.Errorf("set socket timeout: %w", err)
		}
	}
	return nil
}
