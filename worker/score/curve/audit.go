package curve

import (
	"fmt"
	"math"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/score"
)

// An Audited is what an audited time limit did to the results at one temperature.
type Audited struct {
	Temperature float64 `json:"temperature"`
	Share       float64 `json:"share"`         // of the programs beyond the soft limit that ran on
	Stopped     int     `json:"stopped"`       // samples whose program was stopped
	Audited     int     `json:"audited"`       // samples whose program ran on
	StoppedOf   float64 `json:"stopped_share"` // of all samples
	Uncorrected float64 `json:"uncorrected"`   // pass@1 if every stopped program had failed: a lower bound of what the full limit gives
	Corrected   float64 `json:"corrected"`     // pass@1, the unbiased estimate of what the full limit gives
	// StandardError is what the audit adds to that of pass@1: they add up as squares. It is 0 where
	// no program passed in the audit; then FalseStops says what may be hidden.
	StandardError float64        `json:"standard_error"`
	FalseStops    float64        `json:"false_stops"`          // stopped samples that would have passed, estimated
	Interval      score.Interval `json:"false_stops_interval"` // for that number, at the level
}

// share returns that of the sweep's audited time limit, and 0 if no program ran beyond a soft limit.
func (s *Sweep) share() float64 {
	out := 0.0
	for i := range s.Questions {
		for t := range s.Questions[i].Cells {
			if audit := s.Questions[i].Cells[t].Audit; audit != nil {
				out = max(out, audit.Share)
			}
		}
	}
	return out
}

func auditOf(c *stream.Counts) score.Audit {
	if c.Audit == nil {
		return score.Audit{Share: 1}
	}
	return score.Audit{Share: c.Audit.Share, Passed: c.Audit.PassedDraws, Draws: c.Audit.Draws, Stopped: c.Audit.Stopped}
}

// corrected returns the counts with as many passed as are estimated. Only intervals come from
// these whole numbers: the value of a score is the estimate itself.
func corrected(c *stream.Counts) score.Count {
	if c.Audit == nil {
		return count(c)
	}
	return score.Count{N: c.N, C: min(c.N, max(0, int(math.Round(c.Rate()/100*float64(c.N)))))}
}

// reach returns the largest k for which n samples have a pass@k, in a sweep with such a share.
func reach(n int, share float64) int {
	if share == 0 || n == 0 {
		return n
	}
	return score.Audit{Share: share}.Reach(n)
}

// room returns the largest k that a cell has samples for.
func (a *analyser) room(t, question int) int {
	return reach(a.Questions[question].Cells[t].N, a.share)
}

// scores returns the scores of cells of one temperature, and the counts that they are made of. Cells with
// samples beyond a soft limit have the unbiased estimates, with what the audit adds to their variance.
func scores(cells []*stream.Counts, k int, level float64) ([]score.Score, []score.Count, error) {
	counts := make([]score.Count, len(cells))
	for i, c := range cells {
		counts[i] = corrected(c)
	}
	out, err := score.Scores(counts, k)
	if err != nil {
		return nil, nil, err
	}
	for i, c := range cells {
		if c.Audit == nil {
			continue
		}
		if out[i].Value, err = auditOf(c).PassAtK(count(c), k); err != nil {
			return nil, nil, err
		}
		added, err := auditOf(c).Variance(count(c), k)
		if err != nil {
			return nil, nil, err
		}
		out[i].Variance += added
		out[i].Drawn = math.Sqrt(added)
	}
	return out, counts, hide(out, cells, k, level)
}

// hide says in scores how much their mean may be higher than is seen.
func hide(scores []score.Score, cells []*stream.Counts, k int, level float64) error {
	h, err := hiding(cells, k, level)
	for i := range scores {
		scores[i].Hidden = h
	}
	return err
}

