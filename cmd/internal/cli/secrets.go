package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"unsafe"

	"github.com/lcbq/lcbq/config"
)

// secretFlags and secretVariables hold nothing but a secret; addressVariables are addresses, which may
// hold one. The setting of a file may be any of these.
var (
	secretFlags      = []string{"--api-key", "--hf-token", "--notify"}
	secretVariables  = []string{"LCBQ_API_KEY", "OPENAI_API_KEY", "LCBQ_HF_TOKEN", "HF_TOKEN", "LCBQ_NOTIFY"}
	addressVariables = []string{"LCBQ_NATS", "NATS_URL", "LCBQ_ENDPOINT", "OPENAI_BASE_URL", "LCBQ_HF_ENDPOINT", "HF_ENDPOINT"}
)

// address finds the addresses in a file of settings.
var address = regexp.MustCompile(`[a-zA-Z][a-zA-Z0-9+.-]*://[^\s"']+`)

// Secrets are those that this process was given. What it writes about itself passes them: an error or a
// log line of whatever library then repeats none.
type secrets struct {
	long  *strings.Replacer
	short *strings.Replacer
}

// A secret that is shorter than this might be any word: it is only looked for where addresses have it.
const longSecret = 8

// secretsGiven collects the secrets of the command line, the environment and the file of settings.
func secretsGiven(args []string) *secrets {
	var all []string
	addresses := []string{}
	for i, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		name = strings.ReplaceAll(name, "_", "-")
		flag := strings.HasPrefix(arg, "-")
		switch {
		case ok:
		case flag && i+1 < len(args):
			value = args[i+1]
		default:
			value = arg
		}
		switch {
		case flag && slices.Contains(secretFlags, name):
			all = append(all, value)
		case flag && name == "--config":
			if b, err := os.ReadFile(value); err == nil { // the reader proper reports what is wrong with the file
				addresses = append(addresses, address.FindAllString(string(b), -1)...)
			}
		case name == "--nats" || strings.Contains(value, "://"):
			addresses = append(addresses, value)
		}
	}
	all = append(all, config.Values(secretVariables)...)
	addresses = append(addresses, config.Values(addressVariables)...)
	for _, a := range addresses {
		all = append(all, config.Secrets(a)...)
	}
	return hide(all)
}

// hide makes the replacers of some secrets.
func hide(all []string) *secrets {
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) }) // a part of another comes after it
	var long, short []string
	for _, s := range all {
		for _, form := range []string{s, asJSON(s)} {
			switch {
			case form == "":
			case len(form) < longSecret:
				short = append(short, ":"+form+"@", ":REDACTED@", "="+form+"&", "=REDACTED&", "//"+form+"@", "//REDACTED@", "Bearer "+form, "Bearer REDACTED")
			default:
				long = append(long, form, "REDACTED")
			}
		}
	}
	return &secrets{long: strings.NewReplacer(long...), short: strings.NewReplacer(short...)}
}

// asJSON returns s as a JSON string has it.
func asJSON(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return s
	}
	return string(b[1 : len(b)-1])
}

// without returns text with REDACTED in place of each secret.
func (s *secrets) without(text string) string {
	if s == nil {
		return text
	}
	return s.short.Replace(s.long.Replace(text))
}

// writer returns a writer to w that leaves the secrets out. Each Write is looked at alone: log lines and
// errors are written whole.
func (s *secrets) writer(w io.Writer) *secretWriter { return &secretWriter{secrets: s, w: w} }

type secretWriter struct {
	*secrets
	w    io.Writer
	json atomic.Bool // log lines in JSON have been written: whoever reads them takes nothing else
}

func (w *secretWriter) Write(p []byte) (int, error) {
	text := w.without(string(p))
	switch {
	case strings.HasPrefix(text, `{"time":`):
		w.json.Store(true)
	case w.json.Load():
		slog.New(slog.NewJSONHandler(w.w, nil)).Info("note", "text", strings.TrimSpace(text))
		return len(p), nil
	}
	if _, err := io.WriteString(w.w, text); err != nil {
		return 0, err
	}
	return len(p), nil
}

// fail says why a command ended early: as text, or as a line of the log where that is JSON. It
// is no error there that the command was asked to end.
func (w *secretWriter) fail(err error, help string, asked bool) {
	text := w.without(err.Error())
	if !w.json.Load() {
		fmt.Fprintf(w, "lcbq: %s\n", text)
		if help != "" {
			fmt.Fprintln(w, help)
		}
		return
	}
	msg, remedy, _ := strings.Cut(text, "\n")
	log := slog.New(slog.NewJSONHandler(w.w, nil))
	if remedy != "" {
		log = log.With("remedy", remedy)
	}
	if asked {
		log.Info("lcbq ends", "why", msg)
		return
	}
	log.Error("lcbq ends", "err", msg)
}

// Unwrap returns what is written to, which may be a terminal.
func (w *secretWriter) Unwrap() io.Writer { return w.w }

// HideArguments takes secrets out of what other users see of this process in ps. The arguments of a Go
// program are the memory that the kernel shows; os.Args gets copies.
func HideArguments() {
	secretNext, addressNext := false, false
	for i, arg := range os.Args {
		mine := strings.Clone(arg)
		name, value, ok := strings.Cut(mine, "=")
		name = strings.ReplaceAll(name, "_", "-")
		from := -1
		switch isSecret := slices.Contains(secretFlags, name); {
		case secretNext:
			from = 0
		case isSecret && ok:
			from = len(mine) - len(value)
		}
		secretNext = slices.Contains(secretFlags, name) && !ok
		shown := []byte(mine)
		hideAt := func(at, n int) {
			for j := at; j < at+n; j++ {
				shown[j] = '*'
			}
		}
		if from >= 0 {
			hideAt(from, len(mine)-from)
		}
		text := mine
		if ok && strings.HasPrefix(mine, "-") {
			text = value
		}
		if !addressNext && name != "--nats" && !strings.Contains(text, "://") {
			text = ""
		}
		addressNext = name == "--nats" && !ok
		for _, s := range config.Secrets(text) {
			if at := strings.Index(text, s); at >= 0 {
				hideAt(len(mine)-len(text)+at, len(s))
			}
		}
		if len(arg) > 0 {
			copy(unsafe.Slice(unsafe.StringData(arg), len(arg)), shown) //nolint:gosec // the kernel's copy of the command line, which nothing of ours reads after this
		}
		os.Args[i] = mine
	}
}
