package web

import (
	"context"

	"github.com/lcbq/lcbq/cmd/internal/snapshot"
)

// mostRuns bounds how many runs are read for one answer.
const mostRuns = 16

// lookAll returns the runs of a server that are not over, that which is worked on first, or the one that is named.
func lookAll(ctx context.Context, look func(context.Context, string) (*snapshot.Snapshot, error), run string) ([]*snapshot.Snapshot, error) {
	first, err := look(ctx, run)
	if err != nil || first == nil {
		return nil, err
	}
	out := []*snapshot.Snapshot{first}
	if run != "" {
		return out, nil
	}
	for _, other := range first.Others[:min(len(first.Others), mostRuns-1)] {
		s, err := look(ctx, other.ID)
		if err != nil {
			return nil, err
		}
		if s != nil {
			out = append(out, s)
		}
	}
	return out, nil
}
