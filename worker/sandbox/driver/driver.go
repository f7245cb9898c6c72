// Package driver holds the Python harness that plays the official runner's
// part inside a program's process. It knows nothing of expected outputs,
// verdicts, time or the sandbox: it hands over what a program printed or
// returned.
package driver

import _ "embed" // the harness is data to the sandbox

var (
	//go:embed value.py
	value string
	//go:embed source.py
	source string
	//go:embed stdio.py
	stdio string
	//go:embed script.py
	script string
	//go:embed threads.py
	threads string
	//go:embed chance.py
	chance string
	//go:embed normal.py
	normal string
	//go:embed driver.py
	driver string
)

// Source is the harness as one Python module, for Python 3.10 and later and
// its standard library alone. The fork server executes it once; what it offers
// is described in its last part.
var Source = value + source + threads + chance + stdio + script + normal + driver
