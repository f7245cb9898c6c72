package replay

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"path/filepath"

	"github.com/lcbq/lcbq/worker/engine"
)

// maxFaults is how many bad rows Load reports before it stops looking: enough
// to see the pattern, few enough to read.
const maxFaults = 20

// Engine serves the completions of one file: sample i of a question is its i-th
// recorded row, whatever the temperature asked for. It keeps the places of the
// rows in memory, 40 bytes each, and their texts in the file.
type Engine struct {
	file   *os.File
	info   os.FileInfo // at Load: a file that changed since is refused
	name   string
	digest string
	ids    []string // in file order
	rows   map[string][]place
}

// A place says where a row lies. In the list form a row has no line of its own,
// but one string for each of its values.
type place struct {
	text, code span
	list       bool
}

var _ engine.Engine = (*Engine)(nil)

// Load reads the file once and remembers where its rows lie. It refuses a file
// with bad rows, two rows of one question with one completion_id, or none at
// all, and names the first twenty faults by file, line and field. The caller
// closes the engine.
func Load(path string) (*Engine, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open completions: %w", err)
	}
	e := &Engine{file: file, name: path, rows: map[string][]place{}}
	if err := e.index(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return e, nil
}

// index fills e from its file.
func (e *Engine) index() error {
	info, err := e.file.Stat()
	if err != nil {
		return fmt.Errorf("read completions: %w", err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("read completions %s: not a regular file", e.name)
	}
	e.info = info
	var (
		sum    = sha256.New()
		faults []error
		named  = map[uint64]struct{}{} // digests of (question, completion_id): 64 bits are plenty for millions
		seed   = maphash.MakeSeed()
	)
	for row, err := range Rows(io.TeeReader(e.file, sum), e.name) {
		if err == nil && row.CompletionID != "" {
			key := maphash.Comparable(seed, [2]string{row.QuestionID, row.CompletionID})
			if _, twice := named[key]; twice {
				err = &RowError{
					File: e.name, Line: row.Line, Field: "completion_id",
					Err: fmt.Errorf("%q of question %q stands in an earlier row already", row.CompletionID, row.QuestionID),
				}
			}
			named[key] = struct{}{}
		}
		if err != nil {
			if faults = append(faults, err); len(faults) == maxFaults {
				break
			}
			continue
		}
		if row.Index == 0 {
			e.ids = append(e.ids, row.QuestionID)
		}
		e.rows[row.QuestionID] = append(e.rows[row.QuestionID], place{row.text, row.code, row.list})
	}
	e.digest = hex.EncodeToString(sum.Sum(nil))
	return errors.Join(faults...)
}

// Close closes the file. No Generate may run then or later.
func (e *Engine) Close() error { return e.file.Close() }

// IDs returns the questions that have rows, in file order.
func (e *Engine) IDs() []string { return append([]string(nil), e.ids...) }

// Count returns how many completions of a question are recorded, 0 for a
// question that the file does not name.
func (e *Engine) Count(questionID string) int { return len(e.rows[questionID]) }

// Digest returns the SHA-256 of the file in hexadecimal: two runs over one
// recording have one digest.
func (e *Engine) Digest() string { return e.digest }

// Info implements engine.Engine. The model is the file's base name.
func (e *Engine) Info() engine.Info {
	return engine.Info{Name: "replay", Model: filepath.Base(e.name), Version: e.digest[:12]}
}

// Generate implements engine.Engine: it returns the recorded rows First to
// First+N-1 of the question. Where a row holds code alone, Text is empty and
// Code holds it; where it holds both, Text is the output and Code is there for
// comparison. It returns an error that wraps engine.ErrRejected if there are
// fewer rows.
func (e *Engine) Generate(ctx context.Context, r engine.Request) ([]engine.Completion, error) {
	rows := e.rows[r.QuestionID]
	if r.First < 0 || r.N < 1 || r.First+r.N > len(rows) {
		return nil, fmt.Errorf("replay samples %d to %d of question %q: %s holds %d: %w",
			r.First, r.First+r.N-1, r.QuestionID, e.name, len(rows), engine.ErrRejected)
	}
	if err := e.unchanged(); err != nil {
		return nil, err
	}
	all := make([]engine.Completion, 0, r.N)
	for i := r.First; i < r.First+r.N; i++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		row, err := e.read(rows[i])
		if err != nil {
			return nil, fmt.Errorf("replay sample %d of question %q from %s: %w", i, r.QuestionID, e.name, err)
		}
		c := engine.Completion{Code: row.Code, FinishReason: row.FinishReason, Tokens: row.Tokens}
		if row.Output != nil {
			c.Text = *row.Output
		}
		all = append(all, c)
	}
	return all, nil
}

// unchanged refuses a file that was written to since Load: the places would
// point into other rows.
func (e *Engine) unchanged() error {
	now, err := e.file.Stat()
	if err != nil {
		return fmt.Errorf("look at completions: %w", err)
	}
	if now.Size() != e.info.Size() || !now.ModTime().Equal(e.info.ModTime()) {
		return fmt.Errorf("completions %s changed while they were replayed\nstart again with a file that nobody writes to", e.name)
	}
	return nil
}

// read fetches one row from the file.
func (e *Engine) read(p place) (Row, error) {
	if !p.list {
		text, err := e.piece(p.text)
		if err != nil {
			return Row{}, err
		}
		row, _, err := decode(text)
		return row, err
	}
	var row Row
	for _, v := range []struct {
		at span
		to **string
	}{{p.text, &row.Output}, {p.code, &row.Code}} {
		if v.at.n == 0 {
			continue
		}
		text, err := e.piece(v.at)
		if err != nil {
			return Row{}, err
		}
		// The span begins behind the string before it.
		if err := json.Unmarshal(bytes.TrimLeft(text, " \t\r\n,:["), v.to); err != nil {
			return Row{}, err
		}
	}
	return row, nil
}

// piece reads a span of the file.
func (e *Engine) piece(at span) ([]byte, error) {
	b := make([]byte, at.n)
	_, err := e.file.ReadAt(b, at.off)
	return b, err
}
