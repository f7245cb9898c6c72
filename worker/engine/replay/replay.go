package replay

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/lcbq/lcbq/worker/engine"
	"github.com/lcbq/lcbq/worker/lcb/input"
	"github.com/lcbq/lcbq/worker/pyjson"
)

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
	scan   scan // knows the names of the fields
}

// A place says where a row lies. A completion in a list has no object of its own,
// but one string for each of its values.
type place struct {
	text, code span
	parts      bool
}

var _ engine.Engine = (*Engine)(nil)

// Load reads the file once and remembers where its rows lie; a compressed one is
// decompressed into a temporary file first. It refuses what Checked refuses. The
// caller closes the engine.
func Load(path string, o Options) (*Engine, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open completions: %w", err)
	}
	e := &Engine{file: file, name: path, rows: map[string][]place{}, scan: scan{o: o}}
	e.scan.names()
	if err := e.index(o); err != nil {
		return nil, errors.Join(err, e.file.Close())
	}
	return e, nil
}

// index fills e from its file.
func (e *Engine) index(o Options) error {
	if err := e.unpack(); err != nil {
		return err
	}
	info, err := e.file.Stat()
	if err != nil {
		return fmt.Errorf("read completions: %w", err)
	}
	e.info = info
	sum := sha256.New()
	for row, err := range Checked(io.TeeReader(e.file, sum), e.name, o) {
		if err != nil {
			return err
		}
		if row.Index == 0 {
			e.ids = append(e.ids, row.QuestionID)
		}
		e.rows[row.QuestionID] = append(e.rows[row.QuestionID], place{row.text, row.code, row.parts})
	}
	e.digest = hex.EncodeToString(sum.Sum(nil))
	return nil
}

// unpack puts the plain text of a compressed file into a temporary one, for rows
// are read by place. It has no name: nothing is left of it however lcbq ends.
func (e *Engine) unpack() (err error) {
	info, err := e.file.Stat()
	if err != nil {
		return fmt.Errorf("read completions: %w", err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("read completions %s: not a regular file", e.name)
	}
	text, err := input.Open(e.file)
	if err != nil {
		return &RowError{File: e.name, Err: err, Final: true}
	}
	defer text.Close()
	if !text.Compressed {
		_, err := e.file.Seek(0, io.SeekStart)
		return err
	}
	plain, err := os.CreateTemp("", "lcbq-completions-*")
	if err != nil {
		return fmt.Errorf("decompress completions: %w", err)
	}
	err = os.Remove(plain.Name())
	if err == nil {
		_, err = io.Copy(plain, text)
	}
	if err == nil {
		_, err = plain.Seek(0, io.SeekStart)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("decompress completions %s into %s: %w", e.name, os.TempDir(), err), plain.Close())
	}
	packed := e.file
	e.file = plain
	return packed.Close()
}

// Close closes the file. No Generate may run then or later.
func (e *Engine) Close() error { return e.file.Close() }

// IDs returns the questions that have rows, in file order.
func (e *Engine) IDs() []string { return append([]string(nil), e.ids...) }

// Count returns how many completions of a question are recorded, 0 for a
// question that the file does not name.
func (e *Engine) Count(questionID string) int { return len(e.rows[questionID]) }

// Digest returns the SHA-256 of the file's plain text in hexadecimal: two runs over
// one recording have one digest.
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
	if p.parts {
		row := Row{}
		for _, v := range []struct {
			at span
			to **string
		}{{p.text, &row.Output}, {p.code, &row.Code}} {
			if v.at.n == 0 {
				continue
			}
			raw, err := e.piece(v.at)
			if err != nil {
				return row, err
			}
			text, err := pyjson.ParseText(raw)
			if err != nil {
				return row, err
			}
			*v.to = &text
		}
		if row.Output == nil && row.Code == nil {
			row.Code = new(string) // a null program
		}
		return row, nil
	}
	raw, err := e.piece(p.text)
	if err != nil {
		return Row{}, err
	}
	s := e.scan
	o, err := s.read(pyjson.New(raw), 0, func() int { return 0 })
	if err != nil {
		return Row{}, err
	}
	rows, err := s.rows(o)
	if err == nil && len(rows) != 1 {
		err = fmt.Errorf("%d completions at the place of one", len(rows))
	}
	if err != nil {
		return Row{}, err
	}
	return rows[0], nil
}

// piece reads a span of the file.
func (e *Engine) piece(at span) ([]byte, error) {
	b := make([]byte, at.n)
	_, err := e.file.ReadAt(b, at.off)
	return b, err
}
