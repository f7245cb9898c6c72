// Package top is the live view of a run in a terminal: the screen of status, drawn anew with each snapshot, with keys that
// sort the workers and steer the run. It knows no server: the caller gives it a reader and what keys do.
package top

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/lcbq/lcbq/cmd/internal/snapshot"
	"github.com/lcbq/lcbq/cmd/internal/snapshot/screen"
)

// A Config is what a view shows and does.
type Config struct {
	Snapshots <-chan *snapshot.Snapshot
	// What the keys do to the run that is shown. Each returns a sentence on what was done.
	Pause, Resume, Requeue func(ctx context.Context, run string) (string, error)
	// What they do to a worker: have an evaluator judge so many programs at once, and end a worker in good order.
	Set           func(ctx context.Context, w snapshot.Worker, programs int) (string, error)
	Drain         func(ctx context.Context, w snapshot.Worker) (string, error)
	Color         bool
	In            io.Reader // nil for the terminal
	Out           io.Writer
	Environ       []string // of the terminal; nil for the process's
	Columns, Rows int      // of an Out that is no terminal and cannot be asked
}

// framesPerSecond is how often the screen is looked at for changes. Its numbers come once a second, and a key is
// answered soon enough.
const framesPerSecond = 10

// Run shows the run until the user ends it or ctx is done. The terminal is then as it was before.
func Run(ctx context.Context, cfg Config) error {
	opts := []tea.ProgramOption{tea.WithContext(ctx), tea.WithoutSignalHandler(), tea.WithOutput(cfg.Out), tea.WithFPS(framesPerSecond)}
	if cfg.In != nil {
		opts = append(opts, tea.WithInput(cfg.In))
	}
	if cfg.Environ != nil {
		opts = append(opts, tea.WithEnvironment(cfg.Environ))
	}
	if cfg.Columns > 0 && cfg.Rows > 0 {
		opts = append(opts, tea.WithWindowSize(cfg.Columns, cfg.Rows))
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the wait for a snapshot
	_, err := tea.NewProgram(newModel(ctx, cfg), opts...).Run()
	if err != nil && !errors.Is(err, tea.ErrInterrupted) {
		return fmt.Errorf("show the run: %w", err)
	}
	return nil
}

// An order is one in which workers are listed.
type order struct {
	name    string
	compare func(a, b screen.Row) int
}

var orders = []order{
	{"stage", func(_, _ screen.Row) int { return 0 }}, // in which snapshots have them
	{"rate", func(a, b screen.Row) int { return cmp.Compare(b.Rate, a.Rate) }},
	{"slowest", func(a, b screen.Row) int {
		return cmp.Compare(a.Rate/float64(max(1, a.Slots)), b.Rate/float64(max(1, b.Slots)))
	}},
	{"host", func(a, b screen.Row) int { return cmp.Compare(a.Host, b.Host) }},
	{"last sign", func(a, b screen.Row) int { return cmp.Compare(b.Sign, a.Sign) }},
}

// An action is what a key does, once the user has said yes.
type action struct {
	question string
	do       func(ctx context.Context, run string) (string, error)
	again    func(key string) // takes + and - while it is asked; nil if they mean no
}

type model struct {
	ctx           context.Context //nolint:containedctx // the life of the program, which its commands wait by
	cfg           Config
	s             *snapshot.Snapshot
	columns, rows int
	order         int
	first         int     // worker on top of the list
	chosen        string  // worker that keys steer, by stage and name; "" for the one in place
	place         int     // where the chosen one is, or was
	asks          *action // that waits for yes or no
	said          string  // what the last action did
}

func newModel(ctx context.Context, cfg Config) *model {
	return &model{ctx: ctx, cfg: cfg, columns: screen.Columns, rows: screen.Rows}
}

// The messages of the program.
type (
	news struct{ s *snapshot.Snapshot }
	done struct {
		said string
		err  error
	}
)

// next waits for a snapshot.
func (m *model) next() tea.Msg {
	select {
	case s := <-m.cfg.Snapshots:
		return news{s}
	case <-m.ctx.Done():
		return nil
	}
}

// Init waits for the first snapshot.
func (m *model) Init() tea.Cmd { return m.next }

// Update takes a key, a size, a snapshot or the end of an action.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.columns, m.rows = msg.Width, msg.Height
	case news:
		m.s = msg.s
		return m, m.next
	case done:
		m.said = msg.said
		if msg.err != nil {
			m.said, _, _ = strings.Cut(msg.err.Error(), "\n")
		}
	case tea.KeyPressMsg:
		return m, m.key(msg.String())
	}
	return m, nil
}

// actionWait bounds what a key does.
const actionWait = 30 * time.Second

