// Package pyjson reads and writes JSON as Python's json module does. It knows no
// file and no format: the caller says which values it wants.
//
// LiveCodeBench's files are written by Python and judged by Python, and
// encoding/json reads another language: it turns a lone surrogate into U+FFFD,
// refuses NaN and Infinity, and rounds ints. Here
//   - NaN, Infinity and -Infinity are numbers, and numbers are given as written;
//   - a lone surrogate such as \ud83d is kept as its three bytes of generalised
//     UTF-8 (WTF-8), which Python reads with "surrogatepass", and written back as
//     the escape;
//   - keys are exact, and every one of equal keys is given, in order;
//   - a control character in a string is an error, as is a byte that is not UTF-8.
package pyjson
