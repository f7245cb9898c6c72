package config

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/lcbq/lcbq/stream"
)

// Check reports every setting of s that is out of range.
func (s Sweep) Check() error {
	var c checker
	c.check(s.Start >= 0, "start", s.Start, "0 or more")
	c.check(s.End == -1 || s.End > s.Start, "end", s.End, "-1, or more than --start")
	c.check(s.N >= 1 && s.N <= 1_000_000, "n", s.N, "1 to 1000000")
	c.check(s.UnitSize >= 1 && s.UnitSize <= 10_000, "unit-size", s.UnitSize, "1 to 10000")
	return errors.Join(c.errs...)
}

// Check reports every setting of u that is out of range. n is the most samples of a cell.
func (u Until) Check(n int) error {
	var c checker
	half, set, err := u.Half()
	c.check(!set || err == nil && half > 0 && half <= 0.5, "until-width", u.UntilWidth, "more than 0 and at most 50 points")
	c.check(u.K >= 1 && (!set || 2*u.K <= n), "k", u.K, "1 to half of --n, with --until-width")
	return errors.Join(c.errs...)
}

// Half returns the wanted half of an interval as a share, and whether one is wanted.
func (u Until) Half() (half float64, set bool, err error) {
	if u.UntilWidth == "" {
		return 0, false, nil
	}
	points, err := strconv.ParseFloat(u.UntilWidth, 64)
	return points / 100, true, err
}

// Check reports every setting of m that is out of range.
func (m Model) Check() error {
	var c checker
	c.check(m.Engine == "auto" || stream.Engine(m.Engine).Check() == nil, "engine", m.Engine, fmt.Sprintf("auto or one of %v", stream.Engines()))
	c.check(stream.Engine(m.Engine) != stream.EngineLlama || m.Model != "", "model", m.Model, "a file in GGUF, for --engine llama")
	c.check(m.SimUnique >= 0 && m.SimUnique <= 1, "sim-unique", m.SimUnique, "0 to 1")
	return errors.Join(c.errs...)
}

// Check reports every setting of s that is out of range.
func (s Sampling) Check() error {
	var c checker
	c.check(s.TopP > 0 && s.TopP <= 1, "top-p", s.TopP, "more than 0, at most 1")
	c.check(s.TopK >= 0, "top-k", s.TopK, "0 or more")
	c.check(s.MinP >= 0 && s.MinP <= 1, "min-p", s.MinP, "0 to 1")
	c.check(s.MaxTokens >= 1, "max-tokens", s.MaxTokens, "1 or more")
	return errors.Join(c.errs...)
}

// Check reports what an engine needs and s lacks.
func (s Source) Check(engine string) error {
	var c checker
	c.check(!stream.Engine(engine).Recorded() || s.Completions != "", "completions", s.Completions, "a file, for --engine replay")
	c.check(!stream.Engine(engine).Attached() || len(s.Endpoint) > 0, "endpoint", s.Endpoint, "a URL, for --engine openai")
	return errors.Join(c.errs...)
}

// Check reports every setting of p that is out of range.
func (p Pace) Check() error {
	var c checker
	c.check(p.Requests >= 0, "requests", p.Requests, "0 or more")
	c.check(p.SimTPS >= 0, "sim-tps", p.SimTPS, "0 or more")
	return errors.Join(c.errs...)
}

// Check reports every setting of s that is out of range.
func (s Serve) Check() error {
	var c checker
	c.check(s.MaxModelLen >= 1, "max-model-len", s.MaxModelLen, "1 or more")
	return errors.Join(c.errs...)
}

// Check reports every setting of v that is out of range.
func (v VLLM) Check() error {
	var c checker
	c.check(v.MaxNumSeqs >= 1, "max-num-seqs", v.MaxNumSeqs, "1 or more")
	c.check(v.MaxNumBatchedTokens >= 1, "max-num-batched-tokens", v.MaxNumBatchedTokens, "1 or more")
	c.check(v.GPUMemoryUtilization > 0 && v.GPUMemoryUtilization <= 1, "gpu-memory-utilization", v.GPUMemoryUtilization, "more than 0, at most 1")
	_, err := v.PerGPU()
	c.check(err == nil, "engines-per-gpu", v.EnginesPerGPU, fmt.Sprintf("auto, or 1 to %d", mostPerGPU))
	c.check(v.TensorParallel >= 1, "tensor-parallel", v.TensorParallel, "1 or more")
	return errors.Join(c.errs...)
}

// mostPerGPU is the most engines that one GPU is asked to carry.
const mostPerGPU = 8

