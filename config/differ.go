package config

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/pelletier/go-toml/v2"
)

// A Difference is a setting that has one value here and another in a file.
type Difference struct{ Key, Here, There string }

// Definition's settings that may change from one command to the next of the same run: how much of it
// is wanted, where it goes, and what only this machine reads.
var ofCommand = []string{"start", "end", "from", "to", "platform", "difficulty", "exclude", "exclude-errata", "n", "temperatures", "output-dir", "run", "endpoint", "hf-endpoint", "hf-home", "hf-offline", "hf-hub-cache", "hf-revision"}

// Differences returns the settings that define a run and differ from the values of a file, by key.
func (d Definition) Differences(values map[string]any) ([]Difference, error) {
	here, err := d.values()
	return between(here, values), err
}

// Between returns the settings that define a run and differ between the values of two files, by key.
func Between(here, there map[string]any) ([]Difference, error) {
	known, err := Definition{}.values()
	here = maps.Clone(here)
	maps.DeleteFunc(here, func(key string, _ any) bool { _, ok := known[key]; return !ok })
	return between(here, there), err
}

// values returns the settings by key, as a file holds them.
func (d Definition) values() (map[string]any, error) {
	b, err := toml.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("encode config: %w", err)
	}
	var values map[string]any
	if err := toml.Unmarshal(b, &values); err != nil {
		return nil, fmt.Errorf("encode config: %w", err)
	}
	return values, nil
}

func between(here, values map[string]any) []Difference {
	var out []Difference
	for key, v := range here {
		there, ok := values[key]
		if slices.Contains(ofCommand, key) || !ok && shown(v) == `""` {
			continue
		}
		x, y := shown(v), "not set"
		if ok {
			y = shown(there)
		}
		if x != y {
			out = append(out, Difference{key, x, y})
		}
	}
	slices.SortFunc(out, func(a, b Difference) int { return cmp.Compare(a.Key, b.Key) })
	return out
}

// shown writes a value as a person compares it.
func shown(v any) string {
	switch v := v.(type) {
	case string:
		return fmt.Sprintf("%q", v)
	case []any:
		if len(v) == 0 {
			return `""`
		}
		return fmt.Sprintf("%q", v)
	default:
		return fmt.Sprint(v)
	}
}
