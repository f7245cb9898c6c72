package lcb

import (
	"bufio"
	"encoding/json"
	"strings"
	"testing"
)

func TestExtract(t *testing.T) {
	t.Parallel()
	const none = "\x00"
	for _, c := range []struct {
		name, output                           string
		lcb, first, closed, afterThink, wholly string
	}{
		{"nothing", "", none, none, none, none, none},
		{"prose", " I cannot.\x1c\n", none, none, none, none, "I cannot."},
		{"one block", "Hi\n```python\na\nb\n```\nBye", "a\nb", "a\nb", "a\nb", "a\nb", "Hi\n```python\na\nb\n```\nBye"},
		{"two blocks", "```\na\n```\nor\n```\nb\n```", "b", "a", "b", "b", "```\na\n```\nor\n```\nb\n```"},
		{"cut off", "```\na\n```\nor\n```\nb", "or", "a", "a", "or", "```\na\n```\nor\n```\nb"},
		{"cut off at once", "so\n```python\na", none, none, none, none, "so\n```python\na"},
		{"empty block", "```\n```", "", "", "", "", "```\n```"},
		{"fences in one line", "```a``` only", none, none, none, none, "```a``` only"},
		{"fence inside a line", "a ``` b\nx\nc ```", "x", "x", none, "x", "a ``` b\nx\nc ```"},
		{"fence in a longer one", "````\n```\na\n```\n````", "", "", "```\na\n```", "", "````\n```\na\n```\n````"},
		{"indented", "1. do\n   ```py\n   a\n   ```", "   a", "   a", "   a", "   a", "1. do\n   ```py\n   a\n   ```"},
		{"carriage returns", "```\r\na\r\n```\r\n", "a\r", "a\r", "a\r", "a\r", "```\r\na\r\n```"},
		{"thought", "<think>\n```\nt\n```\n</think>\n```\na\n```", "a", "t", "a", "a", "<think>\n```\nt\n```\n</think>\n```\na\n```"},
		{"only thought", "<think>\n```\nt\n```\n", "t", "t", "t", none, "<think>\n```\nt\n```"},
		{"thought and half a block", "```\nt\n```\n</think>\n```\na", "</think>", "t", "t", none, "```\nt\n```\n</think>\n```\na"},
	} {
		for how, want := range map[Extraction]string{
			ExtractLCB: c.lcb, ExtractFirst: c.first, ExtractLastClosed: c.closed, ExtractAfterThink: c.afterThink, ExtractWhole: c.wholly,
		} {
			if got, err := Extract(c.output, how); got != strings.TrimPrefix(want, none) || err != nil {
				t.Errorf("%s: Extract(%s) = %q, %v, want %q", c.name, how, got, err, want)
			}
		}
	}
}

// TestUnknownRule wants a rule of another lcbq refused and not taken for the official one.
func TestUnknownRule(t *testing.T) {
	t.Parallel()
	for _, how := range Extractions() {
		if err := how.Check(); err != nil {
			t.Errorf("%s: %v", how, err)
		}
	}
	for _, how := range []Extraction{"", "LCB", "robust2"} {
		code, err := Extract("```\na\n```", how)
		if err == nil || code != "" || !strings.Contains(err.Error(), "last-closed") {
			t.Errorf("Extract by %q = %q, %v, want an error with the names", how, code, err)
		}
	}
}

// officialExtract is the official rule as the facts put it: split into lines,
// take those between the last two that hold a fence.
func officialExtract(output string) string {
	lines := strings.Split(output, "\n")
	var fences []int
	for i, line := range lines {
		if strings.Contains(line, "```") {
			fences = append(fences, i)
		}
	}
	if len(fences) < 2 {
		return ""
	}
	return strings.Join(lines[fences[len(fences)-2]+1:fences[len(fences)-1]], "\n")
}

func TestExtractRecorded(t *testing.T) {
	t.Parallel()
	f := shared(t, "completions.jsonl")
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<26)
	rows := 0
	for ; lines.Scan(); rows++ {
		var c struct {
			ID     string `json:"completion_id"`
			Output string `json:"output"`
			Code   string `json:"code"`
		}
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		if got, err := Extract(c.Output, ExtractLCB); got != c.Code || err != nil {
			t.Errorf("%s: Extract = %q, %v, want %q", c.ID, got, err, c.Code)
		}
	}
	if lines.Err() != nil || rows < 5000 {
		t.Errorf("%d rows, %v", rows, lines.Err())
	}
}

func FuzzExtract(f *testing.F) {
	f.Add("Hi\n```python\na\n```\n</think>\n```\nb\n```")
	f.Add("````\n```\n`` `\n```")
	f.Fuzz(func(t *testing.T, output string) {
		got, err := Extract(output, ExtractLCB)
		if want := officialExtract(output); got != want || err != nil {
			t.Fatalf("Extract(%q) = %q, %v, want %q", output, got, err, want)
		}
		for _, how := range Extractions() {
			code, err := Extract(output, how)
			if err != nil || how != ExtractRobust && !strings.Contains(output, code) || len(code) > len(output) {
				t.Fatalf("Extract(%q, %s) = %q, %v, which is not in it", output, how, code, err)
			}
		}
	})
}
