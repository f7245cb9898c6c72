package report_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/lcbq/lcbq/cmd/internal/browsertest"
	"github.com/lcbq/lcbq/cmd/internal/report"
)

func del(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// show opens a report in a browser of a width.
func show(tb testing.TB, html []byte, width int64) *browsertest.Tab {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "report.html")
	if err := os.WriteFile(path, html, 0o644); err != nil {
		tb.Fatal(err)
	}
	x := browsertest.Open(tb, "file://"+path, "file:", width)
	x.Until(tb, `document.readyState === "complete" && !document.getElementById("browser").hidden`)
	return x
}

// TestPageInBrowser walks through the page as a reader would.
func TestPageInBrowser(t *testing.T) {
	t.Parallel()
	browsertest.Need(t)
	x := show(t, pageOf(t, write(t, small())), 1280)

	// Arrows walk in the map; Enter leads to the samples of that cell.
	x.Script(t, `document.querySelector("#map tbody td").focus()`)
	x.Do(t, chromedp.KeyEvent(kb.ArrowRight), chromedp.KeyEvent(kb.ArrowDown))
	if got := browsertest.Value[string](t, x, `document.activeElement.dataset.tip + "|" + document.getElementById("tip").textContent`); !strings.Contains(got, "of 60 passed") || strings.Split(got, "|")[0] != strings.Split(got, "|")[1] {
		t.Errorf("the focused cell and its tip say %q", got)
	}
	row := browsertest.Value[string](t, x, `document.activeElement.parentElement.dataset.q`)
	x.Do(t, chromedp.KeyEvent(kb.Enter))
	x.Until(t, `document.querySelectorAll("#list article").length > 0`)
	if got := browsertest.Value[string](t, x, `document.getElementById("pick-q").value + " " + document.getElementById("pick-t").value`); got != row+" 0.6" {
		t.Errorf("Enter on question %s at 0.6 shows %s", row, got)
	}
	if got := browsertest.Value[string](t, x, `document.getElementById("shown").textContent`); !strings.HasPrefix(got, "8 of 60 samples shown") {
		t.Errorf("the browser says %q", got)
	}

	// The choice of a verdict leaves only that.
	x.Script(t, `const s = document.getElementById("pick-v"); s.value = s.options[1].value; s.dispatchEvent(new Event("change"));`)
	if !browsertest.Value[bool](t, x, `(() => { const v = document.getElementById("pick-v").value.replaceAll("_", " "); const all = [...document.querySelectorAll("#list article b")]; return all.length > 0 && all.every((b) => b.textContent === v); })()`) {
		t.Error("a chosen verdict does not choose")
	}

	// A table is copied with its exact values.
	x.Script(t, `navigator.clipboard.writeText = (text) => { window.copied = text; return Promise.resolve(); };
		document.querySelector("table[data-name=summary]").closest(".tablebox").querySelector(".copy").click()`)
	x.Until(t, `window.copied !== undefined`)
	if got := browsertest.Value[string](t, x, `window.copied`); !strings.HasPrefix(got, "temperature,pass@1,pass@5,pass@10,solved,samples,passed,unique_programs,") || strings.Count(got, "\r\n") != 4 || !regexp.MustCompile(`\r\n0\.2,0\.\d{4,},.*,360,`).MatchString(got) {
		t.Errorf("copied %q", got)
	}

	// The theme button overrules the system, both ways.
	x.Script(t, `document.getElementById("theme").click()`)
	light := browsertest.Value[string](t, x, `getComputedStyle(document.body).backgroundColor`)
	x.Script(t, `document.getElementById("theme").click()`)
	if dark := browsertest.Value[string](t, x, `getComputedStyle(document.body).backgroundColor`); light != "rgb(255, 255, 255)" || dark != "rgb(20, 23, 28)" {
		t.Errorf("light is %s, dark is %s", light, dark)
	}
	x.Quiet(t)
}

func pageOf(tb testing.TB, dir string) []byte {
	tb.Helper()
	return page(tb, open(tb, dir, report.Options{}))
}

