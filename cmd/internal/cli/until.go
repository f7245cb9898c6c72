package cli

import (
	"fmt"

	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/stream/store"
)

// firstLook is how many samples of a cell are drawn before the first look at their width.
const firstLook = 16

// stepwise makes the definition one whose number of samples is chosen by --until-width, if that
// is given. n is the most.
func (d *definition) stepwise(u config.Until, n int) error {
	half, set, err := u.Half()
	if err != nil || !set {
		return err
	}
	if d.source.recorded != nil {
		return usageError{fmt.Errorf("--until-width = %s: recorded completions are as many as they are\nleave it out; 'lcbq report' shows how well they are known", u.UntilWidth)}
	}
	if d.manifest.Judge.AuditShare > 0 {
		return usageError{fmt.Errorf("--until-width = %s: its interval holds at every number of samples, which an audited --time-limit cannot: these are estimates, and the draw of one program decides for its later samples too\ngive --time-limit in seconds, or leave out --until-width and read in the report how well a fixed --n is known", u.UntilWidth)}
	}
	d.manifest.Until = &store.Until{Half: half, K: u.K, Most: n}
	return nil
}

// begin makes the definition that of the first samples, where a rule asks for more by what these
// show: the combiner adds them. A run only ever grows, so one that is interrupted goes on from
// what its folder has.
func (d *definition) begin() {
	rule := d.manifest.Until
	if rule == nil {
		return
	}
	for i := range d.manifest.Questions {
		d.manifest.Questions[i].Cuts = []int{min(rule.Most, max(firstLook, 4*rule.K))}
	}
}
