package stream_test

import (
	"fmt"

	"github.com/lcbq/lcbq/stream"
)

// A unit's subject says all that it is, and is read back from it.
func ExampleParseSubject() {
	u := stream.Unit{Cell: stream.Cell{Run: "r1", Question: 12, Temperature: 700}, Index: 42}
	subject := u.Subject(stream.Evaluate)
	stage, again, err := stream.ParseSubject(subject)
	fmt.Println(subject)
	fmt.Println(stage, again == u, err)
	_, _, err = stream.ParseSubject("evaluate.r1.q012.t0_7.u0042")
	fmt.Println(err)
	// Output:
	// evaluate.r1.q12.t0_7.u0042
	// evaluate true <nil>
	// subject "evaluate.r1.q012.t0_7.u0042": number "012": want digits without leading zeros
}

// What a worker publishes, and the next one reads.
func ExampleEncode() {
	task := stream.Task{Unit: stream.Unit{Cell: stream.Cell{Run: "r1", Temperature: 200}}, First: 0, N: 100}
	body, err := stream.Encode(task)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(body))
	var again stream.Task
	fmt.Println(stream.Decode(body, &again), again == task)
	fmt.Println(stream.Decode([]byte("hello"), &again))
	// Output:
	// {"run":"r1","question":0,"temperature":"0.2","unit":0,"first":0,"n":100}
	// <nil> true
	// decode *stream.Task: poison message: invalid character 'h' looking for beginning of value
}