// TestHostileProgramsAreText in a real browser: nothing of them runs.
func TestHostileProgramsAreText(t *testing.T) {
	t.Parallel()
	browsertest.Need(t)
	x := show(t, pageOf(t, evil(t)), 1280)
	x.Script(t, `document.getElementById("samples").scrollIntoView()`)
	x.Until(t, `document.querySelectorAll("#list article").length > 0`)
	if got := browsertest.Value[string](t, x, `document.querySelector("#list pre code").textContent`); !strings.HasPrefix(got, hostile) {
		t.Errorf("the program reads %q", got)
	}
	if got := browsertest.Value[string](t, x, `document.title`); strings.Contains(got, "owned") && !strings.Contains(got, "<script>") {
		t.Errorf("the title became %q", got)
	}
	if n := browsertest.Value[int](t, x, `document.querySelectorAll("img, iframe, #list script, #list style").length`); n != 0 {
		t.Errorf("%d elements came out of programs", n)
	}
	x.Quiet(t)
}

// TestNothingOverflows: at no width does the page scroll sideways; wide tables
// scroll within themselves.
func TestNothingOverflows(t *testing.T) {
	t.Parallel()
	browsertest.Need(t)
	for name, html := range map[string][]byte{"small": pageOf(t, write(t, small())), "hostile": pageOf(t, evil(t))} {
		x := show(t, html, 1280)
		x.Script(t, `document.querySelectorAll("details").forEach((d) => { d.open = true; })`)
		x.Script(t, `document.getElementById("samples").scrollIntoView()`)
		x.Until(t, `document.querySelectorAll("#list article").length > 0`)
		for _, width := range []int64{320, 390, 768, 1280} {
			x.Do(t, chromedp.EmulateViewport(width, 900))
			if got := browsertest.Value[int64](t, x, `document.documentElement.scrollWidth`); got > width {
				t.Errorf("%s: the page is %d wide in a window of %d", name, got, width)
			}
			// Letters of a chart that are beyond its edge are cut or cover others.
			out := browsertest.Value[[]string](t, x, `[...document.querySelectorAll("svg")].filter((s) => s.getBoundingClientRect().width > 0).flatMap((s) => {
				const b = s.getBoundingClientRect();
				return [...s.querySelectorAll("text")].filter((e) => { const r = e.getBoundingClientRect(); return r.right > b.right + 4 || r.left < b.left - 4 || r.bottom > b.bottom + 4; }).map((e) => s.id + ": " + e.textContent);
			})`)
			if name == "small" && len(out) > 0 {
				t.Errorf("at %d: text beyond its chart: %q", width, out)
			}
		}
		x.Quiet(t)
	}
}

// TestScreenReaderNames: everything that can be focused, and every chart, has a
// name, and headings do not skip.
func TestScreenReaderNames(t *testing.T) {
	t.Parallel()
	browsertest.Need(t)
	x := show(t, pageOf(t, write(t, small())), 1280)
	x.Script(t, `document.getElementById("samples").scrollIntoView()`)
	x.Until(t, `document.querySelectorAll("#list article").length > 0`)
	nameless := browsertest.Value[[]string](t, x, `[...document.querySelectorAll("a, button, select, summary, svg, [tabindex='0'], table")].filter((e) => {
		const by = (e.getAttribute("aria-labelledby") ?? "").split(" ").map((i) => document.getElementById(i)?.textContent ?? "").join("");
		return !(e.getAttribute("aria-label") || by || e.textContent || e.labels?.length);
	}).map((e) => e.outerHTML.slice(0, 100))`)
	if len(nameless) > 0 {
		t.Errorf("without a name: %q", nameless)
	}
	if skips := browsertest.Value[[]string](t, x, `(() => { let last = 0; return [...document.querySelectorAll("h1,h2,h3,h4")].filter((h) => { const n = +h.tagName[1]; const bad = n > last + 1; last = n; return bad; }).map((h) => h.textContent); })()`); len(skips) > 0 {
		t.Errorf("headings that skip a level: %q", skips)
	}
}
