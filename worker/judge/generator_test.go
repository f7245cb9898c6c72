package judge_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// pick returns one of its arguments.
func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

func digits(r *rand.Rand, n int) string {
	var b strings.Builder
	for range n {
		b.WriteByte(byte('0' + r.IntN(10)))
	}
	return b.String()
}

// token returns something that is, nearly is, or is not a decimal.
func token(r *rand.Rand) string {
	switch r.IntN(12) {
	case 0:
		return pick(r, "nan", "NaN", "NaN0", "nan12", "-nan", "inf", "-Infinity", "iNf", "infi", "sNaN1", "nanx", "+inf", "Infinity1")
	case 1:
		return pick(r, "Yes", "No", "a", "1a", "0x1", "--1", "1e", "1e+", ".", "", "-", "1..2", "1.2.3", "e5", "_", "\x00", "1\x00", "½", "²")
	case 2:
		return pick(r, "１２", "٣", "1_000", "_1", "1__0_", "१.५", "-３e１", "𝟏", "1\u200b")
	case 3:
		return "1e" + pick(r, "", "-", "+") + pick(r, "999999999999999999", "1000000000000000000", "1999999999999999997",
			"1999999999999999998", "9999999999999999999999", "5", "0", "00", "999999999999999998")
	case 4:
		return pick(r, "0", "-0", "0.0", ".0", "0.", "0e5", "0e999999999999999999", "0e1000000000000000000", "0.00e-1999999999999999995",
			"0.00e-1999999999999999996", "00", "-00.e1")
	default:
		s := pick(r, "", "", "", "-", "+") + pick(r, "", "", "0", "00") + digits(r, r.IntN(4))
		if r.IntN(3) == 0 {
			s += "." + digits(r, r.IntN(3))
		}
		if r.IntN(4) == 0 {
			s += pick(r, "e", "E") + pick(r, "", "+", "-") + digits(r, r.IntN(3))
		}
		return s
	}
}

var spaces = []string{" ", "  ", "\t", "\r", "\u00a0", "\u3000", "\x1c", "\x1f", "\x85", "\u0085", "\v", "\f", "\u2028", "\u200a", "\u200b", "\u180e", "\ufeff", "\n"}

func space(r *rand.Rand) string {
	if r.IntN(5) > 0 {
		return " "
	}
	return strings.ToValidUTF8(pick(r, spaces...), "\u0085")
}

// same returns a text that often is the token's number in other words.
func same(r *rand.Rand, s string) string {
	switch r.IntN(10) {
	case 0:
		return "+" + s
	case 1:
		return s + pick(r, ".0", "0", "e0", ".", "E+0", "e1")
	case 2:
		return "0" + s
	case 3:
		return strings.ToUpper(s)
	case 4:
		if len(s) > 1 && s[0] < 0x80 {
			return s[:1] + "_" + s[1:]
		}
	case 5:
		return token(r)
	}
	return s
}

func linePair(r *rand.Rand) [2]string {
	var got, want strings.Builder
	for range 1 + r.IntN(3) {
		for range r.IntN(4) {
			s := token(r)
			got.WriteString(s)
			want.WriteString(same(r, s))
			sp := space(r)
			got.WriteString(sp)
			want.WriteString(pick(r, sp, sp, sp, space(r)))
		}
		if r.IntN(30) == 0 {
			got.WriteString(pick(r, "sNaN", "snan5"))
			want.WriteString(pick(r, "1", "sNaN", "snan5", "x", ""))
		}
		end := pick(r, "\n", "\n", "\n\n", " \n", "\r\n")
		got.WriteString(end)
		want.WriteString(pick(r, end, end, end, "\n"))
	}
	return [2]string{got.String(), want.String()}
}

// A twin is a value as a Python expression and as JSON.
type twin struct{ py, json string }

