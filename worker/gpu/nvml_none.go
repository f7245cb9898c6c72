//go:build !cgo || !linux

package gpu

import "errors"

// openNVML says that this build has no way to the library.
func openNVML(string) (Source, error) {
	return nil, errors.New("NVML: not in this build")
}
