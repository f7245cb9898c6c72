package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/lcbq/lcbq/worker/sandbox/driver"
)

// An Environment is what a program's outcome depends on besides the program:
// two hosts with the same digest judge alike.
type Environment struct {
	Python   string            `json:"python"`   // version, "3.11.2"
	Build    string            `json:"build"`    // sys.version
	Packages map[string]string `json:"packages"` // importable, those that programs use
	Harness  string            `json:"harness"`  // digest of fork server and driver
	Mode     string            `json:"mode"`
	Limits   Limits            `json:"limits"`
	Level    Level             `json:"level"`
	// NormalForm says that programs of one normal form may share a verdict, see Slot.Normal.
	NormalForm bool `json:"normal_form"`
	// Reference names the speed in whose seconds the limits are; absent if these are each host's own.
	Reference string `json:"reference_speed,omitempty"`
	// Interpreter is where the binary lies. Not part of the digest.
	Interpreter string `json:"interpreter"`
}

// Digest returns a short name for everything in e but the place of the
// interpreter.
func (e Environment) Digest() string {
	e.Interpreter = ""
	text, err := json.Marshal(e) // maps are written in order of their keys
	if err != nil {
		panic("sandbox: encode environment: " + err.Error()) // no field can fail
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// describeEnvironment returns the host's environment.
func (h *Host) describeEnvironment() Environment {
	sum := sha256.Sum256([]byte(zygoteSource + "\x00" + driver.Source))
	return Environment{
		Python:      h.interpreter.Version,
		Build:       h.interpreter.Build,
		Packages:    h.interpreter.Packages,
		Harness:     hex.EncodeToString(sum[:8]),
		Mode:        h.config.Mode.String(),
		Limits:      h.config.Limits,
		Level:       h.level,
		NormalForm:  !h.config.NoNormalForm,
		Reference:   h.config.Reference,
		Interpreter: h.interpreter.Executable,
	}
}
