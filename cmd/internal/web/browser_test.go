package web

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/lcbq/lcbq/cmd/internal/snapshot"
	"github.com/lcbq/lcbq/stream"
)

var inBrowser = flag.Bool("browser", false, "look at the page in a real browser")

// A tab is a page open in a real browser, with all that the browser complained of.
type tab struct {
	context.Context
	from string // where the page may load from

	mu         sync.Mutex
	complaints []string
	away       bool // the server is not there: that the browser says so is no complaint
}

// browse opens an address in a browser.
func browse(tb testing.TB, s *Server, address string, width int64) *tab {
	tb.Helper()
	if !*inBrowser {
		tb.Skip("a browser takes its time; -browser looks at the page in one")
	}
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		tb.Skip("no chromium on PATH: the page is not looked at in a browser (apt-get install chromium)")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WSURLReadTimeout(2*time.Minute))
	allocator, stop := chromedp.NewExecAllocator(tb.Context(), options...)
	ctx, done := chromedp.NewContext(allocator)
	tb.Cleanup(func() {
		done()
		stop()
	})
	x := &tab{Context: ctx, from: s.URL}
	if err := chromedp.Listen(ctx, x.listen); err != nil {
		tb.Fatal(err)
	}
	if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
		tb.Fatal(err)
	}
	x.do(tb, chromedp.EmulateViewport(width, 900), chromedp.Navigate(address))
	return x
}

// listen notes what a page that is sound never does.
func (x *tab) listen(event any) {
	complain := func(text string) {
		x.mu.Lock()
		defer x.mu.Unlock()
		if !x.away || !strings.Contains(text, "ERR_CONNECTION_REFUSED") && !strings.Contains(text, "ERR_INCOMPLETE_CHUNKED_ENCODING") {
			x.complaints = append(x.complaints, text)
		}
	}
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		complain("exception: " + e.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		complain("console: " + string(e.Type))
	case *cdplog.EventEntryAdded:
		complain("log: " + e.Entry.Text)
	case *cdppage.EventJavascriptDialogOpening:
		complain("dialog: " + e.Message)
	case *network.EventRequestWillBeSent:
		if u := e.Request.URL; !strings.HasPrefix(u, x.from) && !strings.HasPrefix(u, "data:") {
			complain("request: " + u)
		}
	}
}

func (x *tab) do(tb testing.TB, steps ...chromedp.Action[chromedp.Void]) {
	tb.Helper()
	if err := chromedp.Do(x, steps...); err != nil {
		tb.Fatal(err)
	}
}

// valueOf evaluates an expression in the page.
func valueOf[T any](tb testing.TB, x *tab, expression string) T {
	tb.Helper()
	out, err := chromedp.Run(x, chromedp.Evaluate[T](expression))
	if err != nil {
		tb.Fatalf("evaluate %s: %v", expression, err)
	}
	return out
}

// until waits for a condition in the page, which may be another one meanwhile.
func (x *tab) until(tb testing.TB, condition string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(x, time.Minute)
	defer cancel()
	for {
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("("+condition+")"))
		if err == nil && ok {
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			tb.Fatalf("wait until %s: %v", condition, err)
		}
	}
}

func (x *tab) quiet(tb testing.TB) {
	tb.Helper()
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, c := range x.complaints {
		tb.Errorf("the browser says: %s", c)
	}
}

func has(id, text string) string {
	return fmt.Sprintf("document.getElementById(%q).textContent.includes(%q)", id, text)
}

