# The harness, last part: what the fork server calls.
#
# This is trusted code that the fork server loads once and that then runs
# inside the confined process of each program. It never sees an expected
# output: it hands over what the program printed or returned. A program may
# rewrite every module it can import, so everything that is needed after a
# program has started is bound to a private name before.
#
# What is reproduced is lcb_runner at 28fef95, quirk by quirk.

import os
import shutil
import signal
import subprocess

OUTPUT, VALUE, ERROR, LIMIT, DONE = 1, 2, 3, 4, 5
MESSAGE = 300  # characters of an exception's text that are reported
RECURSION_LIMIT = 50000
INT_DIGITS = 50000

STARRED = (
    "string re datetime collections heapq bisect copy math random statistics "
    "itertools functools operator io sys json builtins typing"
).split()
PREAMBLE = "".join(
    ["from %s import *\n" % m for m in STARRED] + ["import %s\n" % m for m in STARRED[:-2]]
)
# Imported by many programs, and loaded by none of the above. The last one could not be
# imported any more once seal has taken os.getcwd away: the official runner has it too.
COMMON = "threading time queue dataclasses enum contextlib fileinput multiprocessing".split()

BLOCKED_OS = (
    "kill system putenv remove removedirs rmdir fchdir setuid fork forkpty "
    "killpg rename renames truncate replace unlink fchmod fchown chmod chown "
    "chroot lchflags lchmod lchown getcwd chdir"
).split()
BLOCKED_MODULES = "ipdb joblib resource psutil tkinter".split()

_os, _hasattr, _repr = os.__dict__, hasattr, repr
_issubclass = type.__subclasscheck__
_SyntaxError, _AttributeError = SyntaxError, AttributeError
_lower, _slice_str = str.lower, str.__getitem__
_quote = json.encoder.encode_basestring_ascii
_scan, _space = json.decoder.JSONDecoder().scan_once, json.decoder.WHITESPACE.match
_JSONDecodeError, _StopIteration = json.decoder.JSONDecodeError, StopIteration
_getrecursionlimit, _RuntimeError = sys.getrecursionlimit, RuntimeError
_traceback = BaseException.__dict__["__traceback__"].__get__
_next_tb = types.TracebackType.__dict__["tb_next"].__get__
_tb_frame = types.TracebackType.__dict__["tb_frame"].__get__
_tb_line = types.TracebackType.__dict__["tb_lineno"].__get__
_frame_code = types.FrameType.__dict__["f_code"].__get__
_code_file = types.CodeType.__dict__["co_filename"].__get__
_set_int_digits = getattr(sys, "set_int_max_str_digits", None)
_signal, _SIGALRM = signal.signal, signal.SIGALRM
_line_number = struct.Struct("<I").unpack_from
_first = slice(0, MESSAGE)
_get_builtin, _callable, _zip = _builtins.get, callable, zip

_module = None  # the preamble's namespace, built by warm, used by one program
_sealed = False
_given = None  # the same for functional programs in script mode
_import_lines = None  # of a program that came as a text, see load


class Failure(Exception):
    """What the official runner reports when a program cannot even be loaded."""

    def __init__(self, status, payload):
        Exception.__init__(self, status)
        self.status, self.payload = status, payload


class TimeoutException(Exception):
    """The official runner's; its name alone makes an exception a time limit."""


def on_alarm(signum, frame):
    """Answer a program that sets an alarm of its own as the official runner does."""
    print("timeout occured: alarm went off")
    raise TimeoutException


def needs_numpy(source):
    """Report whether the program may import numpy, by its text."""
    return "numpy" in source


def warm(mode):
    """Prepare the fork server, once, for programs of this mode."""
    global _module, _given
    for name, access in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # Without it print(file=sys.stderr) would print to standard output.
            setattr(sys, name, open(os.devnull, access, encoding="utf-8"))
    sys.argv[:] = ["main.py"]
    for name in COMMON:
        __import__(name)
    share_nothing()
    watch_threads()
    if mode == "script":
        _given = given_names()
        return
    watch_work()
    names = builtins.quit, builtins.help
    builtins.quit = builtins.help = None  # as seal will, before the names are copied
    try:
        _module = types.ModuleType("tmp_sol", "")
        exec(compile(PREAMBLE, _PROGRAM, "exec"), _module.__dict__)
    finally:
        builtins.quit, builtins.help = names


