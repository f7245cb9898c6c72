package lcb_test

import (
	"fmt"

	"github.com/lcbq/lcbq/worker/lcb"
)

func ExampleExtract() {
	answer := "First try:\n```python\nprint(1)\n```\nBetter:\n```python\nprint(2)\n```\n"
	fmt.Println(lcb.Extract(answer, lcb.ExtractLCB))
	fmt.Println(lcb.Extract(answer, lcb.ExtractFirst))
	// Output:
	// print(2)
	// print(1)
}
