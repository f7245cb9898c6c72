package cli

import (
	"cmp"
	"fmt"
	"runtime/debug"

	"github.com/alecthomas/kong"
)

// versionCmd prints the version.
type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(a *app) error {
	if a.json {
		return a.printJSON(buildOf())
	}
	fmt.Fprintln(a.out, buildOf())
	return nil
}

// A versionFlag prints the version in place of running anything.
type versionFlag bool

// BeforeReset prints the version and ends the reading of the command line.
func (versionFlag) BeforeReset(app *kong.Kong) error {
	fmt.Fprintln(app.Stdout, buildOf())
	app.Exit(0)
	return nil
}

// A build is what is known of this binary.
type build struct {
	Version  string `json:"version"`            // of the module, or "devel" for one built from a working tree
	Revision string `json:"revision,omitempty"` // of version control; "" where the build did not record it
	Modified bool   `json:"modified"`           // the working tree had changes; false where there is no revision
	Time     string `json:"time,omitempty"`     // of the revision
	Go       string `json:"go"`
}

func buildOf() build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return build{Version: "devel"}
	}
	b := build{Version: Version(), Go: info.GoVersion}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		case "vcs.time":
			b.Time = s.Value
		}
	}
	return b
}

// String says the version, and what it was built from.
func (b build) String() string {
	from := "revision unknown: built without -buildvcs"
	if b.Revision != "" {
		from = fmt.Sprintf("revision %.12s of %s", b.Revision, cmp.Or(b.Time, "unknown time"))
		if b.Modified {
			from += ", modified"
		}
	}
	return fmt.Sprintf("lcbq %s (%s; %s)", b.Version, from, b.Go)
}

// Version returns the version that was built: the module's, or "devel".
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "devel"
	}
	return info.Main.Version
}
