package doctor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lcbq/lcbq/stream/embed"
	"github.com/lcbq/lcbq/worker/cores"
)

const (
	gibibyte = 1 << 30
	mebibyte = 1 << 20
)

// Processors says how many processors there are for programs.
func Processors() Check {
	return one("processors", func(context.Context) Finding {
		m, err := cores.Here()
		if err != nil {
			return Finding{Result: Fail, Says: err.Error(), Remedy: "mount /proc and /sys"}
		}
		f := Finding{Result: Pass, Says: fmt.Sprintf("%d usable, %s/%s", len(m.CPUs), runtime.GOOS, runtime.GOARCH)}
		if m.Quota < len(m.CPUs) {
			f.Says = fmt.Sprintf("%d usable for the time of %d (a quota), %s/%s", len(m.CPUs), m.Quota, runtime.GOOS, runtime.GOARCH)
		}
		return f
	})
}

// leastMemory is what one program and its fork server want beside lcbq itself, in bytes.
const leastMemory = gibibyte

// Memory says how much is free, as far as the kernel at root, "/" on a real machine, tells.
func Memory(root string) Check {
	return one("memory", func(context.Context) Finding {
		free, err := availableMemory(filepath.Join(root, "proc/meminfo"))
		if err != nil {
			return Finding{Result: Warn, Says: err.Error(), Remedy: "mount /proc, and choose --evaluators by hand"}
		}
		says := fmt.Sprintf("%.1f GiB available", float64(free)/gibibyte)
		if free < leastMemory {
			return Finding{Result: Warn, Says: says, Remedy: "free some: below 1 GiB few programs run at once"}
		}
		return Finding{Result: Pass, Says: says}
	})
}

// availableMemory reads MemAvailable of a file such as /proc/meminfo, in bytes.
func availableMemory(path string) (uint64, error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("read free memory: %w", err)
	}
	defer func() { _ = file.Close() }() // it was only read
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		name, rest, _ := strings.Cut(lines.Text(), ":")
		if name != "MemAvailable" {
			continue
		}
		kib, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 54)
		if err != nil {
			return 0, fmt.Errorf("read free memory: %s: %w", path, err)
		}
		return kib << 10, nil
	}
	return 0, errors.Join(fmt.Errorf("read free memory: no MemAvailable in %s", path), lines.Err())
}

// leastFiles is how many a run of 64 slots and some hundred connections has open.
const leastFiles = 4096

// OpenFiles says how many files a process may have open.
func OpenFiles() Check {
	return one("open files", func(context.Context) Finding {
		var l unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
			return Finding{Result: Warn, Says: fmt.Sprintf("read the limit of open files: %v", err), Remedy: "see ulimit -n"}
		}
		return filesFinding(l.Max)
	})
}

func filesFinding(most uint64) Finding {
	switch {
	case most == unix.RLIM_INFINITY:
		return Finding{Result: Pass, Says: "no limit"}
	case most < leastFiles:
		return Finding{Result: Warn, Says: fmt.Sprintf("%d at most", most), Remedy: fmt.Sprintf("raise the hard limit to %d for many slots or workers: ulimit -Hn, or LimitNOFILE= of a systemd unit", leastFiles)}
	default:
		return Finding{Result: Pass, Says: fmt.Sprintf("%d at most", most)}
	}
}

// Bounds of a results folder's disk.
const (
	leastDisk = 10 * gibibyte         // below it a sweep of a day may not fit
	slowSync  = 20 * time.Millisecond // above it the queue waits for the disk
	syncs     = 21
)

// Disk says whether results can be written to dir durably, how much room it has, and how
// long a sync takes there: the queue waits for one for each message.
func Disk(dir string) Check {
	return one("results folder", func(context.Context) Finding {
		took, err := syncTime(dir)
		if err != nil {
			return Finding{Result: Fail, Says: err.Error(), Remedy: "choose an --output-dir that you may write to"}
		}
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err != nil {
			return Finding{Result: Warn, Says: fmt.Sprintf("look at the disk of %s: %v", dir, err), Remedy: "see df"}
		}
		return diskFinding(dir, st.Bavail*uint64(st.Bsize), took) //nolint:gosec // a block has a positive size
	})
}

