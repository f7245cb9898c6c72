// Package verdicts keeps the output of grade: JSON lines, one a completion, in
// input order. It knows what each row was judged by, and so whether a row can be
// kept when the same command goes on; it does not know how to judge.
package verdicts

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/worker/pyjson"
)

// A Row is one row of the output.
type Row struct {
	QuestionID   pyjson.Text    `json:"question_id"`
	CompletionID pyjson.Text    `json:"completion_id"`
	Index        int            `json:"index"` // of the completion among those of its question, from 0
	Passed       bool           `json:"passed"`
	Verdict      stream.Verdict `json:"verdict"`
	ErrorCode    *int           `json:"error_code"`
	Test         *int           `json:"test"`
	CPU          float64        `json:"cpu_s"`
	Slowdown     float64        `json:"slowdown,omitempty"`    // of a program that ran beyond the time limit; see stream.Judgement
	Draw         float64        `json:"audit_draw,omitempty"`  // of a program beyond a soft limit; see stream.Audit
	Share        float64        `json:"audit_share,omitempty"` // of the draws with which programs run on
	Detail       pyjson.Text    `json:"detail"`
	Judged       string         `json:"judged"` // what by, and a digest of the row: see Basis
}

// A Basis is what a verdict depends on. It stands in every row, so that a row says
// it wherever it is copied to, and readers of the other fields need not know it.
type Basis struct {
	Settings string // judge, limits and environment, without a space
	Tests    string // digest of the question's tests
	Program  string // the program that was judged
	Finish   string // the engine's reason to end: a program that is missing was perhaps cut off
}

// ErrStale says that an output cannot be continued: its rows are of something else.
var ErrStale = errors.New("the output cannot be continued")

const remedy = "\nchoose another --output, or judge everything anew with --overwrite"

// digest is the first bytes of a SHA-256: enough to tell what differs by accident.
func digest(bytes int, texts ...string) string {
	h := sha256.New()
	for _, t := range texts {
		h.Write([]byte(strconv.Itoa(len(t)) + " " + t))
	}
	return hex.EncodeToString(h.Sum(nil)[:bytes])
}

// The parts of Row.Judged, in their order.
var parts = [...]struct{ key, changed string }{
	{"settings", "it was judged by %s, today it is %s"},
	{"tests", "the tests of the question are others today"},
	{"program", "the program is another one today"},
	{"row", "the row was edited since it was written"},
}

// judged returns what Row.Judged says of r.
func (b Basis) judged(r Row) (string, error) {
	r.Judged = ""
	plain, err := encode(r)
	if err != nil {
		return "", err
	}
	values := [...]string{b.Settings, digest(4, b.Tests), digest(8, b.Program, b.Finish), digest(4, string(plain))}
	var out strings.Builder
	for i, p := range parts {
		fmt.Fprintf(&out, "%s=%s ", p.key, values[i])
	}
	return strings.TrimSpace(out.String()), nil
}

// check returns why a row of the output cannot be kept, nil if it can.
func (b Basis) check(r Row) error {
	today, err := b.judged(r)
	if err != nil {
		return err
	}
	if r.Judged == today {
		return nil
	}
	was, is := strings.Fields(r.Judged), strings.Fields(today)
	if len(was) != len(is) {
		return errors.New("it does not say what was judged: another lcbq wrote it, or another program")
	}
	for i, p := range parts {
		if was[i] == is[i] {
			continue
		}
		if i == 0 {
			return fmt.Errorf(p.changed, strings.TrimPrefix(was[i], "settings="), b.Settings)
		}
		return errors.New(p.changed)
	}
	return nil
}

func encode(r Row) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		return nil, fmt.Errorf("encode verdict: %w", err)
	}
	return out.Bytes(), nil
}

// A File is an output that is written, or continued. It is used by one goroutine
// at a time, and holds one row.
type File struct {
	f    *os.File
	path string
	in   *bufio.Reader
	line int   // rows kept
	size int64 // bytes of them
	tail bool  // all complete rows were looked at: the rest is written anew
}

// Open opens the output at path and locks it: two that write one file would mix
// their rows. The file is left as it is until the first Append. The caller closes it.
func Open(path string) (*File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open output: %w", err)
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(fmt.Errorf("open output %s: want a regular file", path), err, f.Close())
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = errors.New("another lcbq grade writes it")
		}
		return nil, errors.Join(fmt.Errorf("open output %s: %w", path, err), f.Close())
	}
	return &File{f: f, path: path, in: bufio.NewReaderSize(f, 64<<10)}, nil
}