def seal():
    """Take away what the official runner takes away.

    The fork server may call it after warm, as its last step: every program
    then inherits it for nothing. If it did not, load does it, which costs half
    a millisecond.
    """
    global _sealed
    _sealed = True
    _os["environ"]["OMP_NUM_THREADS"] = "1"
    _builtins["quit"] = _builtins["help"] = None
    for name in BLOCKED_OS:
        _os[name] = None
    shutil.rmtree = shutil.move = shutil.chown = subprocess.Popen = None
    for name in BLOCKED_MODULES:
        _modules[name] = None
    if _set_int_digits:
        _set_int_digits(INT_DIGITS)
    _signal(_SIGALRM, on_alarm)


REHEARSAL_IMPORTS = "import sys\nfrom collections import defaultdict, deque\n"
REHEARSAL = """
class Node:
    def __init__(self, value):
        self.value = value
        self.links = []

def build(a):
    nodes = [Node(x) for x in a]
    for i, node in enumerate(nodes):
        node.links.append(nodes[i - 1])
    return nodes

def solve(n, a):
    count, seen, best = defaultdict(int), set(), 0
    for i in range(n):
        count[a[i]] += 1
        if a[i] not in seen:
            seen.add(a[i])
        else:
            best -= 1
        best = max(best, a[i] // 2)
    queue = deque([0])
    while queue:
        x = queue.popleft()
        if x + 1 < n and x % 3 != 2:
            queue.append(x + 1)
    order = sorted(range(n), key=lambda i: (-a[i], i))
    name = {k: str(v) for k, v in zip(order, a)}
    try:
        best += min(count.values()) * sum(a) - abs(best)
    except (ValueError, KeyError):
        return None
    return best, name

def main():
    n = int(input())
    a = list(map(int, input().split()))
    r = solve(n, a)
    build(a)[0].links[0].value += 1
    print(r[0], f"{n} of {len(a)}", " ".join(map(str, a)))
    print(*sorted(r[1].items()), sep=", ", end=".")
    if n > 5:
        raise RuntimeError("rehearsal")

main()
"""
REHEARSAL_CALL = """class Solution:
    def f(self, a: List[int], s: str) -> int:
        best = 0
        for i, c in enumerate(s):
            best = max(best, a[i % len(a)] * ord(c))
        return [best, a, s]
"""


def rehearse():
    """Run programs of our own in the fork server, after seal.

    What the interpreter makes when it is first needed (specialized code, caches
    of types and methods) is then there for every program, which would else make
    it anew in pages of its own. Nothing that a program can see is left behind.
    """
    global _module, _import_lines, _chance
    limit, module = _getrecursionlimit(), _module
    source = REHEARSAL_IMPORTS + REHEARSAL
    text = REHEARSAL_IMPORTS + "def wrapped_function():" + REHEARSAL.replace("\n", "\n    ")
    for _ in range(REHEARSALS):
        for func, source, text, inputs in (
            (None, source, text, ("3\n4 1 4\n", "1\n5\n", "6\n1 2 3 4 5 6\n")),
            (None, source, None, ("2\n1 2\n",)),
            ("f", REHEARSAL_CALL, None, ('[1, 2, 30]\n"text"',)),
            (None, "1 +", None, ()),
        ):
            _module = types.ModuleType("tmp_sol", "")
            _module.__dict__.update(module.__dict__)
            try:
                program = load("lcb", func, source, MESSAGE, None, text)
                for raw in inputs:
                    program.run(raw)
            except Failure:
                pass
    _module, _import_lines, _chance = module, None, 0
    _setrecursionlimit(limit)


# Once makes what is made once; a second time finds what the first left undone. More
# would specialize more code, and cost more to start than it saves.
REHEARSALS = 2


