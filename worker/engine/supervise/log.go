package supervise

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A Failure is one that the words of a server's log give away.
type Failure struct {
	Words  *regexp.Regexp // of one line
	Remedy string         // what a person must do
	Final  bool           // a restart would only repeat it
}

// A Step is something that a loading server does.
type Step struct {
	Words *regexp.Regexp // of the line that says so
	Says  string         // in a person's words: "loads the weights"
}

// A logTail is the engine's log and where this start's part of it begins.
type logTail struct {
	file *os.File
	from int64
}

// openLog opens the log for appending.
func openLog(path string) (*logTail, error) {
	if path == "" {
		f, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		return &logTail{file: f}, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644) //nolint:gosec // a log is there to be read
	if err != nil {
		return nil, err
	}
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	_, err = fmt.Fprintf(f, "--- engine started %s ---\n", time.Now().Format(time.RFC3339))
	return &logTail{file: f, from: end}, err
}

// What is read of a log. The cause of a failure while loading stands early; that of one while
// serving stands at the end.
const (
	mostLoading = 4 << 20
	mostServing = 64 << 10
)

// text returns this start's part of the log, its first bytes or its last.
func (l *logTail) text(most int64, last bool) []byte {
	info, err := l.file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	from := l.from
	if last {
		from = max(from, info.Size()-most)
	}
	text := make([]byte, min(max(info.Size()-from, 0), most))
	n, _ := l.file.ReadAt(text, from) // what can be read is enough
	return text[:n]
}

// A failed is why a server ended, with what its log says of the cause.
type failed struct {
	why   error
	cause string // tells one cause from another; "" where the log names none
	final bool   // a restart would only repeat it
}

// explain adds to why what the log of this start says: the first error in it, and its remedy where
// it is known. Later errors are mostly those of processes that waited for the first that failed.
func (l *logTail) explain(why error, served bool, known []Failure) failed {
	text := l.text(mostLoading, false)
	if served {
		text = l.text(mostServing, true)
	}
	lines := splitLog(text)
	for _, line := range lines {
		if line.mild || strings.HasPrefix(line.text, "    ") || strings.HasPrefix(line.text, "  File ") { // a traceback quotes the program
			continue
		}
		for _, k := range known {
			if k.Words.MatchString(line.text) {
				return failed{fmt.Errorf("%w\n  %s\n%s", why, line.shown(), k.Remedy), k.Remedy, k.Final}
			}
		}
	}
	if first, ok := firstError(lines); ok {
		return failed{why: fmt.Errorf("%w; the first error of its log:\n  %s", why, first.shown()), cause: digits.ReplaceAllString(first.text, "#")}
	}
	if last := LastLines(text, 5); last != "" {
		return failed{why: fmt.Errorf("%w; the last lines of its log:%s", why, last)}
	}
	return failed{why: why}
}

// digits are what differs between two failures of one cause: process numbers, ports, addresses.
var digits = regexp.MustCompile(`(?:0x[0-9a-f]+|\d+)`)

// A logLine is one line of a server's log, taken apart.
type logLine struct {
	process string // who wrote it, as in "EngineCore_0 pid=7"; "" where it does not say
	text    string // without that, and without level, time and place
	mild    bool   // of level INFO, WARNING or DEBUG
	level   string // "" where the line names none
}

func (l logLine) shown() string {
	const most = 300
	s := strings.TrimSpace(l.text)
	if l.process != "" {
		s = l.process + ": " + s
	}
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}

var (
	// processForm is vLLM's mark of the process that wrote a line.
	processForm = regexp.MustCompile(`^\(([^()]*?)(?: pid=\d+)?\)\s?`)
	// levelForm is the head of a logged line: vLLM's, and llama.cpp's with a letter for the level.
	levelForm = regexp.MustCompile(`^(?:(DEBUG|INFO|WARNING|ERROR|CRITICAL)\s+(?:\d\d-\d\d \d\d:\d\d:\d\d\s+)?(?:\[[^\]]*\]\s?)?|\d+\.\d\d\.\d{3}\.\d{3} ([DIWE]) )`)
	// raisedForm is the line of an exception at the end of a traceback.
	raisedForm = regexp.MustCompile(`^[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit|Warning|Failure)\b(?::|$)`)
	errorForm  = regexp.MustCompile(`(?i)^(?:\S+:\s+)*(?:fatal )?error\b`)
)

// splitLog takes the lines of a log apart.
func splitLog(text []byte) []logLine {
	var all []logLine
	for raw := range bytes.Lines(text) {
		s := strings.TrimRight(strings.ToValidUTF8(string(raw), "?"), "\r\n \t")
		var l logLine
		if m := processForm.FindStringSubmatch(s); m != nil {
			l.process, s = m[1], s[len(m[0]):]
		}
		if m := levelForm.FindStringSubmatch(s); m != nil {
			l.level, s = m[1], s[len(m[0]):]
			if m[2] != "" {
				l.level = map[string]string{"D": "DEBUG", "I": "INFO", "W": "WARNING", "E": "ERROR"}[m[2]]
				s = strings.TrimSpace(s)
			}
			l.mild = l.level == "DEBUG" || l.level == "INFO" || l.level == "WARNING"
		}
		if l.text = s; s != "" {
			all = append(all, l)
		}
	}
	return all
}

// firstError returns the exception of the first traceback, whichever process wrote it; where there
// is none, the first line that calls itself an error. Tracebacks of several processes may be mixed
// line by line.
func firstError(lines []logLine) (logLine, bool) {
	within := map[string]bool{} // a traceback, by process
	for _, l := range lines {
		switch {
		case l.mild:
		case strings.HasPrefix(l.text, "Traceback (most recent call last)"):
			within[l.process] = true
		case within[l.process] && l.text[0] != ' ' && l.text[0] != '\t':
			if raisedForm.MatchString(l.text) {
				return l, true
			}
		}
	}
	i := slices.IndexFunc(lines, func(l logLine) bool {
		return !l.mild && (l.level == "ERROR" || l.level == "CRITICAL" || errorForm.MatchString(l.text))
	})
	if i < 0 {
		return logLine{}, false
	}
	return lines[i], true
}

// doing returns what a loading server says that it does, "" where it says nothing that is known.
func (l *logTail) doing(steps []Step) string {
	lines := splitLog(l.text(mostServing, true))
	for _, line := range slices.Backward(lines) {
		for _, s := range steps {
			if s.Words.MatchString(line.text) {
				return s.Says
			}
		}
	}
	return ""
}

// LastLines returns the last few lines that say something, each on a line of its own, to be
// put behind an error.
func LastLines(text []byte, n int) string {
	var lines []string
	for line := range bytes.Lines(text) {
		if s := strings.TrimSpace(strings.ToValidUTF8(string(line), "?")); s != "" {
			lines = append(lines, "\n  "+s)
		}
	}
	return strings.Join(lines[max(0, len(lines)-n):], "")
}
