// Package driver stands in until the harness is merged.
package driver

import _ "embed"

//go:embed driver.py
var Source string
