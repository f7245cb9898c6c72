package figure

import (
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strings"
)

// A Table is what a chart shows, as numbers.
type Table struct {
	Name    string
	Title   string
	Columns []Column
	Rows    [][]Field
}

// A Column has a name that says its unit.
type Column struct {
	Name string
	Text bool // words, not numbers
}

// A Field is one entry: for people and, exactly, for programs.
type Field struct {
	Text  string
	Raw   string // "" if Text is it
	Faint bool   // less certain
}

// Value returns the field for programs.
func (f Field) Value() string {
	if f.Raw != "" {
		return f.Raw
	}
	return f.Text
}

func number(text string, raw any) Field { return Field{Text: text, Raw: fmt.Sprint(raw)} }

func share(v float64) Field { return number(Percent(v), v) }

func whole(n int) Field { return number(Count(n), n) }

func words(s string) Field { return Field{Text: s} }

// absent is a value that the data do not define.
var absent = Field{Text: "–", Raw: " "}

// Filled returns the table without the columns that say nothing in any row.
func (t *Table) Filled() *Table {
	out := &Table{Name: t.Name, Title: t.Title, Rows: make([][]Field, len(t.Rows))}
	for i, c := range t.Columns {
		if !slices.ContainsFunc(t.Rows, func(row []Field) bool { return row[i] != absent }) && len(t.Rows) > 0 {
			continue
		}
		out.Columns = append(out.Columns, c)
		for j, row := range t.Rows {
			out.Rows[j] = append(out.Rows[j], row[i])
		}
	}
	return out
}

// CSV writes the table with one header row. Shares are in [0, 1] there. A text
// that a spreadsheet would run as a formula is put behind an apostrophe.
func (t *Table) CSV(w io.Writer) error {
	out := csv.NewWriter(w)
	row := t.names()
	if err := out.Write(row); err != nil {
		return fmt.Errorf("write CSV: %w", err)
	}
	for _, fields := range t.Rows {
		for i, f := range fields {
			row[i] = strings.TrimSpace(f.Value())
			if t.Columns[i].Text && row[i] != "" && strings.ContainsRune("=+-@\t\r", rune(row[i][0])) {
				row[i] = "'" + row[i]
			}
		}
		if err := out.Write(row); err != nil {
			return fmt.Errorf("write CSV: %w", err)
		}
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("write CSV: %w", err)
	}
	return nil
}

// names are the columns' names for programs: no units, since shares are in [0, 1],
// and no spaces.
func (t *Table) names() []string {
	var out []string
	for _, c := range t.Columns {
		name := strings.TrimSuffix(strings.TrimSuffix(c.Name, " %"), ", points")
		name = strings.ReplaceAll(strings.ReplaceAll(name, ", ", "_"), " ", "_")
		if slices.Contains(out, name) { // a count and its share
			name += "_share"
		}
		out = append(out, name)
	}
	return out
}

// Markdown writes the table as GitHub renders it.
func (t *Table) Markdown(w io.Writer) error {
	var b strings.Builder
	line := func(cells []string) {
		b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	names, rule := make([]string, len(t.Columns)), make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i], rule[i] = Plain(c.Name), "---:"
		if c.Text {
			rule[i] = ":---"
		}
	}
	line(names)
	line(rule)
	for _, fields := range t.Rows {
		cells := make([]string, len(fields))
		for i, f := range fields {
			cells[i] = Plain(f.Text)
			if f.Faint && (i == 0 || !fields[0].Faint) { // a row that is so as a whole says it once
				cells[i] += " ?"
			}
		}
		line(cells)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Plain takes from a text what Markdown, or HTML within it, would act upon.
func Plain(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	return strings.NewReplacer(`\`, `\\`, "|", `\|`, "<", "&lt;", ">", "&gt;", "&", "&amp;", "*", `\*`, "_", `\_`, "`", "\\`", "[", `\[`, "]", `\]`, "~", `\~`, "!", `\!`).Replace(s)
}
