//go:build hosts

package sandbox

import (
	"flag"
	"fmt"
	"testing"
)

// manyStarts is how often each number of slots is opened.
var manyStarts = flag.Int("many-starts", 20, "how often TestManyStarts opens each number of slots")

// TestManyStarts opens few and many slots at once, twenty times each, where no control groups are seen.
func TestManyStarts(t *testing.T) { //nolint:paralleltest // one number of slots after another
	for _, slots := range []int{2, 8, 16, 64} { //nolint:paralleltest // likewise
		t.Run(fmt.Sprint(slots), func(t *testing.T) {
			hideControlGroups(t, slots, *manyStarts)
		})
	}
}
