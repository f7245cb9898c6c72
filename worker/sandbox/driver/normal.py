# The harness, seventh part: normal form.
#
# Two programs with equal syntax trees do the same, unless they look at their own text: at
# line numbers or docstrings. So a program's normal form is its syntax tree without places
# and docstrings, for every program that cannot look. Those that might have none: a name too
# many in the lists below costs a run, one too few would get another program's verdict.
# Addresses of objects are not told apart: they differ from one fork server to the next.
#
# The tree is Python's own, and made in a confined process that never runs the program.

import ast
import marshal
import types

# The most characters that are parsed, and the deepest tree that is walked. Larger programs
# are nobody's copy.
MOST_NORMAL = 64 << 10
MOST_DEEP = 300

# The only modules that a program with a normal form imports: those that most programs use. Of
# any other nobody knows whether it shows a program its text, as the repr of a task does.
PLAIN_MODULES = frozenset(
    "abc array bisect collections copy dataclasses datetime decimal enum fractions functools heapq io itertools json math "
    "numbers operator os queue random re statistics string struct sys threading time typing".split()
)
# The only names of this form that it holds. The others are asked for by the interpreter or the
# library behind a program's back, and some of them are handed its docstrings.
PLAIN_SPECIAL = frozenset(
    "__%s__" % name
    for name in (
        "main name init new call del post_init slots repr str bytes bool int float complex index hash eq ne lt le gt ge "
        "len iter next reversed contains getitem setitem delitem missing enter exit neg pos abs invert round floor ceil trunc "
        "add sub mul matmul truediv floordiv mod divmod pow lshift rshift and xor or "
        "radd rsub rmul rmatmul rtruediv rfloordiv rmod rdivmod rpow rlshift rrshift rand rxor ror "
        "iadd isub imul imatmul itruediv ifloordiv imod ipow ilshift irshift iand ixor ior "
        "copy deepcopy length_hint debug"
    ).split()
)
_special = re.compile(r"__[A-Za-z]\w*__").fullmatch
# What is harmless of sys.
PLAIN_SYS = frozenset(
    "stdin stdout stderr exit argv path prefix platform version version_info maxsize maxunicode byteorder flags intern copyright "
    "float_info int_info hash_info setrecursionlimit getrecursionlimit set_int_max_str_digits get_int_max_str_digits".split()
)
# Names that lead to a program's own lines, docstrings, frames or code, that have a
# traceback printed or read, that measure memory, or that make a name or a class from a string.
OWN_NAMES = frozenset(
    "__doc__ __code__ __dict__ __getattribute__ __getattr__ __traceback__ with_traceback __reduce__ __reduce_ex__ __globals__ "
    "__closure__ __future__ __prepare__ __build_class__ __file__ __loader__ __spec__ __builtins__ "
    "getattr setattr attrgetter methodcaller vars globals locals dir eval exec compile __import__ import_module modules "
    "metaclass new_class Formatter vformat get_field "
    "getsizeof getrefcount getallocatedblocks _debugmallocstats breakpoint breakpointhook _getframe _getframemodulename "
    "_current_frames _current_exceptions settrace setprofile gettrace getprofile call_tracing exc_info last_traceback last_exc "
    "excepthook unraisablehook displayhook monitoring addaudithook redirect_stderr dup dup2 "
    "TracebackException StackSummary lineno pipe pipe2 openpty type ABCMeta EnumMeta EnumType _convert_ "
    "make_dataclass update_wrapper wraps singledispatch singledispatchmethod get_type_hints ForwardRef evaluate_forward_ref".split()
).union(
    (name for name in dir(sys) if name not in PLAIN_SYS and not _special(name)),
    # What a module keeps for itself.
    (name for module in PLAIN_MODULES for name in dir(__import__(module)) if name[0] == "_" and not _special(name)),
).union(
    name
    for kind in (types.CodeType, types.FrameType, types.TracebackType)
    + (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)
    for name in dir(kind)
    if name[:2] == "f_" or name[:3] in ("co_", "tb_", "gi_", "cr_", "ag_")
)
# Modules that do such things. Only an import or an attribute reaches them: a variable
# that is called code is none. A file has a readline, too.
OWN_MODULES = sys.stdlib_module_names.difference(PLAIN_MODULES, ("readline",)).union(
    "numpy inspect traceback linecache tokenize token symtable ast dis code codeop opcode marshal pickle pickletools copyreg shelve "
    "importlib pkgutil runpy trace bdb pdb cmd doctest unittest pydoc profile cProfile pstats timeit tracemalloc faulthandler logging "
    "warnings gc ctypes resource exception".split()
)
# What the harness looks for in a program's text, code or not, when it decides how to run it.
LOOKED_FOR = "class Solution", "Solution", "numpy", "scipy", "pandas", "open", "Writer"


