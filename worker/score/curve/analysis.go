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
	Mixing       []Mixing      `json:"mixing,omitempty"` // by budget and k; none for fewer than two temperatures, or samples than twice the budget's
	Splits       []Split       `json:"splits"`
	Flips        *Flips        `json:"flips,omitempty"`   // nil for fewer than two temperatures, or if no question can tell them apart
	Beyond       *Beyond       `json:"beyond,omitempty"`  // models, not measurements; nil if nothing passed, everything did, or n is below 10
	Cutoff       *Cutoff       `json:"cutoff,omitempty"`  // nil unless one was asked for
	Audited      []Audited     `json:"audited,omitempty"` // of the time limit, by temperature; nil unless some program ran beyond a soft limit
	Notes        []Note        `json:"notes"`
}

// A Temperature is the sweep at one temperature.
type Temperature struct {
	Temperature    float64   `json:"temperature"`
	Questions      int       `json:"questions"` // that have samples; means are over these
	Missing        int       `json:"missing"`   // that have none
	Samples        int       `json:"samples"`   // scored, of all questions
	NMin           int       `json:"n_min"`     // fewest samples of a question that has some
	NMax           int       `json:"n_max"`
	Passed         int       `json:"passed"`
	Unscored       int       `json:"unscored"`
	AvgAtN         *float64  `json:"avg_at_n,omitempty"` // mean over questions of the share that passed; equals pass@1
	Points         []Point   `json:"points"`             // by k, ascending, up to the fewest samples of a question; never falling
	Beyond         []Point   `json:"beyond,omitempty"`   // at larger k, over the questions that go on: another curve
	Solved         int       `json:"solved"`             // questions with a sample that passed
	Unsolved       *Unsolved `json:"unsolved,omitempty"` // nil if every question with samples is solved
	Verdicts       []Class   `json:"verdicts"`           // by name of verdict
	UniquePrograms int       `json:"unique_programs"`    // sum over questions of distinct programs; 0 if not counted
	UniquePassed   int       `json:"unique_passed"`      // of those, the ones that passed
	UniqueShare    float64   `json:"unique_share"`       // distinct programs a sample
	Tokens         int64     `json:"completion_tokens"`
	PerSample      float64   `json:"tokens_per_sample"`
	PerPass        *float64  `json:"tokens_per_pass,omitempty"` // nil if none passed

	Truncation []Truncation `json:"truncation,omitempty"`      // at the headline k; nil if no sample was cut off
	Costs      []Cost       `json:"cost_per_solved,omitempty"` // by k; nil if tokens are not known

	// The names that two of these had in this place alone, kept for its readers.
	OldUnique int   `json:"unique"` // unique_programs
	OldTokens int64 `json:"tokens"` // completion_tokens
}

// A Point is one point of a pass@k curve.
type Point struct {
	K         int            `json:"k"`
	Value     float64        `json:"value"`             // mean pass@k over these questions
	PassHatK  float64        `json:"pass_hat_k"`        // pass^k: the mean chance that k samples all pass
	Questions int            `json:"questions"`         // that have k samples, at every temperature if cells are missing
	Partial   bool           `json:"partial,omitempty"` // some question with samples is left out: it has fewer than k, or none elsewhere
	Sampling  score.Interval `json:"sampling"`          // these questions, sampled anew
	// Anytime is Sampling for who looks while the run goes on, and stops it by what is seen: it holds
	// at every number of samples at once.
	Anytime    score.Interval `json:"anytime"`
	Population *Population    `json:"population,omitempty"` // other questions like these; nil for fewer than two
	// SamplingShare is how much of the variance over questions is chance of the samples, 0 to 1:
	// what no number of samples can take from Population is the rest. Nil where a question's own
	// variance, or that over questions, is not known.
	SamplingShare *float64 `json:"sampling_share,omitempty"`
	Reliable      bool     `json:"reliable"` // at least 2k samples of every question, and within 2 points either way on these questions; else marked ?
}

