# The fork server: trusted code, one thread, one per slot and flavour.
#
# It is started by stage 1 inside whatever namespaces and limits the host
# allows, loads the interpreter's modules once, and forks one process per
# program. It never reads a byte that a program wrote: a program talks to the
# Go parent alone, on a socket of its own that passes through here unread.
#
# Descriptor 3 is the control socket (SOCK_SEQPACKET, so one recv is one
# message). Requests of the parent, the first byte says which:
#
#   Q index u32, size u64, func, NUL  + descriptor   load a question
#   D index u32                                      forget a question
#   P index u32, test i32, cpu u32    + descriptors  start a program
#   R                                                kill and reap it
#
# Answers: H (ready, JSON), q (loaded), d (forgotten), r (reaped: status i32,
# user, system microseconds and peak memory in KiB u64), e (errno i32, text).
# P is not answered: the program itself says R(eady) on its own socket once
# it is confined, before the first byte of untrusted source is read.
# With the index NO_QUESTION nothing is run: the process answers its message by one
# frame that holds the program's normal form.
#
# On its socket (descriptor 3 of the program) it then reads its message (u32
# length first): text length u32, number of import lines u32, these u32 each,
# the text as the driver takes it (or nothing), the source. It answers a frame
# per step: status u8, length u32, payload.
# Frame LOADED follows the load; each later frame answers one byte b"G", of
# which several may come at once.
# The bit 0x80 of a status says that the program is known to depend on chance.

import _socket
import gc
import os
import resource
import struct
import sys
import types

import ctypes

CONTROL = 3
READY, LOADED, SETUP_FAILED = b"R", 0x10, b"F"
CLONE_NEWPID = 0x20000000
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38
SIGKILL, F_GETFL, F_SETFL = 9, 3, 4
NO_QUESTION = 0xFFFFFFFF
# The kernel kills the highest first when memory runs out.
SERVER_OOM, PROGRAM_OOM = b"900", b"1000"
# What the driver loads, or programs import, is loaded before the driver: what every program
# touches then lies close together, and a program copies a tenth fewer pages.
MODULES = (
    "string re datetime collections heapq bisect copy math random statistics itertools functools operator io json "
    "builtins typing threading time queue dataclasses enum contextlib fileinput multiprocessing concurrent.futures.thread "
    "ast shutil signal subprocess weakref atexit decimal fractions array"
).split()
# The limit that stage 1 sets: what is opened under it has a lower number. An interpreter
# that has no close_range tries every number up to the one it is told.
OPEN_FILES = 64

# A program may take the builtins away.
len, memoryview, min, BaseException = len, memoryview, min, BaseException
_read, _write, _exit, _fork, _close = os.read, os.write, os._exit, os.fork, os.close
_getppid, _getpid, _kill, _dup2 = os.getppid, os.getpid, os.kill, os.dup2
_closerange, _setgroups = os.closerange, os.setgroups
_setresuid, _setresgid, _setrlimit = os.setresuid, os.setresgid, resource.setrlimit
_frame, _sizes = struct.Struct("<BI").pack, struct.Struct("<III").unpack
_RLIMIT_CPU = resource.RLIMIT_CPU
_enable_gc = gc.enable

libc = ctypes.CDLL(None, use_errno=True)
syscall = libc.syscall
syscall.restype = ctypes.c_long
prctl = libc.prctl
_fcntl, _errno = libc.fcntl, ctypes.get_errno


class SetupError(Exception):
    """A layer that the parent asked for could not be applied."""


def must(step, result):
    if result < 0:
        raise SetupError("%s: %s" % (step, os.strerror(_errno())))
    return result


def send_all(fd, data):
    """Write all of data to fd."""
    n = _write(fd, data)
    while n < len(data):
        data = memoryview(data)[n:]
        n = _write(fd, data)


def read_exactly(fd, n):
    """Read n bytes; fewer only at the end of the stream."""
    data = _read(fd, n)
    if len(data) == n or not data:
        return data
    parts, have = [data], len(data)
    while have < n:
        data = _read(fd, min(n - have, 1 << 20))
        if not data:
            break
        parts.append(data)
        have += len(data)
    return b"".join(parts)


