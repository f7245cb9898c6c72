# Runs programs through the harness for its tests: a fork per program, nothing
# of a sandbox. Usage: runner.py HARNESS MODE
#
# Standard input holds one JSON object a line: func, source, text, imports (lines
# of them), inputs, cap, cpu (seconds), stdin (a file for a script's standard input, or null). Standard
# output answers with frames: status u8, length u32, payload. 0x40 names the
# program's process, 0x41 carries what a script printed, 0x42 ends it with its
# wait status.

import gc
import json
import os
import resource
import struct
import sys
import tempfile
import types

_write, _exit, _pack = os.write, os._exit, struct.Struct("<BI").pack
_fork, _wait, _dup2, _pipe, _close = os.fork, os.waitpid, os.dup2, os.pipe, os.close
_pread, _open, _ftruncate = os.pread, os.open, os.ftruncate
_setrlimit, _len, _BaseException = resource.setrlimit, len, BaseException


def frame(fd, status, payload=b""):
    data = _pack(status, _len(payload)) + payload
    while data:
        data = data[_write(fd, data) :]


def program(driver, mode, job, out):
    def fatal(status, payload):
        frame(out, status, payload)
        _exit(0)

    gc.enable()
    _setrlimit(resource_cpu, (job["cpu"], job["cpu"]))
    _setrlimit(resource_as, (4 << 30, 4 << 30))
    try:
        lines = struct.pack("<%dI" % _len(job["imports"] or ()), *job["imports"] or ())
        p = driver.load(mode, job["func"], job["source"], job["cap"], fatal, job["text"] or None, lines)
        frame(out, 0)
        for raw in job["inputs"]:
            status, payload = p.run(raw)
            frame(out, status, payload)
            if status == driver.ERROR:
                break
    except driver.Failure as e:
        frame(out, e.status, e.payload)
    except _BaseException as e:
        frame(out, driver.ERROR, driver.failure_payload(e))


def main():
    global resource_cpu, resource_as
    resource_cpu, resource_as = resource.RLIMIT_CPU, resource.RLIMIT_AS
    source, mode = sys.argv[1:3]
    jobs, out = os.fdopen(os.dup(0), "r", encoding="utf-8"), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    printed = tempfile.TemporaryFile() if mode == "script" else None
    driver = types.ModuleType("driver")
    with open(source, encoding="utf-8") as f:
        exec(compile(f.read(), "<driver>", "exec"), driver.__dict__)
    driver.open_by_descriptor(False)
    driver.warm(mode)
    try:
        import numpy  # noqa: F401
    except ImportError:
        pass
    if mode == "lcb":
        driver.seal()
        driver.rehearse()
    gc.collect()
    gc.freeze()
    gc.disable()
    for line in jobs:
        job = json.loads(line)
        if printed:
            given = tempfile.TemporaryFile()
            given.write(job["inputs"][0].encode("utf-8", "surrogatepass"))
            given.seek(0)
            printed.truncate(0)
            printed.seek(0)
        pid = _fork()
        if pid == 0:
            try:
                if printed:
                    _dup2(given.fileno(), 0)
                    _dup2(printed.fileno(), 1)
                program(driver, mode, job, out)
            finally:
                _exit(0)
        frame(out, 0x40, struct.pack("<I", pid))
        _, status = _wait(pid, 0)
        if printed:
            given.close()
            frame(out, 0x41, _pread(printed.fileno(), 1 << 26, 0))
        frame(out, 0x42, struct.pack("<I", status))


main()
