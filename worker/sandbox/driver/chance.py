# The harness, fourth part: chance.
#
# A program whose outcome may differ from one run to the next must not speak for its
# copies. It is told by the names that its code uses, which costs microseconds, and by
# the threads that it runs at once. Names say more than text: a comment or a local
# variable called time is none. A name too many costs a run, nothing else.
#
# What is not in the list has one value for all programs of a server, as it has for all
# programs of one run of the official runner: hashes of strings and the order of sets,
# addresses, numpy's global generator.

import random
import threading
import types

CHANCE = 0x80  # what is added to the status of a frame, see drew

# The global generator's names, which the preamble imports. A program that has none of
# them draws what the server would.
DRAWS = frozenset(random.__all__).union(("random", "_random"))
SOURCES = DRAWS.union(
    "time now today utcnow default_timer timeit perf_counter perf_counter_ns monotonic monotonic_ns "
    "process_time process_time_ns thread_time time_ns clock_gettime getloadavg times getrusage stat "
    "urandom getrandom secrets uuid uuid1 uuid4 tempfile getpid getppid ctypes "
    "alarm setitimer Timer start_new_thread get_ident get_native_id "
    "default_rng RandomState SeedSequence".split()
)
# What reaches a module by a string.
BY_STRING = frozenset("exec eval compile __import__ import_module getattr __dict__ modules vars globals".split())

_co_names = types.CodeType.__dict__["co_names"].__get__
_co_consts = types.CodeType.__dict__["co_consts"].__get__
_CodeType = types.CodeType
_no_source, _no_draw, _by_no_string = SOURCES.isdisjoint, DRAWS.isdisjoint, BY_STRING.isdisjoint
_words = re.compile(r"\w+").findall
_seed = random.seed
_limbo = threading._limbo
_chance = 0


def note_chance(*_):
    global _chance
    _chance = CHANCE


def drew():
    """Return CHANCE if the outcome so far may differ from run to run, else 0."""
    return _chance


def look_for_chance(code):
    """Note whether code, not yet run, names a source of chance.

    Random's generator starts anew for a program that names it, as a fork does it for
    the official runner's. It does not for others: seeding touches pages.
    """
    todo, strings, by_string, draws = [code], [], False, False
    while todo:
        code = todo.pop()
        names = _co_names(code)
        if not _no_source(names):
            note_chance()
            draws = draws or not _no_draw(names)
        by_string = by_string or not _by_no_string(names)
        for value in _co_consts(code):
            kind = _type(value)
            if kind is _CodeType:
                todo.append(value)
            elif kind is _str:
                strings.append(value)
    if by_string:
        for value in strings:
            words = _words(value)
            if not _no_source(words):
                note_chance()
                draws = draws or not _no_draw(words)
    if draws:
        _seed()


def noting(start):
    """Return start, which starts a thread, for a program that may start several."""

    def start_new_thread(*args, **kwargs):
        # The main thread is one of the active. One thread beside it is how programs get
        # a deep stack, and they wait for it.
        if _len(_active) > 1 or _len(_limbo) > 1:
            note_chance()
        return start(*args, **kwargs)

    return start_new_thread


def watch_threads():
    """Have threads that run at once noted: what they do first is chance."""
    for name in ("_start_new_thread", "_start_joinable_thread"):
        if hasattr(threading, name):
            setattr(threading, name, noting(getattr(threading, name)))
