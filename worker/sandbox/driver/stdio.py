# The harness, fifth part: standard input and output of one test, with the
# official runner's mocks and all their quirks.

import builtins
import io
import os

_builtins, _sys = builtins.__dict__, sys.__dict__
_StringIO = io.StringIO
_write, _getvalue = io.StringIO.write, io.StringIO.getvalue
_import = builtins.__import__
_split, _partition = str.split, bytes.partition
_iter, _next = iter, next
_setattr, _delattr, _staticmethod = setattr, delattr, staticmethod
_SystemExit, _ValueError = SystemExit, ValueError
_missing = object()
_reads = frozenset("wax+").isdisjoint  # whether a mode of open is without these


def open_by_descriptor(null):
    """Have the standard streams opened by their paths where there are no such paths.

    What is opened is a copy of their descriptor. Descriptor 2 is open on the null
    device: if null, that is opened by it too, where the kernel lets no path be opened to
    be written. Nothing else is opened otherwise than before.
    """
    dup, fspath, writing = os.dup, os.fspath, os.O_WRONLY | os.O_RDWR
    plain_open, plain_os_open = io.open, os.open
    streams = {}
    for n, name in ((0, "stdin"), (1, "stdout"), (2, "stderr")):
        for path in ("/dev/" + name, "/dev/fd/%d" % n, "/proc/self/fd/%d" % n):
            streams[path] = streams[path.encode()] = n
    nulls = (os.devnull, os.devnull.encode()) if null else ()

    def stands_for(path, writes):
        """Return the descriptor to copy, or None."""
        try:
            path = fspath(path)
        except _TypeError:  # a descriptor
            return None
        if writes and path in nulls:
            return 2
        return streams.get(path)

    def open(file, mode="r", *args, **kwargs):
        n = stands_for(file, _type(mode) is _str and not _reads(mode))
        return plain_open(file if n is None else dup(n), mode, *args, **kwargs)

    def os_open(path, flags, *args, **kwargs):
        n = stands_for(path, flags & writing)
        return plain_os_open(path, flags, *args, **kwargs) if n is None else dup(n)

    def unbound(function):
        """Return function as what is no method where a class holds it, like a builtin."""
        return _type("open", (), {"__slots__": (), "__call__": _staticmethod(function)})()

    builtins.open = io.open = unbound(open)
    os.open = unbound(os_open)


def end_by_signals(first):
    """Have every signal that ends a program elsewhere end it, whoever sends it.

    The kernel keeps the first process of a namespace, if this is to be one, from signals
    without a handler, those of its own timers too. And whether one that stops a process
    does so depends on the terminal: the official runner waits for it in vain. So these
    signals have a handler, of which the interpreter knows nothing: the C library's _exit.
    """
    import _signal
    import ctypes

    ignored = {_getattr(_signal, name) for name in ("SIGCHLD", "SIGCONT", "SIGURG", "SIGWINCH")}
    stopping = {_getattr(_signal, name) for name in ("SIGTSTP", "SIGTTIN", "SIGTTOU")}
    ending = {_int(n) for n in _signal.valid_signals()} - ignored - {_signal.SIGKILL, _signal.SIGSTOP}
    if not first:
        ending &= stopping
    libc = ctypes.CDLL(None)
    handle, end = libc.signal, ctypes.cast(libc._exit, ctypes.c_void_p)
    handle.restype, handle.argtypes = ctypes.c_void_p, (ctypes.c_int, ctypes.c_void_p)
    default, plain_signal = _int(_signal.SIG_DFL), _signal.signal

    def signal(signalnum, handler, /):
        before = plain_signal(signalnum, handler)
        if _isinstance(handler, _int) and handler == default and signalnum in ending:
            handle(signalnum, end)
        return before

    for number in _signal.valid_signals() - {_signal.SIGPIPE, _signal.SIGXFSZ}:
        if _signal.getsignal(number) == _signal.SIG_IGN:
            # Who started this ignores it, as nohup does.
            plain_signal(number, _signal.default_int_handler if number == _signal.SIGINT else default)
    for number in ending:
        if _signal.getsignal(number) == default:
            handle(number, end)
    _signal.signal = signal


class MockBuffer:
    """sys.stdin.buffer: all of the input, or always its first line."""

    def __init__(self, inputs):
        self.inputs = inputs if _isascii(inputs) else _encode(inputs)

    def _bytes(self):
        if _type(self.inputs) is _str:
            self.inputs = _encode(self.inputs)
        return self.inputs

    def read(self, *args):
        return self._bytes()

    def readline(self, *args):
        return _partition(self._bytes(), b"\n")[0] + b"\n"


class MockStdinWithBuffer:
    """sys.stdin: read and readlines give the whole input, readline has a cursor."""

    def __init__(self, inputs):
        self.inputs = inputs
        self.buffer = MockBuffer(inputs)

    def read(self, *args):
        return self.inputs

    def readlines(self, *args):
        return _split(self.inputs, "\n")

    def __getattr__(self, name):
        mine = self.__dict__
        stream = mine.get("_stringio")
        if stream is None:
            # Made when it is first asked for: many programs read all at once,
            # and it takes four bytes a character.
            stream = mine["_stringio"] = _StringIO(mine["inputs"])
            # What input() asks for on every call, without a detour through here.
            mine["readline"], mine["fileno"] = stream.readline, stream.fileno
        return _getattr(stream, name)


class StringIO(_StringIO):  # so that a program's error messages read as officially
    """sys.stdout of one test, which ends the program when it printed too much."""

    def __init__(self, cap, fatal):
        _StringIO.__init__(self)
        self.left, self.fatal = cap, fatal
        # One argument too many, so close() raises TypeError.
        self.close = lambda x: 1

    def write(self, s):
        n = _write(self, s)
        self.left = left = self.left - n
        if left < 0:
            self.fatal(LIMIT, b"")
        return n


class Patches:
    """What the official runner patches around one call, and undoes after it."""

    def __init__(self, inputs):
        self.inputs = inputs
        self.lines = None
        self.stdin = self.open = None

    def readline(self, *args):
        # Without line ends, StopIteration at the end, and a cursor of its own.
        if self.lines is None:
            self.lines = _iter(_split(self.inputs, "\n"))
        return _next(self.lines)

    def readlines(self, *args):
        return _split(self.inputs, "\n")

    def read(self, *args):
        return self.inputs

    def mock_open(self, *args, **kwargs):
        """Stand for builtins.open, which programs hardly ever reach."""
        _builtins["open"] = self.open
        from unittest.mock import mock_open

        _builtins["open"] = opened = mock_open(read_data=self.inputs)
        return opened(*args, **kwargs)

    def enter(self):
        _import("sys")  # as the runner finds what it patches
        _import("builtins")
        # In this order: the methods go to the real stream, which a program may
        # have imported by name, and then the mock takes its place.
        self.stdin = stdin = _sys["stdin"]
        stdin.read, stdin.readlines, stdin.readline = self.read, self.readlines, self.readline
        _sys["stdin"] = MockStdinWithBuffer(self.inputs)
        self.open = _builtins["open"]
        _builtins["open"] = self.mock_open

    def leave(self):
        _builtins["open"] = self.open
        _sys["stdin"] = stdin = self.stdin
        for name in ("read", "readlines", "readline"):
            try:
                _delattr(stdin, name)
            except _BaseException:
                pass


def call_with_stdin(method, inputs):
    """Call method with inputs on its standard input, to the end of its threads."""
    patches = Patches(inputs)
    patches.enter()
    try:
        try:
            method()
        except _SystemExit:
            pass
        wait_for_threads()
    finally:
        patches.leave()
