package official

import (
	"bufio"
	"io"
	"strconv"
	"strings"

	"github.com/lcbq/lcbq/worker/pyjson"
)

// A printer writes JSON as Python's json.dump(x, f, indent=4) does, byte for
// byte, without holding x: the caller opens and closes what encloses it.
type printer struct {
	w     *bufio.Writer
	empty []bool // for each open object or list: nothing in it yet
	buf   []byte // reused
}

func newPrinter(w io.Writer) *printer { return &printer{w: bufio.NewWriterSize(w, 64<<10)} }

// The write errors of a bufio.Writer stick: flush reports them.
func (p *printer) flush() error { return p.w.Flush() }

func (p *printer) raw(s string) { _, _ = p.w.WriteString(s) }

// next goes to the place of the next element.
func (p *printer) next() {
	if depth := len(p.empty); depth > 0 {
		if !p.empty[depth-1] {
			p.raw(",")
		}
		p.empty[depth-1] = false
		p.line()
	}
}

func (p *printer) line() {
	p.raw("\n")
	for range p.empty {
		p.raw("    ")
	}
}

// open starts a list or object as the next element.
func (p *printer) open(bracket string) {
	p.next()
	p.opened(bracket)
}

// opened starts a list or object as the value of the key just written.
func (p *printer) opened(bracket string) {
	p.raw(bracket)
	p.empty = append(p.empty, true)
}

func (p *printer) close(bracket string) {
	empty := p.empty[len(p.empty)-1]
	p.empty = p.empty[:len(p.empty)-1]
	if !empty {
		p.line()
	}
	p.raw(bracket)
}

// key starts the next pair of an object; its value follows.
func (p *printer) key(name string) {
	p.next()
	p.text(name)
	p.raw(": ")
}

func (p *printer) text(s string) {
	p.buf = pyjson.AppendASCII(p.buf[:0], s)
	_, _ = p.w.Write(p.buf)
}

func (p *printer) number(x float64) { p.raw(pythonFloat(x)) }

// element writes an element that is JSON already.
func (p *printer) element(json string) {
	p.next()
	p.raw(json)
}

// pythonFloat writes x, which is finite and below 1e16, as Python's repr does.
func pythonFloat(x float64) string {
	s := strconv.FormatFloat(x, 'f', -1, 64)
	if x != 0 && x < 1e-4 && x > -1e-4 {
		s = strconv.FormatFloat(x, 'e', -1, 64)
	}
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return s
}
