package curve

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/lcbq/lcbq/worker/score"
)

// fewQuestions is the number below which a comparison over questions has too
// little power to be read as more than a hint (Bowyer et al. 2025 advise against
// intervals by the central limit theorem below a few hundred).
const fewQuestions = 30

// notes fills in out.Notes.
func (a *analyser) notes(out *Analysis) error {
	out.Notes = []Note{}
	add := func(code, format string, args ...any) {
		out.Notes = append(out.Notes, Note{code, fmt.Sprintf(format, args...)})
	}
	samples, passed, unscored, missing, least, most := 0, 0, 0, 0, 0, 0
	var unscoredAt, missingAt, greedy []string
	for i := range out.Temperatures {
		x := &out.Temperatures[i]
		samples, passed, unscored, missing = samples+x.Samples, passed+x.Passed, unscored+x.Unscored, missing+x.Missing
		if x.Questions > 0 {
			if least == 0 || x.NMin < least {
				least = x.NMin
			}
			most = max(most, x.NMax)
		}
		if x.Unscored > 0 {
			unscoredAt = append(unscoredAt, decimal(x.Temperature))
		}
		if x.Missing > 0 {
			missingAt = append(missingAt, decimal(x.Temperature))
		}
		if x.Temperature == 0 && x.Samples > x.Questions {
			greedy = append(greedy, fmt.Sprintf("%d samples are %d distinct programs", x.Samples, x.UniquePrograms))
		}
	}
	if samples == 0 {
		add(NoteNoSamples, "no sample was scored: there is nothing to say of pass@k")
		return nil
	}
	if len(out.Audited) > 0 {
		add(NoteAudited, "%s", noteAudited(out))
	}
	switch {
	case passed == 0 && a.share > 0: // the bounds of the others are for verdicts that are known
		add(NoteNothing, "none of %s samples passed, of which some were stopped", thousands(samples))
	case passed == 0:
		bound, err := score.UpperBound(samples, 0, a.level)
		if err != nil {
			return err
		}
		add(NoteNothing, "none of %s samples passed: the mean pass rate is below %.2g %% (%s, one-sided), not known to be 0", thousands(samples), 100*bound, percent(a.level))
	case passed == samples:
		bound, err := score.LowerBound(samples, samples, a.level)
		if err != nil {
			return err
		}
		add(NoteEverything, "all of %s samples passed: the mean pass rate is above %s %% (%s, one-sided), not known to be 1", thousands(samples), floor(bound), percent(a.level))
	}
	switch {
	case len(a.Questions) == 1:
		add(NoteOneQuestion, "one question only: intervals are for its samples; nothing can be said of other questions, nor of which temperature is best for them")
	case len(a.Questions) < fewQuestions:
		add(NoteFew, "%d questions are few: read intervals over questions as a hint", len(a.Questions))
	}
	if least != most {
		add(NoteRagged, "cells have %d to %d samples: curves end at k = %d; a second curve goes on, over the questions that have more", least, most, least)
	}
	if missing > 0 {
		over := fmt.Sprintf("pass@k is over the %d questions that have samples at every temperature", len(a.among))
		if len(a.among) == 0 {
			over = "no question has samples at every temperature, so temperatures must not be compared"
		}
		add(NoteMissing, "%d cells have no scored samples, at %s: %s", missing, temperatures(missingAt), over)
	}
	if unscored > 0 {
		add(NoteUnscored, "%d samples could not be judged, at %s: they are in no count", unscored, temperatures(unscoredAt))
	}
	if little := a.little(out); little != "" {
		add(NoteUnreliable, "%s is little known: by more than 2 points either way on these questions, or from fewer than 2k samples (marked ?)", little)
	}
	for _, g := range greedy {
		add(NoteGreedy, "temperature 0 is greedy: %s, so they are not independent draws, and sampling intervals there are too narrow", g)
	}
	return nil
}

// little names the k at which values are little known.
func (a *analyser) little(out *Analysis) string {
	from := 0
	always := true // from there on
	for _, k := range a.ladder {
		some, all := false, true
		for _, t := range out.Temperatures {
			for _, p := range t.Points {
				if p.K == k {
					some, all = some || !p.Reliable, all && !p.Reliable
				}
			}
		}
		if some && from == 0 {
			from = k
		}
		always = always && (from == 0 || all)
	}
	switch {
	case from == 0:
		return ""
	case always:
		return fmt.Sprintf("pass@k from k = %d on", from)
	default:
		return fmt.Sprintf("some pass@k from k = %d on", from)
	}
}

func decimal(t float64) string {
	s := strconv.FormatFloat(t, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

func temperatures(list []string) string {
	if len(list) == 1 {
		return "temperature " + list[0]
	}
	if len(list) > 4 {
		return fmt.Sprintf("%d temperatures from %s to %s", len(list), list[0], list[len(list)-1])
	}
	return "temperatures " + strings.Join(list[:len(list)-1], ", ") + " and " + list[len(list)-1]
}

// floor writes a share as a percentage, rounded down, with the decimals that tell it from 100.
func floor(share float64) string {
	digits := max(1, int(math.Ceil(-math.Log10(100*(1-share))))+1)
	unit := math.Pow10(digits)
	return strconv.FormatFloat(math.Floor(100*share*unit)/unit, 'f', digits, 64)
}

// thousands writes a count with its thousands apart.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func percent(level float64) string { return strconv.FormatFloat(100*level, 'g', 6, 64) + " %" }
