// Package stream is lcbq's vocabulary: runs, cells, units, samples, verdicts,
// the subjects that name them and the encoding of the messages that carry them.
// It knows no server, no store and no worker; everything else may import it.
package stream