// TestPageInBrowser follows a run as its operator would.
func TestPageInBrowser(t *testing.T) {
	t.Parallel()
	r := newRig(t, small())
	r.dead = []stream.Dead{{Subject: "evaluate.r1.q1.t1_0.u0000", Reason: "poison", Error: `<img src=x onerror="alert(1)">`, Deliveries: 12, Worker: "eval0-a"}}
	s := r.open(t, "127.0.0.1:0")
	x := browse(t, s, s.Link(s.Operator), 1280)
	x.until(t, has("samples", "16.7 %")+" && "+has("live", "live"))
	if got := valueOf[string](t, x, "location.href"); got != s.URL {
		t.Errorf("the address is %s: the token stays in it", got)
	}
	x.until(t, `document.querySelectorAll("#dead tbody tr").length === 1`)
	// What the snapshot says stands on the page.
	for id, want := range map[string]string{
		"findings": "nobody judges the 12 units in EVALUATE", "left": "2 min", "left-more": "60 s to 3 min", "stages": "evaluate", "workers": "silent", "title": "sim: running", "passed": "40.0 %", "dead": "<img src=x",
	} {
		if got := valueOf[string](t, x, `document.getElementById("`+id+`").textContent`); !strings.Contains(got, want) {
			t.Errorf("#%s says %q, want %q in it", id, got, want)
		}
	}
	if got := valueOf[string](t, x, `document.querySelector("#findings code").textContent`); got != "lcbq evaluate -o out" {
		t.Errorf("the finding's command is %q", got)
	}
	if !valueOf[bool](t, x, `!document.getElementById("simulated").hidden && document.querySelectorAll("#grid>i").length === 6 && document.querySelector("#curve svg.wide path") !== null`) {
		t.Error("the warning, the grid or the curve is not there")
	}

	// A cell is finished: its field changes in place, and the others stay where they are.
	before := valueOf[string](t, x, `JSON.stringify([...document.querySelectorAll("#grid>i")].map((e, i, all) => [e.offsetLeft - all[0].offsetLeft, e.offsetTop - all[0].offsetTop]))`)
	next := small()
	next.Questions[1].Cells[0] = snapshot.Cell{N: 100, Passed: 100}
	next.Run.Samples.Done, next.Run.Cells.Done = 200, 2
	next.Findings = nil
	r.set(next)
	x.until(t, has("samples", "33.3 %")+` && document.querySelectorAll("#grid>i")[2].classList.contains("h7")`)
	if after := valueOf[string](t, x, `JSON.stringify([...document.querySelectorAll("#grid>i")].map((e, i, all) => [e.offsetLeft - all[0].offsetLeft, e.offsetTop - all[0].offsetTop]))`); after != before {
		t.Errorf("fields moved from %s to %s", before, after)
	}
	if got := valueOf[string](t, x, `document.getElementById("findings").textContent`); got != "" {
		t.Errorf("a finding that is over stays: %s", got)
	}

	// The grid is walked by keys, and says what a field stands for.
	valueOf[bool](t, x, `document.querySelector("#grid>i").focus() === undefined`)
	x.do(t, chromedp.KeyEvent(kb.ArrowRight))
	x.until(t, has("cell", "Title of q_b (easy), T 0.2: 100 of 100 passed"))
	x.do(t, chromedp.KeyEvent(kb.ArrowDown))
	x.until(t, has("cell", "Title of q_b (easy), T 1: nothing yet of 100 samples"))

	// The operator puts a unit back.
	valueOf[bool](t, x, `document.querySelector("#dead button").click() === undefined`)
	x.until(t, has("requeue-said", "1 unit put back"))

	// The server is restarted: the page comes back by itself, and has what changed meanwhile.
	x.mu.Lock()
	x.away = true
	x.mu.Unlock()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	x.until(t, has("live", "no connection"))
	last := small()
	last.Run.Samples.Done = 300
	last.Questions[2].Cells[1] = snapshot.Cell{N: 100, Passed: 0}
	r.set(last)
	again := r.open(t, Auto)
	if again.URL != s.URL {
		t.Fatalf("after the restart the page is at %s, before at %s", again.URL, s.URL)
	}
	x.until(t, has("samples", "50.0 %")+` && document.querySelectorAll("#grid>i")[5].classList.contains("h0") && document.getElementById("live").textContent === "live"`)
	x.mu.Lock()
	x.away = false
	x.mu.Unlock()
	x.quiet(t)
}

