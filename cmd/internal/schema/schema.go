// Package schema holds the JSON schemas of the files in a results folder and of what status
// prints, for those who read them with programs of their own. It validates nothing itself.
package schema

import (
	"embed"
	"fmt"
	"maps"
	"slices"
	"strings"
)

//go:embed *.schema.json
var files embed.FS

// names are the outputs that have a schema, with what they are.
var names = map[string]string{
	"run_summary": "run_summary.json: the run, its provenance and its analysis",
	"summary":     "q0/summary.json: one question",
	"cell":        "q0/t0_1_combined.json: one question at one temperature, with its samples",
	"status":      "lcbq status --json: one run and who works for it, at one moment",
}

// Names returns the names that Text knows, each with what it is the schema of.
func Names() map[string]string { return maps.Clone(names) }

// Text returns the schema of the given name, a JSON document.
func Text(name string) ([]byte, error) {
	if _, ok := names[name]; !ok {
		return nil, fmt.Errorf("schema %q: want one of %s", name, strings.Join(slices.Sorted(maps.Keys(names)), ", "))
	}
	return files.ReadFile(name + ".schema.json")
}
