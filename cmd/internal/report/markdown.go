package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/lcbq/lcbq/cmd/internal/report/fact"
	"github.com/lcbq/lcbq/cmd/internal/report/figure"
)

// Markdown writes what fits a README: the headline, pass@k by temperature, the best
// temperatures and where the numbers come from.
func (r *Report) Markdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n\n", figure.Plain(r.Title()))
	if r.Simulated {
		b.WriteString("> **Simulated: no model was asked.** The programs come from a fixed pool.\n\n")
	}
	b.WriteString(figure.Plain(r.Scope()) + "\n\n")
	for _, n := range r.Remarks() {
		b.WriteString("- " + figure.Plain(n) + "\n")
	}
	for _, a := range r.Answers() {
		fmt.Fprintf(&b, "\n**%s** %s\n", figure.Plain(a.Question), figure.Plain(strings.Join(a.Lines, " ")))
	}
	b.WriteString("\n")
	table := func(t *figure.Table) error {
		if len(t.Rows) == 0 {
			return nil
		}
		fmt.Fprintf(&b, "**%s**\n\n", figure.Plain(t.Title))
		if err := t.Markdown(&b); err != nil {
			return err
		}
		b.WriteString("\n")
		return nil
	}
	for _, t := range []*figure.Table{r.Summary(), r.BestSets(), r.Audited()} {
		if err := table(t.Filled()); err != nil {
			return err
		}
	}
	b.WriteString("Pass@k in percent; ? where it is little known: by more than 2 points either way, or from fewer than 2k samples.\n\n")
	for _, f := range fact.Of(r.Results) {
		fmt.Fprintf(&b, "- %s: %s\n", figure.Plain(f.Name), figure.Plain(f.Value))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