// TestViewerInBrowser: without a token the page asks for one, refuses a wrong one, and shows a viewer no action.
func TestViewerInBrowser(t *testing.T) {
	t.Parallel()
	r := newRig(t, small())
	r.dead = []stream.Dead{{Subject: "evaluate.r1.q1.t1_0.u0000"}}
	s := r.open(t, "127.0.0.1:0")
	x := browse(t, s, s.URL, 390)
	x.until(t, `document.querySelector("form input[name=token]") !== null`)
	if valueOf[bool](t, x, `document.getElementById("grid") !== null`) {
		t.Error("the page is shown without a token")
	}
	x.do(t, chromedp.Navigate(s.URL+"?token=wrong"))
	x.until(t, `document.querySelector(".wrong") !== null`)
	valueOf[bool](t, x, `(document.querySelector("input[name=token]").value = "`+s.Viewer+`") !== "" && document.querySelector("form button").click() === undefined`)
	x.until(t, `document.getElementById("samples") !== null && `+has("samples", "16.7 %")+` && document.querySelectorAll("#dead tbody tr").length === 1`)
	if valueOf[bool](t, x, `document.querySelector("#dead tbody button") !== null || !document.getElementById("requeue-all").hidden`) {
		t.Error("a viewer is offered an action")
	}
	if got := valueOf[int](t, x, `document.documentElement.scrollWidth`); got > 390 {
		t.Errorf("on a phone the page is %d wide", got)
	}
	// The browser writes to its console that a page came with status 401: that is what was asked for.
	x.mu.Lock()
	x.complaints = slices.DeleteFunc(x.complaints, func(c string) bool { return strings.Contains(c, "401") })
	x.mu.Unlock()
	x.quiet(t)
}

// large is a run of 175 questions at 16 temperatures with 64 workers and 8 GPUs of which a share is done. Nothing
// measured it: the numbers are drawn.
func large(share float64) *snapshot.Snapshot {
	s := small()
	rnd := rand.New(rand.NewPCG(1, 2))
	s.Run.Model, s.Run.Engine, s.Run.State = "Qwen/Qwen3-0.6B", stream.EngineVLLM, "running"
	s.Run.Cells, s.Run.Samples, s.Run.Passed = snapshot.Share{All: 2800}, snapshot.Share{All: 2_800_000}, 0
	s.Temperatures, s.Questions, s.Workers = nil, nil, nil
	temperatures := []float64{0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.4, 1.5, 1.7, 2}
	for _, t := range temperatures {
		s.Temperatures = append(s.Temperatures, snapshot.Temperature{Temperature: t, Cells: snapshot.Share{All: 175}, PassAt1: -1})
	}
	for q := range 175 {
		row := snapshot.Question{Index: q, ID: fmt.Sprint(q), Title: fmt.Sprintf("Question %d", q), Difficulty: "medium", N: 1000}
		easy := rnd.Float64()
		for t := range temperatures {
			c := snapshot.Cell{}
			if float64(q*16+t)/2800 < share {
				c.N = 1000
				c.Passed = int(1000 * max(0, min(1, easy*1.4-0.2-0.1*temperatures[t]*rnd.Float64())))
				at := &s.Temperatures[t]
				at.Samples, at.Passed, at.Cells.Done = at.Samples+c.N, at.Passed+c.Passed, at.Cells.Done+1
				s.Run.Samples.Done, s.Run.Passed, s.Run.Cells.Done = s.Run.Samples.Done+c.N, s.Run.Passed+c.Passed, s.Run.Cells.Done+1
			}
			row.Cells = append(row.Cells, c)
		}
		s.Questions = append(s.Questions, row)
	}
	for i := range s.Temperatures {
		if t := &s.Temperatures[i]; t.Samples > 0 {
			t.PassAt1 = float64(t.Passed) / float64(t.Samples)
			t.Low, t.High, t.Complete = t.PassAt1-0.01, t.PassAt1+0.01, t.Cells.Done == t.Cells.All
		}
	}
	for i := range 64 {
		s.Workers = append(s.Workers, snapshot.Worker{Stage: stream.Evaluate, Name: fmt.Sprintf("eval0-host%02d-4711", i), Host: fmt.Sprintf("host%02d", i), Slots: 64, Units: int64(100 + i), Samples: int64(10_000 + 100*i), Cached: int64(3000 + i), State: snapshot.Working, Rate: 3 + rnd.Float64(), LastSign: 4, Slow: i == 7})
	}
	for i := range 8 {
		c := snapshot.Card{Host: "gpu1", Engines: 1}
		c.Index, c.UUID, c.Name, c.Utilization, c.MemoryUsed, c.MemoryTotal, c.Power, c.Temperature, c.IdleShare = i, fmt.Sprint(i), "NVIDIA H100", 90+i, 70<<30, 80<<30, 600, 61, 0.02
		s.Cards = append(s.Cards, c)
	}
	return s
}

