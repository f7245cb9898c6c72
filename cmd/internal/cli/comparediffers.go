package cli

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/lcbq/lcbq/cmd/internal/report/folder"
	"github.com/lcbq/lcbq/cmd/internal/window"
	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/worker/combine/summary"
	"github.com/lcbq/lcbq/worker/lcb/result"
)

// differences lists the settings in which two results differ, as far as both say.
func differences(x, y *folder.Results) []differ {
	out := []differ{}
	add := func(what, a, b string) {
		if a != b {
			out = append(out, differ{what, cmp.Or(a, "unknown"), cmp.Or(b, "unknown")})
		}
	}
	add("engine", x.Group.Engine, y.Group.Engine)
	add("model", x.Group.Model, y.Group.Model)
	add("judge", x.Group.Judge, y.Group.Judge)
	add("judging environment", x.Group.Fingerprint, y.Group.Fingerprint)
	add("simulated", strconv.FormatBool(x.Group.Simulated), strconv.FormatBool(y.Group.Simulated))
	a, b := cmp.Or(x.Run, &summary.Run{}), cmp.Or(y.Run, &summary.Run{})
	add("problems", a.Problems.Digest, b.Problems.Digest)
	add("window", cmp.Or(window.Names(x.Windows), "all questions"), cmp.Or(window.Names(y.Windows), "all questions"))
	add("sandbox level", a.Provenance.SandboxLevel, b.Provenance.SandboxLevel)
	add("engine version", a.Provenance.EngineVersion, b.Provenance.EngineVersion)
	add("engine arguments", strings.Join(a.Provenance.EngineArgs, " "), strings.Join(b.Provenance.EngineArgs, " "))
	add("lcbq", a.LCBQ, b.LCBQ)
	text := func(v any) string { return fmt.Sprint(v) }
	// An import knows no settings; zeros there are not settings of 0.
	if a.Sampling.MaxTokens == 0 || b.Sampling.MaxTokens == 0 {
		return append(out, configured(x.Dir, y.Dir)...)
	}
	add("samples a cell", text(a.N), text(b.N))
	add("prompt style", a.Sampling.Prompt, b.Sampling.Prompt)
	add("extraction", a.Sampling.Extract, b.Sampling.Extract)
	add("top_p", text(a.Sampling.TopP), text(b.Sampling.TopP))
	add("top_k", text(a.Sampling.TopK), text(b.Sampling.TopK))
	add("min_p", text(a.Sampling.MinP), text(b.Sampling.MinP))
	add("max_tokens", text(a.Sampling.MaxTokens), text(b.Sampling.MaxTokens))
	add("stop", strings.Join(a.Sampling.Stop, " "), strings.Join(b.Sampling.Stop, " "))
	add("on refused", cmp.Or(a.Sampling.OnRefused, "fail"), cmp.Or(b.Sampling.OnRefused, "fail"))
	add("seed", text(a.Sampling.Seed), text(b.Sampling.Seed))
	add("prompt template", a.Sampling.Template, b.Sampling.Template)
	add("served with", served(a), served(b))
	add("thinking", thinking(a), thinking(b))
	add("output limit", text(a.Judging.OutputLimit), text(b.Judging.OutputLimit))
	add("time limit", a.Judging.Limit(), b.Judging.Limit())
	add("memory limit", text(a.Judging.MemoryLimit), text(b.Judging.MemoryLimit))
	return out
}

// served says what shapes the samples of an engine that lcbq starts.
func served(s *summary.Run) string {
	x := s.Sampling.Serve
	if x == nil {
		return "not started by lcbq"
	}
	return strings.TrimSpace(fmt.Sprintf("%s, %d tokens at most %s", x.DType, x.MaxModelLen, strings.Join(x.Args, " ")))
}

// configured lists the settings in which the run.toml of two folders differ, for a run that has no
// summary yet. A folder without that file says nothing.
func configured(a, b string) []differ {
	x, err := config.ReadFile(filepath.Join(a, result.ConfigName))
	if err != nil {
		return nil
	}
	y, err := config.ReadFile(filepath.Join(b, result.ConfigName))
	if err != nil {
		return nil
	}
	differs, err := config.Between(x, y)
	if err != nil {
		return nil
	}
	var out []differ
	for _, d := range differs {
		if slices.Contains([]string{"engine", "model", "judge"}, d.Key) {
			continue // the cells say these
		}
		out = append(out, differ{d.Key, d.Here, d.There})
	}
	return out
}

func thinking(s *summary.Run) string {
	if s.Sampling.Thinking == nil {
		return "auto"
	}
	return strconv.FormatBool(*s.Sampling.Thinking)
}
