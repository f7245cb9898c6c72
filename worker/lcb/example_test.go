package lcb_test

import (
	"fmt"

	"github.com/lcbq/lcbq/worker/lcb"
)

// The official rule takes what stands between the last two fences; the robust
// one takes the block that is the program.
func ExampleExtract() {
	answer := "Solution:\n```python\nprint(input())\n```\nRun it:\n```bash\npython main.py\n```\n"
	for _, how := range []lcb.Extraction{lcb.ExtractLCB, lcb.ExtractFirst, lcb.ExtractRobust} {
		code, err := lcb.Extract(answer, how)
		fmt.Println(how, code, err)
	}
	// Output:
	// lcb python main.py <nil>
	// first print(input()) <nil>
	// robust print(input()) <nil>
}
