//go:build cgo && linux

package gpu

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// unknownMemory is what NVML writes where it does not know a process's memory.
const unknownMemory = math.MaxUint64

// An nvmlSource reads through the driver's library.
type nvmlSource struct {
	lib    nvml.Interface
	split  bool // the driver tells reserved memory apart
	driver string
	mu     sync.Mutex   // NVML is thread-safe by its documentation, and was not always
	worked map[int]bool // the cards that could be read once; under mu
}

// openNVML loads the library from path, or from where the loader finds it.
func openNVML(path string) (Source, error) {
	var options []nvml.LibraryOption
	if path != "" {
		options = append(options, nvml.WithLibraryPath(path))
	}
	return startNVML(nvml.New(options...))
}

// startNVML initialises the library. After a failed Init nothing of the library
// may be called, Shutdown included: its functions are unresolved symbols then,
// and calling one ends the process.
func startNVML(lib nvml.Interface) (Source, error) {
	if ret := lib.Init(); ret != nvml.SUCCESS {
		if ret == nvml.ERROR_LIBRARY_NOT_FOUND {
			return nil, errors.New("NVML: libnvidia-ml.so.1 not found")
		}
		return nil, fmt.Errorf("NVML: %s", describe(ret))
	}
	n := &nvmlSource{lib: lib, worked: map[int]bool{}}
	// The symbol is younger than some drivers; calling it there ends the process.
	n.split = lib.Extensions().LookupSymbol("nvmlDeviceGetMemoryInfo_v2") == nil
	if v, ret := lib.SystemGetDriverVersion(); ret == nvml.SUCCESS {
		n.driver = v
	}
	return n, nil
}

// describe names a return code without asking the library, which may be the
// thing that is missing.
func describe(ret nvml.Return) string {
	switch ret {
	case nvml.ERROR_DRIVER_NOT_LOADED:
		return "the driver is not loaded"
	case nvml.ERROR_NO_PERMISSION:
		return "no permission to talk to the driver"
	case nvml.ERROR_LIB_RM_VERSION_MISMATCH:
		return "library and driver are of different versions, as after an upgrade without a restart"
	case nvml.ERROR_GPU_IS_LOST:
		return "the GPU has fallen off the bus"
	case nvml.ERROR_NOT_SUPPORTED:
		return "not supported"
	default:
		return fmt.Sprintf("error %d", int(ret))
	}
}

// Name implements Source.
func (n *nvmlSource) Name() string { return "NVML, driver " + n.driver }

// Driver implements Source.
func (n *nvmlSource) Driver() string { return n.driver }

// Slow implements Source.
func (n *nvmlSource) Slow() bool { return false }

// Close implements Source.
func (n *nvmlSource) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if ret := n.lib.Shutdown(); ret != nvml.SUCCESS {
		return fmt.Errorf("shut NVML down: %s", describe(ret))
	}
	return nil
}

// Read implements Source.
func (n *nvmlSource) Read(ctx context.Context) ([]Reading, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	count, ret := n.lib.DeviceGetCount()
	if ret != nvml.SUCCESS {
		return nil, fmt.Errorf("count GPUs: %s", describe(ret))
	}
	all := make([]Reading, 0, count)
	var broken error
	for i := range count {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		r, err := n.card(i)
		switch {
		case err == nil:
			n.worked[i] = true
		case n.worked[i]:
			return nil, err // whoever uses the card waits, or ends
		default:
			r = Reading{Index: i, Utilization: Unknown, Power: Unknown, Temperature: Unknown, Fault: err.Error()}
			broken = cmp.Or(broken, err)
		}
		all = append(all, r)
	}
	if len(n.worked) == 0 {
		return nil, broken // nil where there is no card
	}
	return all, nil
}

// card finds a card and reads it.
func (n *nvmlSource) card(i int) (Reading, error) {
	dev, ret := n.lib.DeviceGetHandleByIndex(i)
	if ret != nvml.SUCCESS {
		return Reading{}, fmt.Errorf("find GPU %d: %s", i, describe(ret))
	}
	return n.one(i, dev)
}

// one reads one card. Only what everything else depends on is an error.
func (n *nvmlSource) one(i int, dev nvml.Device) (Reading, error) {
	r := Reading{Index: i, Utilization: Unknown, Power: Unknown, Temperature: Unknown}
	var ret nvml.Return
	if r.UUID, ret = dev.GetUUID(); ret != nvml.SUCCESS {
		return r, fmt.Errorf("read UUID of GPU %d: %s", i, describe(ret))
	}
	if r.Name, ret = dev.GetName(); ret != nvml.SUCCESS {
		r.Name = ""
	}
	if err := n.memory(&r, dev); err != nil {
		return r, err
	}
	if u, ret := dev.GetUtilizationRates(); ret == nvml.SUCCESS {
		r.Utilization = int(u.Gpu)
	}
	if mw, ret := dev.GetPowerUsage(); ret == nvml.SUCCESS {
		r.Power = float64(mw) / 1000
	}
	if c, ret := dev.GetTemperature(nvml.TEMPERATURE_GPU); ret == nvml.SUCCESS {
		r.Temperature = int(c)
	}
	processes, ret := dev.GetComputeRunningProcesses()
	if ret != nvml.SUCCESS && ret != nvml.ERROR_NOT_SUPPORTED {
		return r, fmt.Errorf("list processes of GPU %d: %s", i, describe(ret))
	}
	for _, p := range processes {
		one := Process{PID: int(p.Pid), Memory: p.UsedGpuMemory}
		if p.UsedGpuMemory == unknownMemory {
			one.Memory = 0
		}
		r.Processes = append(r.Processes, one)
	}
	return r, nil
}

// memory reads total and used bytes. The first version of the call counts what
// the driver keeps for itself as used, some 480 MiB on an idle card.
func (n *nvmlSource) memory(r *Reading, dev nvml.Device) error {
	if n.split {
		if m, ret := dev.GetMemoryInfo_v2(); ret == nvml.SUCCESS {
			r.Total, r.Used = m.Total, m.Used
			return nil
		}
	}
	m, ret := dev.GetMemoryInfo()
	if ret != nvml.SUCCESS {
		return fmt.Errorf("read memory of GPU %d: %s", r.Index, describe(ret))
	}
	r.Total, r.Used = m.Total, m.Used
	return nil
}
