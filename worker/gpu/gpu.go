// Package gpu reads what NVIDIA's driver says of the cards in this machine, and
// tells whose memory is held there. It starts nothing on them and knows no
// engine.
package gpu

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Unknown stands in a reading for what the driver does not tell: power in a
// virtual machine, utilisation of a card cut into instances.
const Unknown = -1

// Text formats a value of a reading, "?" where it is Unknown.
func Text(v float64, format string) string {
	if v == Unknown {
		return "?"
	}
	return fmt.Sprintf(format, v)
}

// A Reading is one card at one moment.
type Reading struct {
	Index       int       `json:"index"` // NVML's, in PCI order; CUDA's own order may differ
	UUID        string    `json:"uuid"`
	Name        string    `json:"name"`
	Utilization int       `json:"utilization"` // percent of the last moments that a kernel ran, or Unknown
	Total       uint64    `json:"memory_total"`
	Used        uint64    `json:"memory_used"`   // bytes, without what the driver keeps for itself where it tells that apart
	Power       float64   `json:"power_w"`       // watts, or Unknown
	Temperature int       `json:"temperature_c"` // degrees Celsius, or Unknown
	Processes   []Process `json:"processes"`     // with a compute context

	// Fault says why the card cannot be read: its driver, or the card, is broken. Nothing but Index is
	// known of it then. A card that could be read before makes Read fail instead.
	Fault string `json:"fault,omitempty"`
}

// A Process is one that the driver lists as holding memory of a card.
type Process struct {
	PID    int    `json:"pid"`    // as the driver numbers it: in a container that may be the host's number
	Memory uint64 `json:"memory"` // bytes, 0 where the driver does not know
}

// A Source is a way to the driver. It is safe for concurrent use.
type Source interface {
	// Read returns a reading of every card in order of their index; none where
	// the driver has no card.
	Read(ctx context.Context) ([]Reading, error)
	// Name says which way it is, and the driver's version where that is known.
	Name() string
	// Driver returns the driver's version, "" where it is not known.
	Driver() string
	// Slow reports whether a Read starts a program.
	Slow() bool
	// Close lets go of the driver. No Read may run then or later.
	Close() error
}

// ErrNoDriver is returned by Open on a machine without NVIDIA's driver. The
// caller goes on without readings.
var ErrNoDriver = errors.New("no NVIDIA driver")

// Config says where the driver's tools are. The zero value is right almost
// everywhere.
type Config struct {
	Library string // path of libnvidia-ml.so.1; "" searches as the loader does
	SMI     string // the nvidia-smi program; "" is the one on PATH
}

// Open finds a way to the driver: its library NVML or, in a build without cgo
// and where the library is missing, the program nvidia-smi. It returns an error
// that wraps ErrNoDriver and says what was tried if there is neither. The
// caller closes the source.
func Open(ctx context.Context, cfg Config) (Source, error) {
	n, err := openNVML(cfg.Library)
	if err == nil {
		return n, nil
	}
	s, err2 := openSMI(ctx, cfg.SMI)
	if err2 == nil {
		return s, nil
	}
	return nil, fmt.Errorf("%w: %w; %w", ErrNoDriver, err, err2)
}

// Count returns how many cards this machine has: 0 where there is no driver, or it does not answer.
func Count(ctx context.Context) int {
	s, err := Open(ctx, Config{})
	if err != nil {
		return 0
	}
	defer func() { _ = s.Close() }() // nothing is read any more
	all, err := s.Read(ctx)
	if err != nil {
		return 0
	}
	return len(all)
}

// Select returns the readings that a list in the manner of CUDA_VISIBLE_DEVICES
// names: indices, or beginnings of UUIDs, with commas between; "" names all. It
// returns an error for one that does not exist, does not work or is named twice,
// where CUDA would quietly use fewer cards.
func Select(all []Reading, list string) ([]Reading, error) {
	if strings.TrimSpace(list) == "" {
		return all, work(all)
	}
	var chosen []Reading
	for item := range strings.SplitSeq(list, ",") {
		item = strings.TrimSpace(item)
		r, err := find(all, item)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(chosen, func(c Reading) bool { return c.UUID == r.UUID }) {
			return nil, fmt.Errorf("GPU %q is chosen twice", item)
		}
		if r.Fault != "" {
			return nil, fmt.Errorf("GPU %q does not work: %s\nchoose others, or have it reset: nvidia-smi says more", item, r.Fault)
		}
		chosen = append(chosen, r)
	}
	return chosen, nil
}

// work returns an error if a card does not work, with the list of those that do.
func work(all []Reading) error {
	var good []string
	fault := ""
	for _, r := range all {
		if r.Fault == "" {
			good = append(good, strconv.Itoa(r.Index))
		} else {
			fault = cmp.Or(fault, r.Fault)
		}
	}
	if fault == "" {
		return nil
	}
	return fmt.Errorf("%d of %d GPUs do not work: %s\nuse the others with --gpus %s, or have it reset: nvidia-smi says more", len(all)-len(good), len(all), fault, strings.Join(good, ","))
}

// find returns the card that one item of a list names.
func find(all []Reading, item string) (Reading, error) {
	there := "this machine has no GPU"
	if len(all) > 0 {
		there = fmt.Sprintf("this machine has GPU 0 to %d\nnvidia-smi -L lists them", len(all)-1)
	}
	if i, err := strconv.Atoi(item); err == nil {
		for _, r := range all {
			if r.Index == i {
				return r, nil
			}
		}
		return Reading{}, fmt.Errorf("GPU %d does not exist: %s", i, there)
	}
	if !strings.HasPrefix(item, "GPU-") {
		return Reading{}, fmt.Errorf("GPU %q is neither an index nor a UUID: %s", item, there)
	}
	var found []Reading
	for _, r := range all {
		if strings.HasPrefix(r.UUID, item) {
			found = append(found, r)
		}
	}
	switch len(found) {
	case 0:
		return Reading{}, fmt.Errorf("GPU %s does not exist: %s", item, there)
	case 1:
		return found[0], nil
	}
	return Reading{}, fmt.Errorf("GPU %s is the beginning of %d UUIDs\ngive more of it", item, len(found))
}

// Watch reads every card at once and then again and again, and passes the
// readings or the error on, until ctx is done. Only one call runs at a time.
func Watch(ctx context.Context, s Source, every time.Duration, each func([]Reading, error)) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		readings, err := s.Read(ctx)
		if ctx.Err() != nil {
			return
		}
		each(readings, err)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
