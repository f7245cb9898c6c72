package figure

import "fmt"

// Audited is what an audited time limit did, one row a temperature; no rows for a full limit.
func (s *Source) Audited() *Table {
	t := &Table{Name: "audited", Title: "What the audited time limit stopped"}
	t.Columns = num("temperature", "stopped at the soft limit", "of all samples %", "ran on", "would have passed, estimated", "low", "high", "pass@1 % if all of them had failed", "pass@1 % corrected", "standard error by the audit, points")
	for _, x := range s.Analysis.Audited {
		t.Rows = append(t.Rows, []Field{
			number(Temperature(x.Temperature), x.Temperature), whole(x.Stopped), share(x.StoppedOf), whole(x.Audited),
			number(fmt.Sprintf("%.0f", x.FalseStops), x.FalseStops), number(fmt.Sprintf("%.0f", x.Interval.Low), x.Interval.Low), number(fmt.Sprintf("%.0f", x.Interval.High), x.Interval.High),
			share(x.Uncorrected), share(x.Corrected), number(fmt.Sprintf("%.3g", 100*x.StandardError), x.StandardError),
		})
	}
	return t
}
