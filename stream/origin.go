package stream

// An Origin is where a question comes from, as far as its problem set says: "" is
// not known. Files of results repeat it, since splits and windows are made by it.
type Origin struct {
	Difficulty  string `json:"difficulty,omitempty"`   // easy, medium, hard; any text in a set of one's own
	Platform    string `json:"platform,omitempty"`     // atcoder, codeforces, leetcode; likewise
	ContestID   string `json:"contest_id,omitempty"`   // such as abc301; unique on its platform
	ContestDate string `json:"contest_date,omitempty"` // ISO 8601, a day or a time without zone
}
