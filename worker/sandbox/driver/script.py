# The harness, sixth part: programs as they are, without the official
# runner's surroundings (--judge script).

import atexit
import gc
import io
import posix
import types

_run_exit_functions = atexit._run_exitfuncs
_collect, _open, _bytes_type = gc.collect, io.open, bytes
_ModuleType = types.ModuleType
_clear = dict.clear

# What functional programs take for granted: the names that LeetCode's starter
# code uses, and the modules. Nothing here replaces a builtin, and what a
# program defines itself is told apart, for it stands in its own namespace.
GIVEN_STARRED = "collections heapq itertools functools typing math".split()
GIVEN_KEPT = ("pow",)  # the builtin one takes three arguments


def given_names():
    """Return the builtins plus what functional programs take for granted."""
    names = {}
    for module in GIVEN_STARRED:
        exec("from %s import *" % module, names)
    for module in STARRED:
        if module not in ("builtins", "typing"):
            names[module] = __import__(module)
    for name in ("bisect_left", "bisect_right", "insort", "insort_left", "insort_right"):
        names[name] = getattr(names["bisect"], name)
    names.update((k, v) for k, v in _builtins.items() if k not in ("open",))
    names["open"] = _builtins["open"]
    return names


def real_streams():
    """Open the standard streams anew: the server's were made on other files."""
    _sys["stdin"] = _sys["__stdin__"] = _open(0, "r", encoding="utf-8", closefd=False)
    _sys["stdout"] = _sys["__stdout__"] = _open(1, "w", encoding="utf-8", closefd=False)


class Script:
    """A program that runs as __main__ on the real descriptors 0 and 1."""

    def __init__(self, source, fatal):
        self.source = source
        data = _encode(source, "utf-8", "surrogatepass")
        self.code = _compile(data, _PROGRAM, "exec", 0, True)
        look_for_chance(self.code)
        self.fatal = fatal

    def exit_now(self, status=0):
        """Stand for os._exit: the answer must still reach the parent."""
        if status == 0:
            self.fatal(DONE, b"")
        posix_exit(status)

    def run(self, raw):
        main = _modules["__main__"] = _ModuleType("__main__")
        names = main.__dict__
        names["__builtins__"], names["__file__"] = builtins, "main.py"
        real_streams()
        stdout = _sys["stdout"]
        _os["_exit"] = posix._exit = self.exit_now
        try:
            try:
                _exec(self.code, names)
            except _SystemExit:
                pass
            self.end(names, stdout)
        except _BaseException as e:
            return ERROR, failure_payload(e, "test")
        return DONE, b""

    def end(self, names, stdout):
        """Do what the interpreter does at exit."""
        threading = _modules.get("threading")
        if threading is not None and _hasattr(threading, "_shutdown"):
            threading._shutdown()
        _run_exit_functions()
        for stream in (_sys.get("stdout"), stdout):
            try:
                stream.flush()
            except (_ValueError, _AttributeError):
                pass  # closed, or not a stream: nothing is left in it
        if "open" in self.source or "Writer" in self.source:
            # A stream of its own on descriptor 1 flushes when it is collected.
            _clear(names)
            _collect()


posix_exit = posix._exit
