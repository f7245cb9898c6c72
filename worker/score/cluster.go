package score

import (
	"fmt"
	"math"
)

// clusterMeans returns one value for each cluster: what its questions add to the mean of
// all, times the number of clusters, so that the values have the same mean. Clusters
// with more questions weigh more. It returns nil for fewer than two clusters.
func clusterMeans(x []float64, clusters []int) []float64 {
	at := make(map[int]int)
	var out []float64
	for i, c := range clusters {
		j, ok := at[c]
		if !ok {
			j = len(out)
			at[c] = j
			out = append(out, 0)
		}
		out[j] += x[i]
	}
	if len(out) < 2 {
		return nil
	}
	for j := range out {
		out[j] *= float64(len(out)) / float64(len(x))
	}
	return out
}

// kish is the number of equally large clusters that say as much as these do.
func kish(clusters []int) float64 {
	size := make(map[int]float64)
	for _, c := range clusters {
		size[c]++
	}
	squares := 0.0
	for _, n := range size {
		squares += n * n
	}
	n := float64(len(clusters))
	return n * n / squares
}

// ClusteredInterval is PopulationInterval by Beta for questions that come in clusters, such
// as contests: another set would be of other clusters, whose questions are alike again.
// clusters names that of each score. The scatter is that of the clusters, with as many
// degrees of freedom as there are clusters of equal size. It is never narrower than the
// interval that takes all questions for independent.
//
// Source: Cameron and Miller 2015, section II; for language models Miller 2024. The error
// is ErrUndefined for fewer than two clusters, else as PopulationInterval's.
func ClusteredInterval(scores []float64, clusters []int, level float64) (Interval, error) {
	if len(clusters) != len(scores) {
		return Interval{}, fmt.Errorf("spread over clusters: %d scores with %d clusters, want one each", len(scores), len(clusters))
	}
	plain, err := PopulationInterval(scores, level, Beta, Bootstrap{})
	if err != nil {
		return Interval{}, err
	}
	means := clusterMeans(scores, clusters)
	if means == nil {
		return Interval{}, fmt.Errorf("spread over clusters: %w: all questions are of one", ErrUndefined)
	}
	m, effective := mean(scores), kish(clusters)
	other := 1 - math.Pow((1-level)/2, 1/effective)
	out := Interval{m - other*m, m + other*(1-m)}
	if sd := deviation(means, m); sd > 0 {
		z := normalQuantile((1 + level) / 2)
		t := studentQuantile((1+level)/2, max(1, min(effective-1, degrees(means, m, sd))))
		wide := sd * sd / float64(len(means)) * (t / z) * (t / z)
		i := lean(asRate(m, wide, level), means, m, sd, t)
		out = Interval{min(out.Low, i.Low), max(out.High, i.High)}
	}
	return around(m, Interval{max(0, min(plain.Low, out.Low)), min(1, max(plain.High, out.High))}), nil
}

// CompareClustered is the interval of Compare for QuestionsLike where questions come in
// clusters. It is never narrower than that. The error is ErrUndefined for fewer than two
// clusters, else as Compare's.
func CompareClustered(a, b []Score, clusters []int, level float64) (Interval, error) {
	plain, err := Compare(a, b, QuestionsLike, level)
	if err != nil {
		return Interval{}, err
	}
	if len(clusters) != len(a) {
		return Interval{}, fmt.Errorf("compare: %d questions with %d clusters, want one each", len(a), len(clusters))
	}
	means := clusterMeans(differences(a, b), clusters)
	if means == nil {
		return Interval{}, fmt.Errorf("compare: %w: all questions are of one cluster", ErrUndefined)
	}
	effective := kish(clusters)
	spread := deviation(means, plain.Mean) / math.Sqrt(float64(len(means)))
	other := 1 - math.Pow((1-level)/2, 1/effective)
	arm := max(studentQuantile((1+level)/2, max(1, effective-1))*spread, other*farthest(a, b, plain.Mean))
	return Interval{max(-1, min(plain.Interval.Low, plain.Mean-arm-hidden(a))), min(1, max(plain.Interval.High, plain.Mean+arm+hidden(b)))}, nil
}
