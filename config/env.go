package config

import (
	"os"
	"slices"
	"strings"
)

// Set reports whether one of the named environment variables is set.
func Set(names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		_, ok := os.LookupEnv(name)
		return ok
	})
}

// VisibleDevices returns CUDA's own list of the GPUs that a program may use. hidden is true
// where it hides every one.
func VisibleDevices() (list string, hidden bool) {
	list, set := os.LookupEnv("CUDA_VISIBLE_DEVICES")
	list = strings.TrimSpace(list)
	return list, set && (list == "" || list == "-1" || list == "NoDevFiles")
}
