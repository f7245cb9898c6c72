package curve

import "github.com/lcbq/lcbq/worker/score"

// An Analysis is all that can be said of a sweep. Shares, rates and pass@k are in
// [0, 1]. What the data do not define is absent, never NaN or a made-up number,
// and the notes say why.
type Analysis struct {
	Level        float64       `json:"level"`        // of every interval and set
	Questions    int           `json:"questions"`    // of the sweep, with samples or without
	Temperatures []Temperature `json:"temperatures"` // ascending
	Best         []Best        `json:"best"`         // T*(k) by k; none for fewer than two temperatures
	Union        *Union        `json:"union,omitempty"`
	Splits       []Split       `json:"splits"`
	Notes        []Note        `json:"notes"`
}

// A Temperature is the sweep at one temperature.
type Temperature struct {
	Temperature float64   `json:"temperature"`
	Questions   int       `json:"questions"` // that have samples; means are over these
	Missing     int       `json:"missing"`   // that have none
	Samples     int       `json:"samples"`   // scored, of all questions
	NMin        int       `json:"n_min"`     // fewest samples of a question that has some
	NMax        int       `json:"n_max"`
	Passed      int       `json:"passed"`
	Unscored    int       `json:"unscored"`
	AvgAtN      *float64  `json:"avg_at_n,omitempty"` // mean over questions of the share that passed; equals pass@1
	Points      []Point   `json:"points"`             // by k, ascending
	Solved      int       `json:"solved"`             // questions with a sample that passed
	Unsolved    *Unsolved `json:"unsolved,omitempty"` // nil if every question with samples is solved
	Verdicts    []Class   `json:"verdicts"`           // by name of verdict
	Unique      int       `json:"unique"`             // sum over questions of distinct programs; 0 if not counted
	UniqueOK    int       `json:"unique_passed"`      // of those, the ones that passed
	UniqueShare float64   `json:"unique_share"`       // distinct programs a sample
	Tokens      int64     `json:"tokens"`
	PerSample   float64   `json:"tokens_per_sample"`
	PerPass     *float64  `json:"tokens_per_pass,omitempty"` // nil if none passed
}

// A Point is one point of a pass@k curve.
type Point struct {
	K          int            `json:"k"`
	Value      float64        `json:"value"`                // mean pass@k over the questions that have k samples
	PassHatK   float64        `json:"pass_hat_k"`           // pass^k: the mean chance that k samples all pass
	Questions  int            `json:"questions"`            // that have k samples
	Partial    bool           `json:"partial,omitempty"`    // some question with samples has fewer than k, and is left out
	Sampling   score.Interval `json:"sampling"`             // these questions, sampled anew
	Population *Population    `json:"population,omitempty"` // other questions like these; nil for fewer than two
	Reliable   bool           `json:"reliable"`             // k is at most a tenth of every question's n; else shown grey
}

// A Population is what other questions like these would average. The interval of
// its own is the one to show: of the three its coverage is nearest to the level.
type Population struct {
	score.Interval
	Bootstrap score.Interval `json:"bootstrap"` // over questions, bias-corrected and accelerated
	Student   score.Interval `json:"student"`   // mean +- t s/sqrt(questions), cut to [0, 1]
}

// Unsolved says what is known of the questions that no sample solved: not that
// their pass rate is 0, but that it is below a bound.
type Unsolved struct {
	Questions int     `json:"questions"`
	N         int     `json:"n"`     // fewest samples of any of them
	Below     float64 `json:"below"` // one-sided bound for the pass rate of each, at the level, from 0 of N
}

// A Class is the samples of one verdict.
type Class struct {
	Verdict string  `json:"verdict"`
	Samples int     `json:"samples"`
	Share   float64 `json:"share"` // of all samples, unscored ones too
}

