package access

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// May returns nil if the holder of a token may do what needs one of the roles. For credentials that lcbq did
// not make nobody but the server knows.
func (t Token) May(verb string, roles ...Role) error {
	if !t.Contained() || slices.Contains(roles, t.Role) {
		return nil
	}
	needs := string(Operator)
	for _, r := range roles {
		if r != Guest { // an evaluator's token does, however far its holder is trusted
			needs = string(r) + " or " + needs
		}
	}
	return fmt.Errorf("role %s may not %s: that needs a token of role %s\nhave one made on the server's machine: lcbq token --role %s", t.Role, verb, needs, append(roles, Operator)[0])
}

// Contained reports whether the holder of a token is in an account that is not that of the streams.
func (t Token) Contained() bool { return t.Role != "" && t.Role != Operator }

// Expired reports whether the token is over by this machine's clock, and says since when.
func (t Token) Expired(now time.Time) error {
	if t.Expires.IsZero() || now.Before(t.Expires) {
		return nil
	}
	return fmt.Errorf("the token was good until %s\nhave a new one made on the server's machine, and put it in the file's place: lcbq token --role %s", t.Expires.Format(time.RFC3339), t.Role)
}

// Refused explains what a server said to the holder of a token who asked for something: which role he has and
// which would do. It returns err as it is where the server's words are not about that.
func (t Token) Refused(err error) error {
	if err == nil || !t.Contained() {
		return err
	}
	said := strings.ToLower(err.Error())
	if !strings.Contains(said, "permissions violation") {
		return err
	}
	_, subject, ok := strings.Cut(err.Error(), `"`)
	if !ok {
		return err
	}
	subject, _, _ = strings.Cut(subject, `"`)
	needs := Operator
	if strings.Contains(said, "for publish") {
		for _, r := range contained {
			if r.may(subject) {
				needs = r
				break
			}
		}
	}
	return fmt.Errorf("role %s may not use %s: that needs a token of role %s: %w", t.Role, subject, needs, err)
}

// may reports whether a role may publish to a subject.
func (r Role) may(subject string) bool {
	return r == Operator || slices.ContainsFunc(r.Grants(), func(g Grant) bool { return matches(g.Subject, subject) })
}

// matches reports whether every subject that narrow matches is one that wide matches.
func matches(wide, narrow string) bool {
	w, n := strings.Split(wide, "."), strings.Split(narrow, ".")
	for i, token := range w {
		switch {
		case token == ">":
			return len(n) > i
		case i >= len(n) || n[i] == ">" || token != "*" && token != n[i]:
			return false
		}
	}
	return len(w) == len(n)
}