def line_of(e, shift):
    """Return the program's line in which e was raised, 0 if there is none."""
    line = 0
    if _issubclass(_SyntaxError, _type(e)):
        try:
            if e.filename == _PROGRAM and _type(e.lineno) is _int:
                line = e.lineno
        except _BaseException:
            pass
    tb = _traceback(e)
    while tb is not None:
        if _code_file(_frame_code(_tb_frame(tb))) == _PROGRAM:
            line = _tb_line(tb)
        tb = _next_tb(tb)
    if _import_lines is not None:
        shift = _len(_import_lines) // 4 + 1
        if 0 < line < shift:
            return _line_number(_import_lines, 4 * line - 4)[0]
    return line - shift if line > shift else 0


def text_of(e, convert):
    """Return str or repr of e, or what the program's own method raised instead."""
    try:
        return _str_self(convert(e)), None
    except _BaseException as other:
        return "", other


def code_of(e, where, broken):
    """Return the code that the official runner gives this exception."""
    if not _issubclass(_Exception, _type(e)):
        return -5  # its process ends without a result
    if where == "load":
        # It formats the exception where nothing catches what that raises.
        return -4 if broken is None else -5
    text, broken = text_of(e, _repr)
    if broken is not None:
        return -4 if _issubclass(_Exception, _type(broken)) else -5
    return -3 if "timeoutexception" in _lower(text) else -4


def failure_payload(e, where="load", shift=0):
    """Encode an exception that ended the load or a test."""
    message, broken = text_of(e, _str)
    return _encode(
        '{"type":%s,"message":%s,"line":%d,"where":"%s","code":%d}'
        % (
            _quote(type_name(_type(e))),
            _quote(_slice_str(message, _first)),
            line_of(e, shift),
            where,
            code_of(e, where, broken),
        )
    )


def argument(line):
    """Decode one argument as json.loads does, by nothing that a program replaces."""
    try:
        value, end = _scan(line, _space(line, 0).end())
    except _StopIteration as e:
        raise _JSONDecodeError("Expecting value", line, e.value) from None
    end = _space(line, end).end()
    if end != _len(line):
        raise _JSONDecodeError("Extra data", line, end)
    return value


def check_stderr():
    """Raise what faulthandler.enable does, which the official runner calls
    before each test."""
    stderr = _sys.get("stderr")
    if stderr is None:
        raise _RuntimeError("sys.stderr is None")
    number = stderr.fileno()
    if not _isinstance(number, _int) or number < 0:
        raise _RuntimeError("file.fileno() is not a valid file descriptor")


class RunnerEnds(BaseException):
    """The official runner's process would end without a result."""


class Needed:
    """Builtins that the official runner calls in the program's process.

    Without one of fails it fails, without one of ends its process ends.
    """

    def __init__(self, fails, ends):
        self.names = _tuple((ends + " " + fails).split())
        self.values = _tuple([_builtins[name] for name in self.names])
        self.ends = _frozenset(ends.split())

    def check(self):
        """Raise what a program comes to that took one of them away."""
        found = _tuple(_map(_get_builtin, self.names))
        if found == self.values:
            return
        for name, value, before in _zip(self.names, found, self.values):
            if value is not before and (name in IRREPLACEABLE or not _callable(value)):
                kind = RunnerEnds if name in self.ends else _TypeError
                raise kind("the official runner needs builtins.%s, which the program took away" % name)


class Stdin:
    """A loaded program that reads standard input: a function without arguments."""

    def __init__(self, function, cap, fatal):
        self.function, self.cap, self.fatal = function, cap, fatal

    def run(self, raw):
        stdout = _sys.get("stdout")
        try:
            check_stderr()
            _sys["stdout"] = capture = StringIO(self.cap, self.fatal)
            call_with_stdin(self.function, raw)
            NEEDED_BY_STDIN.check()
            data = _encode(_getvalue(capture), "utf-8", "surrogatepass")
        except _BaseException as e:
            return ERROR, failure_payload(e, "test")
        finally:
            _sys["stdout"] = stdout
        if _len(data) > self.cap:
            self.fatal(LIMIT, b"")
        return OUTPUT, data