def filter_program(insns):
    """Return a struct sock_fprog for the instructions, and what it points to."""
    insns = ctypes.create_string_buffer(insns, len(insns))
    prog = struct.pack("HxxxxxxQ", len(insns) // 8, ctypes.addressof(insns))
    return ctypes.create_string_buffer(prog, len(prog)), insns


class Confinement:
    """What a program's process does to itself before it touches the program.

    Everything that can be prepared is prepared here, once: the process does
    system calls only.
    """

    def __init__(self, plan):
        self.uid = plan["uid"]
        self.landlock = plan["landlock_fd"]
        self.parent = 0 if plan["pidns"] else _getpid()
        self.high = [fd for fd in (plan["landlock_fd"], plan["pidns_fd"], plan["oom_fd"]) if fd >= OPEN_FILES]
        self.capset = None
        if plan["drop_caps"]:
            header = ctypes.create_string_buffer(struct.pack("<II", 0x20080522, 0), 8)
            nothing = ctypes.create_string_buffer(24)
            self.capset = (plan["nr_capset"], header, nothing)
        self.nr_landlock = plan["nr_landlock_restrict_self"]
        self.nr_seccomp = plan["nr_seccomp"]
        self.filter = None
        if plan["filter"]:
            self.filter = filter_program(bytes.fromhex(plan["filter"]))

    def apply(self, cpu):
        if self.uid:
            _setgroups([])
            _setresgid(self.uid, self.uid, self.uid)
            _setresuid(self.uid, self.uid, self.uid)
        if self.capset:
            must("drop capabilities", syscall(*self.capset))
        # After the change of user, which clears it.
        must("set parent death signal", prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0))
        if _getppid() != self.parent:
            _exit(1)
        must("become undumpable", prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
        _setrlimit(_RLIMIT_CPU, (cpu, cpu + 1))
        if self.landlock >= 0:
            must("restrict by landlock", syscall(self.nr_landlock, self.landlock, 0))
        for fd in self.high:
            _close(fd)
        _closerange(4, OPEN_FILES)
        if self.filter:
            must("install the system call filter", syscall(self.nr_seccomp, 1, 0, self.filter[0]))


class Question:
    """The inputs of one question, decoded once, inherited by every program."""

    def __init__(self, func, inputs):
        self.func = func
        self.inputs = inputs


def read_inputs(fd, size):
    """Decode count u32, count lengths u64, the texts (UTF-8, surrogates pass)."""
    data = read_exactly(fd, size)
    if len(data) != size:
        raise SetupError("inputs ended after %d of %d bytes" % (len(data), size))
    (count,) = struct.unpack_from("<I", data)
    lengths = struct.unpack_from("<%dQ" % count, data, 4)
    at, inputs = 4 + 8 * count, []
    for n in lengths:
        inputs.append(data[at : at + n].decode("utf-8", "surrogatepass"))
        at += n
    return inputs


class Server:
    def __init__(self, sock, plan, driver):
        self.sock, self.driver = sock, driver
        self.mode, self.output_cap = plan["mode"], plan["output_cap"]
        self.pidns = plan["pidns_fd"] if plan["pidns"] else -1
        self.oom = plan["oom_fd"]
        # Shared by all programs, as are the flags that each may set on them.
        self.shared = [(fd, must("read descriptor's flags", _fcntl(fd, F_GETFL))) for fd in (0, 1)]
        self.confinement = Confinement(plan)
        self.questions = {}
        self.child = 0
        self.fork_error = None
        self.status, self.usage = ctypes.c_int(), ctypes.create_string_buffer(144)

    def serve(self):
        recvmsg, room = self.sock.recvmsg, _socket.CMSG_SPACE(3 * 4)
        actions = {81: self.load, 68: self.forget, 80: self.start, 82: self.reap}
        while True:
            data, ancillary, _, _ = recvmsg(4096, room)
            if not data:
                _exit(0)
            fds = ()
            if ancillary:
                fds = struct.unpack("%di" % (len(ancillary[0][2]) // 4), ancillary[0][2])
            actions[data[0]](data, fds)

    def load(self, data, fds):
        index, size = struct.unpack_from("<IQ", data, 1)
        func = data[13:].decode() or None
        try:
            inputs = read_inputs(fds[0], size)
        except (SetupError, MemoryError, OSError, ValueError) as e:
            self.refuse(0, "load question: %s" % e)
            return
        finally:
            _close(fds[0])
        self.questions[index] = Question(func, inputs)
        self.sock.send(b"q")

    def forget(self, data, fds):
        self.questions.pop(struct.unpack_from("<I", data, 1)[0], None)
        self.sock.send(b"d")

    def refuse(self, errno, text):
        self.sock.send(b"e" + struct.pack("<i", errno) + text.encode()[:2000])

    def start(self, data, fds):
        index, test, cpu = struct.unpack_from("<IiI", data, 1)
        question = None if index == NO_QUESTION else self.questions[index]
        self.fork_error = None
        for fd, flags in self.shared:
            _fcntl(fd, F_SETFL, flags)
        try:
            if self.pidns >= 0:
                must("unshare pid namespace", libc.unshare(CLONE_NEWPID))
            if self.oom >= 0:
                # A program inherits the score. Ours is lower.
                _write(self.oom, PROGRAM_OOM)
            self.child = _fork()
            if self.child == 0:
                try:
                    self.program(question, test, cpu, fds)
                finally:
                    _exit(3)
        except (SetupError, OSError) as e:
            self.child = 0
            self.fork_error = e
        finally:
            if self.oom >= 0:
                _write(self.oom, SERVER_OOM)
            if self.pidns >= 0:
                # Back to our own, or the next unshare is refused.
                libc.setns(self.pidns, CLONE_NEWPID)
            for fd in fds:
                _close(fd)

    def reap(self, data, fds):
        if not self.child:
            e = self.fork_error
            self.refuse(getattr(e, "errno", 0) or 0, "fork: %s" % e)
            return
        _kill(self.child, SIGKILL)
        # Not os.wait4, which imports a module that programs must not have.
        must("wait for program", libc.wait4(self.child, ctypes.byref(self.status), 0, self.usage))
        self.child = 0
        user, user_us, system, system_us, peak = struct.unpack_from("qqqqq", self.usage)
        user, system = user * 1000000 + user_us, system * 1000000 + system_us
        self.sock.send(b"r" + struct.pack("<iQQQ", self.status.value, user, system, peak))

    # From here on: the program's process.

    def program(self, question, test, cpu, fds):
        inputs = question.inputs if question else None
        try:
            _dup2(fds[0], CONTROL)
            # Our own is a pipe to the parent. A program's goes where its standard
            # output goes when nobody reads it: to /dev/null, which is written to.
            _dup2(1, 2)
            if len(fds) > 1:
                # A script: one test, on a real standard input and output.
                inputs = inputs[test : test + 1]
                _dup2(fds[2], 0)
                _dup2(fds[1], 1)
            self.confinement.apply(cpu)
        except BaseException as e:
            send_all(fds[0], SETUP_FAILED + str(e).encode("utf-8", "replace"))
            _exit(1)
        send_all(CONTROL, READY)
        if question:
            self.run(question.func, inputs)
        else:
            source, _, _ = read_message()
            answer(self.driver.OUTPUT, self.driver.normal_form(source, self.mode == "script"))
        _exit(0)

    def run(self, func, inputs):
        driver = self.driver
        try:
            source, text, lines = read_message()
            _enable_gc()
            program = driver.load(self.mode, func, source, self.output_cap, fatal, text, lines)
        except driver.Failure as e:
            answer(e.status | driver.drew(), e.payload)
            return
        except BaseException as e:
            answer(driver.ERROR, driver.failure_payload(e, "load"))
            return
        drew = driver.drew
        answer(LOADED | drew(), b"")
        run, asked = program.run, 0
        for raw in inputs:
            if asked == 0:
                asked = len(_read(CONTROL, 64))
                if asked == 0:
                    return
            asked -= 1
            try:
                status, payload = run(raw)
            except BaseException as e:
                status, payload = driver.ERROR, driver.failure_payload(e, "test")
            answer(status | drew(), payload)
            if status == driver.ERROR:
                # The tests that were asked for along with this one are not run: an
                # answer after a failure would be out of turn.
                return


def read_message():
    """Return the source, the text for the driver or None, and the lines of the imports."""
    size, text_size, imports = _sizes(read_exactly(CONTROL, 12))
    data = read_exactly(CONTROL, size - 8)
    at = 4 * imports
    lines, text, source = data[:at], data[at : at + text_size], data[at + text_size :]
    return source.decode("utf-8", "surrogatepass"), text.decode("utf-8", "surrogatepass") if text_size else None, lines


def answer(status, payload):
    send_all(CONTROL, _frame(status, len(payload)) + payload)


def fatal(status, payload):
    """Send the frame and end the process, out of reach of any except clause."""
    answer(status, payload)
    _exit(0)


def load_modules(plan, driver_source):
    """Import what programs import, and return the driver."""
    # What modules do in every child (seed a generator, make locks anew) costs a
    # third of a program, and this process has no thread that would make it
    # necessary. So it is not done.
    register, os.register_at_fork = os.register_at_fork, lambda **functions: None
    import random
    import site

    # What `import site` gives every script, without its search of the disk.
    site.setquit()
    site.setcopyright()
    site.sethelper()
    for name in MODULES:
        __import__(name)
    gc.collect()
    driver = types.ModuleType("driver")
    exec(compile(driver_source, "<driver>", "exec"), driver.__dict__)
    driver.open_by_descriptor(plan["null_by_descriptor"])
    driver.end_by_signals(plan["pidns"])
    driver.warm(plan["mode"])
    # A program draws the same numbers in every run, unless the driver seeds anew for it.
    random.seed(0)
    if plan["numpy"]:
        import numpy

        numpy.random.seed(0)
    os.register_at_fork = register
    os.environ.clear()
    if plan["mode"] == "lcb":
        # From here on os has no fork and no kill: what is needed of it is
        # bound above.
        driver.seal()
        driver.rehearse()
    return driver


PT_LOAD, PF_X, PF_W, PF_R = 1, 1, 2, 4  # of a program header
PROT_READ, PROT_WRITE, PROT_EXEC = 1, 2, 4


def segments(function):
    """Return the parts of the function's file that are mapped and never written to: address, size and protection."""
    found = ctypes.create_string_buffer(32)
    if not libc.dladdr(ctypes.cast(function, ctypes.c_void_p), found):
        return []
    (base,) = struct.unpack_from("Q", found, 8)
    head = ctypes.string_at(base, 64)
    (table,), (size, count) = struct.unpack_from("Q", head, 32), struct.unpack_from("HH", head, 54)
    if head[:5] != b"\x7fELF\x02":
        return []
    headers = [struct.unpack("IIQQQQQQ", ctypes.string_at(base + table + i * size, 56)) for i in range(count)]
    loaded = [(flags, at, n) for kind, flags, _, at, _, _, n, _ in headers if kind == PT_LOAD]
    page = resource.getpagesize()
    shift = base - loaded[0][1] // page * page
    out = []
    for flags, at, n in loaded:
        if flags & PF_R and not flags & PF_W:
            low, high = (shift + at) // page * page, -(-(shift + at + n) // page) * page
            out.append((low, high - low, PROT_READ | (PROT_EXEC if flags & PF_X else 0)))
    return out


def hand_down_code():
    """Have programs inherit the page tables of the code of the interpreter and of the C library.

    The kernel leaves those of a file's mapping out of a fork unless something was written to it, and each program
    then finds its pages by seventy faults. So one byte is written, the one that is there. Where the kernel's
    policy forbids that, programs have their faults.
    """
    for at, size, protection in segments(ctypes.pythonapi.Py_IsInitialized) + segments(libc.write):
        at, size = ctypes.c_void_p(at), ctypes.c_size_t(size)
        if libc.mprotect(at, size, protection | PROT_WRITE) == 0:
            ctypes.memmove(at, ctypes.string_at(at, 1), 1)
        must("protect the interpreter's code", libc.mprotect(at, size, protection))


def main(control, plan, driver_source):
    sys.path[:] = plan["path"]
    sys.dont_write_bytecode = True
    driver = load_modules(plan, driver_source)
    hand_down_code()
    if plan["base_filter"]:
        # Kept for its own sake, and because a kernel that holds one filter
        # installs the next in half the time.
        base = filter_program(bytes.fromhex(plan["base_filter"]))
        must("install the server's filter", syscall(plan["nr_seccomp"], 1, 0, base[0]))
    server = Server(control, plan, driver)
    gc.collect()
    gc.freeze()
    gc.disable()
    if hasattr(libc, "malloc_trim"):
        # What is free of the memory is given back: a fork copies an entry for each page that is there.
        libc.malloc_trim(0)
    control.send(b"H")
    server.serve()
