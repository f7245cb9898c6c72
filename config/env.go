package config

import (
	"os"
	"slices"
)

// Set reports whether one of the named environment variables is set.
func Set(names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		_, ok := os.LookupEnv(name)
		return ok
	})
}
