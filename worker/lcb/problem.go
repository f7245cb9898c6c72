package lcb

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"
	"unicode"

	"github.com/lcbq/lcbq/worker/pyjson"
)

// The names of a row's fields.
const (
	fieldID       = "question_id"
	fieldContent  = "question_content"
	fieldPublic   = "public_test_cases"
	fieldPrivate  = "private_test_cases"
	fieldMetadata = "metadata"
)

// A Problem is one LiveCodeBench question. It is immutable: its tests stay
// encoded in the row until Tests decodes them, so that a problem set costs what
// its file does and not the several times as much that its tests do.
type Problem struct {
	ID          string // never empty; unique in a problem set
	Title       string
	Content     string // the statement, with its examples; never empty
	Platform    string // atcoder, codeforces, leetcode; any text in a set of one's own
	ContestID   string
	ContestDate string // ISO 8601 without zone
	StarterCode string // "" where the program reads stdin
	Difficulty  string // easy, medium, hard; any text in a set of one's own
	FuncName    string // method or function to call; "" where the program reads stdin

	row     []byte // the row as it was read
	public  []byte // spans of row: JSON strings, quotes included
	private []byte
}

// Functional reports whether programs are called, and not run on stdin.
func (p *Problem) Functional() bool { return p.FuncName != "" }

// Row returns the JSON object that the problem was parsed from. The caller must
// not change it.
func (p *Problem) Row() []byte { return p.row }

// ParseProblem parses one row. It keeps row, which the caller must not change
// afterwards. It checks every field but decodes no test: Tests does that.
func ParseProblem(row []byte) (*Problem, error) {
	p := &Problem{row: row}
	var metadata string
	texts := map[string]*string{
		fieldID: &p.ID, "question_title": &p.Title, fieldContent: &p.Content, "platform": &p.Platform,
		"contest_id": &p.ContestID, "contest_date": &p.ContestDate, "starter_code": &p.StarterCode,
		"difficulty": &p.Difficulty, fieldMetadata: &metadata,
	}
	seen := make(map[string]bool, len(texts)+2)
	r := pyjson.New(row)
	err := r.Object(func(key string) (err error) {
		seen[key] = true
		switch to := texts[key]; {
		case key == fieldID:
			p.ID, err = readID(r)
		case key == fieldMetadata && r.Next() == pyjson.Object: // the object itself, not its text
			var raw []byte
			raw, err = r.Raw()
			metadata = string(raw)
		case to != nil && r.Next() == pyjson.Null:
			*to, err = "", r.Skip()
		case to != nil:
			*to, err = r.Text()
		case key == fieldPublic:
			p.public, err = testSpan(r)
		case key == fieldPrivate:
			p.private, err = testSpan(r)
		default:
			return r.Skip()
		}
		if err != nil {
			return &fieldError{key, err}
		}
		return nil
	})
	if err == nil {
		err = r.End()
	}
	if err != nil {
		return nil, err
	}
	var missing []string
	for _, field := range []string{fieldID, fieldContent, fieldPublic, fieldPrivate} {
		if !seen[field] {
			missing = append(missing, field)
		}
	}
	switch {
	case len(missing) == 1:
		return nil, &fieldError{missing[0], errors.New("field is missing")}
	case len(missing) > 1:
		return nil, &fieldError{strings.Join(missing, ", "), errors.New("fields are missing")}
	}
	if err := validID(p.ID); err != nil {
		return nil, &fieldError{fieldID, err}
	}
	if strings.TrimSpace(p.Content) == "" {
		return nil, &fieldError{fieldContent, errors.New("statement is empty")}
	}
	if metadata == "" && p.StarterCode != "" {
		return nil, &fieldError{fieldMetadata, errors.New(`field is missing, want {"func_name": "..."} beside starter_code`)}
	}
	if metadata == "" {
		metadata = "{}" // a program that reads stdin has nothing to say there
	}
	if p.FuncName, err = parseMetadata(metadata); err != nil {
		return nil, &fieldError{fieldMetadata, err}
	}
	return p, nil
}