// Same reports whether the output is that other file.
func (o *File) Same(path string) bool {
	a, err := o.f.Stat()
	b, err2 := os.Stat(path)
	return err == nil && err2 == nil && os.SameFile(a, b)
}

// Close closes the file and frees the lock.
func (o *File) Close() error { return o.f.Close() }

// Overwrite forgets what the file holds.
func (o *File) Overwrite() { o.size, o.line, o.tail = 0, 0, true }

// Kept returns the next row of the output if it can be kept for a completion: its
// ids are those of want, and it was judged by what b says. It returns false after
// the last complete row, and an error that wraps ErrStale for a row of something
// else. Nothing is written.
func (o *File) Kept(want Row, b Basis) (Row, bool, error) {
	r, ok, err := o.next()
	if err != nil || !ok {
		return Row{}, false, err
	}
	if r.QuestionID != want.QuestionID || r.CompletionID != want.CompletionID || r.Index != want.Index {
		return Row{}, false, o.stale(fmt.Errorf("it is of completion %s, the input's row %d of %s", name(r), o.line, name(want)))
	}
	if err := b.check(r); err != nil {
		return Row{}, false, o.stale(fmt.Errorf("completion %s: %w", name(r), err))
	}
	return r, true, nil
}

// Ended checks that the output has no row beyond those of the input.
func (o *File) Ended() error {
	if _, more, err := o.next(); err != nil || !more {
		return err
	}
	return o.stale(errors.New("the input has no row for it"))
}

func name(r Row) string {
	if r.CompletionID == "" {
		return fmt.Sprintf("%d of question %q", r.Index, r.QuestionID)
	}
	return fmt.Sprintf("%q of question %q", r.CompletionID, r.QuestionID)
}

func (o *File) stale(err error) error {
	return fmt.Errorf("%s:%d: %w: %w%s", o.path, o.line, ErrStale, err, remedy)
}

// maxLine bounds a row of the output; its longest field is cut by the judge.
const maxLine = 16 << 20

// next reads the next complete row. What is behind the last one must be the start
// of a row, or nothing: a file of another kind is never cut.
func (o *File) next() (Row, bool, error) {
	if o.tail {
		return Row{}, false, nil
	}
	var line []byte
	for {
		part, err := o.in.ReadSlice('\n')
		line = append(line, part...)
		if errors.Is(err, bufio.ErrBufferFull) && len(line) <= maxLine {
			continue
		}
		o.line++
		switch {
		case err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull):
			return Row{}, false, fmt.Errorf("read output %s: %w", o.path, err)
		case errors.Is(err, io.EOF) && begins(line):
			o.line--
			o.tail = true
			return Row{}, false, nil
		case err != nil:
			return Row{}, false, o.stale(errors.New("it is not a row of verdicts"))
		}
		break
	}
	var r Row
	if err := json.Unmarshal(line, &r); err != nil || r.Verdict == 0 {
		return Row{}, false, o.stale(errors.New("it is not a row of verdicts"))
	}
	o.size += int64(len(line))
	return r, true, nil
}

// begins reports whether line can be the start of a row that a crash cut short.
func begins(line []byte) bool {
	const start = `{"question_id":"`
	return bytes.HasPrefix(line, []byte(start)) || strings.HasPrefix(start, string(line))
}

// Append writes a row behind those kept. The first one cuts off what is there
// beyond them.
func (o *File) Append(r Row, b Basis) error {
	var err error
	if r.Judged, err = b.judged(r); err != nil {
		return err
	}
	line, err := encode(r)
	if err != nil {
		return err
	}
	if o.in != nil {
		if err := o.cut(); err != nil {
			return err
		}
	}
	if _, err := o.f.Write(line); err != nil {
		return fmt.Errorf("write verdicts: %w", err)
	}
	return nil
}

// Cut leaves of the file the rows that were kept, for an output that is complete.
func (o *File) Cut() error {
	if o.in == nil {
		return nil
	}
	return o.cut()
}

func (o *File) cut() error {
	o.in = nil
	if err := o.f.Truncate(o.size); err != nil {
		return fmt.Errorf("write verdicts: %w", err)
	}
	if _, err := o.f.Seek(o.size, io.SeekStart); err != nil {
		return fmt.Errorf("write verdicts: %w", err)
	}
	return nil
}
