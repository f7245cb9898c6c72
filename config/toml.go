package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// ReadFile reads a TOML file and returns its values by key. A key that is no
// setting, a value of the wrong type and a syntax error are refused with file
// and line.
func ReadFile(path string) (map[string]any, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	var typed Config
	if err := toml.NewDecoder(bytes.NewReader(b)).DisallowUnknownFields().Decode(&typed); err != nil {
		return nil, fmt.Errorf("config %s: %w", path, located(err))
	}
	var values map[string]any
	if err := toml.Unmarshal(b, &values); err != nil {
		return nil, fmt.Errorf("config %s: %w", path, located(err))
	}
	return values, nil
}

// located adds the line, and for an unknown key its name, to a TOML error.
func located(err error) error {
	var missing *toml.StrictMissingError
	if errors.As(err, &missing) && len(missing.Errors) > 0 {
		first := missing.Errors[0]
		line, _ := first.Position()
		return fmt.Errorf("line %d: unknown key %q\nthe keys are the flags of 'lcbq run'", line, strings.Join(first.Key(), "."))
	}
	if decode, ok := errors.AsType[*toml.DecodeError](err); ok {
		line, _ := decode.Position()
		return fmt.Errorf("line %d: %s: %w", line, strings.Join(decode.Key(), "."), err)
	}
	return err
}

// Marshal writes c as TOML: what run.toml holds, and what --config reads. Keys
// are never written.
func (c Config) Marshal() ([]byte, error) {
	b, err := toml.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode config: %w", err)
	}
	return b, nil
}
