package gpu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lcbq/lcbq/worker/process/processtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func equal(t *testing.T, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// smi writes a program that answers like nvidia-smi.
func smi(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nvidia-smi")
	processtest.Write(t, path, []byte("#!/bin/sh\n"+script))
	return path
}

const twoCards = `case "$1 $2" in
"--query-gpu=driver_version --format=csv,noheader,nounits") echo 580.1; echo 580.1;;
"--query-gpu=index"*) echo '0, GPU-a, NVIDIA H100 80GB HBM3, 97, 81559, 40000, 612.30, 61'
  echo '1, GPU-b, "GRID, V100", [N/A], 16384, 7, [Not Supported], [N/A]';;
"--query-compute-apps="*) echo 'GPU-a, 7, 39000'; echo 'GPU-a, 8, [N/A]'; echo 'GPU-x, 9, 1'; echo 'GPU-b, [N/A], 1';;
*) echo "unknown $1"; exit 2;;
esac`

func TestSMI(t *testing.T) {
	t.Parallel()
	s, err := openSMI(t.Context(), smi(t, twoCards))
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	equal(t, got, []Reading{
		{Index: 0, UUID: "GPU-a", Name: "NVIDIA H100 80GB HBM3", Utilization: 97, Total: 81559 << 20, Used: 40000 << 20, Power: 612.3, Temperature: 61, Processes: []Process{{7, 39000 << 20}, {8, 0}}},
		{Index: 1, UUID: "GPU-b", Name: "GRID, V100", Utilization: Unknown, Total: 16384 << 20, Used: 7 << 20, Power: Unknown, Temperature: Unknown},
	})
	if s.Name() != "nvidia-smi, driver 580.1" {
		t.Errorf("Name = %q, want nvidia-smi, driver 580.1", s.Name())
	}
}

func TestSMIFailures(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, script, want string }{
		{"no driver", `echo "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. "; exit 9`, "nvidia-smi: NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. (exit status 9)"},
		{"another form", `echo a, b`, "read nvidia-smi: record on line 1: wrong number of fields"},
	} {
		if s, err := openSMI(t.Context(), smi(t, tt.script)); err == nil || err.Error() != tt.want {
			t.Errorf("%s: openSMI = %v, %v, want %q", tt.name, s, err, tt.want)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if s, err := openSMI(ctx, smi(t, "exec sleep 60")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("openSMI of one that hangs = %v, %v, want DeadlineExceeded", s, err)
	}
}

func TestNoGPU(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), Config{Library: "/nowhere/libnvidia-ml.so.1", SMI: smi(t, "echo 'No devices were found'")})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Read(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("Read = %v, %v, want no card", got, err)
	}
}

func TestNoDriver(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), Config{Library: "/nowhere/libnvidia-ml.so.1", SMI: "/nowhere/nvidia-smi"})
	if !errors.Is(err, ErrNoDriver) || !strings.Contains(err.Error(), "no NVIDIA driver: NVML: ") || !strings.HasSuffix(err.Error(), "; nvidia-smi: not found") {
		t.Errorf("Open = %v, %v, want ErrNoDriver and what was tried", s, err)
	}
}

func TestSelect(t *testing.T) {
	t.Parallel()
	all := []Reading{{Index: 0, UUID: "GPU-aa1"}, {Index: 1, UUID: "GPU-aa2"}, {Index: 2, UUID: "GPU-b"}}
	for _, tt := range []struct {
		list string
		all  []Reading
		want string // indices, or a part of the error
	}{
		{"", all, "0 1 2"},
		{" 2 , 0", all, "2 0"},
		{"GPU-b,GPU-aa1", all, "2 0"},
		{"GPU-aa", all, "GPU GPU-aa is the beginning of 2 UUIDs"},
		{"GPU-c", all, "GPU GPU-c does not exist: this machine has GPU 0 to 2"},
		{"3", all, "GPU 3 does not exist: this machine has GPU 0 to 2\nnvidia-smi -L"},
		{"-1", all, "GPU -1 does not exist"},
		{"0", nil, "GPU 0 does not exist: this machine has no GPU"},
		{"x", all, `GPU "x" is neither an index nor a UUID`},
		{"1,GPU-aa2", all, `GPU "GPU-aa2" is chosen twice`},
		{"1,", all, `GPU "" is neither`},
	} {
		got, err := Select(tt.all, tt.list)
		shown := ""
		for _, r := range got {
			shown += fmt.Sprint(r.Index, " ")
		}
		if err != nil {
			shown = err.Error()
		}
		if !strings.HasPrefix(shown, tt.want) {
			t.Errorf("Select(%q) = %q, want %q", tt.list, shown, tt.want)
		}
	}
}

