package stream

import "maps"

// Counts are what can be counted of the samples of one cell. They are the same in
// the store, in a cell's header, in its line of a summary and in an analysis; a sum
// over cells has them too, and says there what its rates are means of.
type Counts struct {
	N              int             `json:"n"`                 // scored samples
	Passed         int             `json:"passed"`            // of those, the ones that passed: 0 to N
	PassRate       float64         `json:"pass_rate"`         // percent: Rate
	GenTPS         float64         `json:"gen_tps"`           // completion tokens per second per GPU while the cell was generated; 0 if unknown
	Unscored       int             `json:"unscored"`          // samples with verdict judge_fault, beyond N
	Verdicts       map[Verdict]int `json:"verdicts"`          // samples by verdict, zeros left out; they sum to N + Unscored
	UniquePrograms int             `json:"unique_programs"`   // distinct programs among the scored samples; 0 if not counted
	UniquePassed   int             `json:"unique_passed"`     // distinct programs among those that passed; 0 if not counted
	Tokens         int64           `json:"completion_tokens"` // sum of the samples' tokens
	JudgeCPU       float64         `json:"judge_cpu_s"`       // sum of the cpu_s of the samples that are not cached: seconds spent on judging; 0 if not counted
	Answers        *Answers        `json:"answers,omitempty"` // of all N + Unscored samples; nil if not counted
	Audit          *Audit          `json:"audit,omitempty"`   // of the time limit; nil if no sample ran beyond a soft limit
}

// Held returns how many samples there are, scored or not.
func (c *Counts) Held() int { return c.N + c.Unscored }

// PassRate returns the share of passed among n, in percent, and 0 if n is 0.
func PassRate(passed, n int) float64 {
	if n == 0 {
		return 0
	}
	return 100 * float64(passed) / float64(n)
}

// Rate returns the share that passed of one cell, in percent. With an audited time limit it is
// the estimate by inverse probability: each sample that passed beyond a soft limit stands for
// 1/share samples. It is unbiased, and so may be above 100.
func (c *Counts) Rate() float64 {
	if c.Audit == nil || c.N == 0 || c.Audit.Passed == 0 {
		return PassRate(c.Passed, c.N)
	}
	return 100 * (float64(c.Passed-c.Audit.Passed) + float64(c.Audit.Passed)/c.Audit.Share) / float64(c.N)
}

// Count adds one sample. It leaves alone what follows from several samples: the
// pass rate, the speed, the distinct programs and the audit.
func (c *Counts) Count(s *Sample, j *Judgement) {
	if c.Verdicts == nil {
		c.Verdicts = make(map[Verdict]int)
	}
	c.Verdicts[j.Verdict]++
	c.Tokens += int64(s.Tokens)
	if !j.Cached {
		c.JudgeCPU += j.CPU
	}
	if c.Answers == nil {
		c.Answers = new(Answers)
	}
	c.Answers.Count(s)
	if !j.Verdict.Scored() {
		c.Unscored++
		return
	}
	c.N++
	if j.Verdict == Passed {
		c.Passed++
	}
}

// Add adds another cell's counts. The caller decides what becomes of the rates,
// PassRate and GenTPS: they do not add up.
func (c *Counts) Add(b *Counts) {
	c.N += b.N
	c.Passed += b.Passed
	c.Unscored += b.Unscored
	c.UniquePrograms += b.UniquePrograms
	c.UniquePassed += b.UniquePassed
	c.Tokens += b.Tokens
	c.JudgeCPU += b.JudgeCPU
	if c.Verdicts == nil {
		c.Verdicts = make(map[Verdict]int, len(b.Verdicts))
	}
	for v, n := range b.Verdicts {
		c.Verdicts[v] += n
	}
	if b.Answers != nil {
		if c.Answers == nil {
			c.Answers = new(Answers)
		}
		c.Answers.Add(b.Answers)
	}
	if b.Audit != nil {
		if c.Audit == nil {
			c.Audit = new(Audit)
		}
		c.Audit.Add(b.Audit)
	}
}

// Clone returns a copy that shares nothing with c.
func (c *Counts) Clone() Counts {
	out := *c
	out.Verdicts = maps.Clone(c.Verdicts)
	if c.Answers != nil {
		out.Answers = c.Answers.Clone()
	}
	if c.Audit != nil {
		out.Audit = c.Audit.Clone()
	}
	return out
}