func diskFinding(dir string, free uint64, took time.Duration) Finding {
	f := Finding{Result: Pass, Says: fmt.Sprintf("%s can be written, %.1f GiB free, a sync takes %v", dir, float64(free)/gibibyte, took.Round(10*time.Microsecond))}
	var remedies []string
	if free < leastDisk {
		remedies = append(remedies, "make room: a sweep of a day takes tens of GiB ('lcbq run --dry-run' says how much)")
	}
	if took > slowSync {
		remedies = append(remedies, "put --store-dir on a local disk: the queue waits for a sync of each message")
	}
	if len(remedies) > 0 {
		f.Result, f.Remedy = Warn, strings.Join(remedies, "; ")
	}
	return f
}

// syncTime returns the median time of a sync of one block in dir.
func syncTime(dir string) (took time.Duration, err error) {
	file, err := os.CreateTemp(dir, ".lcbq-doctor-*")
	if err != nil {
		return 0, fmt.Errorf("write to the results folder: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(file.Name())) }()
	block := make([]byte, 4096)
	took, err = median(syncs, func() error {
		_, err := file.Write(block)
		return errors.Join(err, file.Sync())
	})
	if err != nil {
		return 0, fmt.Errorf("write to the results folder: %w", err)
	}
	return took, nil
}

// median returns the median time of n calls.
func median(n int, call func() error) (time.Duration, error) {
	times := make([]time.Duration, n)
	for i := range times {
		began := time.Now()
		if err := call(); err != nil {
			return 0, err
		}
		times[i] = time.Since(began)
	}
	slices.Sort(times)
	return times[n/2], nil
}

// Queue starts and stops an embedded server on a free port.
func Queue() Check {
	return one("queue", func(context.Context) Finding {
		dir, err := os.MkdirTemp("", "lcbq-doctor-*")
		if err == nil {
			var srv *embed.Server
			if srv, err = embed.Start(embed.Config{Dir: dir}); err == nil { //nolint:contextcheck // it is closed below, by nothing else
				err = srv.Close()
			}
			err = removeAll(dir, err)
		}
		if err != nil {
			return Finding{Result: Fail, Says: err.Error(), Remedy: "make room in the temporary folder, or name another with TMPDIR"}
		}
		return Finding{Result: Pass, Says: "the embedded server starts"}
	})
}

// Port says whether the port that workers try first is free.
func Port(host string, port int) Check {
	return one("port", func(context.Context) Finding {
		err := embed.CheckPort(host, port)
		switch {
		case errors.Is(err, syscall.EADDRINUSE):
			return Finding{Result: Pass, Says: fmt.Sprintf("%d is taken: 'lcbq run' takes a free one and says which", port)}
		case err != nil:
			return Finding{Result: Fail, Says: err.Error(), Remedy: "bring the loopback interface up (ip link set lo up)"}
		default:
			return Finding{Result: Pass, Says: fmt.Sprintf("%d is free", port)}
		}
	})
}

// Clock says whether the clock can be right: it is not before the program's own file.
func Clock(now func() time.Time) Check {
	return one("clock", func(context.Context) Finding {
		made, err := programTime()
		if err != nil {
			return Finding{Result: Warn, Says: err.Error(), Remedy: "compare the clock with another machine's"}
		}
		return clockFinding(now(), made)
	})
}

func programTime() (time.Time, error) {
	exe, err := os.Executable()
	if err != nil {
		return time.Time{}, fmt.Errorf("find lcbq's own file: %w", err)
	}
	st, err := os.Stat(exe)
	if errors.Is(err, fs.ErrNotExist) {
		return time.Time{}, fmt.Errorf("lcbq's own file is gone: %w", err)
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("look at lcbq's own file: %w", err)
	}
	return st.ModTime(), nil
}

func clockFinding(now, made time.Time) Finding {
	says := now.UTC().Format("2006-01-02 15:04:05 UTC")
	if now.Before(made.Add(-time.Hour)) {
		return Finding{
			Result: Warn, Says: says + ", before lcbq's own file was made",
			Remedy: "set it (timedatectl set-ntp true): certificates, logs and the age of messages go by it",
		}
	}
	return Finding{Result: Pass, Says: says}
}
