package sandbox

import (
	"errors"
	"fmt"
	"strings"
)

// describeLayers says of each layer whether it is on under stance st, and if
// not, why; refused holds what spoke against the stronger stances.
func (h *Host) describeLayers(st stance, k kernel, refused []error) []Layer {
	stronger := "not at this level"
	if len(refused) > 0 {
		stronger = strings.ReplaceAll(errors.Join(refused...).Error(), "\n", "; ")
	}
	because := func(on bool, why string) (bool, string) {
		if on {
			return true, ""
		}
		return false, why
	}
	var layers []Layer
	add := func(name string, on bool, why string) {
		on, why = because(on, why)
		layers = append(layers, Layer{Name: name, On: on, Why: why})
	}
	text := func(err error, remedy string) string {
		if err == nil {
			return ""
		}
		return fmt.Sprintf("%v; %s", err, remedy)
	}
	spaces := st.level == A
	add("mount namespace: only the interpreter's files, read-only", spaces, stronger)
	add("network namespace: no network", spaces, stronger)
	add("IPC and UTS namespaces", spaces, stronger)
	add("PID namespace per program", spaces, stronger)
	remedy := "mount cgroups writable; of version 2 the parent must hand memory and pids on (cgroup.subtree_control)"
	if notJoined(k.groupsErr) {
		remedy = "have lcbq in the host's namespace of control groups (docker run --cgroupns=host)"
	}
	noGroups := text(k.groupsErr, remedy)
	if !spaces {
		noGroups = stronger
	}
	add("control groups: memory and tasks", h.groups != nil, noGroups)
	noUser := stronger
	if st.userns {
		noUser = "a user namespace has one user; run as root"
	}
	add("user of its own per slot", st.uid, noUser)
	add("no capabilities", true, "")
	add("no_new_privs", true, "")
	add(fmt.Sprintf("landlock (ABI %d)", k.landlock), k.landlockErr == nil, text(k.landlockErr, "Linux 5.13 with CONFIG_SECURITY_LANDLOCK and lsm=landlock has it"))
	add("system call allow-list", k.seccompErr == nil, text(k.seccompErr, "CONFIG_SECCOMP_FILTER gives it"))
	add("resource limits", true, "")
	add("programs die first when memory runs out", k.oomErr == nil, text(k.oomErr, "mount /proc writable for processes' own files"))
	add("inputs in a sealed memfd", k.memfdErr == nil, text(k.memfdErr, "they go through a pipe"))
	add("sleepers and starved programs told apart", k.stateErr == nil, text(k.stateErr, "mount /proc without hidepid; until then the hard limit stops sleepers"))
	return layers
}
