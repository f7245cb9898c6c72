package patience

import (
	"flag"
	"strconv"
)

// AtOnce has n tests of the binary run at once, however few the processors: for those that wait more than they
// work. A TestMain calls it before the tests run. The -parallel of go test, which is read later, wins.
func AtOnce(n int) {
	if err := flag.Set("test.parallel", strconv.Itoa(n)); err != nil {
		panic(err) // this is not the binary of a test
	}
}
