# Compares the two ways in which a program is wrapped: by lines of text and by
# the syntax tree. Usage: wrapped.py HARNESS
#
# Standard input holds one JSON object a line: source, text. Standard output
# answers with one line each: "same" if both give the same code, "neither" if the
# text does not compile, so that the harness takes the source, or what differs.

import dis
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
    out = [code.co_name, code.co_argcount, code.co_flags]
    out += code.co_varnames, code.co_cellvars, code.co_freevars
    for i in dis.get_instructions(code):
        if i.opname in ("NOP", "EXTENDED_ARG", "CACHE"):
            continue
        if i.argval == "__firstlineno__":
            out.pop()  # the line that is stored
        elif i.opcode in dis.hasjrel or i.opcode in dis.hasjabs:
            out.append((i.opname, "to"))
        elif isinstance(i.argval, types.CodeType):
            out.append(told(i.argval))
        else:
            out.append((i.opname, type(i.argval), repr(i.argval)))
    return out


def compared(source, text):
    by_text = driver.wrapped_by_text(text)
    if by_text is None:
        return "neither"
    try:
        by_tree = driver.wrapped(source)[0]
    except BaseException as e:
        return "the text compiles, the tree raises %r" % e
    sys.setrecursionlimit(10000)
    if told(by_text) != told(by_tree):
        return "the text and the tree give other code"
    return "same"


for line in sys.stdin:
    job = json.loads(line)
    sys.setrecursionlimit(driver.COMPILE_LIMIT)
    print(compared(job["source"], job["text"]), flush=True)
