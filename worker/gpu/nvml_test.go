//go:build cgo && linux

package gpu

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock"
)

// card returns a mocked device with everything that is read, and one process
// whose memory is unknown.
func card(uuid string) *mock.Device {
	return &mock.Device{
		GetUUIDFunc:       func() (string, nvml.Return) { return uuid, nvml.SUCCESS },
		GetNameFunc:       func() (string, nvml.Return) { return "NVIDIA H100", nvml.SUCCESS },
		GetMemoryInfoFunc: func() (nvml.Memory, nvml.Return) { return nvml.Memory{Total: 80, Used: 50}, nvml.SUCCESS },
		GetMemoryInfo_v2Func: func() (nvml.Memory_v2, nvml.Return) {
			return nvml.Memory_v2{Total: 80, Used: 40, Reserved: 10}, nvml.SUCCESS
		},
		GetUtilizationRatesFunc: func() (nvml.Utilization, nvml.Return) { return nvml.Utilization{Gpu: 97, Memory: 50}, nvml.SUCCESS },
		GetPowerUsageFunc:       func() (uint32, nvml.Return) { return 612345, nvml.SUCCESS },
		GetTemperatureFunc:      func(nvml.TemperatureSensors) (uint32, nvml.Return) { return 61, nvml.SUCCESS },
		GetComputeRunningProcessesFunc: func() ([]nvml.ProcessInfo, nvml.Return) {
			return []nvml.ProcessInfo{{Pid: 7, UsedGpuMemory: 30}, {Pid: 8, UsedGpuMemory: math.MaxUint64}}, nvml.SUCCESS
		},
	}
}

// library returns a mocked library. What is not set panics when called.
func library(devices ...*mock.Device) *mock.Interface {
	return &mock.Interface{
		InitFunc:                   func() nvml.Return { return nvml.SUCCESS },
		ShutdownFunc:               func() nvml.Return { return nvml.SUCCESS },
		SystemGetDriverVersionFunc: func() (string, nvml.Return) { return "580.1", nvml.SUCCESS },
		DeviceGetCountFunc:         func() (int, nvml.Return) { return len(devices), nvml.SUCCESS },
		DeviceGetHandleByIndexFunc: func(i int) (nvml.Device, nvml.Return) { return devices[i], nvml.SUCCESS },
		ExtensionsFunc: func() nvml.ExtendedInterface {
			return &mock.ExtendedInterface{LookupSymbolFunc: func(string) error { return nil }}
		},
	}
}