// EnginesAuto is what PerGPU returns where the number is to be found.
const EnginesAuto = -1

// PerGPU returns how many engines a GPU shall have, 1 or more, or EnginesAuto.
func (v VLLM) PerGPU() (int, error) {
	switch v.EnginesPerGPU {
	case "":
		return 1, nil
	case "auto":
		return EnginesAuto, nil
	}
	n, err := strconv.Atoi(v.EnginesPerGPU)
	if err != nil || n < 1 || n > mostPerGPU {
		return 0, fmt.Errorf("%q is neither auto nor a number of 1 to %d", v.EnginesPerGPU, mostPerGPU)
	}
	return n, nil
}

// Check reports every setting of r that is out of range.
func (r Rules) Check() error {
	var c checker
	c.check(r.TimeLimit.Seconds >= 0.1 && r.TimeLimit.Seconds <= 3600, "time-limit", r.TimeLimit, "0.1 to 3600 seconds")
	c.check(!r.TimeLimit.Audited || r.Judge == "lcb", "time-limit", r.TimeLimit, "a number of seconds, for --judge script: soft limits are learned of the official runner's tests alone")
	c.check(r.AuditShare >= LeastAuditShare && r.AuditShare <= 1, "audit-share", r.AuditShare, "0.01 to 1")
	c.check(r.MemoryLimit >= 64<<20, "memory-limit", r.MemoryLimit, "64MiB or more")
	c.check(r.OutputLimit >= 1<<10 && r.OutputLimit <= 1<<30, "output-limit", r.OutputLimit, "1KiB to 1GiB")
	return errors.Join(c.errs...)
}

// Check reports every setting of p that is out of range.
func (p Programs) Check() error {
	var c checker
	n, err := p.Slots(1)
	c.check(err == nil && n >= 1 && n <= 1024, "evaluators", p.Evaluators, "auto, or 1 to 1024")
	n, _, err = p.Reserve(0)
	c.check(err == nil && n >= 0 && n <= 8192, "reserve-cpus", p.ReserveCPUs, "auto, or 0 to 8192")
	return errors.Join(c.errs...)
}

// Check reports every setting of g that is out of range.
func (g Generators) Check() error {
	var c checker
	c.check(g.Generators >= 1 && g.Generators <= 64, "generators", g.Generators, "1 to 64")
	return errors.Join(c.errs...)
}

// Check reports every setting of h that is out of range.
func (h Host) Check() error {
	var c checker
	c.check(h.StoreMax >= 64<<20, "store-max", h.StoreMax, "64MiB or more")
	c.check(h.AckWait >= 1 && h.AckWait <= 3600, "ack-wait", h.AckWait, "1 to 3600 seconds")
	return errors.Join(c.errs...)
}

// Check reports every setting of d that is out of range.
func (d Definition) Check() error {
	return errors.Join(d.Sweep.Check(), d.Model.Check(), d.Sampling.Check(), d.Source.Check(d.Engine), d.Serve.Check(), d.Rules.Check())
}

// Check reports every setting of c that is out of range.
func (c Config) Check() error {
	return errors.Join(c.Definition.Check(), c.Until.Check(c.N), c.Pace.Check(), c.VLLM.Check(), c.Llama.Check(), c.Generators.Check(), c.Programs.Check(), c.Host.Check())
}

// Slots returns the number of programs judged at once, free where the setting is auto.
func (p Programs) Slots(free int) (int, error) {
	return number("evaluators", p.Evaluators, max(free, 1))
}

// Auto reports whether nobody has said how many programs are judged at once.
func (p Programs) Auto() bool { return p.Evaluators == "auto" }

// Reserve returns how many processors are left to engines, and whether somebody said so; auto
// where nobody did.
func (p Programs) Reserve(auto int) (n int, said bool, err error) {
	n, err = number("reserve-cpus", p.ReserveCPUs, auto)
	return n, p.ReserveCPUs != "auto", err
}

// number returns the value of a setting that is a number, or auto.
func number(name, text string, auto int) (int, error) {
	if text == "auto" {
		return auto, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || strconv.Itoa(n) != text {
		return 0, fmt.Errorf("%s %q: want auto or a number", name, text)
	}
	return n, nil
}

// A checker collects what is wrong, so that the user mends it all at once.
type checker struct{ errs []error }

func (c *checker) check(ok bool, name string, got any, want string) {
	if ok {
		return
	}
	if s, isText := got.(string); isText {
		got = fmt.Sprintf("%q", s)
	}
	c.errs = append(c.errs, fmt.Errorf("--%s = %v: want %s", name, got, want))
}