// kernel returns a proc file system with one live process (10), one zombie (11),
// one of a strange name (12) and one that is being taken off the table (13).
func kernel(t *testing.T, contained bool) Kernel {
	t.Helper()
	dir := t.TempDir()
	for pid, p := range map[int][2]string{
		10: {"10 (python3) S 1 10", "/usr/bin/python3\x00train.py\x00" + strings.Repeat("x", 200)},
		11: {"11 (VLLM::EngineCor) Z 1 10", ""},
		12: {"12 (a) Z (b)) R 1 10", ""},
		13: {"13 (pt_main_thread) X 1 10", ""},
	} {
		at := filepath.Join(dir, strconv.Itoa(pid))
		if err := errors.Join(os.Mkdir(at, 0o700),
			os.WriteFile(filepath.Join(at, "stat"), []byte(p[0]), 0o600),
			os.WriteFile(filepath.Join(at, "cmdline"), []byte(p[1]), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return Kernel{Proc: dir, Contained: &contained}
}

func TestHolders(t *testing.T) {
	t.Parallel()
	const g = 1 << 30
	base := kernel(t, false).Base([]Reading{{UUID: "a", Used: g}, {UUID: "b", Used: 3 * g, Processes: []Process{{10, 2 * g}}}})
	equal(t, base, Baseline{"a": g, "b": g})
	all := []Reading{
		{Index: 0, UUID: "a", Used: 10 * g, Processes: []Process{{10, 1 * g}, {11, 3 * g}, {99, 4 * g}, {13, 1 * g}}},
		{Index: 1, UUID: "b", Used: 8*g + slack, Processes: []Process{{12, 7 * g}}},
		{Index: 2, UUID: "c", Used: 5 * g},
		{Index: 3, UUID: "d", Used: slack},
	}
	for contained, state := range map[bool]State{false: Gone, true: Elsewhere} {
		got := kernel(t, contained).Holders(all, base, func(pid int) bool { return pid > 10 && pid < 14 })
		long := "/usr/bin/python3 train.py " + strings.Repeat("x", 80-26) + "..."
		equal(t, got, []Holder{
			{0, 10, Foreign, long, 1 * g},
			{0, 11, Zombie, "VLLM::EngineCor", 3 * g},
			{0, 99, state, "", 4 * g},
			{0, 13, Zombie, "pt_main_thread", 1 * g},
			{1, 12, Ours, "a) Z (b)", 7 * g},
			{2, 0, Unlisted, "", 5 * g},
		})
	}
	// One byte more than the slack is a leak.
	all[1].Used++
	if got := kernel(t, false).Holders(all[1:2], base, nil); len(got) != 2 || got[1].State != Unlisted {
		t.Errorf("Holders = %v, want unlisted memory", got)
	}
}

func TestHolderSays(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		h    Holder
		want []string
	}{
		{Holder{1, 5, Ours, "vllm", 1 << 30}, []string{"GPU 1: process 5 (vllm) holds 1.0 GiB"}},
		{Holder{1, 5, Foreign, "train", 0}, []string{"process 5 (train) holds memory", "kill 5"}},
		{Holder{1, 5, Zombie, "", 1 << 30}, []string{"is dead and still holds 1.0 GiB", "--gpu-reset -i 1"}},
		{Holder{1, 5, Gone, "", 1 << 30}, []string{"does not exist any more", "--gpu-reset -i 1", "restart of the machine or pod"}},
		{Holder{1, 5, Elsewhere, "", 1 << 30}, []string{"not visible from this container"}},
		{Holder{1, 0, Unlisted, "", 1 << 30}, []string{"1.0 GiB in use that the driver lists no process for"}},
	} {
		for _, w := range tt.want {
			if !strings.Contains(tt.h.String(), w) {
				t.Errorf("%s: String = %q, want %q in it", tt.h.State, tt.h, w)
			}
		}
	}
}

// A script is a source that returns one set of readings after the other, and
// the last one for ever.
type script struct {
	steps [][]Reading
	errs  map[int]error
	k     int
}

func (s *script) Read(context.Context) ([]Reading, error) {
	s.k++
	return s.steps[min(s.k, len(s.steps))-1], s.errs[s.k]
}
func (*script) Name() string   { return "script" }
func (*script) Close() error   { return nil }
func (*script) Driver() string { return "" }
func (*script) Slow() bool     { return false }

func TestAwaitFree(t *testing.T) {
	t.Parallel()
	const g = 1 << 30
	step := func(used uint64, p ...Process) []Reading {
		return []Reading{{Index: 4, UUID: "z", Used: 80 * g}, {Index: 0, UUID: "a", Used: used, Processes: p}}
	}
	s := &script{
		steps: [][]Reading{
			step(60*g, Process{11, 59 * g}), // a zombie holds it
			step(60 * g),                    // not listed any more, not yet free
			nil,                             // the driver stutters
			step(30 * g),
			step(3*g+slack, Process{10, 2 * g}), // back at the baseline, beside a stranger
			step(99 * g),
		},
		errs: map[int]error{3: errors.New("stutter")},
	}
	var fall []uint64
	ours := func(pid int) bool { return pid == 11 }
	err := kernel(t, false).AwaitFree(t.Context(), s, "a", Baseline{"a": g}, ours, func(r Reading) { fall = append(fall, r.Used/g) })
	if err != nil {
		t.Fatal(err)
	}
	equal(t, fall, []uint64{60, 60, 30, 3})
}

// TestAwaitFreeInContainer wants the engine's memory awaited although the driver
// lists its processes by numbers that mean nothing here, beside those of another
// container that stay.
func TestAwaitFreeInContainer(t *testing.T) {
	t.Parallel()
	const g = 1 << 30
	k := kernel(t, true)
	step := func(used uint64, p ...Process) []Reading { return []Reading{{UUID: "a", Used: used, Processes: p}} }
	base := k.Base(step(9*g, Process{7001, 8 * g}))
	s := &script{steps: [][]Reading{
		step(60*g, Process{7001, 8 * g}, Process{7002, 51 * g}),
		step(20*g, Process{7001, 8 * g}), // not listed any more, not yet free
		step(9*g, Process{7001, 8 * g}),
	}}
	reads := 0
	if err := k.AwaitFree(t.Context(), s, "a", base, nil, func(Reading) { reads++ }); err != nil || reads != 3 {
		t.Errorf("AwaitFree = %v after %d readings, want nil after 3", err, reads)
	}
	s = &script{steps: [][]Reading{step(60*g, Process{7002, 51 * g})}}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := k.AwaitFree(ctx, s, "a", base, nil, nil); !errors.Is(err, ErrHeld) || !strings.Contains(err.Error(), "process 7002 holds 51.0 GiB and is not visible from this container") {
		t.Errorf("AwaitFree = %v, want ErrHeld and who holds it", err)
	}
}

func TestAwaitFreeEnds(t *testing.T) {
	t.Parallel()
	s := &script{steps: [][]Reading{{{UUID: "a", Used: 1 << 30, Processes: []Process{{11, 1 << 30}}}}}}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := kernel(t, false).AwaitFree(ctx, s, "a", Baseline{}, nil, nil)
	if !errors.Is(err, ErrHeld) || !strings.Contains(err.Error(), "process 11 (VLLM::EngineCor) is dead and still holds 1.0 GiB") {
		t.Errorf("AwaitFree = %v, want ErrHeld and who holds it", err)
	}
	if err := kernel(t, false).AwaitFree(t.Context(), s, "b", Baseline{}, nil, nil); err == nil || errors.Is(err, ErrHeld) {
		t.Errorf("AwaitFree of a card that is gone = %v, want another error", err)
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	s := &script{steps: [][]Reading{{{Used: 1}}, {{Used: 2}}}, errs: map[int]error{2: errors.New("stutter")}}
	var got []string
	Watch(ctx, s, time.Millisecond, func(r []Reading, err error) {
		got = append(got, fmt.Sprint(r[0].Used, err != nil))
		if len(got) == 3 {
			cancel()
		}
	})
	equal(t, got, []string{"1 false", "2 true", "2 false"})
}

func TestUsage(t *testing.T) {
	t.Parallel()
	var u Usage
	at := time.Unix(100, 0)
	for _, r := range []Reading{
		{Utilization: 50, Used: 5, Power: 100}, // stands for nothing: there is no time before it
		{Utilization: 100, Used: 9, Power: 200},
		{Utilization: 0, Used: 3, Power: Unknown},
		{Utilization: Unknown, Used: 3, Power: 50},
	} {
		u.Add(r, at)
		at = at.Add(2 * time.Second)
	}
	if u.Seconds != 4 || u.Utilization != 50 || u.Idle != 0.5 || u.PeakMemory != 9 || u.Power != 125 {
		t.Errorf("Usage = %+v, want 4 s, 50 percent, half idle, 9 bytes, 125 W", u)
	}
}

// TestThisMachine reads whatever is here: it must neither crash nor hang.
func TestThisMachine(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), Config{})
	if err != nil {
		if !errors.Is(err, ErrNoDriver) {
			t.Errorf("Open = %v, want ErrNoDriver", err)
		}
		t.Skip(err)
	}
	got, err := s.Read(t.Context())
	if err != nil {
		t.Error(err)
	}
	t.Logf("%s: %+v", s.Name(), got)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
