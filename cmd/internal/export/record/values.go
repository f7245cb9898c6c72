package record

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/lcbq/lcbq/worker/lcb/dataset"
	"github.com/lcbq/lcbq/worker/lcb/result"
	"github.com/lcbq/lcbq/worker/score/curve"
)

func (r *Run) results() []object {
	out := []object{}
	if r.Analysis == nil {
		return out
	}
	for i := range r.Analysis.Temperatures {
		t := &r.Analysis.Temperatures[i]
		headline := curve.Headline(t.NMax)
		for j := range t.Points {
			p := &t.Points[j]
			for _, k := range headline {
				if p.K == k {
					out = append(out, r.result(t, p))
				}
			}
		}
	}
	return slices.Concat(out, r.splits(), r.cutoff())
}

// result is one value of all questions, with what the analysis found of it.
func (r *Run) result(t *curve.Temperature, p *curve.Point) object {
	out, details := r.value(t.Temperature, p, group{})
	details["samples_per_question_min"], details["samples_per_question_max"] = strconv.Itoa(t.NMin), strconv.Itoa(t.NMax)
	for i := range r.Analysis.Best {
		if b := &r.Analysis.Best[i]; b.K == p.K && b.Temperature == t.Temperature && b.Selected != nil {
			details["selected_as_highest_of"] = strconv.Itoa(b.Selected.Of)
			details["selected_too_high_at_most_these_questions"], details["selected_too_high_at_most"] = number(b.Selected.These), number(b.Selected.Like)
		}
	}
	r.found(details, t, p)
	if u := r.Summary.Until; u != nil {
		details["samples_chosen_by_results"] = fmt.Sprintf("until half the anytime interval of pass@%d is at most %s, at most %d samples: read the anytime interval, the sampling interval takes the number of samples for given", u.K, number(u.Half), u.Most)
		for _, x := range u.Temperatures {
			if x.Temperature == t.Temperature {
				details["samples_chosen_half_width"], details["samples_chosen_reached"] = number(x.Half), strconv.FormatBool(x.Reached)
			}
		}
	}
	return out
}

// value is one value of a group of questions with its intervals, and the details of it, which the caller adds to.
func (r *Run) value(temperature float64, p *curve.Point, of group) (out, details object) {
	s := r.Summary
	source := object{"dataset_name": orUnknown(s.Problems.Name), "source_type": "other"}
	if r.Release != "" {
		source = object{"dataset_name": "LiveCodeBench " + r.Release, "source_type": "hf_dataset", "hf_repo": dataset.Repository, "hf_split": "test", "samples_number": s.Problems.Count}
		if s.Problems.Revision != "" {
			source["additional_details"] = object{"revision": s.Problems.Revision}
		}
	}
	args := object{"temperature": temperature}
	if s.Sampling.MaxTokens > 0 {
		args["max_tokens"], args["top_p"], args["top_k"] = s.Sampling.MaxTokens, s.Sampling.TopP, s.Sampling.TopK
	}
	if s.Sampling.Thinking != nil {
		args["reasoning"] = *s.Sampling.Thinking
	}
	details = object{
		"questions": strconv.Itoa(p.Questions), "reliable": strconv.FormatBool(p.Reliable), "pass_hat_k": number(p.PassHatK),
		"sampling_interval_low": number(p.Sampling.Low), "sampling_interval_high": number(p.Sampling.High),
		"anytime_interval_low": number(p.Anytime.Low), "anytime_interval_high": number(p.Anytime.High),
	}
	score := object{"score": p.Value, "details": details}
	if p.Population != nil {
		if c := p.Population.Contest; c != nil {
			details["by_contest_interval_low"], details["by_contest_interval_high"] = number(c.Low), number(c.High)
		}
		score["uncertainty"] = object{
			"confidence_interval": object{
				"lower": p.Population.Low, "upper": p.Population.High, "confidence_level": r.Analysis.Level,
				"method": "over questions, beta with the variance of the question scores",
			},
			"num_samples": p.Questions,
		}
	}
	name := fmt.Sprintf("pass@%d", p.K)
	title, id := "LiveCodeBench code generation, "+name+", temperature "+number(temperature), result.TempName(temperature)+"/"+name
	parameters := object{"k": p.K}
	if of.by != "" {
		title, id = title+", "+of.words(), id+"/"+of.by+"/"+of.name
		parameters["split_by"], parameters["split"] = of.by, of.name
	}
	return object{
		"evaluation_name": title, "source_data": source, "evaluation_result_id": id,
		"metric_config": object{
			"evaluation_description": "unbiased estimate of the chance that one of k samples passes all tests, mean over questions",
			"metric_id":              "pass_at_k", "metric_name": name, "metric_kind": "pass_rate", "metric_unit": "proportion", "metric_parameters": parameters,
			"lower_is_better": false, "score_type": "continuous", "min_score": 0, "max_score": 1,
		},
		"score_details": score, "generation_config": object{"generation_args": args},
	}, details
}
