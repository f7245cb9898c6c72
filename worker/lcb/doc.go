// Package lcb reads and writes LiveCodeBench's formats: problem rows, their
// encoded tests, prompts, and the program in a model's answer. It opens no file
// and no connection, runs nothing, and judges nothing: readers in, values out.
package lcb