// A Population is what other questions like these would average. The interval of
// its own is the one to show: of the three its coverage is nearest to the level.
type Population struct {
	score.Interval
	Contest   *score.Interval `json:"contest,omitempty"` // the same where questions of one contest are alike; nil where contests are not known, or each has one question
	Bootstrap score.Interval  `json:"bootstrap"`         // over questions, bias-corrected and accelerated
	Student   score.Interval  `json:"student"`           // mean +- t s/sqrt(questions), cut to [0, 1]
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

// A Best is T*(k): not one temperature but a set that holds a best one with the level.
// Where several are equally good the set need not hold each of them. It is made for
// each k by itself. It speaks of the questions that have k samples at every temperature
// compared, and of the temperatures at which some question has.
type Best struct {
	K           int        `json:"k"`
	Questions   int        `json:"questions"`
	Temperature float64    `json:"temperature"`               // with the highest pass@k, the lowest of them if several
	Reliable    bool       `json:"reliable"`                  // so is every value compared
	These       []float64  `json:"these_questions,omitempty"` // the set on these questions
	Like        []float64  `json:"questions_like,omitempty"`  // and on questions like these; both nil for fewer than two questions
	Standings   []Standing `json:"standings"`
	Choice      *Choice    `json:"choice,omitempty"`   // nil for fewer than two questions
	Selected    *Selected  `json:"selected,omitempty"` // nil for fewer than two questions
}

// A Selected says by how much the highest value at k is too high on average, at most, because
// it was selected as the highest of all temperatures: as much as it would be if all were equally
// good. Its intervals do not know of that.
type Selected struct {
	Of    int     `json:"of"`              // temperatures
	These float64 `json:"these_questions"` // pass@k, a share
	Like  float64 `json:"questions_like"`
}

// A Choice is the temperature to use: the one that risks least on questions like these,
// which need not be the one that came out highest.
type Choice struct {
	Temperature float64 `json:"temperature"`
	These       float64 `json:"these_questions_lost"` // most pass@k that choosing it loses against the best one, with the level for all temperatures at once
	Like        float64 `json:"questions_like_lost"`
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

// A Finding is what is known of how far a temperature is behind the best one.
type Finding struct {
	Behind score.Interval `json:"behind"` // of pass@k, for all temperatures at once; its high end is the most that choosing this one loses
	P      float64        `json:"p"`      // the chance of lagging as far behind as it does, were it the best; corrected for all temperatures
	InSet  bool           `json:"in_set"` // the temperature may be the best
	First  float64        `json:"first"`  // share of resamples in which it came first
}

// A Union is what all temperatures solve together.
type Union struct {
	Solved   int           `json:"solved"`   // questions that some temperature solved
	Complete int           `json:"complete"` // questions that have samples at every temperature
	All      int           `json:"all"`      // of those, the ones that every temperature solved
	By       []Contributor `json:"by"`
	Points   []UnionPoint  `json:"points"` // over the questions that have samples at every temperature
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
	Single     *Single     `json:"single,omitempty"` // nil unless every temperature has 2K samples of all these questions
	Reliable   bool        `json:"reliable"`         // the gain is known, and to 2 points either way on these questions
}

// A Single is the best single temperature at the same number of samples.
type Single struct {
	Temperature float64         `json:"temperature"`               // with the highest pass@K
	Value       float64         `json:"value"`                     // its pass@K over the same questions: the highest of several estimates, and too high by what chance adds
	Gain        float64         `json:"gain"`                      // the union's value less that of a temperature chosen on other samples than it is scored on
	These       *score.Interval `json:"these_questions,omitempty"` // of the gain over the truly best temperature, on these questions; nil for fewer than two
	Interval    *score.Interval `json:"interval,omitempty"`        // on questions like these
}

// A Split is the questions that share a difficulty, a platform or the month of their contest.
type Split struct {
	By           string             `json:"by"`   // difficulty, platform or month
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
	NoteUnreliable  = "unreliable" // values that are little known
	NoteGreedy      = "greedy"     // samples that are not independent draws
	NoteAudited     = "audited"    // programs were stopped at a soft limit
)
