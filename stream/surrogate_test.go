package stream

import (
	"reflect"
	"strings"
	"testing"
)

// TestHalfSurrogate wants text that JSON cannot hold back as it went, in both messages that carry samples,
// small and compressed, and the message of the caller left as it is.
func TestHalfSurrogate(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, compressFrom} {
		long := strings.Repeat("x", size)
		b := Batch{Samples: []Sample{{Completion: "good é" + long}, {Completion: "\xed\xa0\xbd" + long, Code: "fine"}, {Index: 2, Code: "# \xed\xb8\x80\xff"}}}
		body, err := Encode(&b)
		if err != nil {
			t.Fatal(err)
		}
		var back Batch
		if err := Decode(body, &back); err != nil || !reflect.DeepEqual(back, b) {
			t.Errorf("batch came back as %+v, %v, want %+v", back, err, b)
		}
		s := Scored{Batch: b, Evaluator: "cpu0"}
		if body, err = Encode(&s); err != nil {
			t.Fatal(err)
		}
		var scored Scored
		if err := Decode(body, &scored); err != nil || !reflect.DeepEqual(scored, s) {
			t.Errorf("scored came back as %+v, %v", scored, err)
		}
	}
}
