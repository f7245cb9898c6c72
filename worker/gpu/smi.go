package gpu

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// smiFor bounds one run of nvidia-smi, which takes seconds where no persistence
// daemon keeps the driver awake, and for ever where a card is wedged.
const smiFor = 30 * time.Second

// An smiSource reads through the nvidia-smi program.
type smiSource struct {
	path   string
	driver string
}

// openSMI finds the program and runs it once.
func openSMI(ctx context.Context, name string) (Source, error) {
	if name == "" {
		name = "nvidia-smi"
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return nil, errors.New("nvidia-smi: not found")
	}
	s := &smiSource{path: path}
	rows, err := s.query(ctx, 1, "--query-gpu=driver_version")
	if err != nil {
		return nil, err
	}
	if len(rows) > 0 {
		s.driver = rows[0][0]
	}
	return s, nil
}

// Name implements Source.
func (s *smiSource) Name() string { return "nvidia-smi, driver " + s.driver }

// Driver implements Source.
func (s *smiSource) Driver() string { return s.driver }

// Slow implements Source.
func (s *smiSource) Slow() bool { return true }

// Close implements Source.
func (s *smiSource) Close() error { return nil }

// Read implements Source.
func (s *smiSource) Read(ctx context.Context) ([]Reading, error) {
	const fields = "index,uuid,name,utilization.gpu,memory.total,memory.used,power.draw,temperature.gpu"
	rows, err := s.query(ctx, 8, "--query-gpu="+fields)
	if err != nil {
		return nil, err
	}
	at := map[string]int{}
	all := make([]Reading, 0, len(rows))
	for _, row := range rows {
		index, err := strconv.Atoi(row[0])
		if err != nil {
			return nil, fmt.Errorf("read nvidia-smi: index %q is no number", row[0])
		}
		power, err := strconv.ParseFloat(row[6], 64)
		if err != nil {
			power = Unknown
		}
		at[row[1]] = len(all)
		all = append(all, Reading{
			Index: index, UUID: row[1], Name: row[2],
			Utilization: whole(row[3]), Total: mebibytes(row[4]), Used: mebibytes(row[5]),
			Power: power, Temperature: whole(row[7]),
		})
	}
	rows, err = s.query(ctx, 3, "--query-compute-apps=gpu_uuid,pid,used_memory")
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		i, ok := at[row[0]]
		pid, err := strconv.Atoi(row[1])
		if !ok || err != nil {
			continue // of a card that has gone, or a process that may not be named
		}
		all[i].Processes = append(all[i].Processes, Process{PID: pid, Memory: mebibytes(row[2])})
	}
	return all, nil
}

// query runs the program and returns its rows, all of so many fields.
func (s *smiSource) query(ctx context.Context, fields int, what string) ([][]string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, smiFor, fmt.Errorf("no answer within %v", smiFor))
	defer cancel()
	cmd := exec.CommandContext(ctx, s.path, what, "--format=csv,noheader,nounits") //nolint:gosec // the path is the operator's
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		// It says on standard output why it fails.
		if said := strings.Join(strings.Fields(string(out)), " "); said != "" {
			err = fmt.Errorf("%s (%w)", said, err)
		}
		return nil, fmt.Errorf("nvidia-smi: %w", err)
	}
	if strings.HasPrefix(string(out), "No devices were found") {
		return nil, nil
	}
	r := csv.NewReader(strings.NewReader(string(out)))
	r.FieldsPerRecord = fields
	r.TrimLeadingSpace = true
	rows, err := r.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read nvidia-smi: %w", err)
	}
	return rows, nil
}

// whole reads a whole number, Unknown where there is none: [N/A].
func whole(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return Unknown
	}
	return n
}

// mebibytes reads a number of MiB in bytes, 0 where there is none.
func mebibytes(text string) uint64 {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0
	}
	return n << 20
}
