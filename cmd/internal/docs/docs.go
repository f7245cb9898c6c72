// Package docs holds the texts that lcbq help TOPIC shows: the README files of the
// packages, as they are in the repository, so that a machine without a browser has them.
package docs

import (
	"strings"

	"github.com/lcbq/lcbq/cmd/internal/export"
	"github.com/lcbq/lcbq/cmd/internal/web"
	"github.com/lcbq/lcbq/config/recipes"
	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/access"
	"github.com/lcbq/lcbq/stream/embed"
	"github.com/lcbq/lcbq/worker/cores"
	"github.com/lcbq/lcbq/worker/engine/openai"
	"github.com/lcbq/lcbq/worker/engine/vllm"
	"github.com/lcbq/lcbq/worker/judge"
	"github.com/lcbq/lcbq/worker/lcb/result"
	"github.com/lcbq/lcbq/worker/sandbox"
	"github.com/lcbq/lcbq/worker/score"
)

// A Topic is one text.
type Topic struct {
	Name string // what stands after lcbq help; no command has this name
	File string // its place in the repository
	Text string // Markdown
}

// Title returns the text's heading, what the topic is about.
func (t Topic) Title() string {
	first, _, _ := strings.Cut(t.Text, "\n")
	return strings.TrimPrefix(first, "# ")
}

// Topics returns all topics, in the order in which a newcomer meets them.
func Topics() []Topic {
	return []Topic{
		{"results", "worker/lcb/result/README.md", result.Readme},
		{"numbers", "worker/score/README.md", score.Readme},
		{"judging", "worker/judge/README.md", judge.Readme},
		{"sandbox", "worker/sandbox/README.md", sandbox.Readme},
		{"vllm", "worker/engine/vllm/README.md", vllm.Readme},
		{"endpoints", "worker/engine/openai/README.md", openai.Readme},
		{"processors", "worker/cores/README.md", cores.Readme},
		{"streams", "stream/README.md", stream.Readme},
		{"access", "stream/access/README.md", access.Readme},
		{"cluster", "stream/embed/README.md", embed.Readme},
		{"watching", "cmd/internal/web/README.md", web.Readme},
		{"recipes", "config/recipes/README.md", recipes.Readme},
		{"formats", "cmd/internal/export/README.md", export.Readme},
	}
}
