package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestTopics wants every README below the root to be a topic, and each topic to be its file.
func TestTopics(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..", "..")
	var want, got []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "vendor"): // others' READMEs
			return filepath.SkipDir
		case d.Name() == "README.md":
			name, err := filepath.Rel(root, path)
			if name != "README.md" {
				want = append(want, filepath.ToSlash(name))
			}
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range Topics() {
		got = append(got, topic.File)
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(topic.File)))
		if err != nil {
			t.Error(err)
		}
		if string(text) != topic.Text {
			t.Errorf("topic %s is not %s", topic.Name, topic.File)
		}
		if topic.Title() == "" || !strings.HasPrefix(topic.Text, "# ") {
			t.Errorf("%s does not begin with a heading", topic.File)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("topics are of %v, want %v", got, want)
	}
}
