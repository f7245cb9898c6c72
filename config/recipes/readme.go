// Package recipes holds files for the programs that people run lcbq with: containers, Kubernetes, systemd, RunPod, Slurm and Grafana.
package recipes

import _ "embed" // for the files

// Readme is README.md of this folder, as lcbq help shows it.
//
//go:embed README.md
var Readme string

// Grafana is the dashboard.
//
//go:embed grafana-lcbq.json
var Grafana []byte
