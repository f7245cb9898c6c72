"""Answer what CPython's json makes of texts: a line of hex in, a line out.

A text that json.loads refuses gives "-". The others give their value, in the
form that the Go test writes too, and what json.dumps makes of it.
"""

import json
import struct
import sys

sys.set_int_max_str_digits(50000)


def show(v):
    if isinstance(v, dict):
        return "{" + ",".join(sorted(show(k) + ":" + show(x) for k, x in v.items())) + "}"
    if isinstance(v, list):
        return "[" + ",".join(map(show, v)) + "]"
    if isinstance(v, str):
        return "s" + v.encode("utf-8", "surrogatepass").hex()
    if v is None or isinstance(v, bool):
        return {None: "null", True: "true", False: "false"}[v]
    if isinstance(v, int):
        return "i" + str(v)
    return "nan" if v != v else "f" + struct.pack(">d", v).hex()


for line in sys.stdin:
    try:
        text = bytes.fromhex(line).decode("utf-8")  # strict, as open() reads a file
        value = json.loads(text)
    except (ValueError, RecursionError):
        print("-", flush=True)
        continue
    dumped = json.dumps(value) if isinstance(value, str) else ""
    print(show(value) + " " + dumped, flush=True)
