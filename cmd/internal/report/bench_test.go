package report_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"golang.org/x/sys/unix"

	"github.com/lcbq/lcbq/cmd/internal/browsertest"
	"github.com/lcbq/lcbq/cmd/internal/report"
	"github.com/lcbq/lcbq/cmd/internal/report/reporttest"
)

// big writes a folder as large as the full sweep: 175 questions, 16 temperatures,
// 10,000 samples a cell, all made up. The 2,800 cell files are hard links to eight
// of 28 MB each, so that the disk is not what is measured; counts and summaries
// are each cell's own.
func big(tb testing.TB) string {
	tb.Helper()
	return write(tb, &reporttest.Sweep{Questions: 175, Temperatures: reporttest.Temperatures(), N: 10_000, Stored: 8, Seed: 7})
}

// BenchmarkBig makes the page of the full sweep.
func BenchmarkBig(b *testing.B) {
	dir := big(b)
	size := 0
	spent := processors(b)
	for b.Loop() {
		size = len(page(b, open(b, dir, report.Options{})))
	}
	b.ReportMetric((processors(b)-spent).Seconds()/float64(b.N), "cpu-s/op")
	b.ReportMetric(float64(size)/1e6, "MB/page")
}

// processors returns the time of processors that this process has had: what a page costs on a
// machine that others use too.
func processors(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkAnalysis is the part of it that computes.
func BenchmarkAnalysis(b *testing.B) {
	dir := big(b)
	for b.Loop() {
		open(b, dir, report.Options{})
	}
}

var made = flag.String("page", "", "the page that BenchmarkOpenBig opens; it is made there if it is not")

// BenchmarkOpenBig opens that page in a browser that runs already, until it has been painted and can be used. It tells
// the seconds that the page's main thread takes of a processor, which do not depend on what else runs, and the time to the
// first paint.
func BenchmarkOpenBig(b *testing.B) {
	browsertest.Need(b)
	path := *made
	if path == "" {
		path = filepath.Join(b.TempDir(), "report.html")
	}
	if _, err := os.Stat(path); err != nil {
		if err := os.WriteFile(path, page(b, open(b, big(b), report.Options{})), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	x := show(b, []byte("<!doctype html><title>empty</title><div id=browser></div>"), 1280)
	spent := make(map[string]float64)
	for b.Loop() {
		before := x.Spent(b)
		x.Do(b, chromedp.Navigate("file://"+path))
		x.Until(b, `document.readyState === "complete" && !document.getElementById("browser").hidden && performance.getEntriesByName("first-contentful-paint").length > 0`)
		for name, v := range x.Spent(b) {
			if v < before[name] { // another process took the page over
				before[name] = 0
			}
			spent[name] += v - before[name]
		}
		spent["paint"] += browsertest.Value[float64](b, x, `performance.getEntriesByName("first-contentful-paint")[0].startTime`)
	}
	b.ReportMetric(spent["paint"]/float64(b.N), "ms-to-paint/op")
	b.ReportMetric(browsertest.Value[float64](b, x, `document.querySelectorAll("*").length`), "elements")
	for _, name := range []string{"TaskDuration", "ScriptDuration", "LayoutDuration", "RecalcStyleDuration"} {
		b.ReportMetric(spent[name]/float64(b.N), name+"-s/op")
	}
	x.Quiet(b)
}

// TestBigPage: the page of as many cells as the full sweep has stays below 10 MB,
// and a browser has no complaint. Its cells are small, so that the test is quick;
// their samples would fill more than the room.
func TestBigPage(t *testing.T) {
	t.Parallel()
	browsertest.Need(t)
	dir := write(t, &reporttest.Sweep{Questions: 175, Temperatures: reporttest.Temperatures(), N: 300, Stored: 4, Seed: 7})
	began := time.Now()
	html := page(t, open(t, dir, report.Options{}))
	t.Logf("%d bytes in %v", len(html), time.Since(began))
	if len(html) > 10_000_000 || len(html) < 5_000_000 {
		t.Errorf("%d bytes", len(html))
	}
	if n := bytes.Count(html, []byte(`data-tip="`)); n < 2800 {
		t.Errorf("only %d fields and marks", n)
	}
	x := show(t, html, 390)
	x.Script(t, `document.getElementById("pick-q").value = "174"; document.getElementById("pick-q").dispatchEvent(new Event("change"))`)
	x.Until(t, `document.querySelectorAll("#list article").length > 0`)
	if got := browsertest.Value[int64](t, x, `document.documentElement.scrollWidth`); got > 390 {
		t.Errorf("the page is %d wide in a window of 390", got)
	}
	x.Quiet(t)
}
