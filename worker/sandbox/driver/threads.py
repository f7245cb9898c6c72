# The harness, third part: threads.
#
# The official runner takes a program's output when its main thread returns, and
# what other threads print after that is lost or not, by chance. Here a program has
# ended when the interpreter would end: when no thread that it waits for is left.
# The pending work of an executor counts as one, though its threads never end.

import concurrent.futures.thread
import threading
import time
import weakref

import _multiprocessing

_active = threading._active
_main_thread, _is_daemon = threading.main_thread(), threading.Thread.daemon.fget
_join_thread, _sleep, _list = threading.Thread.join, time.sleep, list
_work = weakref.WeakSet()  # items that an executor was given and has not done
_add_work, _drop_work, _count_work = _work.add, _work.discard, _work.__len__
_WorkItem, _worker = concurrent.futures.thread._WorkItem, concurrent.futures.thread._worker
_AssertionError = AssertionError
_init_work, _run_work = _WorkItem.__init__, _WorkItem.run


def init_work(self, *args, **kwargs):
    _init_work(self, *args, **kwargs)
    _add_work(self)


def run_work(self, *args):
    try:
        _run_work(self, *args)
    finally:
        _drop_work(self)


def watch_work():
    """Have _work hold the work of executors: it is not seen from outside."""
    _WorkItem.__init__, _WorkItem.run = init_work, run_work


def wait_for_threads():
    """Return when no thread is left that the interpreter would wait for at its end.

    A thread that never ends runs into the limits of the test.
    """
    if _len(_active) == 1:
        return
    while True:
        for thread in _list(_active.values()):
            if thread is _main_thread or _is_daemon(thread):
                continue
            if _getattr(thread, "_target", None) is not _worker:
                _join_thread(thread)
                break
        else:
            if not _count_work():
                return
            _sleep(WORK_POLL)


# How often unfinished work of an executor is asked for, in seconds: a thousandth of
# what a test may take, and a hundred times what asking costs.
WORK_POLL = 0.001


class SemLock:
    """Stand for _multiprocessing.SemLock, which makes a file in /dev/shm.

    There is one process, so threads are all that can meet at it.
    """

    SEM_VALUE_MAX = 2**31 - 1

    def __init__(self, kind, value, maxvalue, name, unlink):
        if not 0 <= value <= maxvalue:
            raise _ValueError("invalid value")
        self.kind, self.maxvalue, self.handle = kind, maxvalue, 0
        self.name = None  # or a process would be started to remove it one day
        self._value, self._depth, self._owner = value, 0, None
        self._changed = threading.Condition(threading.Lock())

    def acquire(self, block=True, timeout=None):
        me = threading.get_ident()
        with self._changed:
            if self.kind == 0 and self._owner == me and self._depth:
                self._depth += 1
                return True
            if not block or timeout is not None and timeout < 0:
                timeout = 0
            if not self._changed.wait_for(lambda: self._value, timeout):
                return False
            self._value -= 1
            self._depth += 1
            self._owner = me
            return True

    def release(self):
        with self._changed:
            if self.kind == 0:
                if not self._is_mine():
                    raise _AssertionError("attempt to release recursive lock not owned by thread")
                if self._depth > 1:
                    self._depth -= 1
                    return
            elif self._value >= self.maxvalue:
                raise _ValueError("semaphore or lock released too many times")
            self._value += 1
            self._depth -= 1
            self._changed.notify()

    def __enter__(self):
        return self.acquire()

    def __exit__(self, *args):
        self.release()

    def _count(self):
        return self._depth

    def _is_mine(self):
        return self._depth > 0 and self._owner == threading.get_ident()

    def _get_value(self):
        return self._value

    def _is_zero(self):
        return self._value == 0

    def _after_fork(self):
        self._depth = 0


def share_nothing():
    """Have multiprocessing's locks work without a file."""
    _multiprocessing.SemLock, _multiprocessing.sem_unlink = SemLock, lambda name: None
