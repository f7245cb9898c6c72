package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// findCgroups returns the parents for slots' groups, or why there is none.
func findCgroups() (*cgroups, error) {
	places, err := cgroupPlaces()
	if err != nil {
		return nil, err
	}
	var errs []error
	try := func(g *cgroups) bool {
		err := g.try()
		if err != nil {
			errs = append(errs, err)
		}
		return err == nil
	}
	pids := append(slices.Clone(places["pids"]), "") // the last: without one
	for _, memory := range places["memory"] {
		for _, tasks := range pids {
			if g := (&cgroups{memory: memory, pids: tasks}); try(g) {
				return g, nil
			}
		}
	}
	for _, dir := range places[""] {
		if g := (&cgroups{memory: dir, pids: dir, v2: true}); try(g) {
			return g, nil
		}
	}
	if len(errs) == 0 {
		return nil, errors.New("no memory controller is mounted")
	}
	return nil, errors.Join(errs...)
}

// cgroupPlaces returns by controller, "" for version 2, the folders that may be or hold our
// own group, the likeliest first.
func cgroupPlaces() (map[string][]string, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("find control groups: %w", err)
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, fmt.Errorf("find control groups: %w", err)
	}
	return placesOf(string(mounts), ownCgroups(string(own))), nil
}

// placesOf reads /proc/self/mountinfo. A container may see only a part of a hierarchy: the
// mount's root, which our own group's name begins with unless the names begin at the root.
func placesOf(mountinfo string, own map[string]string) map[string][]string {
	places := map[string][]string{}
	put := func(controller, root, at string) {
		group, ok := own[controller]
		var dirs []string
		if below, inside := strings.CutPrefix(group+"/", strings.TrimSuffix(root, "/")+"/"); ok && inside {
			dirs = append(dirs, filepath.Join(at, below))
		} else if ok && !strings.HasPrefix(group, "/..") {
			dirs = append(dirs, filepath.Join(at, group))
		}
		if dirs = append(dirs, at); !ok {
			dirs = dirs[:0] // no group of ours: nothing to make one in
		}
		for _, dir := range dirs {
			if !slices.Contains(places[controller], dir) {
				places[controller] = append(places[controller], dir)
			}
		}
	}
	for line := range strings.Lines(mountinfo) {
		before, after, ok := strings.Cut(line, " - ")
		fields, rest := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(rest) < 3 {
			continue
		}
		root, at := unescape(fields[3]), unescape(fields[4])
		switch rest[0] {
		case "cgroup2":
			put("", root, at)
		case "cgroup":
			for option := range strings.SplitSeq(rest[2], ",") {
				put(option, root, at)
			}
		}
	}
	return places
}

// unescape replaces the kernel's octal numbers of white space in a path.
func unescape(path string) string {
	parts := strings.Split(path, `\`)
	for i, part := range parts[1:] {
		if len(part) < 3 {
			return path
		}
		c, err := strconv.ParseUint(part[:3], 8, 8)
		if err != nil {
			return path
		}
		parts[i+1] = string([]byte{byte(c)}) + part[3:]
	}
	return strings.Join(parts, "")
}

// ownCgroups reads /proc/self/cgroup: our own group by controller, "" for version 2.
func ownCgroups(text string) map[string]string {
	own := map[string]string{}
	for line := range strings.Lines(text) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(fields) != 3 {
			continue
		}
		for controller := range strings.SplitSeq(fields[1], ",") {
			own[controller] = fields[2]
		}
	}
	return own
}
