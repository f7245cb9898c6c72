// Package sandboxtest says for tests what Docker gives a container. It runs nothing.
package sandboxtest

import (
	_ "embed" // for the profile
	"encoding/json"
	"runtime"
	"slices"
	"testing"
)

//go:embed docker-seccomp.json
var profile []byte

// DockerCaps are the capabilities that Docker leaves to root.
var DockerCaps = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID",
	"CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
}

// DockerSeccomp returns Docker's default profile, as it turns out for a
// container with DockerCaps on this machine.
func DockerSeccomp(tb testing.TB) any {
	tb.Helper()
	type conditions struct {
		Caps, Arches []string
	}
	var p struct {
		DefaultAction   string
		DefaultErrnoRet int
		ArchMap         []struct {
			Architecture     string
			SubArchitectures []string
		}
		Syscalls []map[string]any
	}
	if err := json.Unmarshal(profile, &p); err != nil {
		tb.Fatal(err)
	}
	meets := func(rule map[string]any, key string, empty bool) bool {
		text, _ := json.Marshal(rule[key])
		var c conditions
		if err := json.Unmarshal(text, &c); err != nil {
			tb.Fatal(err)
		}
		if c.Caps == nil && c.Arches == nil {
			return empty
		}
		in := func(have, want []string) bool {
			return slices.ContainsFunc(want, func(w string) bool { return slices.Contains(have, w) })
		}
		if key == "excludes" {
			return in(DockerCaps, c.Caps) || in([]string{runtime.GOARCH}, c.Arches)
		}
		return (c.Caps == nil || in(DockerCaps, c.Caps)) && (c.Arches == nil || in([]string{runtime.GOARCH}, c.Arches))
	}
	var rules []any
	for _, rule := range p.Syscalls {
		if !meets(rule, "includes", true) || meets(rule, "excludes", false) {
			continue
		}
		for _, key := range []string{"includes", "excludes", "comment"} {
			delete(rule, key)
		}
		rules = append(rules, rule)
	}
	native := p.ArchMap[slices.Index([]string{"amd64", "arm64"}, runtime.GOARCH)]
	return map[string]any{
		"defaultAction": p.DefaultAction, "defaultErrnoRet": p.DefaultErrnoRet,
		"architectures": append(native.SubArchitectures, native.Architecture), "syscalls": rules,
	}
}