// hatK returns the mean of pass^k over questions, all of which have room for k.
func (a *analyser) hatK(t, k int, which []int) (float64, error) {
	sum := 0.0
	for _, q := range which {
		c := &a.Questions[q].Cells[t]
		p, err := auditOf(c).PassHatK(count(c), k)
		if err != nil {
			return 0, err
		}
		sum += p
	}
	return sum / float64(len(which)), nil
}

// hiding is by how much the mean pass@k of cells may be higher than is seen because no program
// passed in the audit there: then nothing shows the scatter of what the audit adds.
func hiding(cells []*stream.Counts, k int, level float64) (float64, error) {
	sum := stream.Counts{}
	for _, c := range cells {
		switch {
		case c.Audit == nil:
			sum.N += c.N
		case c.Audit.Passed > 0:
			return 0, nil
		default:
			sum.Add(c)
		}
	}
	if sum.Audit == nil {
		return 0, nil
	}
	_, stops, err := auditOf(&sum).FalseStops(level)
	return float64(k) * stops.High / float64(sum.N), err
}

// cells returns those of some questions at a temperature.
func (s *Sweep) cells(t int, questions []int) []*stream.Counts {
	out := make([]*stream.Counts, len(questions))
	for i, q := range questions {
		out[i] = &s.Questions[q].Cells[t]
	}
	return out
}

// audits fills in out.Audited.
func (a *analyser) audits(out *Analysis) error {
	if a.share == 0 {
		return nil
	}
	for t, temperature := range a.Temperatures {
		sum := stream.Counts{}
		x := Audited{Temperature: temperature, Share: a.share}
		questions, variance := 0, 0.0
		for i := range a.Questions {
			c := &a.Questions[i].Cells[t]
			if c.N == 0 {
				continue
			}
			questions++
			sum.Add(c)
			x.Uncorrected += count(c).Rate()
			x.Corrected += c.Rate() / 100
			if c.Audit == nil {
				continue
			}
			v, err := auditOf(c).Variance(count(c), 1)
			if err != nil {
				return err
			}
			variance += v
		}
		if questions == 0 {
			continue
		}
		of := float64(questions)
		x.Uncorrected, x.Corrected, x.StandardError = x.Uncorrected/of, x.Corrected/of, math.Sqrt(variance)/of
		if sum.Audit != nil {
			x.Stopped, x.Audited = sum.Audit.Stopped, sum.Audit.Audited
			x.StoppedOf = float64(x.Stopped) / float64(sum.N)
			var err error
			if x.FalseStops, x.Interval, err = auditOf(&sum).FalseStops(a.level); err != nil {
				return err
			}
		}
		out.Audited = append(out.Audited, x)
	}
	return nil
}

// auditedPair says what an audited time limit means for a comparison.
const auditedPair = "programs were stopped by an audited time limit: values are corrected for them and unbiased, and what the audit leaves open is in every interval and P; k ends where pass@k is told, and questions that changed are not listed, since their test needs counts"

// auditedLeague is auditedPair for several results.
const auditedLeague = "programs were stopped by an audited time limit: values are corrected for them and unbiased, what the audit leaves open is in every interval and P, and k ends where pass@k is told"

// noteAudited says what a reader of audited results must know.
func noteAudited(out *Analysis) string {
	stopped, samples, wrong := 0, 0, 0.0
	for i := range out.Audited {
		stopped, wrong = stopped+out.Audited[i].Stopped, wrong+out.Audited[i].FalseStops
	}
	for i := range out.Temperatures {
		samples += out.Temperatures[i].Samples
	}
	return fmt.Sprintf("the time limit is audited at a share of %v: %s of %s samples (%.3g %%) were stopped at a soft limit, of which an estimated %.0f would have passed; pass rates and pass@k are corrected for them and unbiased, up to k = %v times the samples of a question; counts of passed samples and verdicts are not corrected, and what needs them alone is left out",
		out.Audited[0].Share, thousands(stopped), thousands(samples), 100*float64(stopped)/float64(max(1, samples)), wrong, out.Audited[0].Share)
}
