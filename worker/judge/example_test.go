package judge_test

import (
	"fmt"

	"github.com/lcbq/lcbq/worker/judge"
)

// Lines that hold numbers are compared as numbers, others as text.
func ExampleLines() {
	outcome, _ := judge.Lines("1.0 2\n", "1 2")
	fmt.Println(outcome)
	outcome, detail := judge.Lines("3\nNo\n", "3\nYes\n")
	fmt.Printf("%v: %s, got %q, want %q\n", outcome, detail.Message, detail.Got, detail.Want)
	// Output:
	// equal
	// unequal: line 2 of 2 differs, got "No", want "Yes"
}
