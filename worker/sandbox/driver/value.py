# The harness, first part: the encoding of a value that a program returned.
#
# The judge, which holds the expected values, lives in another process, so a
# value travels as tagged bytes. Everything is little-endian, n is a u32:
#
#   N T F                 None, True, False
#   q int64               an int of 64 bits
#   i sign n bytes        any other int: sign u8 (1 is negative), magnitude
#   f float64             j: the one NaN that every JSON text decodes to
#   s n bytes             str, UTF-8, lone surrogates pass
#   b n bytes             bytes
#   l n values            list; t: tuple; S: set or frozenset
#   d n (key value)*      dict, in its order
#   Q n int64*            list of such ints only (never empty)
#   G n float64*          list of floats only, no NaN (never empty)
#   U n len* bytes        list of ASCII strs only: n lengths u32, then the text
#   c float64 float64     complex
#   D n bytes             Decimal, as str gives it
#   R value value         Fraction: numerator, denominator
#   n value               a numpy scalar that compares as that value does
#   a ndim u32* kind v?   numpy array: its shape, kind u8 (n number, s string,
#                         o other), and for one element alone the element
#   o n bytes             anything else, or too deep, or circular: its type
#
# A value is told by its exact type; no method of the program's own classes is
# called. An instance of a subclass is encoded as its base if the class keeps
# the base's __eq__, else it is an o and equals nothing.

import array
import collections
import decimal
import fractions
import json.decoder
import math
import struct
import sys

MAX_DEPTH = 1000
MAX_NAME = 100
HEAP_TYPE = 1 << 9  # the flag of a class that Python code made

_mro = type.__dict__["__mro__"].__get__
_class_dict = type.__dict__["__dict__"].__get__
_class_flags = type.__dict__["__flags__"].__get__
_class_name = type.__dict__["__name__"].__get__
_type, _id, _len, _str, _int, _float = type, id, len, str, int, float
_set, _map, _range, _isinstance = set, map, range, isinstance
_list, _tuple, _dict = list, tuple, dict
_any, _isnan, _join = any, math.isnan, b"".join
_array, _modules = array.array, sys.modules
_u32 = struct.Struct("<I").pack
_q = struct.Struct("<cq").pack
_f = struct.Struct("<cd").pack
_c = struct.Struct("<cdd").pack
_head = struct.Struct("<cI").pack
_struct_error = struct.error
_little = sys.byteorder == "little"
_json_nan = json.decoder.NaN
_str_join = "".join
_int_only, _float_only, _str_only = {id(int)}, {id(float)}, {id(str)}
_OverflowError, _BaseException = OverflowError, BaseException
_list_iter, _tuple_iter = list.__iter__, tuple.__iter__
_dict_items, _dict_len = dict.items, dict.__len__
_set_iter, _frozenset_iter = set.__iter__, frozenset.__iter__
_bit_length, _to_bytes = int.bit_length, int.to_bytes
_encode, _isascii = str.encode, str.isascii
_bytes_len, _bytes_slice, _whole = bytes.__len__, bytes.__getitem__, slice(None)
_float_self, _int_self, _str_self = float.__float__, int.__int__, str.__str__

# For each base: the __eq__ functions under which equality is still the base's.
# OrderedDict and Counter compare like a dict with everything but their own.
_BASES = {
    int: (int, (int.__eq__,)),
    float: (float, (float.__eq__,)),
    str: (str, (str.__eq__,)),
    bytes: (bytes, (bytes.__eq__,)),
    list: (list, (list.__eq__,)),
    tuple: (tuple, (tuple.__eq__,)),
    dict: (
        dict,
        (dict.__eq__, collections.OrderedDict.__eq__, collections.Counter.__eq__),
    ),
    set: (set, (set.__eq__,)),
    frozenset: (frozenset, (frozenset.__eq__,)),
    complex: (complex, (complex.__eq__,)),
    decimal.Decimal: (decimal.Decimal, (decimal.Decimal.__eq__,)),
    fractions.Fraction: (fractions.Fraction, (fractions.Fraction.__eq__,)),
}
# By id: a class of the program may have a metaclass that defines its own
# __hash__ and __eq__.
_BASES = {id(cls): rule for cls, rule in _BASES.items()}
_UserList, _UserDict = collections.UserList, collections.UserDict
_UserString = collections.UserString
_frozenset, _complex, _bytes, _bool = frozenset, complex, bytes, bool
_Decimal, _Fraction = decimal.Decimal, fractions.Fraction
_decimal_str = decimal.Decimal.__str__
_numerator = fractions.Fraction.__dict__["_numerator"].__get__
_denominator = fractions.Fraction.__dict__["_denominator"].__get__
_complex_real = complex.__dict__["real"].__get__
_complex_imag = complex.__dict__["imag"].__get__