// A Best is T*(k): not one temperature but those that cannot be told from the
// best. It speaks of the questions that have k samples at every temperature
// compared, and of the temperatures at which some question has.
type Best struct {
	K           int        `json:"k"`
	Questions   int        `json:"questions"`
	Temperature float64    `json:"temperature"`               // with the highest pass@k, the lowest of them if several
	Reliable    bool       `json:"reliable"`                  // k is at most a tenth of every n compared
	These       []float64  `json:"these_questions,omitempty"` // temperatures not told from the best on these questions
	Like        []float64  `json:"questions_like,omitempty"`  // and on questions like these; both nil for fewer than two questions
	Standings   []Standing `json:"standings"`
}

// A Standing is one temperature beside the best at k.
type Standing struct {
	Temperature float64  `json:"temperature"`
	Value       float64  `json:"value"`      // pass@k over the questions compared
	Difference  float64  `json:"difference"` // Value less the best one's: 0 or below
	Differ      int      `json:"differ"`     // questions on which the two score differently
	These       *Finding `json:"these_questions,omitempty"`
	Like        *Finding `json:"questions_like,omitempty"`
}

// A Finding is what a paired comparison with the best shows.
type Finding struct {
	Interval score.Interval `json:"interval"` // of the difference, for this one comparison
	P        float64        `json:"p"`        // two-sided, corrected by Holm for the comparisons of all pairs of temperatures
	InSet    bool           `json:"in_set"`   // the temperature may be the best
	First    float64        `json:"first"`    // share of resamples in which it came first
}

// A Union is what all temperatures solve together.
type Union struct {
	Solved int           `json:"solved"` // questions that some temperature solved
	All    int           `json:"all"`    // questions that every temperature solved
	By     []Contributor `json:"by"`
	Points []UnionPoint  `json:"points"` // over the questions that have samples at every temperature
}

// A Contributor is one temperature's part in the union.
type Contributor struct {
	Temperature float64 `json:"temperature"`
	Solved      int     `json:"solved"`
	Only        int     `json:"only"` // questions that no other temperature solved
}

// A UnionPoint compares K samples spread evenly over all temperatures with as
// many at the best one.
type UnionPoint struct {
	K          int         `json:"k"`    // samples of a question in all
	Each       int         `json:"each"` // samples at each temperature
	Value      float64     `json:"value"`
	Questions  int         `json:"questions"`
	Population *Population `json:"population,omitempty"`
	Single     *Single     `json:"single,omitempty"` // nil if no temperature has K samples of all these questions
	Reliable   bool        `json:"reliable"`         // Each is at most a tenth of every n
}

// A Single is the best single temperature at the same number of samples.
type Single struct {
	Temperature float64         `json:"temperature"`
	Value       float64         `json:"value"`              // pass@K over the same questions
	Gain        float64         `json:"gain"`               // the union's value less this
	Interval    *score.Interval `json:"interval,omitempty"` // of Gain on questions like these, paired; nil for fewer than two
}

// A Split is the questions that share a difficulty or a platform.
type Split struct {
	By           string             `json:"by"`   // difficulty or platform
	Name         string             `json:"name"` // "" for questions without a label
	Questions    int                `json:"questions"`
	Temperatures []SplitTemperature `json:"temperatures"`
}

// A SplitTemperature is a split at one temperature, at the headline k.
type SplitTemperature struct {
	Temperature float64 `json:"temperature"`
	Questions   int     `json:"questions"` // that have samples
	Solved      int     `json:"solved"`
	Points      []Point `json:"points"`
}

// A Note says in words what a reader of the numbers must know.
type Note struct {
	Code string `json:"code"` // one of the Note constants
	Text string `json:"text"`
}

// The codes of notes.
const (
	NoteNoSamples   = "no_samples"   // nothing was scored
	NoteNothing     = "none_solved"  // no sample passed
	NoteEverything  = "all_passed"   // every sample passed
	NoteOneQuestion = "one_question" // nothing can be said of other questions
	NoteFew         = "few_questions"
	NoteRagged      = "ragged"     // questions differ in n
	NoteMissing     = "missing"    // questions without samples at some temperature
	NoteUnscored    = "unscored"   // samples that could not be judged
	NoteUnreliable  = "unreliable" // k above a tenth of n
	NoteGreedy      = "greedy"     // samples that are not independent draws
)
