package stream

import (
	"fmt"
	"strconv"
	"strings"
)

// Lent is a queue beside the stages: units of EVALUATE that are lent to evaluators that nobody trusts, which are
// called guests. A lent unit stays in EVALUATE, in the hands of the evaluator that has lent it. So no unit is only
// here, and whoever looks for units looks in Stages alone.
const Lent Stage = "lent"

// ClaimStream holds what guests say of the units that they were lent, until the lender has read it.
const ClaimStream = "CLAIMS"

// A Claim is what a guest says of a unit. It has no samples: those of the lender count.
type Claim struct {
	Unit
	Judgements  []Judgement `json:"judgements"`
	Fingerprint string      `json:"fingerprint"` // digest of the environment that judged
	Started     int64       `json:"started_ms"`  // Unix milliseconds: when judging began
	Ended       int64       `json:"ended_ms"`    // and ended
}

// A Guest is who made a claim, as the server has proved it: a guest's token lets it publish under the subjects
// of this guest alone.
type Guest struct {
	ID    string // of the token
	Share int    // of its units that are judged again, in hundred-thousandths
}

// WholeShare is the Share by which all units of a guest are judged again.
const WholeShare = 100_000

// Subjects returns the prefix of the subjects of a guest's claims.
func (g Guest) Subjects() string { return fmt.Sprintf("claims.%s.%d.", g.ID, g.Share) }

// ClaimSubject returns the subject of a guest's claim on a unit.
func (g Guest) ClaimSubject(u Unit) string {
	return g.Subjects() + strings.TrimPrefix(u.Subject(Lent), string(Lent)+".")
}

// ParseClaim is the inverse of ClaimSubject.
func ParseClaim(subject string) (g Guest, u Unit, err error) {
	tok := strings.SplitN(subject, ".", 4)
	if len(tok) != 4 || tok[0] != "claims" {
		return g, u, fmt.Errorf("subject %q: want claims.<token>.<share>.<unit>", subject)
	}
	share, err := strconv.Atoi(tok[2])
	if err != nil || share < 1 || share > WholeShare {
		return g, u, fmt.Errorf("subject %q: share %q: want 1 to %d", subject, tok[2], WholeShare)
	}
	g = Guest{ID: tok[1], Share: share}
	if _, u, err = ParseSubject(string(Lent) + "." + tok[3]); err == nil && g.ClaimSubject(u) != subject {
		err = fmt.Errorf("subject %q: want %q", subject, g.ClaimSubject(u))
	}
	return g, u, err
}

// Judge returns the name by which results call a guest as the evaluator of a sample. It has enough of its
// token's ID to tell guests apart.
func (g Guest) Judge() string { return GuestJudge(g.ID) }

// GuestJudge returns Guest.Judge of the guest with a token.
func GuestJudge(id string) string { return "guest_" + id[:min(len(id), 16)] }