class Own(Exception):
    """The program might look at its own text."""


def normal_form(source, script):
    """Return the program's normal form, b"" if it has none.

    Every program of that form ends as this one does, but for the line of an exception.
    script says that the source is compiled as the bytes of a file are.
    """
    if _len(source) > MOST_NORMAL:
        return b""
    try:
        tree = _ast_parse(source.encode() if script else source)
        _setrecursionlimit(4 * MOST_DEEP + 100)
        form = Form("stderr" in source)
        form.atoms += [script, risky_strings(source), *[word in source for word in LOOKED_FOR]]
        form.body(tree.body, 0, outer=True)
        # Version 2 writes equal objects alike, whoever else holds them.
        return marshal.dumps(form.atoms, 2)
    except (Own, SyntaxError, ValueError, RecursionError, MemoryError):
        return b""  # what does not compile ends at once


class Form:
    """The atoms of a tree: for each node its class and its fields, each list after its length."""

    def __init__(self, stderr):
        self.atoms, self.stderr = [], stderr

    def body(self, nodes, depth, outer=False):
        """Add the statements of a module, function or class, without those that are only text.

        These do nothing but be comments, the first of them the docstring. A body of text
        alone does what pass does.
        """
        rest = [node for node in nodes if not is_text(node)]
        if outer and (nodes and is_text(nodes[-1]) or may_be_imports(rest)):
            # The last statement of a program decides whether its main guard is one, and the
            # only one besides imports whether it is a program at all.
            rest = nodes
        if not rest and not outer:
            rest = [_Pass()]
        self.atoms.append(_len(rest))
        for node in rest:
            self.node(node, depth + 1)

    def node(self, node, depth):
        if depth > MOST_DEEP:
            raise Own
        kind, put = _type(node), self.atoms.append
        put(kind.__name__)
        bare = kind is ast.FunctionDef or kind is ast.AsyncFunctionDef or kind is ast.ClassDef and is_plain_class(node)
        if kind is ast.Attribute:
            self.attribute(node)
        elif kind is ast.alias:
            check_module(node.name)
        elif kind is ast.Import:
            check_imports(alias.name for alias in node.names)
        elif kind is ast.ImportFrom:
            check_imports([node.module or ""])
        for name in node._fields:
            value = _getattr(node, name, None)
            if name == "body" and bare:
                self.body(value, depth)
            elif _type(value) is _list:
                put(_len(value))
                for item in value:
                    self.value(item, depth)
            else:
                self.value(value, depth)

    def attribute(self, node):
        check_module(node.attr)
        if node.attr in ("format", "format_map") and not is_string(node.value):
            raise Own  # the text of a format names attributes
        if self.stderr and node.attr in ("stderr", "write") and _type(node.ctx) is not ast.Load:
            raise Own  # the interpreter prints there what a thread raised

    def value(self, value, depth):
        if _isinstance(value, _AST):
            self.node(value, depth + 1)
            return
        if _type(value) is _str:
            # A name, or a string, which may hold one.
            if is_own(value) or not value.isidentifier() and any(map(is_own, _words(value))):
                raise Own
        elif value is Ellipsis:
            value = ("Ellipsis",)
        self.atoms.append(value)


def is_string(node):
    return _type(node) is _Constant and _type(node.value) is _str


def is_text(node):
    """Report whether a statement is a string that prints as it is."""
    return _type(node) is _Expr and is_string(node.value) and "".join(node.value.value.split()).isprintable()


def may_be_imports(nodes):
    """Report whether all that is left of a program may be imports, some in a main guard."""
    return all(_type(node) in (_Import, _ImportFrom, _If) for node in nodes)


def is_plain_class(node):
    """Report whether nobody who makes the class looks at the names in it: a docstring is one."""
    return not node.keywords and all(_type(base) is _Name and base.id == "object" for base in node.bases)


def is_own(name):
    return name in OWN_NAMES or _special(name) and name not in PLAIN_SPECIAL


def check_imports(names):
    if not PLAIN_MODULES.issuperset(name.partition(".")[0] for name in names):
        raise Own


def check_module(name):
    if not OWN_MODULES.isdisjoint(part.lstrip("_") for part in name.split(".")):
        raise Own
