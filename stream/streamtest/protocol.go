package streamtest

import (
	"slices"
	"strings"

	"github.com/lcbq/lcbq/stream"
)

// A Step is one thing that a stage does with a unit or a cell: a crash may come
// between any two of them.
type Step string

// The steps of the stages.
const (
	Look    Step = "look"    // is the output there, or the cell done?
	Work    Step = "work"    // generate, or judge
	Publish Step = "publish" // the output, where no message may be yet
	Ack     Step = "ack"     // the input leaves its queue

	Read       Step = "read"        // the cell's state, and how it is to be changed
	Draft      Step = "draft"       // the file under a temporary name
	SyncDraft  Step = "sync draft"  // its content is on disk
	Claim      Step = "claim"       // compare-and-set: this draft is to be the cell's file
	Rename     Step = "rename"      // the file has its name
	SyncFolder Step = "sync folder" // the name is on disk
	Mark       Step = "mark"        // compare-and-set: the cell is done
	Purge      Step = "purge"       // the cell's units leave COMBINE
)

// A Protocol is the order in which the stages make their steps.
type Protocol struct {
	Unit []Step // generators and evaluators
	Cell []Step // combiners
}

// TheProtocol is lcbq's. The model in this package's tests shows that nothing is
// lost or counted twice by it, and that other orders lose; the tests of the stages
// hold the code to it.
func TheProtocol() Protocol {
	return Protocol{
		Unit: []Step{Look, Work, Publish, Ack},
		Cell: []Step{Read, Draft, SyncDraft, Claim, Rename, SyncFolder, Mark, Purge},
	}
}

// UnitSteps turns what a worker of stage sent, up to its acknowledgement of one
// unit, into the steps that can be told from it: all but Work. A step made of
// several requests counts once.
func UnitSteps(stage stream.Stage, subjects []string) []Step {
	next := stream.Stages[slices.Index(stream.Stages, stage)+1]
	var steps []Step
	for _, s := range subjects {
		var step Step
		switch {
		case strings.HasPrefix(s, "$JS.API.DIRECT.GET."+next.Stream()+"."), strings.HasPrefix(s, "$JS.API.DIRECT.GET.KV_lcbq_cells."):
			step = Look
		case strings.HasPrefix(s, string(next)+"."):
			step = Publish
		case strings.HasPrefix(s, "$JS.ACK."+stage.Stream()+"."):
			step = Ack
		default:
			continue
		}
		if len(steps) == 0 || steps[len(steps)-1] != step {
			steps = append(steps, step)
		}
	}
	return steps
}