func (m *model) key(key string) tea.Cmd {
	if a := m.asks; a != nil {
		m.asks = nil
		if a.again != nil && isChange(key) {
			a.again(key)
			return nil
		}
		if key != "y" || m.s == nil {
			m.said = "nothing was done"
			return nil
		}
		run := m.s.Run.ID
		m.said = "..."
		return func() tea.Msg {
			ctx, cancel := context.WithTimeout(m.ctx, actionWait)
			defer cancel()
			said, err := a.do(ctx, run)
			return done{said, err}
		}
	}
	m.said = ""
	switch key {
	case "q", "esc", "ctrl+c":
		return tea.Quit
	case "s":
		m.order, m.first, m.chosen, m.place = (m.order+1)%len(orders), 0, "", 0
	case "down", "j":
		m.move(1)
	case "up", "k":
		m.move(-1)
	case "pgdown", "space":
		m.move(m.rows / 2)
	case "pgup":
		m.move(-m.rows / 2)
	}
	if m.s == nil {
		return nil
	}
	switch key {
	case "p":
		m.asks = &action{question: "pause run " + m.s.Run.ID + " on all hosts", do: m.cfg.Pause}
	case "r":
		m.asks = &action{question: "resume run " + m.s.Run.ID, do: m.cfg.Resume}
	case "d":
		m.asks = &action{question: fmt.Sprintf("put back the %d units of run %s that were given up", m.s.Units.Dead, m.s.Run.ID), do: m.cfg.Requeue}
	case "+", "=", "-", "x":
		m.steer(key)
	}
	return nil
}

// isChange reports whether a key changes a number. The + is above the = on many keyboards.
func isChange(key string) bool { return key == "+" || key == "=" || key == "-" }

const (
	bold   = "\x1b[1m"
	red    = "\x1b[31m"
	faint  = "\x1b[2m"
	normal = "\x1b[0m"
)

// View draws the run, the workers that fit below it, and the keys in the last line.
func (m *model) View() tea.View {
	v := tea.NewView(strings.Join(m.lines(), "\n"))
	v.AltScreen = true
	return v
}

func (m *model) lines() []string {
	rows := max(1, m.rows)
	if m.s == nil {
		return []string{m.styled("", "waiting for the server", m.columns), m.styled(faint, "q quit", m.columns)}[:min(2, rows)]
	}
	// At least a third of the screen is for workers.
	lines := screen.Head(m.s, m.columns, max(1, rows-1-rows/3))
	for i, l := range lines {
		switch {
		case strings.HasPrefix(l, "run "), strings.HasPrefix(l, "stage "):
			lines[i] = m.styled(bold, l, m.columns)
		case strings.HasPrefix(l, "! "):
			lines[i] = m.styled(red, l, m.columns)
		}
	}
	lines = append(lines, m.workers(rows-1-len(lines))...)
	if len(lines) > rows-1 {
		lines = lines[:max(0, rows-1)]
	}
	return append(lines, m.bottom())
}

// workers returns a heading and the workers that fit into so many lines.
func (m *model) workers(room int) []string {
	if room < 2 {
		return nil
	}
	rows := m.sorted()
	at := m.at(rows)
	m.first = max(0, at-(room-2), min(m.first, at, len(rows)-(room-1)))
	shown := rows[m.first:min(len(rows), m.first+room-1)]
	head := fmt.Sprintf("workers %d to %d of %d, by %s", m.first+min(1, len(shown)), m.first+len(shown), len(rows), orders[m.order].name)
	out := []string{m.styled(bold, head, m.columns)}
	for i := range shown {
		style, mark := "", "  "
		if shown[i].Marks != "" {
			style = red
		}
		if m.first+i == at {
			style, mark = style+bold, "> "
		}
		out = append(out, m.styled(style, mark+shown[i].Text(), m.columns))
	}
	return out
}

// bottom returns the question that is asked, what the last key did, or which keys there are.
func (m *model) bottom() string {
	switch {
	case m.asks != nil:
		return m.styled(bold, m.asks.question+"? y/n", m.columns)
	case m.said != "":
		return m.styled(bold, m.said, m.columns)
	default:
		return m.styled(faint, "q quit  s sort  up/down  p pause  r resume  d requeue  +/- programs  x drain", m.columns)
	}
}

// styled returns a line without what a terminal obeys, but for its own style.
func (m *model) styled(style, text string, columns int) string {
	text = screen.Plain(text)
	if r := []rune(text); len(r) > max(1, columns) {
		text = string(r[:max(1, columns)])
	}
	if style == "" || !m.cfg.Color {
		return text
	}
	return style + text + normal
}
