// Package browsertest opens pages in a real browser for the tests of them. It knows no page.
package browsertest

import (
	"context"
	"flag"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

var inBrowser = flag.Bool("browser", false, "look at pages in a real browser")

// Need skips a test that is for a browser, unless -browser asks for it.
func Need(tb testing.TB) {
	tb.Helper()
	if !*inBrowser {
		tb.Skip("a browser takes its time; -browser looks at the page in one")
	}
	if path() == "" {
		tb.Skip("no chromium on PATH: the page is not looked at in a browser (apt-get install chromium)")
	}
}

// path returns a browser, and "" if there is none.
func path() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			return p
		}
	}
	return ""
}

// A Tab is a page open in a real browser, with all that the browser complained of.
type Tab struct {
	context.Context
	from string // where the page may load from

	mu         sync.Mutex
	complaints []string
	away       bool // the server is not there: that the browser says so is no complaint
}

// Open opens an address, which may load from addresses that begin with from only, in a window of a width. It skips the
// test where Need does.
func Open(tb testing.TB, address, from string, width int64) *Tab {
	tb.Helper()
	Need(tb)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path()), chromedp.NoSandbox, chromedp.WSURLReadTimeout(2*time.Minute))
	allocator, stop := chromedp.NewExecAllocator(tb.Context(), options...)
	ctx, done := chromedp.NewContext(allocator)
	tb.Cleanup(func() {
		done()
		stop()
	})
	x := &Tab{Context: ctx, from: from}
	if err := chromedp.Listen(ctx, x.listen); err != nil {
		tb.Fatal(err)
	}
	if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
		tb.Fatal(err)
	}
	x.Do(tb, chromedp.EmulateViewport(width, 900), chromedp.Navigate(address))
	return x
}

// listen notes what a page that is sound never does.
func (x *Tab) listen(event any) {
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

// Away says whether the server is gone, so that the browser may say so.
func (x *Tab) Away(gone bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.away = gone
}

// Forgive forgets the complaints that have a word in them.
func (x *Tab) Forgive(word string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.complaints = slices.DeleteFunc(x.complaints, func(c string) bool { return strings.Contains(c, word) })
}

// Quiet fails if the browser complained of anything.
func (x *Tab) Quiet(tb testing.TB) {
	tb.Helper()
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, c := range x.complaints {
		tb.Errorf("the browser says: %s", c)
	}
}

// Do carries out steps.
func (x *Tab) Do(tb testing.TB, steps ...chromedp.Action[chromedp.Void]) {
	tb.Helper()
	if err := chromedp.Do(x, steps...); err != nil {
		tb.Fatal(err)
	}
}

// Value evaluates an expression in the page.
func Value[T any](tb testing.TB, x *Tab, expression string) T {
	tb.Helper()
	out, err := chromedp.Run(x, chromedp.Evaluate[T](expression))
	if err != nil {
		tb.Fatalf("evaluate %s: %v", expression, err)
	}
	return out
}

// Before runs a script in every page that is opened from now on, before the page's own.
func (x *Tab) Before(tb testing.TB, script string) {
	tb.Helper()
	if _, err := chromedp.Call(x, cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{Source: script}); err != nil {
		tb.Fatal(err)
	}
}

// Script runs statements in the page.
func (x *Tab) Script(tb testing.TB, statements string) {
	tb.Helper()
	Value[bool](tb, x, "(() => { "+statements+"; return true; })()")
}

// Until waits for a condition in the page, which may be another one meanwhile. The page is not made to poll: its
// policy may forbid to make a function from text.
func (x *Tab) Until(tb testing.TB, condition string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(x, time.Minute)
	defer cancel()
	for {
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("("+condition+")"))
		if err == nil && ok {
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			tb.Fatalf("wait until %s: %v", condition, err)
		}
	}
}

// Picture returns the whole page as PNG.
func (x *Tab) Picture(tb testing.TB) []byte {
	tb.Helper()
	picture, err := chromedp.Run(x, chromedp.FullScreenshot(100))
	if err != nil {
		tb.Fatal(err)
	}
	return picture
}

// Spent returns what the page has cost so far, by the browser's own names: TaskDuration is the seconds of its main
// thread, LayoutDuration, RecalcStyleDuration and ScriptDuration parts of them, Nodes the elements.
func (x *Tab) Spent(tb testing.TB) map[string]float64 {
	tb.Helper()
	if _, err := chromedp.Call(x, performance.Enable, performance.EnableParams{TimeDomain: performance.EnableTimeDomainThreadTicks}); err != nil {
		tb.Fatal(err)
	}
	got, err := chromedp.Call(x, performance.GetMetrics, cdp.Empty{})
	if err != nil {
		tb.Fatal(err)
	}
	out := make(map[string]float64)
	for _, m := range got.Metrics {
		out[m.Name] = m.Value
	}
	return out
}
