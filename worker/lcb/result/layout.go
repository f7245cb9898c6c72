package result

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// The fixed names of a results folder.
const (
	SummaryName    = "summary.json"     // in each question's folder
	RunSummaryName = "run_summary.json" // in the results folder
	ConfigName     = "run.toml"         // the effective configuration
	ReportName     = "report.html"      // for people
	LogsName       = "logs"             // folder of log files
)

const (
	cellSuffix = "_combined.json"
	zstdSuffix = ".zst"
	tempSuffix = ".tmp"
)

// TempName returns the name of a temperature in files and subjects: its shortest
// decimal with the point as an underscore and at least one digit after it, so
// 0.1 is t0_1, 2 is t2_0 and 0.25 is t0_25. The temperature must be finite and
// not negative.
func TempName(temperature float64) string {
	s := strconv.FormatFloat(temperature, 'f', -1, 64)
	major, minor, _ := strings.Cut(strings.TrimPrefix(s, "-"), ".")
	if minor == "" {
		minor = "0"
	}
	return "t" + major + "_" + minor
}

// ParseTempName is the inverse of TempName. It refuses every name that TempName
// does not produce, so that no two names mean the same temperature.
func ParseTempName(name string) (float64, error) {
	bad := fmt.Errorf("parse temperature name %q: want t{major}_{minor}, such as t0_7", name)
	digits, ok := strings.CutPrefix(name, "t")
	if !ok {
		return 0, bad
	}
	t, err := strconv.ParseFloat(strings.Replace(digits, "_", ".", 1), 64)
	if err != nil || !finite(t) || TempName(t) != name {
		return 0, bad
	}
	return t, nil
}

// QuestionDir returns the folder of question q in the results folder dir.
func QuestionDir(dir string, q int) string {
	return filepath.Join(dir, "q"+strconv.Itoa(q))
}

// CellPath returns the uncompressed file of a cell.
func CellPath(dir string, q int, temperature float64) string {
	return filepath.Join(QuestionDir(dir, q), TempName(temperature)+cellSuffix)
}

// CompressedCellPath returns the zstd file of a cell.
func CompressedCellPath(dir string, q int, temperature float64) string {
	return CellPath(dir, q, temperature) + zstdSuffix
}

// SummaryPath returns the summary file of question q.
func SummaryPath(dir string, q int) string {
	return filepath.Join(QuestionDir(dir, q), SummaryName)
}

// RunSummaryPath returns the summary file of the run.
func RunSummaryPath(dir string) string { return filepath.Join(dir, RunSummaryName) }

// Questions lists the questions that have a folder in dir, ascending.
func Questions(dir string) ([]int, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list questions: %w", err)
	}
	var out []int
	for _, e := range entries {
		digits, ok := strings.CutPrefix(e.Name(), "q")
		if !ok || !e.IsDir() {
			continue
		}
		if q, err := strconv.Atoi(digits); err == nil && q >= 0 && strconv.Itoa(q) == digits {
			out = append(out, q)
		}
	}
	slices.Sort(out)
	return out, nil
}

// A CellFile is one file that holds a cell, as its name says.
type CellFile struct {
	Question    int
	Temperature float64
	Path        string
}

// Cells lists the cell files of question q by temperature. A cell stored both
// ways is listed twice, the uncompressed file first.
func Cells(dir string, q int) ([]CellFile, error) {
	entries, err := os.ReadDir(QuestionDir(dir, q))
	if err != nil {
		return nil, fmt.Errorf("list cells: %w", err)
	}
	var out []CellFile
	for _, e := range entries {
		name, ok := strings.CutSuffix(strings.TrimSuffix(e.Name(), zstdSuffix), cellSuffix)
		if !ok {
			continue
		}
		if t, err := ParseTempName(name); err == nil {
			out = append(out, CellFile{q, t, filepath.Join(QuestionDir(dir, q), e.Name())})
		}
	}
	slices.SortStableFunc(out, func(a, b CellFile) int {
		switch {
		case a.Temperature < b.Temperature:
			return -1
		case a.Temperature > b.Temperature:
			return 1
		default:
			return strings.Compare(a.Path, b.Path)
		}
	})
	return out, nil
}
