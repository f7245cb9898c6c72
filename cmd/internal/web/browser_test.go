package web

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/lcbq/lcbq/cmd/internal/browsertest"
	"github.com/lcbq/lcbq/cmd/internal/snapshot"
	"github.com/lcbq/lcbq/stream"
)

// browse opens a page of the server in a browser.
func browse(tb testing.TB, s *Server, address string, width int64) *browsertest.Tab {
	tb.Helper()
	return browsertest.Open(tb, address, s.URL, width)
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
	x.Until(t, has("samples", "16.7 %")+" && "+has("live", "live"))
	if got := browsertest.Value[string](t, x, "location.href"); got != s.URL {
		t.Errorf("the address is %s: the token stays in it", got)
	}
	x.Until(t, `document.querySelectorAll("#dead tbody tr").length === 1`)
	// What the snapshot says stands on the page.
	for id, want := range map[string]string{
		"findings": "nobody judges the 12 units in EVALUATE", "left": "2 min", "left-more": "60 s to 3 min", "stages": "evaluate", "workers": "silent", "title": "sim: running", "passed": "40.0 %", "slowest": "evaluate", "slowest-more": "10 units wait, none is done", "dead": "<img src=x",
	} {
		if got := browsertest.Value[string](t, x, `document.getElementById("`+id+`").textContent`); !strings.Contains(got, want) {
			t.Errorf("#%s says %q, want %q in it", id, got, want)
		}
	}
	if got := browsertest.Value[string](t, x, `document.querySelector("#findings code").textContent`); got != "lcbq evaluate -o out" {
		t.Errorf("the finding's command is %q", got)
	}
	if !browsertest.Value[bool](t, x, `!document.getElementById("simulated").hidden && document.querySelectorAll("#grid>i").length === 6 && document.querySelector("#curve svg.wide path") !== null`) {
		t.Error("the warning, the grid or the curve is not there")
	}

	// A cell is finished: its field changes in place, and the others stay where they are.
	before := browsertest.Value[string](t, x, `JSON.stringify([...document.querySelectorAll("#grid>i")].map((e, i, all) => [e.offsetLeft - all[0].offsetLeft, e.offsetTop - all[0].offsetTop]))`)
	next := small()
	next.Questions[1].Cells[0] = snapshot.Cell{N: 100, Passed: 100}
	next.Run.Samples.Done, next.Run.Cells.Done = 200, 2
	next.Findings = nil
	r.set(next)
	x.Until(t, has("samples", "33.3 %")+` && document.querySelectorAll("#grid>i")[2].classList.contains("h7")`)
	if after := browsertest.Value[string](t, x, `JSON.stringify([...document.querySelectorAll("#grid>i")].map((e, i, all) => [e.offsetLeft - all[0].offsetLeft, e.offsetTop - all[0].offsetTop]))`); after != before {
		t.Errorf("fields moved from %s to %s", before, after)
	}
	if got := browsertest.Value[string](t, x, `document.getElementById("findings").textContent`); got != "" {
		t.Errorf("a finding that is over stays: %s", got)
	}

	// The grid is walked by keys, and says what a field stands for.
	browsertest.Value[bool](t, x, `document.querySelector("#grid>i").focus() === undefined`)
	x.Do(t, chromedp.KeyEvent(kb.ArrowRight))
	x.Until(t, has("cell", "Title of q_b (easy), T 0.2: 100 of 100 passed"))
	x.Do(t, chromedp.KeyEvent(kb.ArrowDown))
	x.Until(t, has("cell", "Title of q_b (easy), T 1: nothing yet of 100 samples"))

	// The operator puts a unit back.
	browsertest.Value[bool](t, x, `document.querySelector("#dead button").click() === undefined`)
	x.Until(t, has("requeue-said", "1 unit put back"))

	// The server is restarted: the page comes back by itself, and has what changed meanwhile.
	x.Away(true)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	x.Until(t, has("live", "no connection"))
	last := small()
	last.Run.Samples.Done = 300
	last.Questions[2].Cells[1] = snapshot.Cell{N: 100, Passed: 0}
	r.set(last)
	again := r.open(t, Auto)
	if again.URL != s.URL {
		t.Fatalf("after the restart the page is at %s, before at %s", again.URL, s.URL)
	}
	x.Until(t, has("samples", "50.0 %")+` && document.querySelectorAll("#grid>i")[5].classList.contains("h0") && document.getElementById("live").textContent === "live"`)
	x.Away(false)
	x.Quiet(t)
}

