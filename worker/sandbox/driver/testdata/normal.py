# Makes normal forms. Usage: normal.py HARNESS
#
# Standard input holds one JSON object a line: source, script. Standard output answers
# with one line each: a digest of the form, "-" if there is none, and one of what the
# interpreter makes of the source when it drops docstrings, without places.

import dis
import hashlib
import json
import sys
import types
import warnings

driver = types.ModuleType("driver")
with open(sys.argv[1]) as f:
    exec(compile(f.read(), "<driver>", "exec"), driver.__dict__)
warnings.simplefilter("ignore")


def told(code):
    """Return what code does: its instructions, without places nor filling."""
    out = [code.co_name, code.co_argcount, code.co_flags, code.co_varnames, code.co_cellvars, code.co_freevars]
    for i in dis.get_instructions(code):
        if i.opname in ("NOP", "EXTENDED_ARG", "CACHE") or i.argval == "__firstlineno__":
            continue
        if i.opcode in dis.hasjrel or i.opcode in dis.hasjabs:
            out.append((i.opname, "to"))
        elif isinstance(i.argval, types.CodeType):
            out.append(told(i.argval))
        else:
            out.append((i.opname, type(i.argval), repr(i.argval)))
    return out


def digest(data):
    return hashlib.sha256(data).hexdigest()[:16]


for line in sys.stdin:
    job = json.loads(line)
    sys.setrecursionlimit(1000)
    form = driver.normal_form(job["source"], job["script"])
    sys.setrecursionlimit(10000)
    try:
        code = digest(repr(told(compile(job["source"], "<string>", "exec", 0, True, 2))).encode("utf-8", "replace"))
    except Exception as e:
        code = type(e).__name__
    print(digest(form) if form else "-", code, flush=True)
