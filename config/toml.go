package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"reflect"
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

// Cells returns how many cells the run of a run.toml has, 0 where the file does not say.
func Cells(path string) int {
	values, err := ReadFile(path)
	if err != nil {
		return 0
	}
	n, _ := values["cells"].(int64)
	return int(n)
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

// Marshal writes c as TOML: what run.toml holds, and what --config reads. Keys and tokens are
// never written; in place of a secret in an address stands the variable to give it by.
func (c Config) Marshal() ([]byte, error) {
	plain, variables := c.withoutSecrets()
	b, err := toml.Marshal(plain)
	if err != nil {
		return nil, fmt.Errorf("encode config: %w", err)
	}
	if len(variables) > 0 {
		b = append([]byte("# No secret stands here. Set "+strings.Join(variables, ", ")+" before this file is given by --config.\n"), b...)
	}
	return b, nil
}

// Keys returns the settings that a file may hold, in their order.
func Keys() []string {
	var keys []string
	var walk func(t reflect.Type)
	walk = func(t reflect.Type) {
		for f := range t.Fields() {
			key, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
			switch {
			case f.Anonymous:
				walk(f.Type)
			case key != "" && key != "-" && f.Tag.Get("kong") != "-":
				keys = append(keys, key)
			}
		}
	}
	walk(reflect.TypeFor[Config]())
	return keys
}
