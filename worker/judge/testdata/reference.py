# What CPython makes of pairs of texts: reference.py lines|values|json HARNESS.
#
# Standard input holds a JSON list of pairs a line. Standard output answers each
# with outcome u8 (1 equal, 2 unequal, 3 raises), length u32, and for values and
# JSON the harness's encoding of the first.

import array
import collections
import decimal
import enum
import fractions
import json
import struct
import sys
import types
import warnings
from collections import Counter, OrderedDict, UserDict, UserList, UserString, defaultdict, deque
from decimal import Decimal
from fractions import Fraction

warnings.simplefilter("ignore")
if hasattr(sys, "set_int_max_str_digits"):
    sys.set_int_max_str_digits(50000)
EQUAL, UNEQUAL, RAISES = 1, 2, 3


# The official comparison of output lines, in its own words.


def stripped_lines(text):
    return [line.strip() for line in text.strip().split("\n")]


def decimals(line):
    try:
        return [Decimal(word) for word in line.split()]
    except decimal.InvalidOperation:
        return None


def lines(got, want):
    got, want = stripped_lines(got), stripped_lines(want)
    if len(got) != len(want):
        return UNEQUAL
    for g, w in zip(got, want):
        if g == w:
            continue
        g, w = decimals(g), decimals(w)
        if g is None or w is None:
            return UNEQUAL
        try:
            if g != w:
                return UNEQUAL
        except decimal.InvalidOperation:
            return RAISES
    return EQUAL


# Values that programs may return.

J = json.loads("NaN")
Point = collections.namedtuple("Point", "a b c", defaults=[0, 0, 0])


class Text(str):
    pass


class Shout(str):
    def __eq__(self, other):
        return False  # as an instance that equals nothing

    __hash__ = str.__hash__


class MyList(list):
    pass


class Loud(list):
    def __eq__(self, other):
        return False


class Fixed(dict):
    def __getitem__(self, key):
        return 0

    def __iter__(self):
        return iter(())


class Odd(int):
    def __repr__(self):
        return "odd"


class Always:
    pass


Level = enum.IntEnum("Level", {"L%d" % i: i for i in range(1, 3)})


def level(n):
    try:
        return Level(n)
    except ValueError:
        return n


def loop():
    x = [1]
    x[0] = x
    return x


try:
    import numpy as np

    # The rules of numpy 2 are others.
    assert np.__version__ < "1.25"

    class Vector(np.float64):
        def __eq__(self, other):
            return False

        __hash__ = np.float64.__hash__

except (ImportError, AssertionError):
    np = None

NAMES = dict(globals(), Level=level)


def values(expression, text, encode):
    if np is None and ("np." in expression or "Vector" in expression):
        expression = "None"
    value, want = eval(expression, NAMES), json.loads(text)
    payload = encode(value, 1 << 24)
    if isinstance(value, tuple):
        value = list(value)
    try:
        return (EQUAL if value == want else UNEQUAL), payload
    except (decimal.InvalidOperation, ValueError):
        return RAISES, payload


def parsed(text, _, encode):
    try:
        return EQUAL, encode(json.loads(text), 1 << 24)
    except ValueError:
        return UNEQUAL, b""


def main():
    mode, source = sys.argv[1:3]
    harness = types.ModuleType("driver")
    with open(source, encoding="utf-8") as f:
        exec(compile(f.read(), "<driver>", "exec"), harness.__dict__)
    for line in sys.stdin.buffer:
        parts = []
        for a, b in json.loads(line):
            payload = b""
            if mode == "lines":
                outcome = lines(a, b)
            elif mode == "values":
                outcome, payload = values(a, b, harness.encode)
            else:
                outcome, payload = parsed(a, b, harness.encode)
            parts.append(struct.pack("<BI", outcome, len(payload)) + payload)
        sys.stdout.buffer.write(b"".join(parts))
        sys.stdout.buffer.flush()


main()
