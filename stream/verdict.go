package stream

import "fmt"

// A Verdict is the judge's decision on one sample. The zero value is not a
// verdict: a sample not yet judged holds it, and it never leaves the evaluator.
type Verdict uint8

// The verdicts, in the order in which reports list them.
const (
	Passed       Verdict = iota + 1
	WrongAnswer          // a test's output differs from the expected one
	TimeLimit            // a test, or loading the program, spent its CPU time or slept too long
	MemoryLimit          // the program wanted more memory than the limit
	OutputLimit          // a test wrote more than the limit
	RuntimeError         // the program raised, crashed or exited without an answer
	CompileError         // the program does not parse or compile
	NoCode               // the completion holds no program
	Truncated            // no closed code block, and the engine stopped for length
	Refused              // the server or a filter refused the text that the model wrote: there is no completion
	JudgeFault           // our failure, never the model's: retried, never counted
)

var verdictNames = [...]string{
	Passed: "passed", WrongAnswer: "wrong_answer", TimeLimit: "time_limit", MemoryLimit: "memory_limit",
	OutputLimit: "output_limit", RuntimeError: "runtime_error", CompileError: "compile_error",
	NoCode: "no_code", Truncated: "truncated", Refused: "refused", JudgeFault: "judge_fault",
}

// Verdicts returns all verdicts, in the order in which reports list them.
func Verdicts() []Verdict {
	all := make([]Verdict, 0, len(verdictNames)-1)
	for v := Passed; v <= JudgeFault; v++ {
		all = append(all, v)
	}
	return all
}

// Known reports whether v is one of the verdicts.
func (v Verdict) Known() bool { return v != 0 && int(v) < len(verdictNames) }

// Scored reports whether v counts towards pass@k. A JudgeFault does not: it says
// something about us, nothing about the model.
func (v Verdict) Scored() bool { return v >= Passed && v < JudgeFault }

// String returns the verdict's name in files and on subjects, "wrong_answer".
func (v Verdict) String() string {
	if !v.Known() {
		return fmt.Sprintf("Verdict(%d)", uint8(v))
	}
	return verdictNames[v]
}

// MarshalText writes the verdict's name; the zero value is an error, because a
// sample without a verdict must not be written as if it had one.
func (v Verdict) MarshalText() ([]byte, error) {
	if !v.Known() {
		return nil, fmt.Errorf("marshal verdict %d: not a verdict", uint8(v))
	}
	return []byte(verdictNames[v]), nil
}

// UnmarshalText reads a verdict's name.
func (v *Verdict) UnmarshalText(b []byte) error {
	for i, name := range verdictNames {
		if i > 0 && name == string(b) {
			*v = Verdict(i) // i is an index of verdictNames, far below 256
			return nil
		}
	}
	return fmt.Errorf("unmarshal verdict %q: unknown name", b)
}
