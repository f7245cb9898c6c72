package web

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/lcbq/lcbq/stream/private"
)

// AccessName is the file in a store directory that says where the page is and which tokens open it.
const AccessName = "http.json"

// An Access is where the page is and what opens it. Its tokens last: a browser that is open when the
// server restarts comes back by itself, and a link that was handed out goes on working. Removing the file
// before a start makes new ones.
type Access struct {
	URL      string `json:"url"`
	Viewer   string `json:"viewer_token"`   // sees everything, changes nothing
	Operator string `json:"operator_token"` // may also put back units that were given up
}

// Link returns the address that opens the page with a token.
func (a Access) Link(token string) string {
	return a.URL + "?" + url.Values{tokenParameter: {token}}.Encode()
}

// shortestToken is that of a token that is believed: rand.Text makes 26 letters.
const shortestToken = 20

// readAccess returns what an earlier server of this user left in dir, and what lacks there anew. A file that
// another user could have written is not believed.
func readAccess(dir string) Access {
	var a Access
	f, err := os.OpenFile(filepath.Join(dir, AccessName), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err == nil {
		defer func() { _ = f.Close() }() // nothing was written
		info, err := f.Stat()
		const most = 64 << 10
		if err == nil && info.Mode().IsRegular() && info.Size() <= most && info.Mode().Perm()&0o077 == 0 {
			if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) == os.Geteuid() {
				_ = json.NewDecoder(f).Decode(&a) // of a torn file what can be read is kept
			}
		}
	}
	for _, token := range []*string{&a.Viewer, &a.Operator} {
		if len(*token) < shortestToken {
			*token = rand.Text()
		}
	}
	if a.Viewer == a.Operator { // a viewer would be an operator
		a.Viewer = rand.Text()
	}
	return a
}

// write leaves a in dir.
func (a Access) write(dir string) error {
	text, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return fmt.Errorf("write access to page: %w", err)
	}
	if err := private.Write(filepath.Join(dir, AccessName), append(text, '\n')); err != nil {
		return fmt.Errorf("write access to page: %w", err)
	}
	return nil
}

// A role is what somebody may do.
type role int

const (
	nobody role = iota
	viewer
	operator
)

// tokenParameter is the name of the token in a link.
const tokenParameter = "token"

// A gate knows who may see what.
type gate struct {
	viewer, operator [sha256.Size]byte
	cookie           string // its name
}

func newGate(a Access, addr net.Addr) *gate {
	port := ""
	if tcp, ok := addr.(*net.TCPAddr); ok {
		port = fmt.Sprint(tcp.Port)
	}
	// Cookies do not know ports: the page of a second run on this host must not take the first one's.
	return &gate{sha256.Sum256([]byte(a.Viewer)), sha256.Sum256([]byte(a.Operator)), "lcbq_" + port}
}

// role returns who a token belongs to, in a time that does not tell how much of it is right.
func (g *gate) role(token string) role {
	sum := sha256.Sum256([]byte(token))
	is := nobody
	if subtle.ConstantTimeCompare(sum[:], g.viewer[:]) == 1 {
		is = viewer
	}
	if subtle.ConstantTimeCompare(sum[:], g.operator[:]) == 1 {
		is = operator
	}
	return is
}

// of returns who sends a request: by the header Authorization: Bearer, by the cookie, or by ?token= of a
// request that changes nothing.
func (g *gate) of(r *http.Request) role {
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return g.role(strings.TrimSpace(token))
	}
	if r.Method == http.MethodGet && r.URL.Query().Has(tokenParameter) {
		return g.role(r.URL.Query().Get(tokenParameter))
	}
	if c, err := r.Cookie(g.cookie); err == nil {
		return g.role(c.Value)
	}
	return nobody
}

// admit takes the token of a link to the page for a cookie, so that it does not stay in the address, where it
// would be seen, kept in histories and copied. It reports whether it has answered.
func (g *gate) admit(w http.ResponseWriter, r *http.Request) bool {
	given := r.URL.Query()
	token := given.Get(tokenParameter)
	if token == "" || g.role(token) == nobody {
		return false
	}
	http.SetCookie(w, &http.Cookie{
		Name: g.cookie, Value: token, Path: "/", HttpOnly: true,
		// Strict would leave it out where the link was clicked in a chat or a mail.
		SameSite: http.SameSiteLaxMode, MaxAge: cookieAge,
	})
	given.Del(tokenParameter)
	to := url.URL{Path: "/", RawQuery: given.Encode()}
	http.Redirect(w, r, to.String(), http.StatusSeeOther)
	return true
}

// cookieAge is how many seconds a browser keeps the token: a long run's.
const cookieAge = 30 * 24 * 3600

// requires answers 401 to who has no token and 403 to who has too little of one.
func (g *gate) requires(least role, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch is := g.of(r); {
		case is >= least:
			next.ServeHTTP(w, r)
		case is == nobody:
			w.Header().Set("WWW-Authenticate", `Bearer realm="lcbq"`)
			http.Error(w, "lcbq: this needs a token\nopen the link that the server printed at its start, or take a token from "+AccessName+" in the server's store directory: by ?token=TOKEN, or by the header Authorization: Bearer TOKEN", http.StatusUnauthorized)
		default:
			http.Error(w, "lcbq: this needs the operator's token\nit is the operator_token in "+AccessName+" in the server's store directory", http.StatusForbidden)
		}
	})
}