func scalarTwin(r *rand.Rand) twin {
	n := pick(r, r.Int64N(5), r.Int64N(5), -r.Int64N(300), r.Int64(), 1<<53+r.Int64N(3), 1<<62)
	switch r.IntN(14) {
	case 0:
		return pick(r, twin{"None", "null"}, twin{"True", "true"}, twin{"False", "false"}, twin{"True", "1"}, twin{"0", "false"}, twin{"1.0", "true"})
	case 1:
		big := pick(r, "1", "9", "-7") + digits(r, 15+r.IntN(30))
		return twin{big, pick(r, big, big, big+".0", big+"e0", big+"0")}
	case 2:
		f := fmt.Sprint(pick(r, r.Float64(), 0.1, 1e22, 5e-324, 1e308, 123456789.125, -0.5))
		return twin{f, pick(r, f, f, f+"0", "0.1")}
	case 3:
		return pick(r, twin{"-0.0", "0"}, twin{"0", "-0.0"}, twin{"0.0", "-0"}, twin{"1e999", "Infinity"}, twin{"float('-inf')", "-Infinity"}, twin{"float('nan')", "NaN"},
			twin{"J", "NaN"}, twin{"1e999", "1e400"}, twin{"2.0**63", "9223372036854775808"}, twin{"2**63", "9223372036854775808.0"}, twin{"-2**63", "-9223372036854775808"})
	case 4:
		s := pick(r, "a", "", "é", "\U0001F600", "x\\ty", "0", "1")
		return twin{"'" + s + "'", `"` + s + `"`}
	case 5:
		return pick(r, twin{`'\ud800'`, `"\ud800"`}, twin{`'\U0001F600'`, `"\ud83d\ude00"`}, twin{`'\udc00\ud800'`, `"\udc00\ud800"`}, twin{`'\x7f\n'`, `"\u007f\n"`}, twin{"Text('a')", `"a"`},
			twin{"UserString('ab')", `"ab"`}, twin{"b'a'", `"a"`}, twin{"Shout('a')", `"A"`})
	case 6:
		v := fmt.Sprint(n)
		return twin{pick(r, "Decimal('"+v+"')", "Fraction("+v+")", "complex("+v+")", "Decimal('"+v+".00')", "Level("+v+")", "Odd("+v+")"), pick(r, v, v, v+".0")}
	case 7:
		return pick(r, twin{"Decimal('0.5')", "0.5"}, twin{"Decimal('0.1')", "0.1"}, twin{"Decimal(0.1)", "0.1"}, twin{"Fraction(1,2)", "0.5"}, twin{"Fraction(1,3)", "0.3333333333333333"},
			twin{"Decimal('NaN')", "NaN"}, twin{"Decimal('sNaN')", "1"}, twin{"Decimal('sNaN')", `"a"`}, twin{"Decimal('Infinity')", "Infinity"}, twin{"complex(1,1)", "1"}, twin{"Decimal('1e30')", "1e30"}, twin{"Decimal('1e22')", "1e22"},
			twin{"Decimal(1)", "true"}, twin{"Fraction(0)", "false"}, twin{"Fraction(10**30,7)", "1"}, twin{"Decimal('-0')", "0"}, twin{"complex(2**53+1)", "9007199254740993"})
	default:
		v := fmt.Sprint(n)
		return twin{v, pick(r, v, v, v, v, v+".0", v+"e0", "1")}
	}
}

func manyTwins(r *rand.Rand, depth, n int) (py, js []string) {
	alike := r.IntN(3) == 0
	one := twinOf(r, depth-1)
	for range n {
		item := twinOf(r, depth-1)
		if alike {
			item = one
		}
		py = append(py, item.py)
		js = append(js, item.json)
	}
	return py, js
}

func twinOf(r *rand.Rand, depth int) twin {
	if depth <= 0 || r.IntN(3) > 0 {
		return scalarTwin(r)
	}
	n := r.IntN(4)
	py, js := manyTwins(r, depth, n)
	switch r.IntN(10) {
	case 0, 1:
		var p, j []string
		for i := range n {
			key := fmt.Sprintf("'%c'", 'a'+i)
			p = append(p, pick(r, key, key, key, key, "Text("+key+")", "0", key+"*2")+":"+py[i])
			j = append(j, strings.ReplaceAll(key, "'", `"`)+pick(r, ":", " : ")+js[i])
		}
		if n > 1 && r.IntN(3) == 0 {
			j = append(j, j[0])
			p[0], p[n-1] = p[n-1], p[0]
		}
		body := "{" + strings.Join(p, ",") + "}"
		if strings.Contains(body, "sNaN") || strings.Contains(body, "np.") {
			// A Counter leaves the comparison to the other dict, and so takes
			// the keys in another order: it matters only if a pair raises.
			return twin{body, "{" + strings.Join(j, ",") + "}"}
		}
		return twin{pick(r, body, body, "OrderedDict("+body+")", "defaultdict(int,"+body+")", "Counter("+body+")", "UserDict("+body+")", "Fixed("+body+")"), "{" + strings.Join(j, ",") + "}"}
	case 2:
		body := strings.Join(py, ",")
		if n == 1 {
			body += ","
		}
		return twin{pick(r, "("+body+")", "Point("+strings.Join(py, ",")+")"), "[" + strings.Join(js, ",") + "]"}
	case 3:
		return pick(r, twin{"deque([1])", "[1]"}, twin{"{1}", "[1]"}, twin{"range(2)", "[0,1]"}, twin{"(i for i in [1])", "[1]"}, twin{"loop()", "[[1]]"}, twin{"Always()", "1"},
			twin{"MyList([1])", "[1]"}, twin{"Loud([1])", "[1]"}, twin{"UserList([1,2])", "[1,2]"}, twin{"array.array('q',[1])", "[1]"}, twin{"object()", "null"}, twin{"bytearray(b'a')", `"a"`})
	case 4:
		return numpyTwin(r)
	}
	if r.IntN(8) == 0 && n > 0 {
		js = js[:r.IntN(n)+1]
	}
	return twin{"[" + strings.Join(py, ",") + "]", "[" + strings.Join(js, pick(r, ",", ", ")) + "]"}
}