class TooLarge(Exception):
    """The encoding of a value is over the cap."""


def type_name(cls):
    """Return the name of a class without a call into the program."""
    try:
        return _str_self(_class_name(cls))[:MAX_NAME]
    except _BaseException:
        return "?"


def find(cls, name):
    """Return the attribute that instances of cls inherit, or None."""
    for c in _mro(cls):
        d = _class_dict(c)
        if name in d:
            return d[name]
    return None


def inherits(cls, base):
    """Report whether base is in the line of cls, by identity alone."""
    for c in _mro(cls):
        if c is base:
            return True
    return False


def base_of(cls):
    """Return the base as which instances of cls compare, or None."""
    for c in _mro(cls):
        if _id(c) in _BASES:
            base, allowed = _BASES[_id(c)]
            eq = find(cls, "__eq__")
            for f in allowed:
                if eq is f:
                    return base
            return None
    return None


class Encoder:
    """Encodes one value. It is used once."""

    def __init__(self, cap):
        self.left = cap
        self.parts = []
        self.open = _set()  # ids of the containers that hold the current value
        self.bases = {}

    def put(self, data):
        self.left -= _len(data)
        if self.left < 0:
            raise TooLarge
        self.parts.append(data)

    def text(self, tag, data):
        self.put(_head(tag, _len(data)))
        self.put(data)

    def opaque(self, cls):
        self.text(b"o", _encode(type_name(cls), "utf-8", "replace"))

    def integer(self, v):
        try:
            self.put(_q(b"q", v))
        except _struct_error:
            size = (_bit_length(v) + 7) // 8
            if size > self.left:
                raise TooLarge from None
            self.put(b"i\x01" if v < 0 else b"i\x00")
            self.put(_u32(size))
            self.put(_to_bytes(-v if v < 0 else v, size, "little"))

    def string(self, v):
        if _len(v) > self.left:
            raise TooLarge
        self.text(b"s", _encode(v, "utf-8", "surrogatepass"))

    def value(self, v):
        cls = _type(v)
        if cls is _int:
            self.integer(v)
        elif cls is _str:
            self.string(v)
        elif cls is _list:
            self.sequence(v)
        elif cls is _bool:
            self.put(b"T" if v else b"F")
        elif v is None:
            self.put(b"N")
        elif cls is _float:
            self.put(b"j" if v is _json_nan else _f(b"f", v))
        else:
            self.other(v, cls)

    def enter(self, v):
        """Say that v's elements follow; return False if v holds itself."""
        if _len(self.open) >= MAX_DEPTH or _id(v) in self.open:
            self.opaque(_type(v))
            return False
        self.open.add(_id(v))
        return True

    def leave(self, v):
        self.open.discard(_id(v))

    def sequence(self, v):
        n = _len(v)
        if n > self.left:
            raise TooLarge
        if n > 1 and self.uniform(v, n):
            return
        self.items(b"l", v, v)

    def uniform(self, v, n):
        """Encode a list of one plain type at once; return False if it is not."""
        # By id, as the program's classes may hash and compare as they like.
        kinds = _set(_map(_id, _map(_type, v)))
        if _len(kinds) != 1 or not _little:
            return False
        try:
            if kinds == _int_only:
                data = _array("q", v).tobytes()
                self.put(_head(b"Q", n))
                self.put(data)
                return True
            if kinds == _float_only:
                if _any(_map(_isnan, v)):
                    return False
                self.put(_head(b"G", n))
                self.put(_array("d", v).tobytes())
                return True
            if kinds == _str_only:
                lengths = _array("I", _map(_len, v)).tobytes()
                joined = _str_join(v)
                if not _isascii(joined):
                    return False
                self.put(_head(b"U", n))
                self.put(lengths)
                self.put(_encode(joined))
                return True
        except _OverflowError:
            pass
        return False

    def items(self, tag, owner, values):
        if not self.enter(owner):
            return
        self.put(_head(tag, _len(values)))
        value = self.value
        for x in values:
            value(x)
        self.leave(owner)

    def mapping(self, owner, d):
        if not self.enter(owner):
            return
        self.put(_head(b"d", _dict_len(d)))
        value = self.value
        for k, x in _dict_items(d):
            value(k)
            value(x)
        self.leave(owner)

    def other(self, v, cls):
        """Encode what is neither a plain scalar nor a list."""
        base = cls
        if _id(cls) not in _BASES:
            if _id(cls) not in self.bases:
                self.bases[_id(cls)] = base_of(cls)
            base = self.bases[_id(cls)]
        if base is _tuple:
            self.items(b"t", v, _list(_tuple_iter(v)))
        elif base is _dict:
            self.mapping(v, v)
        elif base is _list:
            self.items(b"l", v, _list(_list_iter(v)))
        elif base is _int:
            self.integer(_int_self(v))
        elif base is _str:
            self.string(_str_self(v))
        elif base is _float:
            self.put(_f(b"f", _float_self(v)))
        elif base is _set:
            self.items(b"S", v, _list(_set_iter(v)))
        elif base is _frozenset:
            self.items(b"S", v, _list(_frozenset_iter(v)))
        elif base is _bytes:
            if _bytes_len(v) > self.left:
                raise TooLarge
            self.text(b"b", _bytes_slice(v, _whole))
        elif base is _complex:
            self.put(_c(b"c", _complex_real(v), _complex_imag(v)))
        elif base is _Decimal:
            self.text(b"D", _encode(_decimal_str(v)))
        elif base is _Fraction:
            numerator, denominator = _numerator(v), _denominator(v)
            if _type(numerator) is not _int or _type(denominator) is not _int:
                self.opaque(cls)
                return
            self.put(b"R")
            self.integer(numerator)
            self.integer(denominator)
        elif cls is _UserList and _type(v.data) is _list:
            self.items(b"l", v, v.data)
        elif cls is _UserDict and _type(v.data) is _dict:
            self.mapping(v, v.data)
        elif cls is _UserString and _type(v.data) is _str:
            self.string(v.data)
        elif not self.numpy(v, cls):
            self.opaque(cls)

    def numpy(self, v, cls):
        """Encode a numpy scalar or array; return False if v is neither."""
        np = _modules.get("numpy") if _type(_modules) is _dict else None
        if np is None:
            return False
        generic, ndarray = np.generic, np.ndarray
        if inherits(cls, generic):
            item = generic.item(v)
            plain = (_bool, _int, _float, _complex, _str, _bytes)
            if _class_flags(cls) & HEAP_TYPE or _type(item) not in plain:
                return False
            self.put(b"n")
            self.value(item)
            return True
        if not inherits(cls, ndarray) or find(cls, "__eq__") is not find(ndarray, "__eq__"):
            return False
        shape = ndarray.shape.__get__(v)
        size = ndarray.size.__get__(v)
        kind = ndarray.dtype.__get__(v).kind
        kind = b"n" if kind in "biufc" else b"s" if kind in "US" else b"o"
        self.put(b"a" + _u32(_len(shape))[:1])
        self.put(_join([_u32(n & 0xFFFFFFFF) for n in shape]) + kind)
        if size == 1:
            item = ndarray.item(v)
            if kind != b"o":
                self.put(b"n")
            self.value(item)
        return True


def encode(v, cap):
    """Return the encoding of v, at most about cap bytes.

    A tuple itself (not one inside of it) becomes a list, as the official
    runner makes it one before it compares.
    """
    encoder = Encoder(cap)
    try:
        cls = _type(v)
        if cls is not _list and inherits(cls, _tuple):
            if find(cls, "__iter__") is _tuple.__iter__:
                v = _list(_tuple_iter(v))
        encoder.value(v)
        return _join(encoder.parts)
    except TooLarge:
        name = b"value of more than %d bytes" % cap
        return _head(b"o", _len(name)) + name