// readID reads an id: text, or a whole number, as old LeetCode rows have it.
func readID(r *pyjson.Reader) (string, error) {
	if r.Next() != pyjson.Number {
		return r.Text()
	}
	raw, err := r.Number()
	id := strings.TrimSuffix(string(raw), ".0")
	if err == nil && strings.ContainsAny(id, ".eEIN") {
		err = fmt.Errorf("%s, want text or a whole number", raw)
	}
	return id, err
}

// testSpan reads a field of tests and returns it as it is written: a string, or the
// list itself, as people write it who make a set of their own.
func testSpan(r *pyjson.Reader) ([]byte, error) {
	if r.Next() == pyjson.Array {
		return r.Raw()
	}
	return r.Span()
}

// testText returns what a span of testSpan says.
func testText(span []byte) []byte {
	if len(span) > 0 && span[0] == '[' {
		return span
	}
	return pyjson.Unquoted(span)
}

// maxID bounds a question id; it appears in file names and tables.
const maxID = 128

func validID(id string) error {
	switch {
	case id == "":
		return errors.New("id is empty")
	case len(id) > maxID:
		return fmt.Errorf("id has %d bytes, want at most %d", len(id), maxID)
	case strings.ContainsFunc(id, func(r rune) bool { return !unicode.IsGraphic(r) }):
		return fmt.Errorf("id %q holds unprintable characters", id)
	}
	return nil
}

// parseMetadata returns the function name, "" where there is none or null.
func parseMetadata(text string) (string, error) {
	r := pyjson.NewInner([]byte(text))
	var name string
	err := r.Object(func(key string) (err error) {
		if key != "func_name" {
			return r.Skip()
		}
		if name = ""; r.Next() == pyjson.Null {
			return r.Skip()
		}
		if name, err = r.Text(); err != nil {
			return fmt.Errorf("func_name: %w", err)
		}
		if !isIdentifier(name) {
			return fmt.Errorf("func_name %q is not a Python name", name)
		}
		return nil
	})
	if err == nil {
		err = r.End()
	}
	return name, err
}

func isIdentifier(name string) bool {
	for i, r := range name {
		if r != '_' && !unicode.IsLetter(r) && (i == 0 || !unicode.IsDigit(r)) {
			return false
		}
	}
	return name != ""
}

// Digest identifies what a program is judged by: the function name and the
// encoded tests. It is a SHA-256 in hexadecimal, the same for two rows that
// differ only in how their JSON is written.
func (p *Problem) Digest() string {
	h := sha256.New()
	hashTexts(h, "lcbq question 1", p.FuncName)
	hashText(h, testText(p.public))
	hashText(h, testText(p.private))
	return hex.EncodeToString(h.Sum(nil))
}

// An Entry stands for one question in the digest of a problem set.
type Entry struct{ ID, Digest string }

// Entry returns what the digest of a problem set takes of p: all that a model
// sees, and all that its programs are judged by.
func (p *Problem) Entry() Entry {
	h := sha256.New()
	hashTexts(h, "lcbq entry 1", p.ID, p.Content, p.StarterCode, p.Digest())
	return Entry{ID: p.ID, Digest: hex.EncodeToString(h.Sum(nil))}
}

// Digest identifies a problem set, whatever order its rows come in.
func Digest(problems []*Problem) string {
	entries := make([]Entry, len(problems))
	for i, p := range problems {
		entries[i] = p.Entry()
	}
	return DigestEntries(entries)
}

// DigestEntries is Digest for those who keep no problems. It sorts entries.
func DigestEntries(entries []Entry) string {
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.ID, b.ID) })
	h := sha256.New()
	for _, e := range entries {
		hashTexts(h, e.ID, e.Digest)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func hashTexts(h hash.Hash, texts ...string) {
	for _, t := range texts {
		hashText(h, []byte(t))
	}
}

// hashText writes a text with its length before it, so that no two lists of
// texts are the same bytes. A hash never fails.
func hashText(h hash.Hash, text []byte) {
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], uint64(len(text)))
	h.Write(n[:])
	h.Write(text)
}