// numpyTwin returns a numpy object, or a plain one if the interpreter has no
// numpy.
func numpyTwin(r *rand.Rand) twin {
	n := fmt.Sprint(r.IntN(3))
	js := pick(r, n, n, n, n+".0", "["+n+"]", "["+n+","+n+"]", "[["+n+"]]", "[]", "null", `"`+n+`"`, `["a"]`, "[null]", "{}", "true", "[[1],[2,3]]", "[[]]")
	plain := pick(r, "np.int64("+n+")", "np.float64("+n+")", "np.int32("+n+")", "np.bool_("+n+")", "np.float32("+n+")", "np.str_('"+n+"')", "np.complex128("+n+")")
	array := pick(r, n, "["+n+"]", "["+n+","+n+"]", "[["+n+"]]", "[]", "[[],[]]", "[['a']]", "['"+n+"']", "[None]", "["+n+".0]", "[True]", "[['a','b']]")
	return pick(r,
		twin{plain, js}, twin{plain, n}, twin{"np.array(" + array + ")", js}, twin{"[np.array(" + array + ")]", "[" + js + "]"},
		twin{"[" + plain + "]", "[" + n + "]"}, twin{"list(np.arange(3))", "[0,1,2]"}, twin{"np.arange(3).tolist()", "[0,1,2]"}, twin{"[list(row) for row in np.eye(2)]", "[[1,0],[0,1]]"},
		twin{"{np.str_('a'):1}", `{"a":1}`}, twin{"np.int64(2**53+1)", "9007199254740992.0"}, twin{"np.float64(2**53)", "9007199254740993"}, twin{"np.float64(1e300)", "1" + strings.Repeat("0", 300)},
		twin{"np.int64(2**63-1)", "9223372036854775808"}, twin{"np.float32(0.1)", "0.1"}, twin{"np.float64('nan')", "NaN"}, twin{"np.array([1,2])", "[1,2,3]"}, twin{"np.array([0.1])", "0.1"},
		twin{"np.zeros((2,1))", "[[0],[0]]"}, twin{"np.zeros((0,3))", "[1,2,3]"}, twin{"Vector(3)", "3"}, twin{"np.array(5)", "5"}, twin{"np.array(5)", "[5]"})
}

func valuePair(r *rand.Rand) [2]string {
	t := twinOf(r, 1+r.IntN(4))
	return [2]string{t.py, t.json}
}

// jsonPair returns JSON that may be damaged; its second text is not used.
func jsonPair(r *rand.Rand) [2]string {
	s := twinOf(r, 1+r.IntN(3)).json
	if r.IntN(4) == 0 {
		s = pick(r, " "+s, s+"\n", "\t"+s, s+"\u00a0", s+",", "["+s+",]", "{"+s+":1}", `{"a":`+s+`}`, s+s, "\ufeff"+s, `"`+s+`"`)
	}
	for range pick(r, 0, 0, 1, 1, 2) {
		if s == "" {
			break
		}
		i := r.IntN(len(s))
		c := pick(r, "", "0", "-", ".", "e", "E5", ",", ":", "[", "]", "{", "}", `"`, `\`, `\u`, `\ud800`, `\u00e9`, `\n`, `\x`, " ", "\n", "\x01", "Infinity", "NaN", "tru", "null", "١", `\uD83d\uDE00`, `\ud83d\u0041`, `\ud83d\u00`)
		s = s[:i] + c + s[i+r.IntN(2):]
	}
	return [2]string{strings.ToValidUTF8(s, "?"), ""}
}
