package pyjson_test

import (
	"fmt"

	"github.com/lcbq/lcbq/worker/pyjson"
)

// A row of a Python program may hold NaN and half of a character. Both are read
// as Python reads them, and the half is written back as it came.
func ExampleReader() {
	row := []byte(`{"code": "# \ud83d", "logprob": NaN, "id": 12345678901234567890}`)
	r := pyjson.New(row)
	err := r.Object(func(key string) error {
		switch r.Next() {
		case pyjson.String:
			text, err := r.Text()
			fmt.Printf("%s: % x, written %s\n", key, text, pyjson.Append(nil, text))
			return err
		case pyjson.Number:
			n, err := r.Number()
			fmt.Printf("%s: %s\n", key, n)
			return err
		default:
			return r.Skip()
		}
	})
	fmt.Println(err, r.End())
	// Output:
	// code: 23 20 ed a0 bd, written "# \ud83d"
	// logprob: NaN
	// id: 12345678901234567890
	// <nil> <nil>
}
