package cli

import (
	"fmt"
	"maps"
	"slices"

	"github.com/lcbq/lcbq/cmd/internal/schema"
)

// schemaCmd prints the schemas of a results folder's files and of what status prints.
type schemaCmd struct {
	Name string `arg:"" optional:"" help:"run_summary, summary, cell or status; without it, the names"`
}

// Run prints one schema, or which there are.
func (c *schemaCmd) Run(a *app) error {
	if c.Name == "" {
		names := schema.Names()
		if a.json {
			return a.printJSON(names)
		}
		for _, name := range slices.Sorted(maps.Keys(names)) {
			fmt.Fprintf(a.out, "%-11s  %s\n", name, names[name])
		}
		return nil
	}
	text, err := schema.Text(c.Name)
	if err != nil {
		return usageError{err}
	}
	_, err = a.out.Write(text)
	return err
}