// TestScreenshots writes pictures of the page to LCBQ_SCREENSHOTS, for people to look at. It also wants that nothing
// is wider than the screen.
func TestScreenshots(t *testing.T) {
	t.Parallel()
	dir, wanted := os.LookupEnv("LCBQ_SCREENSHOTS")
	done := large(1)
	done.Run.State, done.Run.Finished, done.Findings, done.Left, done.Run.Dead = "finished", 1, nil, nil, 0
	done.Units.Dead = 0
	for i := range done.Stages {
		st := &done.Stages[i]
		st.Waiting, st.InFlight, st.Rate, st.Trend, st.Backlog = 0, 0, 0, 0, 0
	}
	begun := small()
	begun.Run.Samples.Done, begun.Run.Cells.Done, begun.Questions[0].Cells[0], begun.Temperatures[0].PassAt1 = 0, 0, snapshot.Cell{}, -1
	r := newRig(t, large(0.4))
	r.dead = []stream.Dead{{Subject: "evaluate.r1.q17.t0_2.u0003", Reason: "poison", Error: "decode unit: unexpected end", Deliveries: 12, Worker: "eval0-host07-4711"}, {Subject: "evaluate.r1.q18.t0_2.u0003", Reason: "max deliveries", Error: "sandbox: no space left on device", Deliveries: 12, Worker: "eval0-host07-4711"}}
	s := r.open(t, "127.0.0.1:0")
	x := browse(t, s, s.Link(s.Operator), 1280)
	for _, c := range []struct {
		name  string
		run   *snapshot.Snapshot
		width int64
		theme string
	}{
		{"mid-desktop", large(0.4), 1280, "light"},
		{"mid-desktop-dark", large(0.4), 1280, "dark"},
		{"mid-phone", large(0.4), 390, "light"},
		{"mid-phone-dark", large(0.4), 390, "dark"},
		{"narrow", large(0.4), 320, "light"},
		{"done-desktop", done, 1280, "light"},
		{"begun-desktop", begun, 1280, "light"},
		{"begun-phone", begun, 390, "dark"},
	} {
		if !wanted && c.name != "mid-desktop" && c.name != "narrow" {
			continue
		}
		r.set(c.run)
		x.do(t, chromedp.EmulateViewport(c.width, 900), chromedp.Navigate(s.URL))
		x.until(t, fmt.Sprintf(`document.querySelectorAll("#grid>i").length === %d && `, len(c.run.Questions)*len(c.run.Temperatures))+has("title", c.run.Run.State)+" && "+has("live", "live"))
		valueOf[bool](t, x, `(document.documentElement.dataset.theme = "`+c.theme+`") !== ""`)
		if got := valueOf[int64](t, x, `document.documentElement.scrollWidth`); got > c.width {
			t.Errorf("%s: the page is %d wide in a window of %d", c.name, got, c.width)
		}
		if !wanted {
			continue
		}
		picture, err := chromedp.Run(x, chromedp.FullScreenshot(100))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, c.name+".png"), picture, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	x.quiet(t)
}
