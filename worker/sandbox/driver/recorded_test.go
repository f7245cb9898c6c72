package driver_test

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"io"
	"sync"
	"testing"
)

// TestCornerCases runs the probes of single behaviours that the official
// runner was given, of those that run into the limit one in twelve, unless -full is given.
func TestCornerCases(t *testing.T) {
	t.Parallel()
	type probe struct {
		Name            string
		FnName          *string `json:"fn_name"`
		Code            string
		Inputs, Outputs []string
		Passed          bool
		ErrorCode       *int `json:"error_code"`
		Note            string
	}
	probes := rows[probe](t, shared(t, "corner_cases.jsonl"))
	r := newRunner(t, "lcb")
	codes, marked, exact := 0, 0, official(t)
	seen := 0
	for _, p := range probes {
		want := 0
		if p.ErrorCode != nil {
			want = *p.ErrorCode
		}
		if want == -3 && !drawn(p.Name, 12) {
			continue
		}
		seen++
		job := program{Func: p.FnName, Source: p.Code, Inputs: p.Inputs, CPU: 10}
		if want == -3 || p.Note != "" {
			job.CPU = 1 // or it is waited for in vain for longer
		}
		got := judged(t, r.run(t, job), p.FnName != nil, p.Outputs)
		switch {
		case p.Note != "":
			marked++
			t.Logf("%s: official %d, here %d: %s", p.Name, want, got.code, p.Note)
		case (got.code == 0) != p.Passed:
			t.Errorf("%s: code %d (%s), official %d", p.Name, got.code, got.detail, want)
		case got.code != want && exact:
			t.Errorf("%s: code %d (%s), official %d", p.Name, got.code, got.detail, want)
		case got.code != want:
			t.Logf("%s: code %d (%s), official %d", p.Name, got.code, got.detail, want)
		}
		if got.code == want {
			codes++
		}
	}
	t.Logf("%d of %d probes, %d with a note, %d with the official code", seen, len(probes), marked, codes)
	// Of all probes: which of those that time out are in the sample is a matter of the draw.
	if other := seen - codes; float64(other) > 0.03*float64(len(probes)) {
		t.Errorf("another code than the official one on %d, want 3 %% of %d at most", other, len(probes))
	}
}

type recordedProblem struct {
	ID       string `json:"question_id"`
	Public   string `json:"public_test_cases"`
	Private  string `json:"private_test_cases"`
	Metadata string

	fn              *string
	inputs, outputs []string
}

// decode reads the tests. The pickle holds one string.
func (p *recordedProblem) decode(t *testing.T) {
	t.Helper()
	var meta struct {
		FuncName *string `json:"func_name"`
	}
	if err := json.Unmarshal([]byte(p.Metadata), &meta); err != nil {
		t.Fatal(err)
	}
	p.fn = meta.FuncName
	packed, err := base64.StdEncoding.DecodeString(p.Private)
	if err != nil {
		t.Fatal(err)
	}
	z, err := zlib.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	pickle, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	pickle = pickle[2:] // the protocol
	if pickle[0] == 0x95 {
		pickle = pickle[9:] // a frame
	}
	var private []byte
	switch n := pickle[1:]; pickle[0] {
	case 0x8c:
		private = n[1:][:n[0]]
	case 'X':
		private = n[4:][:binary.LittleEndian.Uint32(n)]
	default:
		t.Fatalf("tests of %s: opcode %#x", p.ID, pickle[0])
	}
	for _, text := range []string{p.Public, string(private)} {
		var tests []struct{ Input, Output string }
		if err := json.Unmarshal([]byte(text), &tests); err != nil {
			t.Fatalf("decode tests of %s: %v", p.ID, err)
		}
		for _, test := range tests {
			p.inputs = append(p.inputs, test.Input)
			p.outputs = append(p.outputs, test.Output)
		}
	}
}

type recordedVerdict struct {
	Question   string `json:"question_id"`
	Completion string `json:"completion_id"`
	Passed     bool
	ErrorCode  *int `json:"error_code"`
	Error      string
	Results    int
}

// TestRecordedVerdicts judges recorded completions and compares with the official
// verdicts on them: on one in eighty of the distinct programs of a question, and of those
// that timed out one in 200, unless -full is given.
func TestRecordedVerdicts(t *testing.T) {
	t.Parallel()
	problems := map[string]*recordedProblem{}
	for _, p := range rows[*recordedProblem](t, shared(t, "problems.jsonl")) {
		p.decode(t)
		problems[p.ID] = p
	}
	codes := map[string]string{}
	type completion struct {
		ID   string `json:"completion_id"`
		Code string
	}
	for _, c := range rows[completion](t, shared(t, "completions.jsonl")) {
		codes[c.ID] = c.Code
	}
	verdicts := rows[recordedVerdict](t, shared(t, "official_verdicts.jsonl"))
	var tally struct {
		sync.Mutex
		run, outcome, code, tests int
	}
	jobs := make(chan recordedVerdict)
	var judges sync.WaitGroup
	for range 2 {
		r := newRunner(t, "lcb")
		judges.Go(func() {
			for v := range jobs {
				p := problems[v.Question]
				want := 0
				if v.ErrorCode != nil {
					want = *v.ErrorCode
				}
				// No passing program took more than 1.1 s when it was recorded.
				// Tests after the first that failed would be run in vain.
				job := program{Func: p.fn, Source: codes[v.Completion], Inputs: p.inputs[:v.Results], CPU: 10}
				if want == -3 {
					job.CPU = 2
				}
				got := judged(t, r.run(t, job), p.fn != nil, p.outputs[:v.Results])
				tally.Lock()
				tally.run++
				if (got.code == 0) != v.Passed {
					tally.outcome++
					t.Errorf("%s: code %d at %d (%s), official %d at %d (%s)", v.Completion, got.code, got.tests, got.detail, want, v.Results, v.Error)
				} else if got.code != want || got.tests != v.Results {
					t.Logf("%s: code %d at %d (%s), official %d at %d (%s)", v.Completion, got.code, got.tests, got.detail, want, v.Results, v.Error)
				}
				if got.code != want {
					tally.code++
				}
				if got.tests != v.Results {
					tally.tests++
				}
				tally.Unlock()
			}
		})
	}
	type same struct{ question, code string }
	seen := make(map[same]bool) // three in ten completions repeat another's program
	for _, v := range verdicts {
		k := same{v.Question, codes[v.Completion]}
		one := uint64(80)
		if v.ErrorCode != nil && *v.ErrorCode == -3 {
			one = 200
		}
		if !seen[k] && drawn(v.Question+k.code, one) {
			jobs <- v
		}
		seen[k] = true
	}
	close(jobs)
	judges.Wait()
	t.Logf("sample %d, %d programs: %d other outcomes, %d other codes, %d other numbers of tests", *sample, tally.run, tally.outcome, tally.code, tally.tests)
	if tally.run < 30 {
		t.Errorf("%d programs were run, want 30", tally.run)
	}
	if tally.code > 1+tally.run/200 {
		t.Errorf("other code on %d of %d, want at most one in 200", tally.code, tally.run)
	}
}