// TestViewerInBrowser: without a token the page asks for one, refuses a wrong one, and shows a viewer no action.
func TestViewerInBrowser(t *testing.T) {
	t.Parallel()
	r := newRig(t, small())
	r.dead = []stream.Dead{{Subject: "evaluate.r1.q1.t1_0.u0000"}}
	s := r.open(t, "127.0.0.1:0")
	x := browse(t, s, s.URL, 390)
	x.Until(t, `document.querySelector("form input[name=token]") !== null`)
	if browsertest.Value[bool](t, x, `document.getElementById("grid") !== null`) {
		t.Error("the page is shown without a token")
	}
	x.Do(t, chromedp.Navigate(s.URL+"?token=wrong"))
	x.Until(t, `document.querySelector(".wrong") !== null`)
	browsertest.Value[bool](t, x, `(document.querySelector("input[name=token]").value = "`+s.Viewer+`") !== "" && document.querySelector("form button").click() === undefined`)
	x.Until(t, `document.getElementById("samples") !== null && `+has("samples", "16.7 %")+` && document.querySelectorAll("#dead tbody tr").length === 1`)
	if browsertest.Value[bool](t, x, `document.querySelector("#dead tbody button") !== null || !document.getElementById("requeue-all").hidden`) {
		t.Error("a viewer is offered an action")
	}
	if got := browsertest.Value[int](t, x, `document.documentElement.scrollWidth`); got > 390 {
		t.Errorf("on a phone the page is %d wide", got)
	}
	// The browser writes to its console that a page came with status 401: that is what was asked for.
	x.Forgive("401")
	x.Quiet(t)
}

// TestClockInBrowser: a browser whose clock is an hour ahead, and then an hour behind, shows the ages that the server says,
// goes on showing what is new, and says how long the connection has been away by no clock that anybody sets.
func TestClockInBrowser(t *testing.T) {
	t.Parallel()
	first := small()
	first.Workers[0].Slow = true
	r := newRig(t, first)
	s := r.open(t, "127.0.0.1:0")
	x := browse(t, s, "about:blank", 1280)
	x.Before(t, `(() => {
		const real = Date, now = Date.now.bind(Date);
		globalThis.off = 3600000;
		globalThis.Date = class extends real { constructor(...a) { if (a.length) super(...a); else super(now() + off); } static now() { return now() + off; } };
	})()`)
	x.Do(t, chromedp.Navigate(s.Link(s.Operator)))
	x.Until(t, has("samples", "16.7 %")+" && "+has("live", "live"))
	if ahead := browsertest.Value[float64](t, x, `Date.now()`) - float64(time.Now().UnixMilli()); ahead < 3_500_000 {
		t.Fatalf("the browser's clock is %v ms ahead, want an hour", ahead)
	}
	ages := func(want string) {
		t.Helper()
		if got := browsertest.Value[string](t, x, `[...document.querySelectorAll("#workers tbody tr")].map((r) => r.cells[1].textContent + " " + r.cells[8].textContent).join("; ")`); got != want {
			t.Errorf("the workers are %q, want %q", got, want)
		}
	}
	ages("working, slow 0 s; silent 40 s")
	x.Script(t, `off = -3600000`)
	next := small()
	next.Run.Samples.Done, next.Workers[1].LastSign = 200, 45
	r.set(next)
	x.Until(t, has("samples", "33.3 %"))
	ages("working 0 s; silent 45 s")
	x.Away(true)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	x.Script(t, `off = 3600000`)
	x.Until(t, `/no connection for [1-9][0-9]* (s|min):/.test(document.getElementById("live").textContent)`)
	x.Quiet(t)
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
		x.Script(t, `localStorage.setItem("lcbq-theme", "`+c.theme+`")`) // a page that changes its theme fades
		x.Do(t, chromedp.EmulateViewport(c.width, 900), chromedp.Navigate(s.URL))
		x.Until(t, fmt.Sprintf(`document.querySelectorAll("#grid>i").length === %d && `, len(c.run.Questions)*len(c.run.Temperatures))+has("title", c.run.Run.State)+" && "+has("live", "live")+" && "+has("theme", c.theme))
		if said := browsertest.Value[bool](t, x, `!document.getElementById("dashed").hidden`); said == (c.run.Run.Cells.Done == c.run.Run.Cells.All) {
			t.Errorf("%s: the words on dashed lines are there: %v", c.name, said)
		}
		if got := browsertest.Value[int64](t, x, `document.documentElement.scrollWidth`); got > c.width {
			t.Errorf("%s: the page is %d wide in a window of %d", c.name, got, c.width)
		}
		if !wanted {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, c.name+".png"), x.Picture(t), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	x.Quiet(t)
}