func TestNVMLRead(t *testing.T) {
	t.Parallel()
	poor := card("GPU-b")
	poor.GetUtilizationRatesFunc = func() (nvml.Utilization, nvml.Return) { return nvml.Utilization{}, nvml.ERROR_NOT_SUPPORTED }
	poor.GetPowerUsageFunc = func() (uint32, nvml.Return) { return 0, nvml.ERROR_NOT_SUPPORTED }
	poor.GetTemperatureFunc = func(nvml.TemperatureSensors) (uint32, nvml.Return) { return 0, nvml.ERROR_NOT_SUPPORTED }
	poor.GetMemoryInfo_v2Func = func() (nvml.Memory_v2, nvml.Return) { return nvml.Memory_v2{}, nvml.ERROR_NOT_SUPPORTED }
	poor.GetComputeRunningProcessesFunc = func() ([]nvml.ProcessInfo, nvml.Return) { return nil, nvml.ERROR_NOT_SUPPORTED }
	s, err := startNVML(library(card("GPU-a"), poor))
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []Reading{
		{Index: 0, UUID: "GPU-a", Name: "NVIDIA H100", Utilization: 97, Total: 80, Used: 40, Power: 612.345, Temperature: 61, Processes: []Process{{7, 30}, {8, 0}}},
		{Index: 1, UUID: "GPU-b", Name: "NVIDIA H100", Utilization: Unknown, Total: 80, Used: 50, Power: Unknown, Temperature: Unknown},
	}
	equal(t, got, want)
	if s.Name() != "NVML, driver 580.1" {
		t.Errorf("Name = %q, want NVML, driver 580.1", s.Name())
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestNVMLOldDriver wants the younger call left alone where the driver has not
// got it: calling it would end the process.
func TestNVMLOldDriver(t *testing.T) {
	t.Parallel()
	old := card("GPU-a")
	old.GetMemoryInfo_v2Func = nil // panics when called
	lib := library(old)
	lib.ExtensionsFunc = func() nvml.ExtendedInterface {
		return &mock.ExtendedInterface{LookupSymbolFunc: func(string) error { return errors.New("undefined symbol") }}
	}
	s, err := startNVML(lib)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Read(t.Context())
	if err != nil || got[0].Used != 50 {
		t.Errorf("Read = %+v, %v, want 50 bytes used", got, err)
	}
}

// TestNVMLFailedInit wants nothing called after a failed Init: every function
// of this mock but Init panics.
func TestNVMLFailedInit(t *testing.T) {
	t.Parallel()
	for ret, want := range map[nvml.Return]string{
		nvml.ERROR_LIBRARY_NOT_FOUND:       "NVML: libnvidia-ml.so.1 not found",
		nvml.ERROR_DRIVER_NOT_LOADED:       "NVML: the driver is not loaded",
		nvml.ERROR_LIB_RM_VERSION_MISMATCH: "NVML: library and driver are of different versions",
		nvml.ERROR_UNKNOWN:                 "NVML: error 999",
	} {
		s, err := startNVML(&mock.Interface{InitFunc: func() nvml.Return { return ret }})
		if s != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("startNVML = %v, %v, want %q", s, err, want)
		}
	}
}

func TestNVMLFailures(t *testing.T) {
	t.Parallel()
	const lost = nvml.ERROR_GPU_IS_LOST
	for want, spoil := range map[string]func(*mock.Interface, *mock.Device){
		"count GPUs: the GPU has fallen off the bus": func(l *mock.Interface, _ *mock.Device) {
			l.DeviceGetCountFunc = func() (int, nvml.Return) { return 0, lost }
		},
		"find GPU 0: the GPU has fallen": func(l *mock.Interface, _ *mock.Device) {
			l.DeviceGetHandleByIndexFunc = func(int) (nvml.Device, nvml.Return) { return nil, lost }
		},
		"read UUID of GPU 0: the GPU has fallen": func(_ *mock.Interface, d *mock.Device) {
			d.GetUUIDFunc = func() (string, nvml.Return) { return "", lost }
		},
		"read memory of GPU 0: the GPU has fallen": func(_ *mock.Interface, d *mock.Device) {
			d.GetMemoryInfo_v2Func = func() (nvml.Memory_v2, nvml.Return) { return nvml.Memory_v2{}, lost }
			d.GetMemoryInfoFunc = func() (nvml.Memory, nvml.Return) { return nvml.Memory{}, lost }
		},
		"list processes of GPU 0: the GPU has fallen": func(_ *mock.Interface, d *mock.Device) {
			d.GetComputeRunningProcessesFunc = func() ([]nvml.ProcessInfo, nvml.Return) { return nil, lost }
		},
	} {
		d := card("GPU-a")
		l := library(d)
		spoil(l, d)
		s, err := startNVML(l)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.Read(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Read = %v, %v, want %q", got, err, want)
		}
	}
}

// TestNVMLOneBroken wants a card that never worked told beside the others, refused where it is chosen, and
// one that breaks later to be an error.
func TestNVMLOneBroken(t *testing.T) {
	t.Parallel()
	const lost = nvml.ERROR_GPU_IS_LOST
	first, second, third := card("GPU-a"), card("GPU-b"), card("GPU-c")
	second.GetUUIDFunc = func() (string, nvml.Return) { return "", lost }
	third.GetMemoryInfo_v2Func = func() (nvml.Memory_v2, nvml.Return) { return nvml.Memory_v2{Total: 24, Used: 1}, nvml.SUCCESS } // another model
	s, err := startNVML(library(first, second, third))
	if err != nil {
		t.Fatal(err)
	}
	all, err := s.Read(t.Context())
	if err != nil || len(all) != 3 || all[0].Fault != "" || all[1].Fault != "read UUID of GPU 1: the GPU has fallen off the bus" || all[1].Index != 1 || all[2].Total != 24 {
		t.Fatalf("Read = %+v, %v, want two cards and a fault", all, err)
	}
	for list, want := range map[string]string{
		"":      "1 of 3 GPUs do not work: read UUID of GPU 1: the GPU has fallen off the bus\nuse the others with --gpus 0,2",
		"0,1":   `GPU "1" does not work: read UUID of GPU 1`,
		"GPU-b": "GPU-b",
	} {
		if got, err := Select(all, list); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Select %q = %v, %v, want %q", list, got, err, want)
		}
	}
	if got, err := Select(all, "2,0"); err != nil || len(got) != 2 || got[0].UUID != "GPU-c" {
		t.Errorf("Select of the others = %v, %v", got, err)
	}
	first.GetUUIDFunc = func() (string, nvml.Return) { return "", lost }
	if got, err := s.Read(t.Context()); err == nil || !strings.Contains(err.Error(), "read UUID of GPU 0") {
		t.Errorf("Read after a card broke = %v, %v, want an error", got, err)
	}
}

// TestNVMLNowhere loads a library that is not there, for real.
func TestNVMLNowhere(t *testing.T) {
	t.Parallel()
	if s, err := openNVML(t.TempDir() + "/libnvidia-ml.so.1"); err == nil {
		t.Errorf("openNVML = %v, nil, want an error", s.Name())
	}
}
