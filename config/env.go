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

// Values returns the values of those of the named environment variables that are set.
func Values(names []string) []string {
	var values []string
	for _, name := range names {
		if v, ok := os.LookupEnv(name); ok {
			values = append(values, v)
		}
	}
	return values
}

// VisibleDevices returns CUDA's own list of the GPUs that a program may use. hidden is true
// where it hides every one.
func VisibleDevices() (list string, hidden bool) {
	list, set := os.LookupEnv("CUDA_VISIBLE_DEVICES")
	list = strings.TrimSpace(list)
	return list, set && (list == "" || list == "-1" || list == "NoDevFiles")
}

// Ambient reports whether url is only what OPENAI_BASE_URL says for every program of the
// user's, and not what somebody chose for lcbq.
func Ambient(url string) bool {
	said, ok := os.LookupEnv("OPENAI_BASE_URL")
	return ok && said == url && !Set([]string{"LCBQ_ENDPOINT"})
}
