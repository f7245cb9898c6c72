package folder

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lcbq/lcbq/worker/lcb/result"
)

// ErrGroup says that the folder has no group of the number asked for.
var ErrGroup = errors.New("no such group")

// A Group is what cells must share to be one result.
type Group struct {
	Engine, Model, Judge, Fingerprint string
	Simulated                         bool
}

func (g Group) String() string {
	s := "engine " + g.Engine
	if g.Model != "" {
		s += ", model " + g.Model
	}
	return s + ", judge " + g.Judge + ", environment " + cmp.Or(g.Fingerprint, "unknown")
}

// A MixedError says that a folder holds cells that are not one result.
type MixedError struct {
	Groups []Group
	Cells  []int // of each group
}

func (e *MixedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the folder mixes %d results, which must not be averaged:", len(e.Groups))
	for i, g := range e.Groups {
		fmt.Fprintf(&b, "\n  %d: %s: %d cells", i+1, g, e.Cells[i])
	}
	return b.String()
}

// choose keeps the cells of one group.
func (l *loader) choose(group int) error {
	var groups []Group
	count := make(map[Group]int)
	for _, c := range l.cells {
		if count[c.group] == 0 {
			groups = append(groups, c.group)
		}
		count[c.group]++
	}
	mixed := &MixedError{Groups: groups}
	for _, g := range groups {
		mixed.Cells = append(mixed.Cells, count[g])
	}
	switch {
	case len(groups) == 0:
		return fmt.Errorf("read results: %s: %w: none of its cells can be read\n%s", l.dir, ErrNotResults, strings.Join(l.notes, "\n"))
	case group > len(groups) || group < 0:
		return fmt.Errorf("%w: %d, and the folder has results 1 to %d", ErrGroup, group, len(groups))
	case group == 0 && len(groups) > 1:
		return mixed
	}
	l.group = groups[max(0, group-1)]
	l.cells = slices.DeleteFunc(l.cells, func(c found) bool { return c.group != l.group })
	for i, g := range groups {
		if g != l.group {
			l.note("left out, since it is another result: %s, %d cells", g, mixed.Cells[i])
		}
	}
	if r := l.run; r != nil && (r.Judge != l.group.Judge || r.Fingerprint != l.group.Fingerprint || r.Engine != l.group.Engine || r.Model != l.group.Model) {
		l.note("%s is of another result (%s): its settings are not shown", result.RunSummaryName, Group{Engine: r.Engine, Model: r.Model, Judge: r.Judge, Fingerprint: r.Fingerprint})
		l.run, l.raw = nil, nil
	}
	return nil
}
