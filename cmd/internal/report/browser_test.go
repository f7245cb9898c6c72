package report_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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

	"github.com/lcbq/lcbq/cmd/internal/report"
)

func del(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// A tab is a page open in a real browser, with all that the browser complained of.
type tab struct {
	context.Context
	mu         sync.Mutex
	complaints []string
}

// browserPath returns a browser, or skips the test with the reason.
func browserPath(tb testing.TB) string {
	tb.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	tb.Skip("no chromium on PATH: the report is not looked at in a browser (apt-get install chromium)")
	return ""
}

// show opens a report in a browser of a width.
func show(tb testing.TB, html []byte, width int64) *tab {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "report.html")
	if err := os.WriteFile(path, html, 0o644); err != nil {
		tb.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(browserPath(tb)), chromedp.NoSandbox, chromedp.WSURLReadTimeout(2*time.Minute))
	allocator, stop := chromedp.NewExecAllocator(tb.Context(), options...)
	ctx, done := chromedp.NewContext(allocator)
	tb.Cleanup(func() {
		done()
		stop()
	})
	x := &tab{Context: ctx}
	if err := chromedp.Listen(ctx, x.listen); err != nil {
		tb.Fatal(err)
	}
	if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
		tb.Fatal(err)
	}
	x.do(tb, chromedp.EmulateViewport(width, 900), chromedp.Navigate("file://"+path))
	x.until(tb, `document.readyState === "complete" && !document.getElementById("browser").hidden`)
	return x
}

