package dataset

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/lcbq/lcbq/worker/lcb"
)

// Load reads the problems of all files of the set, sorted by id as strings. It
// holds their rows encoded: about as much memory as the files are large. It
// returns an error as lcb.ReadProblems does, and if two files hold the same
// question.
func (s *Set) Load() ([]*lcb.Problem, error) {
	var paths []string
	for _, f := range s.Files {
		paths = append(paths, f.Path)
	}
	return LoadFiles(paths...)
}

// LoadFiles reads problem files that together make one problem set.
func LoadFiles(paths ...string) ([]*lcb.Problem, error) {
	var all []*lcb.Problem
	from := map[string]string{}
	for _, path := range paths {
		problems, err := loadFile(path)
		if err != nil {
			return nil, err
		}
		for _, p := range problems {
			if other, twice := from[p.ID]; twice {
				return nil, fmt.Errorf("read problems: question %s is in %s and in %s", p.ID, other, path)
			}
			from[p.ID] = path
		}
		all = append(all, problems...)
	}
	slices.SortFunc(all, func(a, b *lcb.Problem) int { return strings.Compare(a.ID, b.ID) })
	return all, nil
}

func loadFile(path string) ([]*lcb.Problem, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read problems: %w", err)
	}
	defer func() { _ = f.Close() }()
	return lcb.ReadProblems(f, path)
}
