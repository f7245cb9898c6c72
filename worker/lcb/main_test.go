package lcb

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shared opens a file of the recorded LiveCodeBench data, which lies beside the
// checkout on machines that have it.
func shared(tb testing.TB, name string) *os.File {
	tb.Helper()
	dir, err := filepath.Abs(".")
	if err != nil {
		tb.Fatal(err)
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		path := filepath.Join(dir, "shared", "lcb", name)
		if f, err := os.Open(path); err == nil {
			tb.Cleanup(func() { _ = f.Close() })
			return f
		}
	}
	tb.Skipf("no recorded data: no shared/lcb/%s above this folder", name)
	return nil
}

// pickleOf writes text as Python's pickle protocol 4 does, the opcode for its
// length chosen by op.
func pickleOf(text string, op byte) []byte {
	b := []byte{opProto, 4, opFrame}
	size := map[byte]int{opShortBinUnicode: 1, opBinUnicode: 4, opBinUnicode8: 8}[op]
	b = binary.LittleEndian.AppendUint64(b, uint64(1+size+len(text)+2))
	b = append(b, op)
	b = append(b, binary.LittleEndian.AppendUint64(nil, uint64(len(text)))[:size]...)
	b = append(b, text...)
	return append(b, opMemoize, opStop)
}

// packed is the encoded form of private tests.
func packed(pickle []byte) string {
	var buf bytes.Buffer
	w := zlib.NewWriter(&buf)
	_, _ = w.Write(pickle)
	_ = w.Close()
	return base64.StdEncoding.EncodeToString(buf.Bytes())
}

func packedText(text string) string { return packed(pickleOf(text, opBinUnicode)) }

// row is a good stdin row with some fields changed; nil removes a field.
func row(change map[string]any) []byte {
	fields := map[string]any{
		"question_title": "Sum", "question_content": "Add two numbers.", "platform": "atcoder", "question_id": "abc1_a",
		"contest_id": "abc1", "contest_date": "2025-01-04T00:00:00", "starter_code": "", "difficulty": "easy",
		"public_test_cases":  `[{"input": "1 2\n", "output": "3\n", "testtype": "stdin"}]`,
		"private_test_cases": packedText(`[{"input": "4 5", "output": "9", "testtype": "stdin"}]`),
		"metadata":           "{}",
	}
	for key, value := range change {
		if value == nil {
			delete(fields, key)
		} else {
			fields[key] = value
		}
	}
	b, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	return b
}
