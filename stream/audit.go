package stream

import "maps"

// With an audited time limit a program that runs beyond a soft limit is stopped, except a random
// share of them that runs to the full limit. Which ones is decided by a draw from 0 to 1 that
// follows from the run and the program alone: those with a draw below the share run on. What
// they come to, divided by the share, stands for all.

// Beyond reports whether the sample's program ran beyond a soft limit.
func (j *Judgement) Beyond() bool { return j.Draw > 0 }

// Stopped reports whether the sample's program was stopped at a soft limit: its verdict is
// time_limit, and nobody knows whether it would have passed.
func (j *Judgement) Stopped() bool { return j.Beyond() && j.Draw >= j.Share }

// Audited reports whether the sample's program ran beyond a soft limit and on to its end.
func (j *Judgement) Audited() bool { return j.Beyond() && j.Draw < j.Share }

// An Audit is what an audited time limit did to the samples of a cell, or of several cells.
// Programs of one text, or of one normal form, share one draw.
type Audit struct {
	Share   float64 `json:"share"`   // of the programs beyond a soft limit that run on, above 0, at most 1
	Stopped int     `json:"stopped"` // samples whose program was stopped at a soft limit; their verdict is time_limit
	Audited int     `json:"audited"` // samples whose program ran beyond a soft limit and on to its end
	Passed  int     `json:"passed"`  // of those, the ones that passed

	// How many draws have so many samples of a cell: two draws of one sample each and one of
	// five are {"1": 2, "5": 1}.
	Draws       map[int]int `json:"draws,omitempty"`        // of the audited samples
	PassedDraws map[int]int `json:"passed_draws,omitempty"` // of those that passed, counted by these alone
}

// Beyond returns how many samples ran beyond a soft limit.
func (a *Audit) Beyond() int { return a.Stopped + a.Audited }

// Add adds the audit of other cells.
func (a *Audit) Add(b *Audit) {
	a.Share = max(a.Share, b.Share)
	a.Stopped, a.Audited, a.Passed = a.Stopped+b.Stopped, a.Audited+b.Audited, a.Passed+b.Passed
	for _, m := range []struct {
		to   *map[int]int
		from map[int]int
	}{{&a.Draws, b.Draws}, {&a.PassedDraws, b.PassedDraws}} {
		if *m.to == nil && len(m.from) > 0 {
			*m.to = make(map[int]int, len(m.from))
		}
		for size, n := range m.from {
			(*m.to)[size] += n
		}
	}
}

// Clone returns a copy that shares nothing with a.
func (a *Audit) Clone() *Audit {
	out := *a
	out.Draws, out.PassedDraws = maps.Clone(a.Draws), maps.Clone(a.PassedDraws)
	return &out
}

// An AuditTally counts the audit of one cell, sample by sample. Its memory is 32 bytes for each
// draw that ran on. The zero value is ready.
type AuditTally struct {
	sum           Audit
	draws, passed map[float64]int // samples by draw
}

// Count adds one sample.
func (t *AuditTally) Count(j *Judgement) {
	if !j.Beyond() || !j.Verdict.Scored() {
		return
	}
	t.sum.Share = j.Share
	if j.Stopped() {
		t.sum.Stopped++
		return
	}
	if t.draws == nil {
		t.draws, t.passed = make(map[float64]int), make(map[float64]int)
	}
	t.sum.Audited++
	t.draws[j.Draw]++
	if j.Verdict == Passed {
		t.sum.Passed++
		t.passed[j.Draw]++
	}
}

// Audit returns what was counted, nil if no sample ran beyond a soft limit.
func (t *AuditTally) Audit() *Audit {
	if t.sum.Beyond() == 0 {
		return nil
	}
	out := t.sum
	out.Draws, out.PassedDraws = sizes(t.draws), sizes(t.passed)
	return &out
}

// sizes returns how many draws have so many samples.
func sizes(samples map[float64]int) map[int]int {
	if len(samples) == 0 {
		return nil
	}
	out := make(map[int]int)
	for _, n := range samples {
		out[n]++
	}
	return out
}