// listen notes what a page that is sound never does.
func (x *tab) listen(event any) {
	complain := func(text string) {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.complaints = append(x.complaints, text)
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
		if u := e.Request.URL; !strings.HasPrefix(u, "file:") && !strings.HasPrefix(u, "data:") {
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

// value evaluates an expression in the page.
func value[T any](tb testing.TB, x *tab, expression string) T {
	tb.Helper()
	out, err := chromedp.Run(x, chromedp.Evaluate[T](expression))
	if err != nil {
		tb.Fatalf("evaluate %s: %v", expression, err)
	}
	return out
}

// script runs statements in the page.
func (x *tab) script(tb testing.TB, statements string) {
	tb.Helper()
	value[bool](tb, x, "(() => { "+statements+"; return true; })()")
}

// until waits for a condition in the page.
func (x *tab) until(tb testing.TB, condition string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(x, time.Minute)
	defer cancel()
	// Not Poll: it builds a function from text, which the page's policy forbids.
	value := chromedp.Evaluate[bool]("new Promise((done) => { const look = () => ("+condition+") ? done(true) : requestAnimationFrame(look); look(); })", chromedp.EvalAwaitPromise)
	if _, err := chromedp.Run(ctx, value); err != nil {
		tb.Fatalf("wait until %s: %v", condition, err)
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

// TestPageInBrowser walks through the page as a reader would.
func TestPageInBrowser(t *testing.T) {
	t.Parallel()
	x := show(t, pageOf(t, write(t, small())), 1280)

	// Arrows walk in the map; Enter leads to the samples of that cell.
	x.script(t, `document.querySelector("#map tbody td").focus()`)
	x.do(t, chromedp.KeyEvent(kb.ArrowRight), chromedp.KeyEvent(kb.ArrowDown))
	if got := value[string](t, x, `document.activeElement.dataset.tip + "|" + document.getElementById("tip").textContent`); !strings.Contains(got, "of 60 passed") || strings.Split(got, "|")[0] != strings.Split(got, "|")[1] {
		t.Errorf("the focused cell and its tip say %q", got)
	}
	row := value[string](t, x, `document.activeElement.parentElement.dataset.q`)
	x.do(t, chromedp.KeyEvent(kb.Enter))
	x.until(t, `document.querySelectorAll("#list article").length > 0`)
	if got := value[string](t, x, `document.getElementById("pick-q").value + " " + document.getElementById("pick-t").value`); got != row+" 0.6" {
		t.Errorf("Enter on question %s at 0.6 shows %s", row, got)
	}
	if got := value[string](t, x, `document.getElementById("shown").textContent`); !strings.HasPrefix(got, "8 of 60 samples shown") {
		t.Errorf("the browser says %q", got)
	}

	// The choice of a verdict leaves only that.
	x.script(t, `const s = document.getElementById("pick-v"); s.value = s.options[1].value; s.dispatchEvent(new Event("change"));`)
	if !value[bool](t, x, `(() => { const v = document.getElementById("pick-v").value.replaceAll("_", " "); const all = [...document.querySelectorAll("#list article b")]; return all.length > 0 && all.every((b) => b.textContent === v); })()`) {
		t.Error("a chosen verdict does not choose")
	}

	// A table is copied with its exact values.
	x.script(t, `navigator.clipboard.writeText = (text) => { window.copied = text; return Promise.resolve(); };
		document.querySelector("table[data-name=summary]").closest(".tablebox").querySelector(".copy").click()`)
	x.until(t, `window.copied !== undefined`)
	if got := value[string](t, x, `window.copied`); !strings.HasPrefix(got, "temperature,pass@1,pass@5,pass@10,solved,samples,passed,unique_programs,") || strings.Count(got, "\r\n") != 4 || !regexp.MustCompile(`\r\n0\.2,0\.\d{4,},.*,360,`).MatchString(got) {
		t.Errorf("copied %q", got)
	}

	// The theme button overrules the system, both ways.
	x.script(t, `document.getElementById("theme").click()`)
	light := value[string](t, x, `getComputedStyle(document.body).backgroundColor`)
	x.script(t, `document.getElementById("theme").click()`)
	if dark := value[string](t, x, `getComputedStyle(document.body).backgroundColor`); light != "rgb(255, 255, 255)" || dark != "rgb(20, 23, 28)" {
		t.Errorf("light is %s, dark is %s", light, dark)
	}
	x.quiet(t)
}

func pageOf(tb testing.TB, dir string) []byte {
	tb.Helper()
	return page(tb, open(tb, dir, report.Options{}))
}

// TestHostileProgramsAreText in a real browser: nothing of them runs.
func TestHostileProgramsAreText(t *testing.T) {
	t.Parallel()
	x := show(t, pageOf(t, evil(t)), 1280)
	x.script(t, `document.getElementById("samples").scrollIntoView()`)
	x.until(t, `document.querySelectorAll("#list article").length > 0`)
	if got := value[string](t, x, `document.querySelector("#list pre code").textContent`); !strings.HasPrefix(got, hostile) {
		t.Errorf("the program reads %q", got)
	}
	if got := value[string](t, x, `document.title`); strings.Contains(got, "owned") && !strings.Contains(got, "<script>") {
		t.Errorf("the title became %q", got)
	}
	if n := value[int](t, x, `document.querySelectorAll("img, iframe, #list script, #list style").length`); n != 0 {
		t.Errorf("%d elements came out of programs", n)
	}
	x.quiet(t)
}

// TestNothingOverflows: at no width does the page scroll sideways; wide tables
// scroll within themselves.
func TestNothingOverflows(t *testing.T) {
	t.Parallel()
	for name, html := range map[string][]byte{"small": pageOf(t, write(t, small())), "hostile": pageOf(t, evil(t))} {
		x := show(t, html, 1280)
		x.script(t, `document.querySelectorAll("details").forEach((d) => { d.open = true; })`)
		x.script(t, `document.getElementById("samples").scrollIntoView()`)
		x.until(t, `document.querySelectorAll("#list article").length > 0`)
		for _, width := range []int64{320, 390, 768, 1280} {
			x.do(t, chromedp.EmulateViewport(width, 900))
			if got := value[int64](t, x, `document.documentElement.scrollWidth`); got > width {
				t.Errorf("%s: the page is %d wide in a window of %d", name, got, width)
			}
			// Letters of a chart that are beyond its edge are cut or cover others.
			out := value[[]string](t, x, `[...document.querySelectorAll("svg")].filter((s) => s.getBoundingClientRect().width > 0).flatMap((s) => {
				const b = s.getBoundingClientRect();
				return [...s.querySelectorAll("text")].filter((e) => { const r = e.getBoundingClientRect(); return r.right > b.right + 4 || r.left < b.left - 4 || r.bottom > b.bottom + 4; }).map((e) => s.id + ": " + e.textContent);
			})`)
			if name == "small" && len(out) > 0 {
				t.Errorf("at %d: text beyond its chart: %q", width, out)
			}
		}
		x.quiet(t)
	}
}

// TestScreenReaderNames: everything that can be focused, and every chart, has a
// name, and headings do not skip.
func TestScreenReaderNames(t *testing.T) {
	t.Parallel()
	x := show(t, pageOf(t, write(t, small())), 1280)
	x.script(t, `document.getElementById("samples").scrollIntoView()`)
	x.until(t, `document.querySelectorAll("#list article").length > 0`)
	nameless := value[[]string](t, x, `[...document.querySelectorAll("a, button, select, summary, svg, [tabindex='0'], table")].filter((e) => {
		const by = (e.getAttribute("aria-labelledby") ?? "").split(" ").map((i) => document.getElementById(i)?.textContent ?? "").join("");
		return !(e.getAttribute("aria-label") || by || e.textContent || e.labels?.length);
	}).map((e) => e.outerHTML.slice(0, 100))`)
	if len(nameless) > 0 {
		t.Errorf("without a name: %q", nameless)
	}
	if skips := value[[]string](t, x, `(() => { let last = 0; return [...document.querySelectorAll("h1,h2,h3,h4")].filter((h) => { const n = +h.tagName[1]; const bad = n > last + 1; last = n; return bad; }).map((h) => h.textContent); })()`); len(skips) > 0 {
		t.Errorf("headings that skip a level: %q", skips)
	}
}
