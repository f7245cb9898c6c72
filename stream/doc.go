// Package stream is lcbq's vocabulary: runs, cells, units, samples, verdicts,
// the subjects that name them and the encoding of the messages that carry them.
// It knows no server, no store and no worker; everything else may import it.
//
// # A sample's fields
//
// A field that an engine gives goes through eight places to all files. The compiler,
// TestCompletionFieldsReachTheBatch, TestSampleFields or TestFieldsReachEveryFile
// fails where one is left out.
//
//  1. worker/engine: Completion
//  2. worker/engine/openai, wire.go: draft, which reads it
//  3. worker/engine/openai, wire.go: completion, which hands it on
//  4. stream: Sample
//  5. worker/generate: generate, which fills the Sample
//  6. worker/lcb/result, encode.go: its line in fields, which is the cell's file, JSONL
//     and what the report's page carries
//  7. cmd/internal/export: its column in Row
//  8. cmd/internal/report, page.js: where the page shows it
//
// The schema follows by UPDATE_GOLDEN=1 go test ./cmd/internal/schema. A field that
// the judge gives goes into Judgement instead, and through 6 to 8.
package stream
