# The harness, second part: from a program's text to code.
#
# For a problem on standard input the official runner takes a final main guard
# away, hoists the top-level imports and wraps the rest in a function, by
# printing the syntax tree (ast.unparse) and parsing the print again. The same
# tree is compiled here without that detour, which costs more than all the
# rest, unless the detour could change something: it fails on some f-strings
# and on deep nesting. Most programs come with a text that parses as that tree:
# then no tree of Python objects is made either, which costs as much again.

import ast
import re
import types

# The official runner transforms and compiles a program about this many frames
# below the interpreter's own limit of 1000.
COMPILE_LIMIT = 965
# ast.unparse takes up to six frames a level of the tree; the parser counts
# three levels as one frame, and so refuses more than 120 under this limit.
SHALLOW_LIMIT = 40
# The same for a text, but counted from the bottom, for it costs to count: a
# program is loaded about ten frames above that.
TEXT_LIMIT = 46

_ast_parse, _ast_unparse, _ast_dump = ast.parse, ast.unparse, ast.dump
_If, _Compare, _Eq, _Name, _Constant = ast.If, ast.Compare, ast.Eq, ast.Name, ast.Constant
_Import, _ImportFrom, _JoinedStr, _AST = ast.Import, ast.ImportFrom, ast.JoinedStr, ast.AST
_FunctionDef, _arguments, _Module, _Pass = ast.FunctionDef, ast.arguments, ast.Module, ast.Pass
_TypeIgnore, _Expr = ast.TypeIgnore, ast.Expr
_fstring = re.compile(r"""(?<!\w)(?:[fF][rR]?|[rR][fF])(?=["'])""").finditer
# An f-string that cannot hold another string nor an escape.
_benign = re.compile(r"""\w+(?:"(?!")[^"'\\\n]*"|'(?!')[^"'\\\n]*')""").match
_isprintable = str.isprintable
_exec, _compile, _getattr = exec, compile, getattr
_setrecursionlimit, _getframe = sys.setrecursionlimit, sys._getframe
_RecursionError, _TypeError, _Exception = RecursionError, TypeError, Exception
_IndentationError, _MemoryError = IndentationError, MemoryError
_PROGRAM = "<string>"  # the file name that the official runner compiles under
_EXTRA = {"type_params": []} if "type_params" in ast.FunctionDef._fields else {}


class Unprintable(Exception):
    """ast.unparse would raise: the official runner takes the text as it is."""


def depth_here():
    """Return the number of frames below the caller."""
    frame, n = _getframe(1), 0
    while frame is not None:
        frame, n = frame.f_back, n + 1
    return n


def is_main_guard(node):
    """Report whether node's test prints as __name__ == '__main__'."""
    if _type(node) is not _If or _type(node.test) is not _Compare:
        return False
    test = node.test
    return (
        _type(test.left) is _Name
        and test.left.id == "__name__"
        and _len(test.ops) == 1
        and _type(test.ops[0]) is _Eq
        and _type(test.comparators[0]) is _Constant
        and test.comparators[0].value == "__main__"
        and test.comparators[0].kind is None
    )


def reprint_strings(tree):
    """Replace each f-string by what ast.unparse and a new parse make of it."""
    todo = [tree]
    while todo:
        node = todo.pop()
        for name in node._fields:
            child = _getattr(node, name, None)
            if _type(child) is _list:
                for i, item in enumerate(child):
                    if _type(item) is _JoinedStr:
                        child[i] = reprint(item)
                    elif _isinstance(item, _AST):
                        todo.append(item)
            elif _type(child) is _JoinedStr:
                setattr(node, name, reprint(child))
            elif _isinstance(child, _AST):
                todo.append(child)


def reprint(node):
    try:
        text = _ast_unparse(node)
    except _Exception:
        raise Unprintable from None
    again = _ast_parse(text, mode="eval").body
    if _ast_dump(again) == _ast_dump(node):
        return node
    return ast.copy_location(again, node)


def risky_strings(source):
    """Report whether the text has an f-string that may not print as it parsed."""
    for m in _fstring(source):
        literal = _benign(source, m.start())
        if literal is None or not _isprintable(literal.group()):
            return True
    return False


def wrapped_by_text(text):
    """Return the code of a text that was wrapped already, or None.

    One that does not compile, or nests deep, is left to wrapped, which gives
    the official error.
    """
    try:
        _setrecursionlimit(TEXT_LIMIT)
        return _compile(text, _PROGRAM, "exec", 0, True)
    except _Exception:
        return None
    finally:
        _setrecursionlimit(COMPILE_LIMIT)


def wrapped(source):
    """Return the official runner's module for a source, as code.

    The second result says whether its text names a class Solution: then the
    runner makes an instance of it, which a function's local class is not there
    for. It raises Unprintable if the module is the source as it is.
    """
    if "Solution" in source:
        return wrapped_by_print(source)
    _setrecursionlimit(depth_here() + SHALLOW_LIMIT)
    try:
        tree = _ast_parse(source, _PROGRAM)
    except (_RecursionError, _MemoryError):
        tree = None
    finally:
        _setrecursionlimit(COMPILE_LIMIT)
    if tree is None:
        return wrapped_by_print(source)
    body = tree.body
    if body and is_main_guard(body[-1]):
        body = body[:-1] + body[-1].body
    if risky_strings(source):
        reprint_strings(_Module(body=body, type_ignores=[]))
    imports = [node for node in body if _type(node) in (_Import, _ImportFrom)]
    others = [node for node in body if _type(node) not in (_Import, _ImportFrom)]
    if not others:
        raise _IndentationError("expected an indented block after function definition")
    where = {"lineno": 1, "col_offset": 0, "end_lineno": 1, "end_col_offset": 0}
    function = _FunctionDef(
        name="wrapped_function",
        args=_arguments([], [], None, [], [], None, []),
        body=others,
        decorator_list=[],
        returns=None,
        type_comment=None,
        **_EXTRA,
        **where,
    )
    # The preamble comes first: a __future__ import is too late.
    module = _Module(body=[_Pass(**where), *imports, function], type_ignores=[])
    return _compile(module, _PROGRAM, "exec", 0, True), False


def wrapped_by_print(source):
    """Do what wrapped does, in the official runner's own steps."""
    try:
        tree = _ast_parse(source)
        last = tree.body[-1]
        if _type(last) is _If:
            if _ast_unparse(last.test).strip() == "__name__ == '__main__'":
                source = _ast_unparse(tree.body[:-1]) + "\n" + _ast_unparse(last.body)
    except _Exception:
        pass
    try:
        tree = _ast_parse(source)
        imports = [node for node in tree.body if _type(node) in (_Import, _ImportFrom)]
        others = [node for node in tree.body if _type(node) not in (_Import, _ImportFrom)]
        function = _FunctionDef(
            name="wrapped_function",
            args=_arguments([], [], None, [], [], None, []),
            body=others,
            decorator_list=[],
            lineno=-1,
            **_EXTRA,
        )
        source = "pass\n" + _ast_unparse(imports) + "\n" + _ast_unparse(function)
    except _Exception:
        raise Unprintable from None
    return _compile(source, "<printed>", "exec", 0, True), "class Solution" in source
