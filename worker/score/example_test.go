package score_test

import (
	"errors"
	"fmt"

	"github.com/lcbq/lcbq/worker/score"
)

// Of 10 samples 3 passed. What is the chance that one of 1, of 5 passes?
func ExamplePassAtK() {
	for _, k := range []int{1, 5} {
		p, err := score.PassAtK(10, 3, k)
		fmt.Printf("pass@%d = %.4f %v\n", k, p, err)
	}
	_, err := score.PassAtK(10, 3, 11)
	fmt.Println(errors.Is(err, score.ErrUndefined))
	// Output:
	// pass@1 = 0.3000 <nil>
	// pass@5 = 0.9167 <nil>
	// true
}