class Functional:
    """A loaded program with a function to call."""

    def __init__(self, function, cap, shift, official=True):
        self.function, self.cap, self.shift = function, cap, shift
        self.official, self.called = official, False

    def run(self, raw):
        try:
            if self.official:
                check_stderr()
            arguments = [argument(line) for line in _split(raw, "\n")]
            if self.official and not self.called:
                NEEDED_TO_CALL.check()
                self.called = True
            value = self.function(*arguments)
            if self.official:
                NEEDED_BY_CALL.check()
            # The program may have left the encoder no frames.
            limit = _getrecursionlimit()
            _setrecursionlimit(RECURSION_LIMIT)
            data = encode(value, self.cap)
            _setrecursionlimit(limit)
            return VALUE, data
        except _BaseException as e:
            return ERROR, failure_payload(e, "test", self.shift)


NEEDED_BY_STDIN = Needed(
    "list set tuple BaseException iter next setattr hasattr bool object zip enumerate callable StopIteration issubclass",
    "str len type isinstance getattr bytes super AttributeError __import__",
)
NEEDED_TO_CALL = Needed("zip enumerate", "")
NEEDED_BY_CALL = Needed("tuple", "str len type isinstance getattr bytes super AttributeError __import__")
# Another callable in the place of one of these will not do either, a subclass for example.
IRREPLACEABLE = _frozenset("str type list bytes StopIteration AttributeError".split())


def load_stdin(source, cap, fatal, text, import_lines):
    global _import_lines
    code, solution = text and wrapped_by_text(text), False
    try:
        if code:
            _import_lines = import_lines
        else:
            code, solution = wrapped(source)
    except Unprintable:
        # Its text has no function to call, but runs before that is noticed.
        names = types.ModuleType("tmp_sol", "").__dict__
        code = _compile(source, _PROGRAM, "exec", 0, True)
        look_for_chance(code)
        _exec(code, names)
        raise _TypeError("cannot unpack non-iterable NoneType object") from None
    look_for_chance(code)
    names = _module.__dict__
    _setrecursionlimit(RECURSION_LIMIT)
    _exec(code, names)
    if solution:
        _module.Solution()
    return Stdin(names["wrapped_function"], cap, fatal)


def load_functional(func, source, cap):
    # The line in front stands for the preamble: a __future__ import is too late.
    code = _compile("pass\n" + source, _PROGRAM, "exec", 0, True)
    look_for_chance(code)
    _setrecursionlimit(RECURSION_LIMIT)
    _exec(code, _module.__dict__)
    owner = _module
    if "class Solution" in source:  # the text: a comment will do
        owner = _module.Solution()
    if owner is None:
        raise AssertionError
    try:
        function = _getattr(owner, func) if _hasattr(owner, func) else None
    except _Exception:
        function = None
    if function is None:
        raise _TypeError("cannot unpack non-iterable NoneType object")
    return Functional(function, cap, 1)


def load_given(func, source, cap):
    code = _compile(source, _PROGRAM, "exec", 0, True)
    look_for_chance(code)
    _setrecursionlimit(RECURSION_LIMIT)
    module = _modules["solution"] = types.ModuleType("solution")
    names = module.__dict__
    names["__builtins__"] = _given
    _exec(code, names)
    owner = names["Solution"]() if "Solution" in names else module
    return Functional(_getattr(owner, func), cap, 0, official=False)


def load(mode, func, source, output_cap, fatal, text=None, import_lines=b""):
    """Compile a program and execute its module, once, in its own process.

    text, if given, is the source of a program on standard input as it would be
    wrapped: its imports, one a line, and a function. import_lines are the lines
    of these in the source, u32 each.
    It returns an object whose run(raw) performs one test, or raises Failure.
    fatal(status, payload) must answer and end the process at once.
    """
    shift = 0
    try:
        if mode == "script":
            if func is None:
                return Script(source, fatal)
            return load_given(func, source, output_cap)
        if not _sealed:
            seal()
        _setrecursionlimit(COMPILE_LIMIT)
        if func is None:
            return load_stdin(source, output_cap, fatal, text, import_lines)
        shift = 1
        return load_functional(func, source, output_cap)
    except _BaseException as e:
        raise Failure(ERROR, failure_payload(e, "load", shift)) from None
