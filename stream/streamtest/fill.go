package streamtest

import (
	"fmt"
	"reflect"
	"testing"
)

// Fill gives every exported field below the struct that v points to a value that is
// not its zero value and that no other field of its kind has: what is dropped, or
// put into another's place, on the way to a file shows. Numbers start at 2.
func Fill(tb testing.TB, v any) {
	tb.Helper()
	n := 1
	fill(tb, reflect.ValueOf(v).Elem(), "", &n)
}

func fill(tb testing.TB, v reflect.Value, name string, n *int) {
	tb.Helper()
	*n++
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				fill(tb, v.Field(i), f.Name, n)
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(tb, v.Elem(), name, n)
	case reflect.String:
		v.SetString(fmt.Sprintf("%s %d", name, *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(*n))
	case reflect.Float32, reflect.Float64:
		v.SetFloat(float64(*n) + 0.5)
	default:
		tb.Fatalf("field %s is of kind %s, which Fill does not know", name, v.Kind())
	}
}
