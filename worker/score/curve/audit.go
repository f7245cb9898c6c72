package curve

import (
	"errors"
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

// ErrAudited says that a sweep is not compared: programs of it were stopped at a soft limit, so that
// its counts are not those of a run with a full limit.
var ErrAudited = errors.New("programs were stopped by an audited time limit: such results are not compared with others\njudge both with the full limit, or read the intervals of each report")

// audited reports whether programs of the sweep were stopped at a soft limit.
func (s *Sweep) audited() bool {
	for i := range s.Questions {
		for t := range s.Questions[i].Cells {
			if s.Questions[i].Cells[t].Audit != nil {
				return true
			}
		}
	}
	return false
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

// room returns the largest k that a cell has samples for.
func (a *analyser) room(t, question int) int {
	n := a.Questions[question].Cells[t].N
	if a.share == 0 || n == 0 {
		return n
	}
	return score.Audit{Share: a.share}.Reach(n)
}

// audit replaces the scores of cells with samples beyond a soft limit by the unbiased estimates.
func (a *analyser) audit(scores []score.Score, t, k int, which []int) error {
	for i, q := range which {
		c := &a.Questions[q].Cells[t]
		if c.Audit == nil {
			continue
		}
		var err error
		if scores[i].Value, err = auditOf(c).PassAtK(count(c), k); err != nil {
			return err
		}
		added, err := auditOf(c).Variance(count(c), k)
		if err != nil {
			return err
		}
		scores[i].Variance += added
	}
	return nil
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

// hiding is by how much pass@k at temperature t may be higher than is seen because no program
// passed in the audit there: then nothing shows the scatter of what the audit adds.
func (a *analyser) hiding(t, k int, which []int) (float64, error) {
	sum, n := stream.Counts{}, 0
	for _, q := range which {
		sum.Add(&a.Questions[q].Cells[t])
		n++
	}
	if sum.Audit == nil || sum.Audit.Passed > 0 || sum.N == 0 {
		return 0, nil
	}
	_, stops, err := auditOf(&sum).FalseStops(a.level)
	return float64(k) * stops.High / float64(sum.N), err
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
