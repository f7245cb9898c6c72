package embed

import _ "embed" // for README.md

// Readme is README.md of this folder, as lcbq help shows it.
//
//go:embed README.md
var Readme string
